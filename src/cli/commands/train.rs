//! `rehearse train`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use rehearse_scenarios::log::RobotLog;
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::train::{CurvePoint, Job, Logs, Progress, TrainConfig, left_out, train};

use crate::cli::{ExitStatus, Printer};

/// Steps between printed lines.
const LINE_EVERY: usize = 100;

/// Arguments of `rehearse train`.
///
/// Example: `rehearse train examples/metaworld/train-quick.toml --logs logs/metaworld`
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The recipe (TOML): model, splits, stages
    config: PathBuf,
    /// The logs to learn from, a LeRobotDataset; may be stated more than once
    #[arg(long, value_name = "DIR", required = true)]
    logs: Vec<PathBuf>,
    /// Go on from this checkpoint rather than from nothing; its tokens must be the recipe's, and
    /// any other part of another size starts anew
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Where to compute: `cpu` or `cuda:N`
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Folder for the token cache, the saved state and the curves (`curves.jsonl`)
    #[arg(long, value_name = "DIR", default_value = "training")]
    folder: PathBuf,
    /// The checkpoint to write; its manifest goes beside it
    /// [default: model.safetensors in the folder]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Go on where a training in the folder was cut short
    #[arg(long)]
    resume: bool,
    /// At the end, also teach the judge anew without each task and each policy in turn, and write
    /// what it then says of them here (JSON)
    #[arg(long, value_name = "FILE")]
    left_out: Option<PathBuf>,
}

impl TrainArgs {
    /// Trains, and prints the checkpoint's path.
    ///
    /// # Errors
    /// If the recipe, the logs or the device cannot be used, or training diverged.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { config, logs, init, device, folder, checkpoint, resume, left_out: report } =
            self;
        let recipe = TrainConfig::read(&config)?;
        let logs = logs
            .iter()
            .map(|folder| RobotLog::open(folder).with_context(|| folder.display().to_string()))
            .collect::<anyhow::Result<_>>()?;
        let checkpoint = checkpoint.unwrap_or_else(|| folder.join("model.safetensors"));
        let mut lines = Lines { printer };
        let job = Job {
            config: &recipe,
            logs: &Logs::new(logs)?,
            init: init.as_deref(),
            folder: &folder,
            checkpoint: &checkpoint,
            device,
            resume,
        };
        let trained = train(job, &mut lines)?;
        if let Some(path) = report {
            let found = serde_json::to_string_pretty(&left_out(job, &mut lines)?)?;
            std::fs::write(&path, found).with_context(|| path.display().to_string())?;
        }
        printer.data(&trained.checkpoint.display().to_string())?;
        Ok(ExitStatus::Success)
    }
}

/// Notes on standard error.
struct Lines<'a> {
    printer: &'a Printer,
}

impl Progress for Lines<'_> {
    fn point(&mut self, point: &CurvePoint) {
        let CurvePoint { stage, step, steps, loss, rate, secs, validation, norm: _ } = point;
        if step % LINE_EVERY != 0 && step != steps && validation.is_empty() {
            return;
        }
        let left = secs / *step as f64 * (steps - step) as f64;
        let held = validation
            .iter()
            .map(|(name, value)| format!(", {name} {value:.4}"))
            .collect::<String>();
        self.printer.note(&format!(
            "{stage}: {step}/{steps}, loss {loss:.4}, rate {rate:.2e}, {secs:.0} s, {left:.0} s left{held}"
        ));
    }

    fn note(&mut self, note: &str) {
        self.printer.note(note);
    }
}
