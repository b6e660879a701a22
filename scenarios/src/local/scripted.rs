//! A policy that is a function of what it sees.

use crate::action::ActionChunk;
use crate::interface::{Begin, InterfaceError, PerTrial, Policy, PolicyInfo, TrialHandle};
use crate::local::OpenTrials;
use crate::observation::Observation;

/// A policy whose actions are a function of the observation and of how often it was asked in
/// this trial (0 the first time).
pub struct ScriptedPolicy<F> {
    info: PolicyInfo,
    script: F,
    trials: OpenTrials<u64>,
}

impl<F> ScriptedPolicy<F>
where
    F: Fn(&Observation, u64) -> PerTrial<ActionChunk> + Send,
{
    /// A policy that follows `script`.
    pub fn new(info: PolicyInfo, script: F) -> Self {
        Self { info, script, trials: OpenTrials::default() }
    }
}

impl<F> Policy for ScriptedPolicy<F>
where
    F: Fn(&Observation, u64) -> PerTrial<ActionChunk> + Send,
{
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        self.trials.check_new(trials.iter().map(|begin| begin.trial))?;
        for begin in trials {
            self.trials.open(begin.trial, 0);
        }
        Ok(vec![Ok(()); trials.len()])
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        self.trials.check_open(requests.iter().map(|(trial, _)| *trial))?;
        requests
            .iter()
            .map(|(trial, observation)| {
                let asked = self.trials.get_mut(*trial)?;
                let answer = (self.script)(observation, *asked);
                *asked += 1;
                Ok(answer)
            })
            .collect()
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        for &trial in trials {
            self.trials.close(trial);
        }
    }
}
