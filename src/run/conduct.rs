//! A run from its plan to its table.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rehearse_policy_bridge::closed_loop::{
    Cancel, Event, Lane, Latency, LoopOptions, StaleActions, Summary, Trial as LoopTrial,
    WhileWaiting, run,
};
use rehearse_policy_bridge::zenoh::{ClientOptions, Name, RemotePolicy, Session as ZenohSession};
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::interface::{Policy, World as _};
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::outcome::Outcome;
use rehearse_scenarios::suite::{PolicyEntry, PolicySource, Suite, Trial, WorldSource};
use rehearse_scenarios::time::SimDuration;
use rehearse_scoring::trial::TrialTable;
use rehearse_world_model::device::DeviceChoice;

use super::journal::Entry;
use super::manifest::{LogRecord, Manifest, PolicyRecord};
use super::starts::Starts;
use super::timing::{self, Session, Stopwatch, TimedPolicy, TimedWorld};
use super::world::OpenWorld;
use super::{Plan, RunError, RunFolder, real};

/// What a run needs to know beside its plan.
#[derive(Debug)]
pub struct Conduct {
    /// The run directory.
    pub out: PathBuf,
    /// Go on with a run that the directory holds.
    pub resume: bool,
    /// Store episodes.
    pub keep_episodes: bool,
    /// What a learned world computes on.
    pub device: DeviceChoice,
    /// How long policies and worlds are waited for.
    pub patience: ClientOptions,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Every trial of the plan that has ended, in its order.
    pub table: Option<TrialTable>,
    /// What happened in this process.
    pub summary: Summary,
    /// Trials of the plan that have no outcome: the run was stopped.
    pub missing: usize,
}

/// Runs a plan; policies and remote worlds are reached through `session`. `ended` is told the number of trials as they end, those of an earlier process
/// first.
///
/// # Errors
/// [`RunError`].
pub fn conduct(
    plan: &Plan,
    conduct: &Conduct,
    session: &ZenohSession,
    cancel: &Cancel,
    ended: &mut dyn FnMut(u64),
) -> Result<Finished, RunError> {
    let Conduct { out, resume, keep_episodes, device, patience } = conduct;
    if plan.trials.is_empty() {
        return Err(RunError::NotSupported {
            what: format!("part {}, which holds no trial,", plan.shard),
            advice: "cut the suite into fewer parts",
        });
    }
    let log =
        plan.suite.logs.as_ref().map(|logs| RobotLog::open(&plan.folder.join(logs))).transpose()?;
    let starts = match &log {
        Some(log) => Arc::new(Starts::read(&plan.suite, log)?),
        None => Arc::default(),
    };
    let OpenWorld { world, identity, fidelity, capacity } =
        OpenWorld::open(plan, log.as_ref(), &starts, session, *device, *patience)?;
    let mut world = TimedWorld { world, watch: Stopwatch::default() };
    let policies = plan
        .suite
        .policies
        .iter()
        .map(|entry| connect(entry, session, *patience))
        .collect::<Result<Vec<_>, _>>()?;
    let records = plan
        .suite
        .policies
        .iter()
        .zip(&policies)
        .map(|(entry, policy)| PolicyRecord {
            name: entry.name.clone(),
            chunk: policy.info().chunk,
            digest: policy.info().digest.clone(),
        })
        .collect();
    let rig = world.embodiment().clone();
    let manifest = Manifest {
        log: log.as_ref().map(|log| LogRecord::of(log.folder())),
        fidelity,
        ..Manifest::new(plan, identity, rig.clone(), records)
    };
    let mut folder = RunFolder::open(out, &manifest, *resume, *keep_episodes)?;
    real::keep(out, plan, log.as_ref())?;
    ended(folder.entries().len() as u64);

    let by_id: BTreeMap<&str, &Trial> =
        plan.trials.iter().map(|trial| (trial.id.as_str(), trial)).collect();
    let in_flight = in_flight(capacity, policies.len())?;
    let watches: Vec<Stopwatch> = policies.iter().map(|_| Stopwatch::default()).collect();
    let lanes = policies
        .into_iter()
        .zip(&watches)
        .enumerate()
        .map(|(index, (policy, watch))| {
            let policy = TimedPolicy { policy, watch: watch.clone() };
            let lane = lane(plan, index, Box::new(policy), &folder, &starts);
            Lane { in_flight, ..lane }
        })
        .collect();
    let (began, mut trials, mut steps) = (Instant::now(), 0, 0);
    let mut observe = |event: Event<'_>| {
        if let Event::Ended { trial, episode, .. } = event {
            if let Some(planned) = by_id.get(trial.id.as_str()) {
                folder.add(entry_of(planned, plan, &starts, &episode), &episode)?;
            }
            trials += 1;
            steps += episode.len() as u64;
            ended(1);
        }
        Ok(())
    };
    let ran = run(&mut world, lanes, &LoopOptions::default(), &mut observe, cancel);
    let (world_requests, world_secs) = world.watch.total();
    let cost = Session {
        trials,
        steps,
        secs: began.elapsed().as_secs_f64(),
        world_secs,
        world_requests,
        policies: plan
            .suite
            .policies
            .iter()
            .zip(&watches)
            .map(|(entry, watch)| watch.cost(&entry.name))
            .collect(),
    };
    let summary = ran?;
    if trials > 0 {
        timing::note(out, &cost)?;
    }
    let missing = plan.trials.len() - folder.entries().len();
    let table = if missing == 0 { Some(folder.finish(plan, &rig)?) } else { None };
    Ok(Finished { table, summary, missing })
}

/// Most trials of a policy in flight in a world that holds only so many open.
fn in_flight(capacity: Option<usize>, policies: usize) -> Result<Option<usize>, RunError> {
    match capacity.map(|capacity| capacity / policies.max(1)) {
        Some(0) => Err(RunError::NotSupported {
            what: format!("{policies} policies in a world that holds fewer trials open"),
            advice: "let it hold more, or cut the suite into several",
        }),
        each => Ok(each),
    }
}

fn connect(
    entry: &PolicyEntry,
    session: &ZenohSession,
    patience: ClientOptions,
) -> Result<Box<dyn Policy>, RunError> {
    match entry.source() {
        PolicySource::Zenoh(name) => {
            let policy = RemotePolicy::connect(session, &Name::new(name)?, patience)
                .map_err(|source| RunError::Bridge { what: format!("policy {name:?}"), source })?;
            Ok(Box::new(policy))
        }
        PolicySource::Planner(path) => Err(RunError::NotSupported {
            what: format!("planner {}", path.display()),
            advice: "serve it over zenoh and state its name",
        }),
    }
}

/// The trials of one policy that have not ended yet.
fn lane(
    plan: &Plan,
    index: usize,
    policy: Box<dyn Policy>,
    folder: &RunFolder,
    starts: &Arc<Starts>,
) -> Lane {
    let entry = &plan.suite.policies[index];
    let left: Vec<Trial> = plan
        .trials
        .iter()
        .filter(|trial| trial.policy == index && !folder.has(trial.id.as_str()))
        .cloned()
        .collect();
    let execute = entry.execute.map_or(policy.info().chunk, |execute| execute as usize);
    let (suite, starts) = (Arc::new(plan.suite.clone()), Arc::clone(starts));
    let replayed = matches!(suite.world, WorldSource::Replay {}).then(|| starts.episodes());
    let trials =
        left.into_iter().map(move |trial| to_loop(&trial, &suite, &starts, replayed.as_deref()));
    Lane { latency: latency(entry), ..Lane::new(policy, execute, trials) }
}

fn latency(entry: &PolicyEntry) -> Latency {
    Latency {
        delay: SimDuration::from_millis(i64::from(entry.latency_ms)),
        waiting: WhileWaiting::KeepExecuting,
        stale: StaleActions::Drop,
    }
}

/// The start as the trial meets it: varied as its scenario says.
fn to_loop(trial: &Trial, suite: &Suite, starts: &Starts, replayed: Option<&[usize]>) -> LoopTrial {
    let task = &suite.tasks[trial.scenario.task];
    let start = starts.get(trial.scenario.task, trial.scenario.start);
    let observation = start.map(|start| {
        let mut observation = (*start.observation).clone();
        observation.instruction = Arc::from(task.instruction.as_str());
        match trial.scenario.variation {
            Some(index) => {
                suite.variations[index].apply(&observation, &trial.variation_seed).observation
            }
            None => observation,
        }
    });
    let place = replayed
        .zip(start)
        .and_then(|(episodes, start)| episodes.binary_search(&start.episode).ok());
    LoopTrial {
        id: trial.id.as_str().to_owned(),
        task: Arc::from(task.name.as_str()),
        index: place.map_or(trial.scenario.start, |place| place as u64),
        instruction: observation
            .as_ref()
            .map_or_else(|| Arc::from(task.instruction.as_str()), |seen| seen.instruction.clone()),
        observation,
        world_seed: trial.world_seed,
        policy_seed: trial.policy_seed,
        horizon: trial.horizon,
    }
}

fn entry_of(trial: &Trial, plan: &Plan, starts: &Starts, episode: &Episode) -> Entry {
    let start = starts.get(trial.scenario.task, trial.scenario.start);
    let outcome = &episode.outcome;
    Entry {
        trial: trial.id.as_str().to_owned(),
        policy: plan.suite.policies[trial.policy].name.clone(),
        task: trial.scenario.task_name.clone(),
        scenario: trial.scenario.to_string(),
        repeat: trial.repeat,
        outcome: outcome.as_str().to_owned(),
        reason: match outcome {
            Outcome::Void { fault } => Some(fault.to_string()),
            Outcome::Success | Outcome::Failure | Outcome::Unsure => None,
        },
        length: episode.len() as u32,
        start: start.map(|start| start.episode),
        chunks: episode.segments.iter().map(|segment| (segment.steps, segment.expert)).collect(),
    }
}
