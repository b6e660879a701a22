//! `rehearse run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rehearse_policy_bridge::closed_loop::Cancel;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::episode::Episode;
use rehearse_scoring::sequential::SettleOptions;
use rehearse_world_model::device::DeviceChoice;

use super::report;
use crate::cli::connection::{ConnectionArgs, PatienceArgs};
use crate::cli::{ExitStatus, Format, Printer, Progress};
use crate::run::{Conduct, Entry, Onlooker, Plan, Shard, Stepped, conduct};
#[cfg(feature = "rerun")]
use crate::viz::{Destination, Live};

/// When a run may stop before its end.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StopWhen {
    /// The ranking is settled.
    Settled,
}

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
    /// Stop early: `settled`, when the ranking is known with 95 % probability. The plan is then
    /// run in an order that mixes tasks
    #[arg(long, value_enum, conflicts_with = "shard", value_name = "WHEN")]
    stop_when: Option<StopWhen>,
    /// Policies whose rates are closer than this need not be told apart: 0.1 is ten points
    #[arg(long, requires = "stop_when")]
    margin: Option<f64>,
    /// Ask this judge over zenoh whether tasks are done, in the place of the world's own or the
    /// suite's
    #[arg(long, value_name = "NAME")]
    judge: Option<String>,
    /// Store no episodes: numbers only
    #[arg(long)]
    no_episodes: bool,
    /// Show the run while it goes on, in a rerun viewer at this address
    #[cfg(feature = "rerun")]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1,
          default_missing_value = Destination::LOCAL_VIEWER)]
    rerun: Option<String>,
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
        let Self { suite, out, resume, shard, dry_run, stop_when, margin, no_episodes, .. } = self;
        let Self { judge, device, patience, connection, .. } = self;
        #[cfg(feature = "rerun")]
        let rerun = self.rerun;
        let settle =
            stop_when.map(|StopWhen::Settled| SettleOptions { margin, ..SettleOptions::default() });
        let mut plan = Plan::load(&suite, shard)?;
        plan.suite.judge.zenoh = judge.or(plan.suite.judge.zenoh);
        let plan = if settle.is_some() { plan.mixed() } else { plan };
        if dry_run {
            let ids: Vec<String> = plan.trials().map(|trial| trial.id.to_string()).collect();
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
            settle,
        };
        let mut audience = Audience {
            progress: printer.progress(plan.len() as u64, "trials"),
            #[cfg(feature = "rerun")]
            live: rerun.map(|address| Live::open(Destination::Viewer(address))),
        };
        let session = connection.open()?;
        let cancel = Cancel::default();
        let stop = cancel.clone();
        ctrlc::set_handler(move || stop.cancel())?;
        let finished = conduct(&plan, &settings, &session, &cancel, &mut audience);
        audience.progress.finish();
        #[cfg(feature = "rerun")]
        if let Some(error) = audience.live.and_then(Live::error) {
            printer.note(&format!("the viewer saw only a part of the run: {error}"));
        }
        let finished = finished?;
        printer.note(finished.summary.to_string().trim_end());
        if finished.settled && finished.missing > 0 {
            printer.note(&format!(
                "the ranking is settled; {} trials were not needed",
                finished.missing
            ));
        } else if finished.missing > 0 {
            printer.note(&format!("{} trials are missing; go on with --resume", finished.missing));
            return Ok(ExitStatus::Stopped);
        }
        report::make(&settings.out, None, Format::Table, printer)?;
        Ok(ExitStatus::Success)
    }
}

/// Who is told what happens: the progress display, and a viewer where one is asked for.
struct Audience {
    progress: Progress,
    #[cfg(feature = "rerun")]
    live: Option<Live>,
}

impl Onlooker for Audience {
    fn starts(&mut self, plan: &Plan, rig: &Embodiment, ended: usize) {
        self.progress.advance(ended as u64);
        #[cfg(feature = "rerun")]
        if let Some(live) = &mut self.live {
            live.starts(plan, rig, ended);
        }
    }

    fn stepped(&mut self, step: &Stepped<'_>) {
        #[cfg(feature = "rerun")]
        if let Some(live) = &mut self.live {
            live.stepped(step);
        }
    }

    fn ended(&mut self, entry: &Entry, episode: &Episode) {
        self.progress.advance(1);
        #[cfg(feature = "rerun")]
        if let Some(live) = &mut self.live {
            live.ended(entry, episode);
        }
    }
}
