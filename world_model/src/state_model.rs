//! Proprioception before pixels: a recurrent network from the first observation and the actions.
//!
//! It runs open loop: its own predictions are fed back, over whole episodes, in training as in a
//! rollout. It is told how far the commanded state runs ahead of the reached one, and it starts
//! from a summary of the first frame, which shows where contact may stop the hand. What else its
//! memory foresees is read off by [`Forecast`].

use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::config::{InstructionConfig, StateConfig};
use crate::error::Result;
use crate::forecast::{Forecast, Foreseen};
use crate::instruction::InstructionEncoder;
use crate::nn::ops::{self, repeat_rows};
use crate::nn::{Gru, Linear, linear, linear_scaled};
use crate::statistics::Statistics;

/// Leading coefficients of each patch that the summary of the scene is made from: the coarse
/// picture, so that few episodes do not suffice to learn them by heart.
const SCENE_COEFFICIENTS: usize = 24;
/// Width of the layer between the coarse picture and its summary, in widths of the summary.
const SCENE_EXPANSION: usize = 3;
/// The lead of the command over the state is given in units of this many steps' motion.
const LEAD_STEPS: f64 = 4.0;

/// The recurrent model of proprioception.
#[derive(Clone, Debug)]
pub struct StateModel {
    scene: Option<Scene>,
    start: Linear,
    gru: Gru,
    output: Linear,
    forecast: Option<Forecast>,
    statistics: Statistics,
}

#[derive(Clone, Debug)]
struct Scene {
    image: Linear,
    summary: Linear,
    /// An encoder of its own: it is trained before the one that the experts share.
    words: InstructionEncoder,
    instruction: Linear,
}

/// What follows from actions.
#[derive(Clone, Debug)]
pub struct Rolled {
    /// Proprioception after each action, `(batch, steps, channels)`, in the rig's units.
    pub states: Tensor,
    /// What is foreseen at each step, of models that foresee.
    pub foreseen: Option<Foreseen>,
    /// The memory after each step.
    pub memories: Vec<StateMemory>,
}

/// What the model remembers of each trial of a batch.
#[derive(Clone, Debug)]
pub struct StateMemory {
    hidden: Tensor,
    state: Tensor,
    commanded: Tensor,
    scene: Option<Tensor>,
}

impl StateModel {
    /// Loads the model below `vb`.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(
        config: &StateConfig,
        instruction: &InstructionConfig,
        statistics: &Statistics,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let StateConfig { width, scene, forecast } = *config;
        let (actions, states) = statistics.commanded.weight.dims2()?;
        let (patches, coefficients) = statistics.flow_scale.dims2()?;
        let seen = patches * coefficients.min(SCENE_COEFFICIENTS);
        Ok(Self {
            scene: (scene > 0)
                .then(|| -> Result<_> {
                    let vb = vb.pp("scene");
                    Ok(Scene {
                        image: linear(seen, SCENE_EXPANSION * scene, &vb.pp("image"))?,
                        summary: linear(SCENE_EXPANSION * scene, scene, &vb.pp("summary"))?,
                        words: InstructionEncoder::new(instruction, &vb.pp("words"))?,
                        instruction: linear(instruction.width, scene, &vb.pp("instruction"))?,
                    })
                })
                .transpose()?,
            start: linear(states + scene, width, &vb.pp("start"))?,
            gru: Gru::new(2 * states + actions + scene, width, &vb.pp("gru"))?,
            output: linear_scaled(width, states, 0.1, &vb.pp("output"))?,
            forecast: (forecast > 0)
                .then(|| Forecast::new(width + scene, forecast, statistics, &vb.pp("forecast")))
                .transpose()?,
            statistics: statistics.clone(),
        })
    }

    /// The memory at the start of trials.
    ///
    /// # Shapes
    /// - `state`: `(batch, proprioceptive channels)`, in the rig's units
    /// - `first`: latents of the first frame, `(batch, patches, coefficients)`
    /// - `instructions`: one per trial
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn begin(
        &self,
        state: &Tensor,
        first: &Tensor,
        instructions: &[&str],
    ) -> Result<StateMemory> {
        let scene = match &self.scene {
            Some(scene) => {
                let kept = first.dim(2)?.min(SCENE_COEFFICIENTS);
                let coarse = first.narrow(2, 0, kept)?.contiguous()?.flatten_from(1)?;
                let words = instructions
                    .iter()
                    .map(|text| scene.words.encode(text, state.device()))
                    .collect::<Result<Vec<_>>>()?;
                let words = InstructionEncoder::pool(&Tensor::stack(&words, 0)?)?;
                let image = ops::gelu(&scene.image.forward(&coarse)?)?;
                let sum = (scene.summary.forward(&image)? + scene.instruction.forward(&words)?)?;
                Some(sum.tanh()?)
            }
            None => None,
        };
        let normal = self.statistics.normal_state(state)?;
        let start = match &scene {
            Some(scene) => Tensor::cat(&[&normal, scene], 1)?,
            None => normal,
        };
        Ok(StateMemory {
            hidden: self.start.forward(&start)?.tanh()?,
            state: state.clone(),
            commanded: state.clone(),
            scene,
        })
    }

    /// What follows from actions.
    ///
    /// # Shapes
    /// - `actions`: `(batch, steps, action channels)`, in the rig's units
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn roll(&self, memory: &StateMemory, actions: &Tensor) -> Result<Rolled> {
        let act = |step: usize, _: &Tensor| Ok(actions.narrow(1, step, 1)?.squeeze(1)?);
        let steps = self.steps(memory, actions.dim(1)?, act)?;
        let foreseen = match &self.forecast {
            Some(forecast) => Some(forecast.forward(&remembered(&steps.memories)?)?),
            None => None,
        };
        Ok(Rolled { states: Tensor::stack(&steps.states, 1)?, foreseen, memories: steps.memories })
    }

    /// The actions of a controller that sees the predicted proprioception at every step,
    /// `(batch, steps, action channels)`.
    ///
    /// `act` is given the step and the proprioception before it, `(batch, channels)`, and returns
    /// actions `(batch, action channels)`, both in the rig's units.
    ///
    /// # Errors
    /// What `act` returns, or a tensor error if a shape disagrees.
    pub fn steer(
        &self,
        memory: &StateMemory,
        steps: usize,
        act: impl FnMut(usize, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        Ok(Tensor::stack(&self.steps(memory, steps, act)?.actions, 1)?)
    }

    fn steps(
        &self,
        memory: &StateMemory,
        steps: usize,
        mut act: impl FnMut(usize, &Tensor) -> Result<Tensor>,
    ) -> Result<Steps> {
        let lead_scale = (&self.statistics.step_scale * LEAD_STEPS)?;
        let mut done = Steps::default();
        let mut memory = memory.clone();
        for step in 0..steps {
            let StateMemory { hidden, state, commanded, scene } = &memory;
            let action = act(step, state)?;
            let commanded = self.statistics.commanded.after(commanded, &action)?;
            let lead = (&commanded - state)?.broadcast_div(&lead_scale)?;
            let normal_action = self.statistics.normal_action(&action)?;
            let position = self.statistics.normal_state(state)?;
            let mut parts = vec![&position, &normal_action, &lead];
            parts.extend(scene);
            let hidden = self.gru.step(&Tensor::cat(&parts, 1)?, hidden)?;
            let change =
                self.output.forward(&hidden)?.broadcast_mul(&self.statistics.step_scale)?;
            memory =
                StateMemory { state: (state + change)?, hidden, commanded, scene: scene.clone() };
            done.actions.push(action);
            done.states.push(memory.state.clone());
            done.memories.push(memory.clone());
        }
        Ok(done)
    }
}

/// What happened step by step; each tensor is `(batch, …)`.
#[derive(Default)]
struct Steps {
    actions: Vec<Tensor>,
    states: Vec<Tensor>,
    memories: Vec<StateMemory>,
}

/// Memory and summary of the scene after each step, `(batch, steps, width + scene)`.
fn remembered(memories: &[StateMemory]) -> Result<Tensor> {
    let steps = memories
        .iter()
        .map(|memory| match &memory.scene {
            Some(scene) => Tensor::cat(&[&memory.hidden, scene], 1),
            None => Ok(memory.hidden.clone()),
        })
        .collect::<candle_core::Result<Vec<_>>>()?;
    Ok(Tensor::stack(&steps, 1)?)
}

impl StateMemory {
    /// Proprioception, `(batch, channels)`.
    pub fn state(&self) -> &Tensor {
        &self.state
    }

    /// Puts what was measured, `(batch, channels)`, in the place of what was predicted. The
    /// command keeps its lead over the state: one that stayed behind would pull the hand back to
    /// where it was thought to be.
    pub(crate) fn correct(&mut self, state: &Tensor) -> Result<()> {
        self.commanded = (&self.commanded + (state - &self.state)?)?;
        self.state = state.clone();
        Ok(())
    }

    /// The memory of one trial, `count` times.
    ///
    /// # Errors
    /// A tensor error if there are several trials.
    pub fn repeat(&self, count: usize) -> Result<Self> {
        Ok(Self {
            hidden: repeat_rows(&self.hidden, count)?,
            state: repeat_rows(&self.state, count)?,
            commanded: repeat_rows(&self.commanded, count)?,
            scene: self.scene.as_ref().map(|scene| repeat_rows(scene, count)).transpose()?,
        })
    }

    /// Puts the memories of several batches into one.
    ///
    /// # Errors
    /// A tensor error if they do not go together.
    pub fn cat(parts: &[&Self]) -> Result<Self> {
        let cat = |field: fn(&Self) -> &Tensor| {
            Tensor::cat(&parts.iter().map(|part| field(part)).collect::<Vec<_>>(), 0)
        };
        let scenes = parts.iter().filter_map(|part| part.scene.as_ref()).collect::<Vec<_>>();
        Ok(Self {
            hidden: cat(|part| &part.hidden)?,
            state: cat(|part| &part.state)?,
            commanded: cat(|part| &part.commanded)?,
            scene: if scenes.is_empty() { None } else { Some(Tensor::cat(&scenes, 0)?) },
        })
    }

    /// The memory of one trial of the batch.
    ///
    /// # Errors
    /// A tensor error past the end of the batch.
    pub fn row(&self, index: usize) -> Result<Self> {
        let row = |tensor: &Tensor| tensor.narrow(0, index, 1);
        Ok(Self {
            hidden: row(&self.hidden)?,
            state: row(&self.state)?,
            commanded: row(&self.commanded)?,
            scene: self.scene.as_ref().map(row).transpose()?,
        })
    }
}
