//! `rehearse run`.

use std::path::PathBuf;

use clap::Args;
use rehearse_policy_bridge::closed_loop::Cancel;
use rehearse_world_model::device::DeviceChoice;

use super::report;
use crate::cli::connection::{ConnectionArgs, PatienceArgs};
use crate::cli::{ExitStatus, Format, Printer};
use crate::run::{Conduct, Plan, Shard, conduct};

/// Arguments of `rehearse run`.
///
/// Example: `rehearse run suite.toml --out run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The suite (TOML)
    suite: PathBuf,
    /// The run directory
    #[arg(long, value_name = "DIR", default_value = "run")]
    out: PathBuf,
    /// Go on with the run that the directory holds
    #[arg(long)]
    resume: bool,
    /// Run a part of the suite: `1/4` is the first of four
    #[arg(long, default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// Print the trials and what they cost at most, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Store no episodes: numbers only
    #[arg(long)]
    no_episodes: bool,
    /// Where a learned world computes: `cpu` or `cuda:N`
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    #[command(flatten)]
    patience: PatienceArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl RunArgs {
    /// Runs the suite.
    ///
    /// # Errors
    /// If the suite, the world, a policy or the run directory cannot be used.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { suite, out, resume, shard, dry_run, no_episodes, device, patience, connection } =
            self;
        let plan = Plan::load(&suite, shard)?;
        if dry_run {
            let ids: Vec<&str> = plan.trials.iter().map(|trial| trial.id.as_str()).collect();
            printer.data(&ids.join("\n"))?;
            printer.note(&plan.estimate(&out)?);
            return Ok(ExitStatus::Success);
        }
        let settings = Conduct {
            out,
            resume,
            keep_episodes: !no_episodes,
            device,
            patience: patience.options()?,
        };
        let mut progress = printer.progress(plan.trials.len() as u64, "trials");
        let session = connection.open()?;
        let cancel = Cancel::default();
        let stop = cancel.clone();
        ctrlc::set_handler(move || stop.cancel())?;
        let finished = conduct(&plan, &settings, &session, &cancel, &mut |trials| {
            progress.advance(trials);
        });
        progress.finish();
        let finished = finished?;
        printer.note(finished.summary.to_string().trim_end());
        if finished.missing > 0 {
            printer.note(&format!("{} trials are missing; go on with --resume", finished.missing));
            return Ok(ExitStatus::Stopped);
        }
        report::make(&settings.out, None, Format::Table, printer)?;
        Ok(ExitStatus::Success)
    }
}
