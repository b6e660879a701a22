//! `rehearse train`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use rehearse_scenarios::log::RobotLog;
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::train::{CurvePoint, Progress, TrainConfig, train};

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
    /// The logs to learn from, a LeRobotDataset
    #[arg(long, value_name = "DIR")]
    logs: PathBuf,
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
}

impl TrainArgs {
    /// Trains, and prints the checkpoint's path.
    ///
    /// # Errors
    /// If the recipe, the logs or the device cannot be used, or training diverged.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { config, logs, device, folder, checkpoint, resume } = self;
        let recipe = TrainConfig::read(&config)?;
        let log = RobotLog::open(&logs).with_context(|| logs.display().to_string())?;
        let checkpoint = checkpoint.unwrap_or_else(|| folder.join("model.safetensors"));
        let mut lines = Lines { printer };
        let trained = train(&recipe, &log, &folder, &checkpoint, device, resume, &mut lines)?;
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
