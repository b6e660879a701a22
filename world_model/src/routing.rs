//! How the length of the next chunk is chosen, and what the choice is made from.

use std::str::FromStr;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::config::refuse;
use crate::error::{ModelError, Result};
use crate::model::WorldModel;
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS, Motion, partition_by};
use crate::statistics::motion_channels;

/// How the expert of the next chunk is chosen, among those that the pending actions allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Routing {
    /// By the trained router.
    #[default]
    Learned,
    /// By the partition's own rule on the pending actions and the motion predicted from them,
    /// with the training split's typical amplitudes.
    ActionGuided,
    /// Always this expert, or the longest one that is allowed.
    Fixed {
        /// From 0.
        expert: usize,
    },
}

impl FromStr for Routing {
    type Err = ModelError;

    /// `learned`, `action_guided`, `fixed-8` … `fixed-32`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "learned" => Ok(Self::Learned),
            "action_guided" => Ok(Self::ActionGuided),
            "fixed-8" => Ok(Self::Fixed { expert: 0 }),
            "fixed-16" => Ok(Self::Fixed { expert: 1 }),
            "fixed-24" => Ok(Self::Fixed { expert: 2 }),
            "fixed-32" => Ok(Self::Fixed { expert: 3 }),
            other => Err(refuse(
                "routing",
                other,
                "it must be `learned`, `action_guided` or `fixed-8`, -16, -24 or -32",
            )),
        }
    }
}

/// What the router sees of the pending actions of one trial.
#[derive(Clone, Debug)]
pub struct PendingFeatures {
    values: Vec<f32>,
    /// The expert that the partition's rule asks for.
    pub guided: usize,
}

impl PendingFeatures {
    /// From the state now, the gripper's state before, the pending actions
    /// (`steps × channels`, at least `valid`) and the states predicted after them.
    ///
    /// # Errors
    /// [`ModelError::Tensor`], or [`ModelError::NotFinite`] if a state is not finite.
    pub fn new(
        model: &WorldModel,
        now: &[f32],
        gripper: Option<u64>,
        actions: &[f32],
        predicted: &[Vec<f32>],
        valid: usize,
    ) -> Result<Self> {
        let statistics = &model.statistics;
        let channels = model.embodiment.actions.len();
        let [action_mean, action_scale] =
            [statistics.action_mean.to_vec1::<f32>()?, statistics.action_scale.to_vec1::<f32>()?];
        let (step_scale, amplitude) =
            (statistics.step_scale.to_vec1::<f32>()?, statistics.amplitude.to_vec1::<f32>()?);
        let motion = motion_channels(&model.embodiment);
        let grips = actions
            .chunks_exact(channels)
            .take(valid)
            .map(|action| model.gripper_state(action))
            .collect::<Result<Vec<_>>>()?;
        let mut values = Vec::new();
        for n in 0..MAX_BASE_CHUNKS {
            let steps = n * BASE_CHUNK..(n + 1) * BASE_CHUNK;
            let there = steps.end <= valid || (n == 0 && valid > 0);
            for step in steps.clone() {
                let action = actions.get(step * channels..(step + 1) * channels);
                for channel in 0..channels {
                    values.push(match action {
                        Some(action) if step < valid => {
                            (action[channel] - action_mean[channel]) / action_scale[channel]
                        }
                        _ => 0.0,
                    });
                }
                for (channel, &now) in now.iter().enumerate() {
                    values.push(match predicted.get(step) {
                        Some(state) if step < valid => {
                            (state[channel] - now) / (8.0 * step_scale[channel])
                        }
                        _ => 0.0,
                    });
                }
            }
            let until = steps.end.min(valid);
            for (&channel, &amplitude) in motion.iter().zip(&amplitude) {
                let (low, high) = predicted[..until.min(predicted.len())]
                    .iter()
                    .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), state| {
                        (low.min(state[channel]), high.max(state[channel]))
                    });
                let range = if there { (high - low).max(0.0) } else { 0.0 };
                values.push(4.0 * range / amplitude.max(1e-6));
            }
            let changes = (steps.start..until).any(|step| {
                let before = if step == 0 { gripper } else { grips.get(step - 1).copied() };
                before.is_some_and(|before| before != grips[step])
            });
            values.push(if there && changes { 1.0 } else { 0.0 });
            values.push(if there { 1.0 } else { 0.0 });
        }
        let guided = guided(model, &motion, &amplitude, gripper, &grips, predicted)?;
        Ok(Self { values, guided })
    }

    /// The features of several trials, `(trials, 4, values)`.
    ///
    /// # Errors
    /// A tensor error.
    pub fn stack(features: &[Self], device: &Device) -> Result<Tensor> {
        let values = features.iter().flat_map(|f| f.values.iter().copied()).collect::<Vec<_>>();
        let each = values.len() / (features.len() * MAX_BASE_CHUNKS);
        Ok(Tensor::from_vec(values, (features.len(), MAX_BASE_CHUNKS, each), device)?)
    }
}

/// The partition's first chunk over what is pending.
fn guided(
    model: &WorldModel,
    motion: &[usize],
    amplitude: &[f32],
    before: Option<u64>,
    grips: &[u64],
    predicted: &[Vec<f32>],
) -> Result<usize> {
    let positions = predicted
        .iter()
        .take(grips.len())
        .flat_map(|state| motion.iter().map(|&channel| state[channel]))
        .collect::<Vec<_>>();
    let alpha = model.config.partition.alpha as f32;
    let thresholds = amplitude.iter().map(|amplitude| alpha * amplitude).collect::<Vec<_>>();
    // A change into the very first frame closes the chunk before, which is imagined already, so
    // what came before the pending frames plays no part but for that frame's own base chunk.
    let chunks = partition_by(
        Motion { positions: &positions, dimensions: motion.len(), gripper: grips },
        &thresholds,
    )?;
    let changed = before.is_some_and(|before| grips.first().is_some_and(|&now| now != before));
    let first = chunks.first().map_or(0, |chunk| chunk.expert());
    Ok(if changed { 0 } else { first })
}

impl WorldModel {
    /// The state of the grippers that an action asks for, a bit each: above the middle of its
    /// channel or not.
    ///
    /// # Errors
    /// A tensor error.
    pub fn gripper_state(&self, action: &[f32]) -> Result<u64> {
        let middle = self.statistics.action_middle.to_vec1::<f32>()?;
        Ok(self.embodiment.gripper_actions().into_iter().enumerate().fold(
            0,
            |bits, (bit, channel)| {
                bits | (u64::from(action[channel] > middle[channel]) << (bit % 64))
            },
        ))
    }
}
