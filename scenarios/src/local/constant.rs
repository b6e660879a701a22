//! A policy that always does the same.

use crate::action::{ActionChunk, ActionError};
use crate::interface::{Begin, InterfaceError, PerTrial, Policy, PolicyInfo, TrialHandle};
use crate::local::OpenTrials;
use crate::observation::Observation;

/// A policy that answers every observation with the same chunk of actions.
#[derive(Clone, Debug)]
pub struct ConstantPolicy {
    info: PolicyInfo,
    chunk: ActionChunk,
    trials: OpenTrials<()>,
}

impl ConstantPolicy {
    /// A policy that always returns `chunk`; `info.chunk` is set to its steps.
    ///
    /// # Errors
    /// [`ActionError`] if the chunk does not fit the action channels of `info.embodiment`.
    pub fn new(info: PolicyInfo, chunk: ActionChunk) -> Result<Self, ActionError> {
        chunk.check(&info.embodiment.actions)?;
        let info = PolicyInfo { chunk: chunk.steps(), ..info };
        Ok(Self { info, chunk, trials: OpenTrials::default() })
    }
}

impl Policy for ConstantPolicy {
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
        self.trials.check_open(requests.iter().map(|(trial, _)| *trial))?;
        Ok(requests.iter().map(|_| Ok(self.chunk.clone())).collect())
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        for &trial in trials {
            self.trials.close(trial);
        }
    }
}
