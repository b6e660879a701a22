//! What a plan is to bring about: terms with weights, added up. Lower is better.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{D, Tensor};
use rehearse_scenarios::observation::Image;
use rehearse_scenarios::seed::Seed;
use rehearse_world_model::futures::Futures;
use rehearse_world_model::model::WorldModel;
use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};
use crate::limits::Limits;
use crate::standpoint::Standpoint;

/// Keeps a distance that is divided by from being 0.
const LEAST_DISTANCE: f64 = 1e-6;

/// One term of an objective, with its weight; at weight 1 each but success is of the order of 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Term {
    /// Log odds of failure, in nats: 0 at even odds, 4.6 at a probability of success of 1 %, −4.6
    /// at 99 %. A probability is flat far from the goal, where a search needs a slope most; log
    /// odds are not.
    Success {
        /// Weight.
        weight: f64,
        /// Which frames count. Default `best`: a task once done is done.
        #[serde(default = "best")]
        over: Over,
    },
    /// Distance to the goal's picture, as a share of the distance at the present frame; of the
    /// leading coefficients where nothing else is imagined.
    GoalImage {
        /// Weight.
        weight: f64,
        /// How pictures are compared. Default `l2`.
        #[serde(default)]
        distance: Distance,
        /// Which frames count. Default `last`.
        #[serde(default)]
        over: Over,
    },
    /// Distance to the goal's proprioception, the mean over the channels that the goal states, in
    /// deviations of the logs.
    GoalState {
        /// Weight.
        weight: f64,
        /// Which frames count. Default `last`.
        #[serde(default)]
        over: Over,
    },
    /// Mean square of the actions in the unit box.
    Magnitude {
        /// Weight.
        weight: f64,
    },
    /// Mean square of the change from each action to the next, in the unit box.
    Smoothness {
        /// Weight.
        weight: f64,
    },
    /// How deep proprioception goes into a box, as a share of the way to its middle, mean over
    /// the frames.
    KeepOut {
        /// Weight.
        weight: f64,
        /// Lower corner, one value per proprioceptive channel from the first on, in their units.
        low: Vec<f32>,
        /// Upper corner, alike.
        high: Vec<f32>,
    },
    /// Disagreement between draws of the model's noise: the deviation of the pictures as a share
    /// of what changes in them over the horizon. Costs as many rollouts as there are draws.
    Uncertainty {
        /// Weight.
        weight: f64,
        /// Draws, 2 at least. Default 2.
        #[serde(default = "two")]
        draws: usize,
    },
}

const fn two() -> usize {
    2
}

const fn best() -> Over {
    Over::Best
}

/// How pictures are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Mean absolute difference of latents (V-JEPA 2-AC's cost).
    L1,
    /// Root mean square difference of pixels, as far as latents tell.
    #[default]
    L2,
}

/// Which frames of the horizon count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The last.
    #[default]
    Last,
    /// All, alike.
    Mean,
    /// The one that costs least.
    Best,
}

/// What is to be reached.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    /// Latents of a picture, `(patches, coefficients)`.
    pub latents: Option<Tensor>,
    /// Proprioception by channel, in the rig's units; none where it does not matter.
    pub state: Option<Vec<Option<f32>>>,
}

impl Goal {
    /// A goal of pictures, by the name of their camera.
    ///
    /// # Errors
    /// [`PlanError::Model`] for a camera that is missing or a picture of another size.
    pub fn of_pictures(model: &WorldModel, images: &BTreeMap<String, Image>) -> Result<Self> {
        let layout = model.tokenizer.layout();
        let shown = layout.cameras().iter().filter_map(|camera| images.get(&camera.name));
        let patches = layout.patches_of_images(&shown.collect::<Vec<_>>())?;
        let latents = model.tokenizer.encode(patches, 1, model.device())?.squeeze(0)?;
        Ok(Self { latents: Some(latents), state: None })
    }
}

/// Where goals are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoalSource {
    /// The instruction of the trials that it is for.
    pub instruction: String,
    /// A log whose frame is the goal's picture.
    pub log: Option<PathBuf>,
    /// The episode of the log.
    #[serde(default)]
    pub episode: usize,
    /// The frame of the episode; its last if not stated.
    pub frame: Option<usize>,
    /// Proprioception to reach, by the name of its channel, in its unit.
    #[serde(default)]
    pub state: BTreeMap<String, f32>,
}

/// Terms that are added up.
#[derive(Clone, Debug)]
pub struct Cost<'a> {
    /// The model that imagines.
    pub model: &'a WorldModel,
    /// The limits of the actions.
    pub limits: &'a Limits,
    /// The terms.
    pub terms: &'a [Term],
    /// What is to be reached.
    pub goal: &'a Goal,
}

impl Term {
    /// Its kind, as in the configuration.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Success { .. } => "success",
            Self::GoalImage { .. } => "goal_image",
            Self::GoalState { .. } => "goal_state",
            Self::Magnitude { .. } => "magnitude",
            Self::Smoothness { .. } => "smoothness",
            Self::KeepOut { .. } => "keep_out",
            Self::Uncertainty { .. } => "uncertainty",
        }
    }

    /// Checks weights and sizes against a rig with `channels` proprioceptive channels.
    ///
    /// # Errors
    /// [`PlanError::Setting`].
    pub fn validate(&self, channels: usize) -> Result<()> {
        let weight = match self {
            Self::Success { weight, .. }
            | Self::GoalImage { weight, .. }
            | Self::GoalState { weight, .. }
            | Self::Magnitude { weight }
            | Self::Smoothness { weight }
            | Self::KeepOut { weight, .. }
            | Self::Uncertainty { weight, .. } => *weight,
        };
        let refuse = |name, got: String, accepted| Err(PlanError::Setting { name, got, accepted });
        if !(weight.is_finite() && weight >= 0.0) {
            return refuse("objective.weight", weight.to_string(), "finite and not negative");
        }
        match self {
            Self::KeepOut { low, high, .. } => {
                let fits = (1..=channels).contains(&low.len()) && low.len() == high.len();
                if !fits || !low.iter().zip(high).all(|(low, high)| low < high) {
                    let got = format!("{low:?} to {high:?}");
                    return refuse("objective.low", got, "a corner below `high`, alike in length");
                }
            }
            Self::Uncertainty { draws, .. } if !(2..=16).contains(draws) => {
                return refuse("objective.draws", draws.to_string(), "in 2..=16");
            }
            Self::Success { .. }
            | Self::GoalImage { .. }
            | Self::GoalState { .. }
            | Self::Magnitude { .. }
            | Self::Smoothness { .. }
            | Self::Uncertainty { .. } => {}
        }
        Ok(())
    }
}

impl Cost<'_> {
    /// The cost of each candidate from where a trial stands, `(candidates)`.
    ///
    /// # Shapes
    /// - `actions`: `(candidates, steps, action channels)`, in the rig's units
    ///
    /// # Errors
    /// [`PlanError::NoGoal`] for a term whose goal is not stated, [`PlanError::Model`].
    pub fn of(&self, from: &Standpoint, actions: &Tensor, seed: Seed) -> Result<Tensor> {
        let terms = self.terms_of(from, actions, seed)?;
        let none = Tensor::zeros(actions.dim(0)?, actions.dtype(), actions.device())?;
        terms.iter().try_fold(none, |sum, term| Ok((sum + term)?))
    }

    /// What each term adds to the cost of each candidate, `(candidates)` each.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn terms_of(&self, from: &Standpoint, actions: &Tensor, seed: Seed) -> Result<Vec<Tensor>> {
        let futures = from.futures(self.model, actions, seed.index(0))?;
        let weigh = |term: &Term| {
            let (weight, value) = match term {
                Term::Success { weight, over } => (weight, taken(&futures.log_odds.neg()?, *over)?),
                Term::GoalImage { weight, distance, over } => {
                    (weight, self.picture(from, &futures, *distance, *over)?)
                }
                Term::GoalState { weight, over } => (weight, self.state(&futures, *over)?),
                Term::Magnitude { weight } => {
                    (weight, self.limits.unit_from_actions(actions)?.sqr()?.mean((1, 2))?)
                }
                Term::Smoothness { weight } => (weight, self.roughness(actions)?),
                Term::KeepOut { weight, low, high } => (weight, depth(&futures, low, high)?),
                Term::Uncertainty { weight, draws } => {
                    (weight, self.disagreement(from, &futures, actions, seed, *draws)?)
                }
            };
            Ok(value.affine(*weight, 0.0)?)
        };
        self.terms.iter().map(weigh).collect()
    }

    fn picture(
        &self,
        from: &Standpoint,
        futures: &Futures,
        distance: Distance,
        over: Over,
    ) -> Result<Tensor> {
        let goal = self.goal.latents.as_ref().ok_or(PlanError::NoGoal { what: "picture" })?;
        let kept = futures.latents.dim(D::Minus1)?;
        let goal = leading(goal, kept)?;
        let scale = leading(self.model.tokenizer.scale(), kept)?;
        let apart = |latents: &Tensor| -> Result<Tensor> {
            let apart = latents.broadcast_sub(&goal)?;
            Ok(match distance {
                Distance::L1 => apart.abs()?.mean((D::Minus2, D::Minus1))?,
                Distance::L2 => {
                    let pixels = apart.broadcast_mul(&scale)?;
                    (pixels.sqr()?.mean((D::Minus2, D::Minus1))? + 1e-12)?.sqrt()?
                }
            })
        };
        let now = apart(&leading(&from.now()?, kept)?)?.to_vec1::<f32>()?[0];
        let each = apart(&futures.latents)?;
        Ok(taken(&each, over)?.affine(1.0 / f64::from(now).max(LEAST_DISTANCE), 0.0)?)
    }

    fn state(&self, futures: &Futures, over: Over) -> Result<Tensor> {
        let goal = self.goal.state.as_ref().ok_or(PlanError::NoGoal { what: "proprioception" })?;
        let device = futures.states.device();
        let count = goal.iter().flatten().count().max(1);
        let counts = goal
            .iter()
            .map(|value| if value.is_some() { 1.0 / count as f32 } else { 0.0 })
            .collect::<Vec<_>>();
        let counts = Tensor::new(counts, device)?;
        let goal = goal.iter().map(|value| value.unwrap_or(0.0)).collect::<Vec<_>>();
        let apart = futures.states.broadcast_sub(&Tensor::new(goal, device)?)?;
        let apart = apart.broadcast_div(&self.model.statistics.state_scale)?.abs()?;
        taken(&apart.broadcast_mul(&counts)?.sum(D::Minus1)?, over)
    }

    fn roughness(&self, actions: &Tensor) -> Result<Tensor> {
        let unit = self.limits.unit_from_actions(actions)?;
        let steps = unit.dim(1)?;
        if steps < 2 {
            return Ok(Tensor::zeros(unit.dim(0)?, unit.dtype(), unit.device())?);
        }
        let change = (unit.narrow(1, 1, steps - 1)? - unit.narrow(1, 0, steps - 1)?)?;
        Ok(change.sqr()?.mean((1, 2))?)
    }

    fn disagreement(
        &self,
        from: &Standpoint,
        first: &Futures,
        actions: &Tensor,
        seed: Seed,
        draws: usize,
    ) -> Result<Tensor> {
        let mut all = vec![first.latents.clone()];
        for draw in 1..draws {
            all.push(from.futures(self.model, actions, seed.index(draw as u64))?.latents);
        }
        let all = Tensor::stack(&all, 0)?.broadcast_mul(self.model.tokenizer.scale())?;
        let mean = all.mean(0)?;
        let energy = |tensor: &Tensor| -> Result<Tensor> {
            Ok(tensor.sqr()?.mean((D::Minus2, D::Minus1))?.mean(D::Minus1)?)
        };
        let spread = energy(&all.broadcast_sub(&mean.unsqueeze(0)?)?)?.mean(0)?;
        let now = from.now()?.broadcast_mul(self.model.tokenizer.scale())?;
        let change = energy(&mean.broadcast_sub(&now)?)?;
        Ok((spread / (change + LEAST_DISTANCE)?)?.sqrt()?)
    }
}

/// `(candidates, steps)` to `(candidates)`.
fn taken(each: &Tensor, over: Over) -> Result<Tensor> {
    Ok(match over {
        Over::Last => each.narrow(1, each.dim(1)? - 1, 1)?.squeeze(1)?,
        Over::Mean => each.mean(1)?,
        Over::Best => each.min(1)?,
    })
}

/// The first `kept` coefficients, which show most of a picture.
fn leading(latents: &Tensor, kept: usize) -> Result<Tensor> {
    Ok(latents.narrow(D::Minus1, 0, kept)?.contiguous()?)
}

/// How deep the states go into a box, 0 outside and 1 in its middle, mean over the steps.
fn depth(futures: &Futures, low: &[f32], high: &[f32]) -> Result<Tensor> {
    let device = futures.states.device();
    let row = |f: &dyn Fn(f32, f32) -> f32| {
        let values = low.iter().zip(high).map(|(&low, &high)| f(low, high)).collect::<Vec<_>>();
        Tensor::new(values, device)
    };
    let (middle, half) = (row(&|a, b| 0.5 * (a + b))?, row(&|a, b| 0.5 * (b - a))?);
    let inside = futures
        .states
        .narrow(2, 0, low.len())?
        .broadcast_sub(&middle)?
        .broadcast_div(&half)?
        .abs()?
        .affine(-1.0, 1.0)?
        .min(D::Minus1)?
        .relu()?;
    Ok(inside.mean(1)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn futures(states: &[[f32; 2]]) -> Futures {
        let device = &Device::Cpu;
        let flat = states.concat();
        let states = Tensor::from_vec(flat, (1, states.len(), 2), device).unwrap();
        let none = Tensor::zeros((1, 1), candle_core::DType::F32, device).unwrap();
        Futures { latents: none.clone(), states, log_odds: none }
    }

    #[test]
    fn depth_in_a_box_is_the_share_of_the_way_to_its_middle() {
        // In the middle, half way in by the first channel, and outside.
        let futures = futures(&[[1.0, 5.0], [0.5, 5.0], [3.0, 5.0]]);
        let depth = depth(&futures, &[0.0], &[2.0]).unwrap().to_vec1::<f32>().unwrap();
        assert!((depth[0] - 0.5).abs() < 1e-6, "{depth:?}");
        // The channel that is nearest to a side counts.
        let both = super::depth(&futures, &[0.0, 4.9], &[2.0, 5.9]).unwrap();
        assert!((both.to_vec1::<f32>().unwrap()[0] - 0.4 / 3.0).abs() < 1e-5, "{both}");
    }

    #[test]
    fn the_last_frame_the_mean_or_the_best_is_taken() {
        let each = Tensor::new(&[[2.0_f32, 1.0, 6.0]], &Device::Cpu).unwrap();
        assert_eq!(taken(&each, Over::Last).unwrap().to_vec1::<f32>().unwrap(), [6.0]);
        assert_eq!(taken(&each, Over::Mean).unwrap().to_vec1::<f32>().unwrap(), [3.0]);
        assert_eq!(taken(&each, Over::Best).unwrap().to_vec1::<f32>().unwrap(), [1.0]);
    }

    #[test]
    fn what_cannot_be_weighed_is_refused() {
        assert!(Term::Success { weight: f64::NAN, over: Over::Best }.validate(2).is_err());
        assert!(Term::Uncertainty { weight: 1.0, draws: 1 }.validate(2).is_err());
        let region = |low: &[f32], high: &[f32]| {
            Term::KeepOut { weight: 1.0, low: low.to_vec(), high: high.to_vec() }.validate(2)
        };
        assert!(region(&[0.0], &[1.0]).is_ok());
        assert!(region(&[1.0], &[0.0]).is_err());
        assert!(region(&[0.0, 0.0, 0.0], &[1.0, 1.0, 1.0]).is_err());
    }
}
