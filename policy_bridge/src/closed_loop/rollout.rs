//! A trial in flight: what has happened so far, and when it is over.

use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::{Channel, Embodiment};
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::interface::{Advance, Segment, Step};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind, Outcome};
use rehearse_scenarios::time::{Clock, Rate};

use super::latency::{Latency, Past, plan};
use super::success::{SuccessRule, Watch};
use super::trial::Trial;
use crate::wire::check_observation;

/// A trial in flight.
pub(super) struct Rollout {
    pub(super) trial: Trial,
    pub(super) lane: usize,
    clock: Clock,
    rate: Rate,
    observations: Vec<Observation>,
    actions: Vec<Vec<f32>>,
    success: Vec<Option<f32>>,
    segments: Vec<Segment>,
    remark: Option<String>,
    watch: Watch,
    rest: Option<ActionChunk>,
    /// The chunk that the world executes now.
    executing: Option<ActionChunk>,
}

/// How a lane's chunks are executed.
#[derive(Clone, Copy)]
pub(super) struct Execution<'a> {
    pub(super) execute: usize,
    pub(super) latency: Latency,
    pub(super) delay_steps: usize,
    pub(super) channels: &'a [Channel],
}

impl Rollout {
    pub(super) fn new(trial: Trial, lane: usize, rate: Rate) -> Self {
        Self {
            trial,
            lane,
            clock: Clock::new(rate),
            rate,
            observations: vec![],
            actions: vec![],
            success: vec![],
            segments: vec![],
            remark: None,
            watch: Watch::default(),
            rest: None,
            executing: None,
        }
    }

    /// Takes the first observation.
    ///
    /// # Errors
    /// What voids the trial: an observation that does not fit the world's embodiment.
    pub(super) fn open(
        &mut self,
        observation: Observation,
        embodiment: &Embodiment,
    ) -> Result<(), Fault> {
        let observation = self.checked(observation, embodiment)?;
        self.observations.push(observation);
        Ok(())
    }

    /// The actions to execute for a chunk that the policy gave.
    ///
    /// # Errors
    /// What voids the trial: a chunk that does not fit the world's action channels.
    pub(super) fn decide(
        &mut self,
        chunk: &ActionChunk,
        execution: Execution<'_>,
    ) -> Result<ActionChunk, Fault> {
        let malformed = |error: &dyn std::fmt::Display| {
            Fault::new(FaultKind::MalformedAction, error.to_string())
        };
        let Execution { execute, latency, delay_steps, channels } = execution;
        chunk.check(channels).map_err(|error| malformed(&error))?;
        let past = self
            .actions
            .last()
            .map(|last| Past { last: last.as_slice(), rest: self.rest.as_ref() });
        let plan = plan(chunk, execute, channels, latency, delay_steps, past)
            .map_err(|error| malformed(&error))?;
        let left = (self.trial.horizon as usize).saturating_sub(self.actions.len());
        let actions = plan.actions.truncated(left);
        self.rest = plan.rest;
        self.executing = Some(actions.clone());
        Ok(actions)
    }

    /// Takes what the world made of the actions. `Some` is how the trial ended.
    ///
    /// # Errors
    /// What voids the trial: an answer that does not fit what was asked.
    pub(super) fn advance(
        &mut self,
        advance: Advance,
        rule: SuccessRule,
        embodiment: &Embodiment,
    ) -> Result<Option<Outcome>, Fault> {
        let broke = |message: String| Fault::new(FaultKind::WorldBroke, message);
        let Advance { steps, segments, ended, remark } = advance;
        let Some(executed) = self.executing.take() else {
            return Err(broke("it answered without having been asked".to_owned()));
        };
        let (got, asked) = (steps.len(), executed.steps());
        if got > asked || (got < asked && !ended) {
            return Err(broke(format!("it took {got} steps for {asked} actions")));
        }
        let mut taken = 0;
        let mut outcome = None;
        for (Step { observation, success }, action) in steps.into_iter().zip(executed.view().rows())
        {
            if let Some(belief) = success
                && !(0.0..=1.0).contains(&belief)
            {
                return Err(broke(format!("its belief in success is {belief}, not in [0, 1]")));
            }
            self.clock.advance_steps(1);
            let observation = self.checked(observation, embodiment)?;
            self.observations.push(observation);
            self.actions.push(action.to_vec());
            self.success.push(success);
            taken += 1;
            if self.watch.ends(success, rule) {
                outcome = Some(Outcome::Success);
                break;
            }
        }
        self.take_segments(&segments, taken);
        self.remark = remark.or(self.remark.take());
        if outcome.is_none() && (ended || self.actions.len() >= self.trial.horizon as usize) {
            outcome = Some(self.watch.outcome());
        }
        Ok(outcome)
    }

    /// Keeps the segments that make up the first `taken` steps, the last one cut to fit.
    fn take_segments(&mut self, segments: &[Segment], mut taken: u32) {
        for &Segment { steps, expert } in segments {
            let kept = steps.min(taken);
            if kept > 0 {
                self.segments.push(Segment { steps: kept, expert });
            }
            taken -= kept;
        }
    }

    fn checked(
        &self,
        mut observation: Observation,
        embodiment: &Embodiment,
    ) -> Result<Observation, Fault> {
        // Only the loop advances time.
        observation.time = self.clock.now();
        observation.instruction.clone_from(&self.trial.instruction);
        check_observation(&observation, embodiment)
            .map_err(|error| Fault::new(FaultKind::WorldBroke, error.to_string()))?;
        Ok(observation)
    }

    pub(super) fn latest(&self) -> Option<(&Observation, Option<f32>)> {
        let observation = self.observations.last()?;
        Some((observation, self.success.last().copied().flatten()))
    }

    pub(super) fn steps(&self) -> u32 {
        self.actions.len() as u32
    }

    /// The episode that the trial came to, and what a judge said last.
    pub(super) fn end(self, outcome: Outcome) -> (Trial, Episode, Option<String>) {
        let Self { trial, rate, observations, actions, success, segments, remark, .. } = self;
        let episode = Episode {
            id: trial.id.clone(),
            rate,
            instruction: trial.instruction.to_string(),
            observations,
            actions,
            success,
            segments,
            outcome,
        };
        (trial, episode, remark)
    }
}
