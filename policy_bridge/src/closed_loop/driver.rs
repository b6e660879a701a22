//! The loop itself: trials in, episodes out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{Begin, PerTrial, Start, TrialHandle, World};
use rehearse_scenarios::outcome::{Fault, FaultKind, Outcome};

use super::error::LoopError;
use super::event::{Event, Observer};
use super::lane::Line;
use super::options::{Cancel, LoopOptions};
use super::rollout::{Execution, Rollout};
use super::spread::spread;
use super::summary::{LaneSummary, Summary};
use super::trial::Lane;
use super::worker::{News, Report, Work};

/// Runs every trial of every lane in `world` and hands the episodes to `observer` as they end.
///
/// Before the first trial, each policy's embodiment is compared with the world's. Whatever breaks
/// in a trial voids it, with its reason, and no other; every trial ends exactly once, unless the
/// run is cancelled or the observer fails. Memory holds what is in flight, not what has ended.
///
/// # Errors
/// [`LoopError`] if a policy does not fit the world, a setting cannot be, or the observer fails.
pub fn run(
    world: &mut dyn World,
    lanes: Vec<Lane>,
    options: &LoopOptions,
    observer: &mut dyn Observer,
    cancel: &Cancel,
) -> Result<Summary, LoopError> {
    check(options)?;
    let embodiment = world.embodiment().clone();
    let (sender, reports) = sync_channel(4 * lanes.len().max(1));
    let lines = lanes
        .into_iter()
        .enumerate()
        .map(|(index, lane)| Line::start(index, lane, &embodiment, &sender))
        .collect::<Result<Vec<_>, _>>()?;
    drop(sender);
    let lanes = lines
        .iter()
        .map(|line| LaneSummary { policy: line.info.name.clone(), ..LaneSummary::default() })
        .collect();
    let mut driver = Driver {
        world,
        embodiment,
        options,
        observer,
        cancel,
        lines,
        reports,
        rollouts: BTreeMap::new(),
        to_open: VecDeque::new(),
        to_step: VecDeque::new(),
        to_close: vec![],
        summary: Summary { lanes, abandoned: 0 },
    };
    let result = driver.drive();
    let summary = driver.finish();
    result.map(|()| summary)
}

fn check(options: &LoopOptions) -> Result<(), LoopError> {
    let LoopOptions { success, world_batch } = options;
    let wrong = |setting, expected: &str, got: String| {
        let (policy, expected) = ("run".to_owned(), expected.to_owned());
        Err(LoopError::Setting { setting, policy, expected, got })
    };
    if *world_batch == 0 {
        return wrong("world_batch", "at least 1", "0".to_owned());
    }
    if success.steps == 0 {
        return wrong("success.steps", "at least 1", "0".to_owned());
    }
    if !(success.threshold > 0.0 && success.threshold <= 1.0) {
        return wrong("success.threshold", "in (0, 1]", success.threshold.to_string());
    }
    if let Some(open) = success.unsure_from.filter(|o| !(*o > 0.0 && *o <= success.threshold)) {
        return wrong("success.unsure_from", "above 0, up to the threshold", open.to_string());
    }
    Ok(())
}

struct Driver<'a> {
    world: &'a mut dyn World,
    embodiment: Embodiment,
    options: &'a LoopOptions,
    observer: &'a mut dyn Observer,
    cancel: &'a Cancel,
    lines: Vec<Line>,
    reports: Receiver<Report>,
    rollouts: BTreeMap<TrialHandle, Rollout>,
    to_open: VecDeque<Start>,
    to_step: VecDeque<(TrialHandle, ActionChunk)>,
    to_close: Vec<TrialHandle>,
    summary: Summary,
}

/// How often a run looks whether it was cancelled while it waits.
const LOOK: Duration = Duration::from_millis(100);

impl Driver<'_> {
    fn drive(&mut self) -> Result<(), LoopError> {
        for (lane, line) in self.lines.iter().enumerate() {
            tell(self.observer, Event::Census { lane, census: &line.census })?;
        }
        loop {
            if self.cancel.is_cancelled() {
                self.summary.abandoned = self.rollouts.len() as u64;
                return Ok(());
            }
            self.admit()?;
            self.close();
            self.open()?;
            self.lines.iter_mut().for_each(Line::dispatch);
            // Answers that are there already make the world's next batch larger.
            while let Ok(report) = self.reports.try_recv() {
                self.hear(report)?;
            }
            self.bury_the_hung()?;
            self.lines.iter_mut().for_each(Line::dispatch);
            if !self.to_step.is_empty() {
                self.step()?;
            } else if self.to_open.is_empty() && !self.rollouts.is_empty() {
                self.wait()?;
            } else if self.rollouts.is_empty() && self.lines.iter_mut().all(Line::is_exhausted) {
                return Ok(());
            }
        }
    }

    /// Starts trials while there is room. Those of a dead policy end where they start.
    fn admit(&mut self) -> Result<(), LoopError> {
        for lane in 0..self.lines.len() {
            while let Some((handle, trial)) = self.lines[lane].next_trial(lane) {
                tell(self.observer, Event::Started { lane, trial: &trial })?;
                self.lines[lane].open += 1;
                let start = Start {
                    trial: handle,
                    task: Arc::clone(&trial.task),
                    index: trial.index,
                    instruction: Arc::clone(&trial.instruction),
                    observation: trial.observation.clone(),
                    seed: trial.world_seed,
                };
                let horizon = trial.horizon;
                self.rollouts.insert(handle, Rollout::new(trial, lane, self.embodiment.rate));
                if let Some(fault) = self.lines[lane].dead.clone() {
                    self.end(handle, Outcome::Void { fault })?;
                } else if horizon == 0 {
                    let message = "a horizon of 0 leaves nothing to try";
                    let fault = Fault::new(FaultKind::WorldBroke, message);
                    self.end(handle, Outcome::Void { fault })?;
                } else {
                    self.to_open.push_back(start);
                }
                if self.cancel.is_cancelled() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        if !self.to_close.is_empty() {
            self.world.close(&self.to_close);
            self.to_close.clear();
        }
    }

    /// Opens one batch of trials in the world.
    fn open(&mut self) -> Result<(), LoopError> {
        let count = self.to_open.len().min(self.options.world_batch);
        let batch: Vec<Start> = self.to_open.drain(..count).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let opened = spread(self.world.reset(&batch), batch.len(), FaultKind::WorldBroke);
        for (start, opened) in batch.into_iter().zip(opened) {
            let Some(rollout) = self.rollouts.get_mut(&start.trial) else { continue };
            let opened = opened.and_then(|observation| rollout.open(observation, &self.embodiment));
            if let Err(fault) = opened {
                self.end(start.trial, Outcome::Void { fault })?;
                continue;
            }
            self.lines[rollout.lane].waiting.begin.push(Begin {
                trial: start.trial,
                instruction: start.instruction,
                seed: rollout.trial.policy_seed,
            });
            self.ask(start.trial);
        }
        Ok(())
    }

    /// Lets the policy of a trial see what the world shows now.
    fn ask(&mut self, handle: TrialHandle) {
        let Some(rollout) = self.rollouts.get(&handle) else { return };
        let Some((observation, _)) = rollout.latest() else { return };
        let line = &mut self.lines[rollout.lane];
        line.waiting.act.push((handle, line.projection.apply(observation)));
    }

    /// Executes actions of one batch of trials in the world.
    fn step(&mut self) -> Result<(), LoopError> {
        let count = self.to_step.len().min(self.options.world_batch);
        let batch: Vec<_> = self.to_step.drain(..count).collect();
        let advances = spread(self.world.step(&batch), batch.len(), FaultKind::WorldBroke);
        for ((handle, _), advance) in batch.into_iter().zip(advances) {
            let Some(rollout) = self.rollouts.get_mut(&handle) else { continue };
            let before = rollout.steps();
            let outcome = advance.and_then(|advance| {
                rollout.advance(advance, self.options.success, &self.embodiment)
            });
            let (lane, steps) = (rollout.lane, rollout.steps());
            if let Some((observation, success)) = rollout.latest().filter(|_| steps > before) {
                let trial = &rollout.trial;
                tell(self.observer, Event::Stepped { lane, trial, steps, observation, success })?;
            }
            match outcome {
                Err(fault) => self.end(handle, Outcome::Void { fault })?,
                Ok(Some(outcome)) => self.end(handle, outcome)?,
                Ok(None) => self.ask(handle),
            }
        }
        Ok(())
    }

    /// Waits for a policy to answer.
    fn wait(&mut self) -> Result<(), LoopError> {
        let now = Instant::now();
        let wake = self.lines.iter().filter_map(Line::expires).min();
        let patience = wake.map_or(LOOK, |wake| wake.saturating_duration_since(now).min(LOOK));
        match self.reports.recv_timeout(patience) {
            Ok(report) => self.hear(report),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            // Every thread has ended, and each has said why.
            Err(RecvTimeoutError::Disconnected) => {
                let lanes: Vec<usize> = (0..self.lines.len()).collect();
                lanes.into_iter().try_for_each(|lane| {
                    self.bury(lane, FaultKind::PolicyCrashed, "the policy's thread ended")
                })
            }
        }
    }

    fn hear(&mut self, Report { lane, news }: Report) -> Result<(), LoopError> {
        match news {
            News::Idle => self.lines[lane].idle(),
            News::Panicked => {
                self.bury(lane, FaultKind::PolicyCrashed, "the policy panicked")?;
            }
            News::Answers(answers) => {
                self.lines[lane].heard();
                for (handle, answer) in answers {
                    self.answered(handle, answer)?;
                }
            }
        }
        Ok(())
    }

    fn answered(
        &mut self,
        handle: TrialHandle,
        answer: PerTrial<ActionChunk>,
    ) -> Result<(), LoopError> {
        // An answer for a trial that has ended, as when a hung policy wakes up: nobody wants it.
        let Some(rollout) = self.rollouts.get_mut(&handle) else { return Ok(()) };
        let Line { execute, latency, delay_steps, .. } = self.lines[rollout.lane];
        let channels = &self.embodiment.actions;
        let execution = Execution { execute, latency, delay_steps, channels };
        match answer.and_then(|chunk| rollout.decide(&chunk, execution)) {
            Ok(actions) => self.to_step.push_back((handle, actions)),
            Err(fault) => self.end(handle, Outcome::Void { fault })?,
        }
        Ok(())
    }

    fn bury_the_hung(&mut self) -> Result<(), LoopError> {
        let now = Instant::now();
        for lane in 0..self.lines.len() {
            if self.lines[lane].expires().is_some_and(|expires| expires <= now) {
                self.bury(lane, FaultKind::PolicyTimeout, "the policy did not answer in time")?;
            }
        }
        Ok(())
    }

    /// Voids what a policy had in flight and has it asked nothing more.
    fn bury(&mut self, lane: usize, kind: FaultKind, message: &str) -> Result<(), LoopError> {
        if self.lines[lane].dead.is_some() {
            return Ok(());
        }
        let later = Fault::new(kind, format!("{message} in an earlier trial"));
        self.lines[lane].dead = Some(later);
        self.lines[lane].waiting = Work::default();
        let trials: BTreeSet<_> = self
            .rollouts
            .iter()
            .filter(|(_, rollout)| rollout.lane == lane)
            .map(|(handle, _)| *handle)
            .collect();
        self.to_open.retain(|start| !trials.contains(&start.trial));
        self.to_step.retain(|(trial, _)| !trials.contains(trial));
        for handle in trials {
            let fault = Fault::new(kind, message);
            self.end(handle, Outcome::Void { fault })?;
        }
        Ok(())
    }

    /// Ends a trial: exactly once, for it leaves the rollouts here.
    fn end(&mut self, handle: TrialHandle, outcome: Outcome) -> Result<(), LoopError> {
        let Some(rollout) = self.rollouts.remove(&handle) else { return Ok(()) };
        let lane = rollout.lane;
        let line = &mut self.lines[lane];
        line.open -= 1;
        if rollout.latest().is_some() {
            line.waiting.end.push(handle);
            self.to_close.push(handle);
        }
        self.summary.lanes[lane].count(&outcome, rollout.steps() as usize);
        let (trial, episode, remark) = rollout.end(outcome);
        tell(self.observer, Event::Ended { lane, trial, episode, remark })
    }

    /// Closes what is open and lets the threads go.
    fn finish(mut self) -> Summary {
        let open: Vec<TrialHandle> = self.rollouts.keys().copied().collect();
        for handle in open {
            if let Some(rollout) = self.rollouts.remove(&handle) {
                self.lines[rollout.lane].waiting.end.push(handle);
                self.to_close.push(handle);
            }
        }
        self.close();
        let Self { lines, reports, summary, .. } = self;
        // A thread that has something to report must not wait for it to be heard.
        drop(reports);
        lines.into_iter().for_each(Line::finish);
        summary
    }
}

fn tell(observer: &mut dyn Observer, event: Event<'_>) -> Result<(), LoopError> {
    observer.observe(event).map_err(LoopError::Observer)
}
