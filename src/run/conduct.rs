//! A run from its plan to its table.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rehearse_planner::config::PlannerConfig;
use rehearse_policy_bridge::closed_loop::{
    Cancel, Event, Lane, Latency, LoopOptions, StaleActions, Summary, Trial as LoopTrial,
    WhileWaiting, run,
};
use rehearse_policy_bridge::zenoh::{
    ClientOptions, Name, RemotePolicy, RunEvents, Session as ZenohSession,
};
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::interface::{Policy, World as _};
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::Outcome;
use rehearse_scenarios::suite::{PolicyEntry, PolicySource, Suite, Trial, WorldSource};
use rehearse_scenarios::time::SimDuration;
use rehearse_scoring::sequential::SettleOptions;
use rehearse_scoring::trial::TrialTable;
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::statistics::stated_positions;

use super::credit::Credit;
use super::journal::Entry;
use super::manifest::{LogRecord, Manifest, PolicyRecord};
use super::settle::Follow;
use super::starts::Starts;
use super::timing::{self, Session, Stopwatch, TimedPolicy, TimedWorld};
use super::trust::Witness;
use super::world::OpenWorld;
use super::{Onlooker, Plan, RunError, RunFolder, Stepped, draws, judge, real, settle};
use crate::judge::rule_of;

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
    /// Stop when the ranking is settled.
    pub settle: Option<SettleOptions>,
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
    /// Whether it stopped because the ranking is settled.
    pub settled: bool,
}

/// Runs a plan; policies and remote worlds are reached through `session`, and `onlooker` is told
/// what happens.
///
/// # Errors
/// [`RunError`].
pub fn conduct(
    plan: &Plan,
    conduct: &Conduct,
    session: &ZenohSession,
    cancel: &Cancel,
    onlooker: &mut dyn Onlooker,
) -> Result<Finished, RunError> {
    let Conduct { out, resume, keep_episodes, device, patience, settle: until } = conduct;
    if plan.is_empty() {
        return Err(RunError::NotSupported {
            what: format!("part {}, which holds no trial,", plan.shard),
            advice: "cut the suite into fewer parts",
        });
    }
    let log =
        plan.suite.logs.as_ref().map(|logs| RobotLog::open(&plan.folder.join(logs))).transpose()?;
    let credit = Credit::load(&plan.suite, &plan.folder)?;
    let starts = match &log {
        Some(log) => Arc::new(Starts::read(&plan.suite, log)?),
        None => Arc::default(),
    };
    let OpenWorld { world, identity, learned, capacity } =
        OpenWorld::open(plan, log.as_ref(), &starts, session, *device, *patience)?;
    let (world, judged_by) = judge::watched(world, &plan.suite.judge, session, *patience)?;
    let judge = match (&judged_by, &learned) {
        (Some(judge), _) => judge::known(plan, judge)?,
        (None, Some(_)) => judge::known(plan, &identity)?,
        (None, None) => None,
    };
    let mut world = TimedWorld { world, watch: Stopwatch::default() };
    let policies = plan
        .suite
        .policies
        .iter()
        .map(|entry| connect(entry, &plan.folder, session, *device, *patience))
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
    let yardsticks = credit.fit(&rig)?;
    let manifest = Manifest {
        log: log.as_ref().map(|log| LogRecord::of(log.folder())),
        fidelity: learned.as_ref().and_then(|learned| learned.fidelity.clone()),
        judged_by,
        judge,
        rubrics: credit.rubrics(),
        ..Manifest::new(plan, identity, rig.clone(), records)
    };
    let mut folder = RunFolder::open(out, &manifest, *resume, *keep_episodes)?;
    real::keep(out, plan, log.as_ref())?;
    let events = RunEvents::declare(session, &plan.suite.name).map_err(|source| {
        RunError::Bridge { what: "the listeners of the run".to_owned(), source }
    })?;
    onlooker.starts(plan, &rig, folder.ended());
    let mut follow = until.map(|options| Follow::new(plan, options)).transpose()?;
    let mut settled = settle::read(out)?.is_some();
    if let Some(follow) = &mut follow {
        for entry in folder.entries()? {
            settled |= follow.sees_settled(&entry?)?;
        }
    }
    if settled {
        cancel.cancel();
    }

    let witness = learned
        .as_ref()
        .map(|learned| Witness::new(learned, log.as_ref(), &plan.suite.trust))
        .transpose()?;
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
    let hand = stated_positions(&rig);
    let (began, mut trials, mut steps) = (Instant::now(), 0, 0);
    let mut observe = |event: Event<'_>| match event {
        Event::Census { .. } | Event::Started { .. } => Ok(()),
        Event::Stepped { lane, trial, steps, observation, success } => {
            let policy = plan.suite.policies.get(lane).map_or("", |policy| policy.name.as_str());
            let (trial, belief) = (trial.id.as_str(), success);
            onlooker.stepped(&Stepped { policy, trial, steps, observation, belief });
            Ok(())
        }
        Event::Ended { trial, episode, remark, .. } => {
            if let Some(planned) = plan.suite.find(&trial.id) {
                let mut entry = entry_of(&planned, plan, &starts, &hand, &episode);
                entry.remark = remark;
                credit.give(&mut entry, &yardsticks, &episode);
                entry.evidence = witness.as_ref().map(|witness| witness.evidence(&episode));
                if let Some(follow) = &mut follow
                    && follow.sees_settled(&entry)?
                {
                    settled = true;
                    cancel.cancel();
                }
                folder.add(&entry, &episode)?;
                events.publish(entry.line()?);
                onlooker.ended(&entry, &episode);
            }
            trials += 1;
            steps += episode.len() as u64;
            Ok(())
        }
    };
    let options = LoopOptions { success: rule_of(&plan.suite.judge), ..LoopOptions::default() };
    let ran = run(&mut world, lanes, &options, &mut observe, cancel);
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
    let missing = plan.len() - folder.ended();
    if missing > 0 && !settled {
        return Ok(Finished { table: None, summary, missing, settled });
    }
    if let Some(follow) = follow.filter(|_| settled) {
        follow.write(out)?;
    }
    // What the model's own judge would say of a second draw is no match for another's verdict.
    if let Some(learned) = learned.filter(|_| plan.suite.judge.zenoh.is_none()) {
        draws::sample(plan, &learned, &starts, &manifest.policies, &mut folder)?;
    }
    let table = Some(folder.finish(plan, &rig)?);
    Ok(Finished { table, summary, missing, settled })
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
    folder: &Path,
    session: &ZenohSession,
    device: DeviceChoice,
    patience: ClientOptions,
) -> Result<Box<dyn Policy>, RunError> {
    match entry.source() {
        PolicySource::Zenoh(name) => {
            let policy = RemotePolicy::connect(session, &Name::new(name)?, patience)
                .map_err(|source| RunError::Bridge { what: format!("policy {name:?}"), source })?;
            Ok(Box::new(policy))
        }
        // An instance of its own: what a policy imagines never touches the world that judges it.
        PolicySource::Planner(path) => {
            let policy = PlannerConfig::load(&folder.join(path), &entry.name, device)
                .map_err(|source| RunError::Planner { name: entry.name.clone(), source })?;
            Ok(Box::new(policy))
        }
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
    let ended = |place| plan.suite.trial(place).is_some_and(|trial| folder.has(trial.id.as_str()));
    // By their places alone: a trial is expanded when its turn comes.
    let left: Vec<u64> = plan.places_of(index).filter(|&place| !ended(place)).collect();
    let execute = entry.execute.map_or(policy.info().chunk, |execute| execute as usize);
    let (suite, starts) = (Arc::new(plan.suite.clone()), Arc::clone(starts));
    let replayed = matches!(suite.world, WorldSource::Replay {}).then(|| starts.episodes());
    let trials = left.into_iter().filter_map(move |place| {
        let trial = suite.trial(place)?;
        Some(to_loop(&trial, &suite, &starts, replayed.as_deref()))
    });
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
pub(super) fn to_loop(
    trial: &Trial,
    suite: &Suite,
    starts: &Starts,
    replayed: Option<&[usize]>,
) -> LoopTrial {
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

/// Length of the hand's path.
fn travel(episode: &Episode, hand: &[usize]) -> Option<f32> {
    let place = |seen: &Observation| -> Option<Vec<f32>> {
        hand.iter().map(|&channel| seen.proprioception.get(channel).copied()).collect()
    };
    let places: Vec<Vec<f32>> = episode.observations.iter().filter_map(place).collect();
    let apart = |pair: &[Vec<f32>]| {
        pair[0].iter().zip(&pair[1]).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
    };
    (!hand.is_empty()).then(|| places.windows(2).map(apart).sum())
}

fn entry_of(
    trial: &Trial,
    plan: &Plan,
    starts: &Starts,
    hand: &[usize],
    episode: &Episode,
) -> Entry {
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
        remark: None,
        length: episode.len() as u32,
        peak: episode.success.iter().copied().flatten().max_by(f32::total_cmp),
        travel: travel(episode, hand),
        start: start.map(|start| start.episode),
        chunks: episode.segments.iter().map(|segment| (segment.steps, segment.expert)).collect(),
        progress: None,
        reached: vec![],
        evidence: None,
    }
}
