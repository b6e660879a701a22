//! A policy that repeats a log's actions.

use std::sync::Arc;

use ndarray::Array2;

use crate::action::ActionChunk;
use crate::interface::{Begin, InterfaceError, PerTrial, Policy, PolicyInfo, TrialHandle};
use crate::local::{OpenTrials, Recording};
use crate::observation::Observation;
use crate::outcome::{Fault, FaultKind};

/// A policy that repeats the actions of one recording in every trial, and its last action after
/// the end.
#[derive(Clone, Debug)]
pub struct ReplayPolicy {
    info: PolicyInfo,
    actions: Arc<[Vec<f32>]>,
    trials: OpenTrials<()>,
}

impl ReplayPolicy {
    /// A policy that repeats the actions of `recording`, `info.chunk` at a time.
    pub fn new(info: PolicyInfo, recording: &Recording) -> Self {
        Self { info, actions: recording.actions().into(), trials: OpenTrials::default() }
    }
}

impl Policy for ReplayPolicy {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        self.trials.check_new(trials.iter().map(|begin| begin.trial))?;
        for begin in trials {
            self.trials.open(begin.trial, ());
        }
        Ok(vec![Ok(()); trials.len()])
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        let Self { info, actions, trials } = self;
        trials.check_open(requests.iter().map(|(trial, _)| *trial))?;
        let dimensions = info.embodiment.actions.len();
        requests
            .iter()
            .map(|(_, observation)| {
                // By time, not by count: the loop may execute fewer actions than it was given.
                let step = step_of(observation, info);
                let last = actions.len() - 1;
                let values = (step..step + info.chunk)
                    .flat_map(|step| actions[step.min(last)].iter().copied())
                    .collect();
                Ok(Array2::from_shape_vec((info.chunk, dimensions), values)
                    .map_err(|error| error.to_string())
                    .and_then(|array| ActionChunk::new(array).map_err(|error| error.to_string()))
                    .map_err(|message| Fault::new(FaultKind::MalformedAction, message)))
            })
            .collect()
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        for &trial in trials {
            self.trials.close(trial);
        }
    }
}

fn step_of(observation: &Observation, info: &PolicyInfo) -> usize {
    let rate = info.embodiment.rate.as_hz();
    (observation.time.as_secs_f64() * rate).round().max(0.0) as usize
}
