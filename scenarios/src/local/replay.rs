//! A world that plays a log back: the open-loop baseline.

use std::sync::Arc;

use crate::action::ActionChunk;
use crate::embodiment::Embodiment;
use crate::interface::{Advance, InterfaceError, PerTrial, Start, Step, TrialHandle, World};
use crate::local::OpenTrials;
use crate::observation::Observation;
use crate::outcome::{Fault, FaultKind};

/// One recorded episode: what was seen and done, and whether the task was done after each action.
#[derive(Clone, Debug)]
pub struct Recording {
    observations: Vec<Observation>,
    actions: Vec<Vec<f32>>,
    success: Vec<Option<f32>>,
}

/// Lists whose lengths do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a recording of {actions} actions needs {actions} + 1 observations and {actions} success \
     values, got {observations} and {success}; it needs one action at least"
)]
pub struct RecordingError {
    /// Observations given.
    pub observations: usize,
    /// Actions given.
    pub actions: usize,
    /// Success values given.
    pub success: usize,
}

impl Recording {
    /// A recording of `n` actions: `n + 1` observations, and `n` success values in [0, 1].
    ///
    /// # Errors
    /// [`RecordingError`] if the lengths do not go together, or there is no action.
    pub fn new(
        observations: Vec<Observation>,
        actions: Vec<Vec<f32>>,
        success: Vec<Option<f32>>,
    ) -> Result<Self, RecordingError> {
        let (seen, done, judged) = (observations.len(), actions.len(), success.len());
        if done == 0 || seen != done + 1 || judged != done {
            return Err(RecordingError { observations: seen, actions: done, success: judged });
        }
        Ok(Self { observations, actions, success })
    }

    /// The recorded actions, one per step, each with one value per action channel.
    pub fn actions(&self) -> &[Vec<f32>] {
        &self.actions
    }
}

/// A world that shows a recording step by step, whatever the actions are.
///
/// A start's `index` selects the recording. The trial ends with the recording.
#[derive(Clone, Debug)]
pub struct ReplayWorld {
    embodiment: Embodiment,
    recordings: Arc<[Recording]>,
    trials: OpenTrials<Position>,
}

#[derive(Clone, Debug)]
struct Position {
    recording: usize,
    step: usize,
    instruction: Arc<str>,
}

impl ReplayWorld {
    /// A world that plays `recordings` back.
    pub fn new(embodiment: Embodiment, recordings: impl Into<Arc<[Recording]>>) -> Self {
        Self { embodiment, recordings: recordings.into(), trials: OpenTrials::default() }
    }

    fn show(&self, position: &Position) -> Observation {
        let mut observation =
            self.recordings[position.recording].observations[position.step].clone();
        observation.instruction = Arc::clone(&position.instruction);
        observation.time = self.embodiment.rate.time_of_step(position.step as u64);
        observation
    }
}

impl World for ReplayWorld {
    fn embodiment(&self) -> &Embodiment {
        &self.embodiment
    }

    fn reset(&mut self, starts: &[Start]) -> Result<Vec<PerTrial<Observation>>, InterfaceError> {
        self.trials.check_new(starts.iter().map(|start| start.trial))?;
        Ok(starts
            .iter()
            .map(|start| {
                let recording = usize::try_from(start.index)
                    .ok()
                    .filter(|&index| index < self.recordings.len())
                    .ok_or_else(|| {
                        let message = format!(
                            "start {} is not among the {} recordings",
                            start.index,
                            self.recordings.len()
                        );
                        Fault::new(FaultKind::WorldBroke, message)
                    })?;
                let position =
                    Position { recording, step: 0, instruction: Arc::clone(&start.instruction) };
                let observation = self.show(&position);
                self.trials.open(start.trial, position);
                Ok(observation)
            })
            .collect())
    }

    fn step(
        &mut self,
        requests: &[(TrialHandle, ActionChunk)],
    ) -> Result<Vec<PerTrial<Advance>>, InterfaceError> {
        self.trials.check_open(requests.iter().map(|(trial, _)| *trial))?;
        requests
            .iter()
            .map(|(trial, chunk)| {
                if let Err(error) = chunk.check(&self.embodiment.actions) {
                    self.trials.close(*trial);
                    return Ok(Err(Fault::new(FaultKind::MalformedAction, error.to_string())));
                }
                let mut position = self.trials.get_mut(*trial)?.clone();
                let recordings = Arc::clone(&self.recordings);
                let Recording { success, .. } = &recordings[position.recording];
                let mut steps = Vec::with_capacity(chunk.steps());
                while steps.len() < chunk.steps() && position.step < success.len() {
                    let success = success[position.step];
                    position.step += 1;
                    steps.push(Step { observation: self.show(&position), success });
                }
                let ended = position.step == success.len();
                *self.trials.get_mut(*trial)? = position;
                Ok(Ok(Advance { steps, segments: vec![], ended, remark: None }))
            })
            .collect()
    }

    fn close(&mut self, trials: &[TrialHandle]) {
        for &trial in trials {
            self.trials.close(trial);
        }
    }
}
