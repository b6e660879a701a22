//! What an action may be: bounds, rate and norm limits, and the gripper's two states.
//!
//! A search runs in the unit box: −1 is a channel's lower bound and 1 its upper one, so that one
//! spread fits all channels. [`Limits::project`] brings any candidate to the nearest one that is
//! allowed, channel by channel and step by step.

use candle_core::{D, Device, Tensor};
use rehearse_scenarios::embodiment::{Channel, Embodiment};
use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};

/// What limits actions beside their bounds. Lengths are in the unit box, in which a channel's
/// range is 2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Most that a channel may change from one block of actions to the next; none by default.
    pub rate: Option<f32>,
    /// Largest Euclidean norm of an action over the channels that are no gripper; none by
    /// default. V-JEPA 2-AC's `maxnorm` bounds each channel instead: state bounds for that.
    pub norm: Option<f32>,
}

/// The limits of a rig's actions, as tensors.
#[derive(Clone, Debug)]
pub struct Limits {
    settings: LimitSettings,
    /// Middle of each channel's range, `(1, dimensions)`, in its unit.
    middle: Tensor,
    /// Half of each channel's range, `(1, dimensions)`, in its unit.
    half: Tensor,
    /// 1 for a channel of the gripper, 0 for others, `(1, dimensions)`.
    gripper: Tensor,
    gripper_channels: Vec<bool>,
}

impl Limits {
    /// The limits of an embodiment's action channels.
    ///
    /// # Errors
    /// [`PlanError::Unbounded`] if a channel states no bounds, [`PlanError::Setting`] for a limit
    /// that is not positive.
    pub fn new(embodiment: &Embodiment, settings: LimitSettings, device: &Device) -> Result<Self> {
        for (name, limit) in [("limits.rate", settings.rate), ("limits.norm", settings.norm)] {
            if let Some(limit) = limit
                && !(limit.is_finite() && limit > 0.0)
            {
                let got = limit.to_string();
                return Err(PlanError::Setting { name, got, accepted: "positive and finite" });
            }
        }
        let bounds = embodiment
            .actions
            .iter()
            .map(|channel| {
                channel.bounds.ok_or_else(|| PlanError::Unbounded { channel: channel.name.clone() })
            })
            .collect::<Result<Vec<_>>>()?;
        let gripper_channels: Vec<bool> =
            embodiment.actions.iter().map(Channel::is_gripper).collect();
        let row = |values: Vec<f32>| Tensor::new(values, device)?.unsqueeze(0);
        Ok(Self {
            settings,
            middle: row(bounds.iter().map(|[low, high]| (0.5 * (low + high)) as f32).collect())?,
            half: row(bounds.iter().map(|[low, high]| (0.5 * (high - low)) as f32).collect())?,
            gripper: row(gripper_channels.iter().map(|&is| f32::from(u8::from(is))).collect())?,
            gripper_channels,
        })
    }

    /// Values per action.
    pub fn dimensions(&self) -> usize {
        self.gripper_channels.len()
    }

    /// For each channel, whether it moves the gripper.
    pub fn gripper_channels(&self) -> &[bool] {
        &self.gripper_channels
    }

    /// The device of the tensors.
    pub fn device(&self) -> &Device {
        self.middle.device()
    }

    /// Actions in their units from the unit box; `(…, dimensions)`.
    ///
    /// # Errors
    /// [`PlanError::Tensor`] if the last dimension is another.
    pub fn actions_from_unit(&self, unit: &Tensor) -> Result<Tensor> {
        Ok(unit.broadcast_mul(&self.half)?.broadcast_add(&self.middle)?)
    }

    /// The unit box from actions in their units; `(…, dimensions)`.
    ///
    /// # Errors
    /// [`PlanError::Tensor`] if the last dimension is another.
    pub fn unit_from_actions(&self, actions: &Tensor) -> Result<Tensor> {
        Ok(actions.broadcast_sub(&self.middle)?.broadcast_div(&self.half)?)
    }

    /// The nearest allowed candidates: gripper at one of its ends, norm, rate, bounds, in this
    /// order, so that the bounds hold whatever else does.
    ///
    /// # Shapes
    /// - `unit`: `(batch, blocks, dimensions)` in the unit box
    /// - returns: the same
    ///
    /// # Errors
    /// [`PlanError::Tensor`] if the shapes disagree.
    pub fn project(&self, unit: &Tensor) -> Result<Tensor> {
        let ends = unit.ge(0f32)?.to_dtype(unit.dtype())?.affine(2.0, -1.0)?;
        self.limit(unit, &ends)
    }

    /// As [`project`](Self::project), with the gripper anywhere between its ends, as a gradient
    /// needs it.
    ///
    /// # Errors
    /// [`PlanError::Tensor`] if the shapes disagree.
    pub fn relax(&self, unit: &Tensor) -> Result<Tensor> {
        self.limit(unit, &unit.clamp(-1f32, 1f32)?)
    }

    /// [`project`](Self::project) for `(problems, candidates, blocks, dimensions)`.
    pub(crate) fn project_candidates(&self, unit: &Tensor) -> Result<Tensor> {
        Ok(self.project(&unit.flatten(0, 1)?)?.reshape(unit.shape())?)
    }

    /// [`relax`](Self::relax) for `(problems, candidates, blocks, dimensions)`.
    pub(crate) fn relax_candidates(&self, unit: &Tensor) -> Result<Tensor> {
        Ok(self.relax(&unit.flatten(0, 1)?)?.reshape(unit.shape())?)
    }

    /// `gripper` for the gripper's channels, `others` for the others.
    pub(crate) fn choose_gripper(&self, gripper: &Tensor, others: &Tensor) -> Result<Tensor> {
        let free = self.gripper.affine(-1.0, 1.0)?;
        Ok((gripper.broadcast_mul(&self.gripper)? + others.broadcast_mul(&free)?)?)
    }

    fn limit(&self, unit: &Tensor, gripper: &Tensor) -> Result<Tensor> {
        let free = self.gripper.affine(-1.0, 1.0)?;
        let mut moving = unit.broadcast_mul(&free)?;
        if let Some(norm) = self.settings.norm {
            let length = moving.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
            let scale = length.affine(1.0 / f64::from(norm), 0.0)?.maximum(1f32)?;
            moving = moving.broadcast_div(&scale)?;
        }
        moving = moving.clamp(-1f32, 1f32)?;
        if let Some(rate) = self.settings.rate {
            moving = limit_rate(&moving, rate)?;
        }
        Ok((moving + gripper.broadcast_mul(&self.gripper)?)?)
    }
}

/// Lets each block differ from the one before by `rate` at most, from the first on.
fn limit_rate(unit: &Tensor, rate: f32) -> Result<Tensor> {
    let (_batch, blocks, _dimensions) = unit.dims3()?;
    let mut limited = vec![unit.narrow(1, 0, 1)?];
    for block in 1..blocks {
        let before = limited[block - 1].clone();
        let change = (unit.narrow(1, block, 1)? - &before)?.clamp(-rate, rate)?;
        limited.push((before + change)?);
    }
    Ok(Tensor::cat(&limited, 1)?)
}

#[cfg(test)]
mod tests {
    use rehearse_scenarios::time::Rate;

    use super::*;

    fn rig(bounds: Option<[f64; 2]>) -> Embodiment {
        Embodiment {
            robot: None,
            rate: Rate::from_hz(10.0).unwrap(),
            cameras: vec![],
            proprioception: vec![],
            actions: vec![
                Channel { bounds, ..Channel::named("dx") },
                Channel { bounds: Some([0.0, 0.08]), ..Channel::named("dy") },
                Channel { bounds: Some([-1.0, 1.0]), ..Channel::named("gripper") },
            ],
        }
    }

    fn project(settings: LimitSettings, rows: &[[f32; 3]]) -> Vec<Vec<f32>> {
        let limits = Limits::new(&rig(Some([-2.0, 2.0])), settings, &Device::Cpu).unwrap();
        let unit =
            Tensor::from_slice(rows.as_flattened(), (1, rows.len(), 3), &Device::Cpu).unwrap();
        limits.project(&unit).unwrap().squeeze(0).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn bounds_hold_and_the_gripper_is_open_or_closed() {
        let projected = project(LimitSettings::default(), &[[3.0, -0.5, 0.1], [-9.0, 0.2, -0.1]]);
        assert_eq!(projected, [[1.0, -0.5, 1.0], [-1.0, 0.2, -1.0]]);
    }

    #[test]
    fn a_long_action_keeps_its_direction() {
        let settings = LimitSettings { norm: Some(0.5), rate: None };
        assert_eq!(project(settings, &[[0.6, 0.8, -1.0]]), [[0.3, 0.4, -1.0]]);
    }

    #[test]
    fn a_jump_becomes_a_ramp() {
        let settings = LimitSettings { rate: Some(0.25), norm: None };
        let projected = project(settings, &[[0.0, 0.0, 1.0], [1.0, -1.0, 1.0], [1.0, 0.0, -1.0]]);
        assert_eq!(projected, [[0.0, 0.0, 1.0], [0.25, -0.25, 1.0], [0.5, 0.0, -1.0]]);
    }

    #[test]
    fn units_go_there_and_back() {
        let limits =
            Limits::new(&rig(Some([-2.0, 2.0])), LimitSettings::default(), &Device::Cpu).unwrap();
        let unit = Tensor::new(&[[0.5f32, -1.0, 1.0]], &Device::Cpu).unwrap();
        let actions = limits.actions_from_unit(&unit).unwrap();
        assert_eq!(actions.to_vec2::<f32>().unwrap(), [[1.0, 0.0, 1.0]]);
        let back = limits.unit_from_actions(&actions).unwrap();
        assert_eq!(back.to_vec2::<f32>().unwrap(), unit.to_vec2::<f32>().unwrap());
    }

    #[test]
    fn a_channel_without_bounds_cannot_be_searched() {
        let error = Limits::new(&rig(None), LimitSettings::default(), &Device::Cpu).unwrap_err();
        assert!(matches!(error, PlanError::Unbounded { channel } if channel == "dx"));
    }
}
