//! A policy that acts at random.

use ndarray::Array2;
use rand::Rng as _;
use rand_chacha::ChaCha12Rng;

use crate::action::ActionChunk;
use crate::interface::{Begin, InterfaceError, PerTrial, Policy, PolicyInfo, TrialHandle};
use crate::local::OpenTrials;
use crate::observation::Observation;
use crate::outcome::{Fault, FaultKind};

/// A policy that draws each action uniformly from its channel's bounds.
///
/// Each trial draws from its own seed, so no trial's actions depend on another's.
#[derive(Clone, Debug)]
pub struct NoisePolicy {
    info: PolicyInfo,
    bounds: Vec<[f64; 2]>,
    trials: OpenTrials<ChaCha12Rng>,
}

/// An action channel without bounds, which noise cannot be drawn for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("action channel {channel:?} states no bounds; state them in the embodiment to draw noise")]
pub struct UnboundedChannel {
    /// Name of the channel.
    pub channel: String,
}

impl NoisePolicy {
    /// A policy that returns `info.chunk` actions at a time.
    ///
    /// # Errors
    /// [`UnboundedChannel`] if an action channel states no bounds.
    pub fn new(info: PolicyInfo) -> Result<Self, UnboundedChannel> {
        let bounds = info
            .embodiment
            .actions
            .iter()
            .map(|channel| {
                channel.bounds.ok_or_else(|| UnboundedChannel { channel: channel.name.clone() })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { info, bounds, trials: OpenTrials::default() })
    }
}

impl Policy for NoisePolicy {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        self.trials.check_new(trials.iter().map(|begin| begin.trial))?;
        for begin in trials {
            self.trials.open(begin.trial, begin.seed.rng());
        }
        Ok(vec![Ok(()); trials.len()])
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        let Self { info, bounds, trials } = self;
        trials.check_open(requests.iter().map(|(trial, _)| *trial))?;
        requests
            .iter()
            .map(|(trial, _)| {
                let rng = trials.get_mut(*trial)?;
                let actions = Array2::from_shape_fn((info.chunk, bounds.len()), |(_, channel)| {
                    let [low, high] = bounds[channel];
                    rng.random_range(low..=high) as f32
                });
                Ok(ActionChunk::new(actions)
                    .map_err(|error| Fault::new(FaultKind::MalformedAction, error.to_string())))
            })
            .collect()
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        for &trial in trials {
            self.trials.close(trial);
        }
    }
}
