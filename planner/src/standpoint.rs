//! Where a trial stands, to the model that a planner thinks with, and what it is imagined with.

use candle_core::Tensor;
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::seed::Seed;
use rehearse_world_model::foresight::Foresight;
use rehearse_world_model::futures::Futures;
use rehearse_world_model::model::WorldModel;
use rehearse_world_model::rollout::Dream;
use rehearse_world_model::routing::Routing;
use rehearse_world_model::state_model::StateMemory;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::steering::Steering;

/// What candidates are imagined with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Imagine {
    /// The whole model: memory, pixel experts and judge.
    #[default]
    Full,
    /// The recurrent memory alone: proprioception, the coarse picture, foreseen success. Without
    /// the experts' work a plan may span a whole task. It draws nothing, so that its draws cannot
    /// disagree.
    Foreseen,
}

/// Where a trial stands: what was seen and done so far.
#[derive(Clone, Debug)]
pub enum Standpoint {
    /// To the whole model.
    Dream(Box<Dream>),
    /// To its memory alone.
    Foresight(Box<Foresight>),
}

impl Standpoint {
    /// The beginning of a trial.
    ///
    /// # Errors
    /// [`PlanError::Model`](crate::PlanError::Model) for an observation that does not fit the
    /// model's rig, or a model that foresees nothing.
    pub fn begin(
        imagine: Imagine,
        model: &WorldModel,
        observation: &Observation,
        instruction: &str,
        seed: Seed,
    ) -> Result<Self> {
        Ok(match imagine {
            Imagine::Full => {
                Self::Dream(Box::new(Dream::begin(model, observation, instruction, seed)?))
            }
            Imagine::Foreseen => {
                Self::Foresight(Box::new(Foresight::begin(model, observation, instruction)?))
            }
        })
    }

    /// Moves on by executed actions, `steps × action channels`, to what was then seen.
    ///
    /// # Errors
    /// [`PlanError::Model`](crate::PlanError::Model) if either does not fit the model's rig.
    pub fn follow(
        &mut self,
        model: &WorldModel,
        executed: &[f32],
        observation: &Observation,
    ) -> Result<()> {
        match self {
            Self::Dream(dream) => {
                if !executed.is_empty() {
                    model.imagine(vec![(dream, executed)], Routing::Learned)?;
                }
                dream.observe(model, observation)?;
            }
            Self::Foresight(foresight) => {
                if !executed.is_empty() {
                    foresight.advance(model, executed)?;
                }
                foresight.observe(model, observation)?;
            }
        }
        Ok(())
    }

    /// Where each of several action sequences, `(candidates, steps, action channels)`, leads.
    ///
    /// # Errors
    /// [`PlanError::Model`](crate::PlanError::Model) for actions of another size.
    pub fn futures(&self, model: &WorldModel, actions: &Tensor, seed: Seed) -> Result<Futures> {
        Ok(match self {
            Self::Dream(dream) => model.futures(dream, actions, seed)?,
            Self::Foresight(foresight) => foresight.futures(model, actions)?,
        })
    }

    /// The actions of each of several sequences of commands, both
    /// `(candidates, steps, action channels)`, as the memory predicts the hand.
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn steer(
        &self,
        model: &WorldModel,
        steering: &Steering,
        commands: &Tensor,
    ) -> Result<Tensor> {
        if steering.waypoints().is_empty() {
            return Ok(commands.clone());
        }
        let (count, steps, _channels) = commands.dims3()?;
        let act = |step: usize, state: &Tensor| {
            Ok(steering.actions(&commands.narrow(1, step, 1)?.squeeze(1)?, state)?)
        };
        Ok(model.state.steer(&self.memory().repeat(count)?, steps, act)?)
    }

    /// What the recurrent state model remembers.
    pub fn memory(&self) -> &StateMemory {
        match self {
            Self::Dream(dream) => dream.memory(),
            Self::Foresight(foresight) => foresight.memory(),
        }
    }

    /// Latents of the present frame, `(1, patches, coefficients)`.
    ///
    /// # Errors
    /// A tensor error.
    pub fn now(&self) -> Result<Tensor> {
        Ok(match self {
            Self::Dream(dream) => dream.now()?,
            Self::Foresight(foresight) => foresight.now().clone(),
        })
    }
}
