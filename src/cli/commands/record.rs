//! `rehearse record`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use rehearse_policy_bridge::closed_loop::{
    Cancel, Event, Lane, LaneSummary, Latency, LoopOptions, Observer, ObserverError, StaleActions,
    SuccessRule, Trial, WhileWaiting, run,
};
use rehearse_policy_bridge::zenoh::{Name, RemotePolicy, RemoteWorld};
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::interface::World as _;
use rehearse_scenarios::log::{
    Dtype, EpisodeEnd, Feature, Frame, LogError, LogSettings, LogWriter, TrialRow,
};
use rehearse_scenarios::outcome::Outcome;
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::SimDuration;
use rehearse_scenarios::video::Codec;

use crate::cli::connection::{ConnectionArgs, PatienceArgs};
use crate::cli::{ExitStatus, Printer, Progress};

/// Arguments of `rehearse record`.
///
/// Example: `rehearse record --world reacher --policy noise --episodes 20 --out logs`
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Name of the world, found over zenoh
    #[arg(long, value_name = "NAME")]
    world: String,
    /// Name of the policy, found over zenoh
    #[arg(long, value_name = "NAME")]
    policy: String,
    /// Episodes to record
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    episodes: u64,
    /// The folder to write, a LeRobotDataset v3.0; it must not be there yet, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The task, by which a simulator chooses its scene; also the results' name for it
    #[arg(long, default_value = "default")]
    task: String,
    /// The instruction; the task's name if not stated
    #[arg(long)]
    instruction: Option<String>,
    /// Index of the first start; episode `i` starts at this index plus `i`
    #[arg(long, default_value_t = 0)]
    first_start: u64,
    /// Most actions in an episode
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    horizon: u32,
    /// Actions executed of each chunk before the policy is asked again; a whole chunk if not stated
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    execute: Option<u32>,
    /// Simulated time in milliseconds from an observation to the first action decided on it
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    latency_ms: u32,
    /// What the robot does while the policy thinks
    #[arg(long, value_enum, default_value_t)]
    waiting: Waiting,
    /// What becomes of actions whose time has passed when their chunk arrives
    #[arg(long, value_enum, default_value_t)]
    stale: Stale,
    /// Least belief of the world that ends an episode as a success, in (0, 1]
    #[arg(long, default_value_t = 0.5)]
    success_threshold: f32,
    /// Consecutive steps for which the belief must reach the threshold
    #[arg(long, default_value_t = 1)]
    success_steps: u32,
    /// Seed of every draw: the same seed gives the same episodes
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How the videos are compressed
    #[arg(long, value_enum, default_value_t)]
    codec: VideoCodec,
    #[command(flatten)]
    patience: PatienceArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Waiting {
    /// It holds still
    #[default]
    Hold,
    /// It goes on with the rest of the old chunk
    KeepExecuting,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Stale {
    /// They are executed all the same, late
    #[default]
    Execute,
    /// They are dropped
    Drop,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum VideoCodec {
    /// AV1, as LeRobot writes it: small, slow to write
    #[default]
    Av1,
    /// H.264: quick to write
    H264,
}

impl RecordArgs {
    /// Records the episodes.
    ///
    /// # Errors
    /// If the world or the policy is not there, they do not fit, or nothing can be written.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let session = self.connection.open()?;
        let options = self.patience.options()?;
        let mut world = RemoteWorld::connect(&session, &Name::new(&*self.world)?, options)?;
        let policy = RemotePolicy::connect(&session, &Name::new(&*self.policy)?, options)?;
        let lane = Lane {
            latency: self.latency(),
            in_flight: Some(world.info().max_batch.saturating_mul(2).min(64)),
            ..Lane::new(
                Box::new(policy),
                self.execute.map_or(usize::MAX, |execute| execute as usize),
                self.trials(),
            )
        };
        let success = SuccessRule { threshold: self.success_threshold, steps: self.success_steps };
        let rig = world.embodiment().clone();
        let mut recorder = Recorder {
            folder: &self.out,
            rig,
            settings: LogSettings { codec: self.codec(), ..LogSettings::default() },
            policy: &self.policy,
            success,
            writer: None,
            early: BTreeMap::new(),
            next: 0,
            progress: printer.progress(self.episodes, "episodes"),
        };
        let loop_options = LoopOptions { success, ..LoopOptions::default() };
        let summary =
            run(&mut world, vec![lane], &loop_options, &mut recorder, &Cancel::default())?;
        printer.note(summary.to_string().trim_end());
        recorder.progress.finish();
        let (writer, _) =
            recorder.writer.context("every trial is void: there is nothing to write")?;
        let written = writer.finish()?;
        printer.note(&format!(
            "wrote {} episodes, {} frames to {}",
            written.episodes,
            written.frames,
            self.out.display()
        ));
        let voids: u64 = summary.lanes.iter().map(LaneSummary::voids).sum();
        Ok(if voids == 0 { ExitStatus::Success } else { ExitStatus::Failure })
    }

    fn latency(&self) -> Latency {
        Latency {
            delay: SimDuration::from_millis(i64::from(self.latency_ms)),
            waiting: match self.waiting {
                Waiting::Hold => WhileWaiting::Hold,
                Waiting::KeepExecuting => WhileWaiting::KeepExecuting,
            },
            stale: match self.stale {
                Stale::Execute => StaleActions::Execute,
                Stale::Drop => StaleActions::Drop,
            },
        }
    }

    fn codec(&self) -> Codec {
        match self.codec {
            VideoCodec::Av1 => Codec::Av1,
            VideoCodec::H264 => Codec::H264,
        }
    }

    fn trials(&self) -> impl Iterator<Item = Trial> + Send + use<> {
        let task: Arc<str> = Arc::from(&*self.task);
        let instruction = self.instruction.as_deref().map_or_else(|| Arc::clone(&task), Arc::from);
        let (policy, first, horizon) = (self.policy.clone(), self.first_start, self.horizon);
        let root = Seed::root(self.seed).child(&self.task);
        (0..self.episodes).map(move |episode| {
            let index = first + episode;
            Trial {
                id: episode_id(episode, &policy),
                task: Arc::clone(&task),
                index,
                instruction: Arc::clone(&instruction),
                observation: None,
                world_seed: root.child("world").index(index),
                policy_seed: root.child("policy").child(&policy).index(index),
                horizon,
            }
        })
    }
}

fn episode_id(episode: u64, policy: &str) -> String {
    format!("record/{episode:06}/{policy}/0")
}

/// Writes episodes in the order of their trials, whichever ends first.
struct Recorder<'a> {
    folder: &'a Path,
    rig: Embodiment,
    settings: LogSettings,
    policy: &'a str,
    success: SuccessRule,
    /// Made for the first episode, which tells whether the world knows success.
    writer: Option<(LogWriter, bool)>,
    /// Episodes that ended before one that comes before them.
    early: BTreeMap<String, (Trial, Episode)>,
    next: u64,
    progress: Progress,
}

impl Observer for Recorder<'_> {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        let Event::Ended { trial, episode, .. } = event else { return Ok(()) };
        self.progress.advance(1);
        self.early.insert(episode.id.clone(), (trial, episode));
        while let Some((trial, episode)) = self.early.remove(&episode_id(self.next, self.policy)) {
            self.next += 1;
            let void = matches!(episode.outcome, Outcome::Void { .. });
            if !void && !episode.is_empty() {
                self.write(&trial, &episode)?;
            }
        }
        Ok(())
    }
}

impl Recorder<'_> {
    fn write(&mut self, trial: &Trial, episode: &Episode) -> Result<(), LogError> {
        let (writer, knows) = match &mut self.writer {
            Some(made) => made,
            none => {
                let knows = episode.success.iter().any(Option::is_some);
                let success = Feature::vector("next.success", Dtype::Bool, 1);
                let further = if knows { vec![success] } else { vec![] };
                let settings = self.settings.clone();
                let writer = LogWriter::create(self.folder, &self.rig, &further, settings)?;
                none.insert((writer, knows))
            }
        };
        writer.begin_episode(&episode.instruction)?;
        for (observation, action) in episode.observations.iter().zip(&episode.actions) {
            let (images, state) = (&observation.images, &observation.proprioception);
            writer.push(&Frame { images, state, action })?;
        }
        let threshold = self.success.threshold;
        let done = |belief: &Option<f32>| belief.is_some_and(|belief| belief >= threshold);
        let result = match episode.outcome {
            Outcome::Success => Some(1.0),
            Outcome::Failure => Some(0.0),
            Outcome::Unsure | Outcome::Void { .. } => None,
        };
        writer.end_episode(EpisodeEnd {
            success: knows.then(|| episode.success.iter().map(done).collect()),
            result: result.map(|success| TrialRow {
                episode: 0,
                task: trial.task.to_string(),
                policy: self.policy.to_owned(),
                success,
                length: None,
                split: None,
            }),
            ..EpisodeEnd::default()
        })
    }
}
