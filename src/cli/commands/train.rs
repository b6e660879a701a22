//! `rehearse train`.

#[cfg(feature = "rerun")]
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use rehearse_scenarios::log::RobotLog;
use rehearse_world_model::device::DeviceChoice;
#[cfg(feature = "rerun")]
use rehearse_world_model::train::read_curves;
use rehearse_world_model::train::{CurvePoint, Job, Logs, Progress, TrainConfig, left_out, train};

use crate::cli::{ExitStatus, Printer};
#[cfg(feature = "rerun")]
use crate::viz::{Curves, Destination, VizError};

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
    /// Show the curves while they are drawn, in a rerun viewer at this address
    #[cfg(feature = "rerun")]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1,
          default_missing_value = Destination::LOCAL_VIEWER)]
    rerun: Option<String>,
}

impl TrainArgs {
    /// Trains, and prints the checkpoint's path.
    ///
    /// # Errors
    /// If the recipe, the logs or the device cannot be used, or training diverged.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { config, logs, init, device, folder, checkpoint, resume, .. } = self;
        let report = self.left_out;
        let recipe = TrainConfig::read(&config)?;
        let logs = logs
            .iter()
            .map(|folder| RobotLog::open(folder).with_context(|| folder.display().to_string()))
            .collect::<anyhow::Result<_>>()?;
        let checkpoint = checkpoint.unwrap_or_else(|| folder.join("model.safetensors"));
        let mut lines = Lines {
            printer,
            #[cfg(feature = "rerun")]
            curves: self.rerun.map(Destination::Viewer).and_then(|viewer| {
                let opened = curves(&folder, &viewer, resume);
                opened.map_err(|error| unseen(printer, &error)).ok()
            }),
        };
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

/// The curves of the training in `folder`, from its beginning where it is resumed.
#[cfg(feature = "rerun")]
fn curves(folder: &Path, viewer: &Destination, resume: bool) -> Result<Curves, VizError> {
    let mut curves = Curves::open(&folder.display().to_string(), viewer)?;
    let before = read_curves(folder).filter(|_| resume).unwrap_or_default();
    before.iter().try_for_each(|point| curves.add(point))?;
    Ok(curves)
}

/// A viewer that cannot be reached, or goes away, stops no training.
#[cfg(feature = "rerun")]
fn unseen(printer: &Printer, error: &VizError) {
    printer.note(&format!("the viewer sees no more of the curves: {error}"));
}

/// Notes on standard error, and curves in a viewer where one is asked for.
struct Lines<'a> {
    printer: &'a Printer,
    #[cfg(feature = "rerun")]
    curves: Option<Curves>,
}

impl Progress for Lines<'_> {
    fn point(&mut self, point: &CurvePoint) {
        #[cfg(feature = "rerun")]
        if let Some(Err(error)) = self.curves.as_mut().map(|curves| curves.add(point)) {
            unseen(self.printer, &error);
            self.curves = None;
        }
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
