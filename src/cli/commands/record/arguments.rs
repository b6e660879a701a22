//! What `rehearse record` is asked, and how it is done.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use rehearse_policy_bridge::closed_loop::{
    Cancel, Lane, LaneSummary, Latency, LoopOptions, StaleActions, SuccessRule, Trial,
    WhileWaiting, run,
};
use rehearse_policy_bridge::zenoh::{Name, RemotePolicy, RemoteWorld};
use rehearse_scenarios::interface::World as _;
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::SimDuration;

use super::recorder::{Recorder, Splits, episode_id};
use crate::cli::connection::{ConnectionArgs, PatienceArgs};
use crate::cli::{ExitStatus, Printer, VideoArgs};

/// Most trials in flight where the user does not say.
const MOST_IN_FLIGHT: usize = 64;

/// Arguments of `rehearse record`.
///
/// Example: `rehearse record --world reacher --policy noise --episodes 20 --out logs`
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Name of the world, found over zenoh
    #[arg(long, value_name = "NAME")]
    world: String,
    /// Name of a policy, found over zenoh; several policies act in turn
    #[arg(long = "policy", value_name = "NAME", required = true)]
    policies: Vec<String>,
    /// Episodes to record of each task, with each policy
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    episodes: u64,
    /// The folder to write, a LeRobotDataset v3.0; it must not be there yet, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A task, by which a simulator chooses its scene, and its instruction, as in
    /// `drawer-open-v3="open the drawer"`; the results bear its name. May be given several times
    #[arg(long = "task", value_name = "NAME[=INSTRUCTION]", default_value = "default")]
    tasks: Vec<Task>,
    /// The instruction of tasks that state none; their names if not stated
    #[arg(long)]
    instruction: Option<String>,
    /// The split that the results name: `train`, `val`, `test`
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Every N-th start is of this split instead, as in `test=12`
    #[arg(long, value_name = "NAME=N", requires = "split")]
    held_out: Option<HeldOut>,
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
    /// Steps that an episode goes on after its success
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    after_success: u32,
    /// Most episodes in flight; never more than the world holds open
    #[arg(long, value_name = "EPISODES", value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: Option<u32>,
    /// Seed of every draw: the same seed gives the same episodes
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    video: VideoArgs,
    #[command(flatten)]
    patience: PatienceArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A task and its instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Task {
    name: Arc<str>,
    instruction: Option<Arc<str>>,
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, instruction) = match text.split_once('=') {
            Some((name, instruction)) => (name, Some(Arc::from(instruction))),
            None => (text, None),
        };
        if name.is_empty() {
            return Err("state the task's name".to_owned());
        }
        Ok(Self { name: Arc::from(name), instruction })
    }
}

/// A split for every n-th start.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HeldOut {
    split: String,
    every: u64,
}

impl FromStr for HeldOut {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('=')
            .and_then(|(split, every)| Some((split.to_owned(), every.parse().ok()?)))
            .filter(|(split, every)| !split.is_empty() && *every > 0)
            .map(|(split, every)| Self { split, every })
            .ok_or_else(|| "write a split and a number, as in test=12".to_owned())
    }
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

impl RecordArgs {
    /// Records the episodes.
    ///
    /// # Errors
    /// If the world or the policy is not there, they do not fit, or nothing can be written.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let session = self.connection.open()?;
        let options = self.patience.options()?;
        let mut world = RemoteWorld::connect(&session, &Name::new(&*self.world)?, options)?;
        let in_flight = self.in_flight(world.info().max_batch)?;
        let lanes = self
            .policies
            .iter()
            .enumerate()
            .map(|(place, name)| {
                let policy = RemotePolicy::connect(&session, &Name::new(&**name)?, options)?;
                Ok(Lane {
                    latency: self.latency(),
                    in_flight: Some(in_flight),
                    ..Lane::new(
                        Box::new(policy),
                        self.execute.map_or(usize::MAX, |execute| execute as usize),
                        self.trials(place),
                    )
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let success = SuccessRule {
            threshold: self.success_threshold,
            steps: self.success_steps,
            unsure_from: None,
            after: self.after_success,
        };
        let splits = Splits {
            all: self.split.clone(),
            held_out: self.held_out.as_ref().map(|held| (held.every, held.split.clone())),
        };
        let settings = self.video.settings();
        let rig = world.embodiment().clone();
        let all = self.episodes * (self.tasks.len() * self.policies.len()) as u64;
        let progress = printer.progress(all, "episodes");
        let mut recorder =
            Recorder::new(&self.out, rig, settings, &self.policies, success, splits, progress);
        let loop_options = LoopOptions { success, ..LoopOptions::default() };
        let summary = run(&mut world, lanes, &loop_options, &mut recorder, &Cancel::default())?;
        printer.note(summary.to_string().trim_end());
        let written =
            recorder.finish()?.context("every trial is void: there is nothing to write")?;
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

    /// Most episodes of one policy in flight, so that the world need never hold more than it can.
    fn in_flight(&self, capacity: usize) -> anyhow::Result<usize> {
        let wanted = self.in_flight.map_or(MOST_IN_FLIGHT, |wanted| wanted as usize);
        let policies = self.policies.len();
        let each = wanted.min(capacity) / policies;
        anyhow::ensure!(
            each > 0,
            "{policies} policies need an episode each in flight, and the limit is {}",
            wanted.min(capacity)
        );
        Ok(each)
    }

    /// The trials of a policy, task by task.
    fn trials(&self, place: usize) -> impl Iterator<Item = Trial> + Send + use<> {
        let tasks = self.tasks.clone();
        let fallback: Option<Arc<str>> = self.instruction.as_deref().map(Arc::from);
        let (count, first, horizon) = (self.episodes, self.first_start, self.horizon);
        let (policy, policies) = (self.policies[place].clone(), self.policies.len() as u64);
        let seed = Seed::root(self.seed);
        (0..tasks.len() as u64 * count).map(move |number| {
            let task = &tasks[(number / count) as usize];
            let index = first + number % count;
            let root = seed.child(&task.name);
            let instruction = task.instruction.as_ref().or(fallback.as_ref()).unwrap_or(&task.name);
            Trial {
                id: episode_id(number * policies + place as u64, &policy),
                task: Arc::clone(&task.name),
                index,
                instruction: Arc::clone(instruction),
                observation: None,
                world_seed: root.child("world").index(index),
                policy_seed: root.child("policy").child(&policy).index(index),
                horizon,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_may_state_its_instruction() {
        let task: Task = "drawer-open-v3=open the drawer".parse().unwrap();
        assert_eq!(
            (&*task.name, task.instruction.as_deref()),
            ("drawer-open-v3", Some("open the drawer"))
        );
        assert_eq!("wipe".parse::<Task>().unwrap().instruction, None);
        assert!("=wipe".parse::<Task>().is_err());
    }

    #[test]
    fn a_split_is_held_out_by_a_number() {
        let held = HeldOut { split: "test".to_owned(), every: 12 };
        assert_eq!("test=12".parse(), Ok(held));
        for text in ["test", "test=0", "=3", "test=x"] {
            assert!(text.parse::<HeldOut>().is_err(), "{text}");
        }
    }
}
