//! `rehearse policy clone`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use rehearse_scenarios::log::RobotLog;

use crate::cli::{ExitStatus, Printer};
use crate::policy::{CloneConfig, Progress, clone_policy};

/// Arguments of `rehearse policy clone`.
///
/// Example: `rehearse policy clone examples/metaworld/policies/full.toml --logs logs/metaworld
/// --out full.safetensors`
#[derive(Debug, Args)]
pub struct CloneArgs {
    /// The recipe (TOML): sizes, training, data, and how the policy is spoilt
    config: PathBuf,
    /// The logs to learn from, a LeRobotDataset
    #[arg(long, value_name = "DIR")]
    logs: PathBuf,
    /// The file to write: weights and manifest
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A folder for decoded images, so that further trainings on these logs need not decode them
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

impl CloneArgs {
    /// Trains, and prints the curve as JSON lines.
    ///
    /// # Errors
    /// If the recipe or the logs cannot be used, training diverged, or the file cannot be written.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { config, logs, out, cache } = self;
        let recipe = CloneConfig::read(&config)?;
        let log = RobotLog::open(&logs).with_context(|| logs.display().to_string())?;
        let mut reading = None;
        let mut steps = None;
        let trained =
            clone_policy(&recipe, &log, cache.as_deref(), &out, &mut |progress| match progress {
                Progress::Read { of, .. } => reading
                    .get_or_insert_with(|| printer.progress(of as u64, "episodes"))
                    .advance(1),
                Progress::Step { .. } => steps
                    .get_or_insert_with(|| printer.progress(recipe.steps as u64, "steps"))
                    .advance(1),
            })?;
        for progress in [reading, steps].into_iter().flatten() {
            progress.finish();
        }
        let data = &trained.manifest.data;
        printer.note(&format!(
            "{}: {} episodes, {} frames, loss {:.4}, written to {}",
            recipe.name,
            data.episodes,
            data.frames,
            trained.manifest.loss,
            out.display()
        ));
        for point in &trained.curve {
            printer.data(&serde_json::to_string(point)?)?;
        }
        Ok(ExitStatus::Success)
    }
}
