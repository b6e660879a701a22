//! The units of a policy's inputs and outputs.

use ndarray::ArrayView2;
use rehearse_scenarios::embodiment::Channel;
use serde::{Deserialize, Serialize};

/// Least deviation and least half range that is divided by.
const LEAST: f32 = 1e-6;

/// How channels become numbers of about one, and back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Mean of each channel of proprioception.
    pub state_mean: Vec<f32>,
    /// Deviation of each channel of proprioception.
    pub state_scale: Vec<f32>,
    /// Lowest and highest value of each channel of an action: its bounds, and where the rig states
    /// none, what the episodes held.
    pub action: Vec<[f32; 2]>,
}

impl Normalisation {
    /// Measures `states` and `actions`, `(frames, channels)` each.
    pub fn of(states: ArrayView2<'_, f32>, actions: ArrayView2<'_, f32>, rig: &[Channel]) -> Self {
        let count = states.nrows().max(1) as f64;
        let (mut state_mean, mut state_scale) = (vec![], vec![]);
        for channel in states.columns() {
            let mean = channel.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
            let square =
                channel.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
            state_mean.push(mean as f32);
            state_scale.push((square.sqrt() as f32).max(LEAST));
        }
        let action = actions
            .columns()
            .into_iter()
            .zip(rig)
            .map(|(values, channel)| match channel.bounds {
                Some([low, high]) => [low as f32, high as f32],
                None => {
                    values.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], &v| {
                        [low.min(v), high.max(v)]
                    })
                }
            })
            .collect();
        Self { state_mean, state_scale, action }
    }

    /// Proprioception in deviations from its mean.
    pub fn state<'a>(&'a self, state: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        state
            .iter()
            .zip(&self.state_mean)
            .zip(&self.state_scale)
            .map(|((value, mean), scale)| (value - mean) / scale)
    }

    /// A channel of an action, its range mapped to [-1, 1].
    pub fn action(&self, channel: usize, value: f32) -> f32 {
        let [low, high] = self.action[channel];
        (value - f32::midpoint(low, high)) / ((high - low) / 2.0).max(LEAST)
    }

    /// A channel of an action from [-1, 1], in its own unit; what lies outside is cut.
    pub fn executed(&self, channel: usize, value: f32) -> f32 {
        let [low, high] = self.action[channel];
        let value = value.clamp(-1.0, 1.0);
        (f32::midpoint(low, high) + value * ((high - low) / 2.0)).clamp(low, high)
    }

    /// Whether every number is finite and every range in order.
    pub(super) fn is_sound(&self, states: usize, actions: usize) -> bool {
        self.state_mean.len() == states
            && self.state_scale.len() == states
            && self.action.len() == actions
            && self.state_mean.iter().all(|value| value.is_finite())
            && self.state_scale.iter().all(|value| value.is_finite() && *value >= LEAST)
            && self
                .action
                .iter()
                .all(|[low, high]| low.is_finite() && high.is_finite() && low <= high)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn stated_bounds_win_over_what_was_seen() {
        let bounded = Channel { bounds: Some([0.0, 4.0]), ..Channel::named("a") };
        let rig = [bounded, Channel::named("b")];
        let actions = arr2(&[[1.0, -3.0], [2.0, 5.0]]);
        let states = arr2(&[[1.0], [3.0]]);
        let norm = Normalisation::of(states.view(), actions.view(), &rig);
        assert_eq!((norm.state_mean[0], norm.state_scale[0]), (2.0, 1.0));
        assert_eq!(norm.action, [[0.0, 4.0], [-3.0, 5.0]]);
        assert_eq!((norm.action(0, 1.0), norm.action(1, 5.0)), (-0.5, 1.0));
        assert_eq!((norm.executed(0, -0.5), norm.executed(1, 7.0)), (1.0, 5.0));
        assert_eq!(norm.state(&[4.0]).collect::<Vec<_>>(), [2.0]);
    }
}
