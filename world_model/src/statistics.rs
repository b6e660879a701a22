//! What the training split says about the rig's numbers: means, scales and how commands move it.

use candle_core::{Device, Tensor};
use candle_nn::{Init, VarBuilder};
use rehearse_scenarios::embodiment::{ChannelKind, Embodiment};

use crate::error::Result;

/// Constants measured on the training split, stored with the weights.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Mean of each proprioceptive channel.
    pub state_mean: Tensor,
    /// Standard deviation of each proprioceptive channel.
    pub state_scale: Tensor,
    /// Root mean square of each channel's change over one step.
    pub step_scale: Tensor,
    /// Mean of each action channel.
    pub action_mean: Tensor,
    /// Standard deviation of each action channel.
    pub action_scale: Tensor,
    /// Middle of each action channel's range, which parts the states of a gripper.
    pub action_middle: Tensor,
    /// How the commanded state follows from actions.
    pub commanded: Commanded,
    /// Scale of the experts' target, `(patches, coefficients)`.
    pub flow_scale: Tensor,
    /// Amplitude of each motion channel over an episode, in the mean.
    pub amplitude: Tensor,
}

/// The state that the actions so far ask for, before the robot has reached it.
///
/// Per proprioceptive channel either `c + action · weight`, kept within the range that the
/// training split shows, for actions that are changes, or `action · weight + bias` for actions
/// that are targets.
#[derive(Clone, Debug)]
pub struct Commanded {
    /// `(action channels, proprioceptive channels)`.
    pub weight: Tensor,
    /// `(proprioceptive channels)`.
    pub bias: Tensor,
    /// 1 for channels whose actions are changes, 0 for targets.
    pub delta: Tensor,
    /// Lowest commanded value.
    pub low: Tensor,
    /// Highest commanded value.
    pub high: Tensor,
}

impl Statistics {
    /// Loads the statistics below `vb`.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(
        embodiment: &Embodiment,
        patches: usize,
        coefficients: usize,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let (states, actions) = (embodiment.proprioception.len(), embodiment.actions.len());
        let motion = motion_channels(embodiment).len();
        let (zero, one) = (Init::Const(0.0), Init::Const(1.0));
        Ok(Self {
            state_mean: vb.get_with_hints(states, "state_mean", zero)?,
            state_scale: vb.get_with_hints(states, "state_scale", one)?,
            step_scale: vb.get_with_hints(states, "step_scale", one)?,
            action_mean: vb.get_with_hints(actions, "action_mean", zero)?,
            action_scale: vb.get_with_hints(actions, "action_scale", one)?,
            action_middle: vb.get_with_hints(actions, "action_middle", zero)?,
            commanded: Commanded {
                weight: vb.get_with_hints((actions, states), "commanded.weight", zero)?,
                bias: vb.get_with_hints(states, "commanded.bias", zero)?,
                delta: vb.get_with_hints(states, "commanded.delta", one)?,
                low: vb.get_with_hints(states, "commanded.low", Init::Const(-1e6))?,
                high: vb.get_with_hints(states, "commanded.high", Init::Const(1e6))?,
            },
            flow_scale: vb.get_with_hints((patches, coefficients), "flow_scale", one)?,
            amplitude: vb.get_with_hints(motion, "amplitude", one)?,
        })
    }

    /// Proprioception in units of its deviation.
    ///
    /// # Errors
    /// A tensor error if the last axis differs.
    pub fn normal_state(&self, state: &Tensor) -> Result<Tensor> {
        Ok(state.broadcast_sub(&self.state_mean)?.broadcast_div(&self.state_scale)?)
    }

    /// Actions in units of their deviation.
    ///
    /// # Errors
    /// A tensor error if the last axis differs.
    pub fn normal_action(&self, action: &Tensor) -> Result<Tensor> {
        Ok(action.broadcast_sub(&self.action_mean)?.broadcast_div(&self.action_scale)?)
    }

    /// The device on which the statistics lie.
    pub fn device(&self) -> &Device {
        self.state_mean.device()
    }
}

impl Commanded {
    /// The commanded state after each of some further actions.
    ///
    /// # Shapes
    /// - `commanded`: before them, `(batch, proprioceptive channels)`
    /// - `actions`: `(batch, steps, action channels)`
    /// - returns: `(batch, steps, proprioceptive channels)`
    ///
    /// # Errors
    /// A tensor error if a shape disagrees, or without a step.
    pub fn after(&self, commanded: &Tensor, actions: &Tensor) -> Result<Tensor> {
        // A sum of products rather than a matrix product: the same bits for every batch.
        let weight = self.weight.t()?.contiguous()?;
        let asked = actions.unsqueeze(2)?.broadcast_mul(&weight)?.sum(3)?;
        let mut moved = commanded.clone();
        let mut path = Vec::with_capacity(actions.dim(1)?);
        for step in 0..actions.dim(1)? {
            moved = (moved + asked.narrow(1, step, 1)?.squeeze(1)?)?
                .broadcast_maximum(&self.low)?
                .broadcast_minimum(&self.high)?;
            path.push(moved.clone());
        }
        let target = asked.broadcast_add(&self.bias)?;
        let difference = (Tensor::stack(&path, 1)? - &target)?;
        Ok((target + difference.broadcast_mul(&self.delta)?)?)
    }
}

/// Indices of the proprioceptive channels that count as motion: all but grippers.
pub fn motion_channels(embodiment: &Embodiment) -> Vec<usize> {
    embodiment
        .proprioception
        .iter()
        .enumerate()
        .filter(|(_, channel)| !channel.is_gripper())
        .filter(|(_, channel)| channel.kind != Some(ChannelKind::Other))
        .map(|(index, _)| index)
        .collect()
}

/// Indices of the proprioceptive channels that are coordinates of the hand, for errors in metres.
/// Those that count as motion where none is stated to be one.
pub fn position_channels(embodiment: &Embodiment) -> Vec<usize> {
    let stated = stated_positions(embodiment);
    if stated.is_empty() { motion_channels(embodiment) } else { stated }
}

/// Indices of the proprioceptive channels that are stated to be coordinates of the hand, in
/// metres: by their kind, or where they state none by the names `x`, `y` and `z`.
pub fn stated_positions(embodiment: &Embodiment) -> Vec<usize> {
    embodiment
        .proprioception
        .iter()
        .enumerate()
        .filter(|(_, channel)| match channel.kind {
            Some(kind) => kind == ChannelKind::Position,
            None => matches!(channel.name.as_str(), "x" | "y" | "z"),
        })
        .map(|(index, _)| index)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_add_up_within_their_range_and_targets_do_not() {
        let row = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let commanded = Commanded {
            weight: Tensor::new(&[[0.5_f32, 0.0], [0.0, 2.0]], &Device::Cpu).unwrap(),
            bias: row(&[7.0, 1.0]),
            delta: row(&[1.0, 0.0]),
            low: row(&[-1.0, -1.0]),
            high: row(&[1.0, 1.0]),
        };
        let start = Tensor::new(&[[0.25_f32, 9.0]], &Device::Cpu).unwrap();
        let actions = [[[1.0_f32, 1.0], [4.0, -2.0], [-1.0, 0.0]]];
        let actions = Tensor::new(&actions, &Device::Cpu).unwrap();
        let path = commanded.after(&start, &actions).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(path, [[[0.75, 3.0], [1.0, -3.0], [0.5, 1.0]]]);
    }
}
