//! The whole model: every part, built from one set of named tensors.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::observation::Observation;

use crate::conditions::condition_values;
use crate::config::ModelConfig;
use crate::error::{ModelError, Result};
use crate::expert::{Expert, ExpertShape};
use crate::experts::Experts;
use crate::instruction::{InstructionEncoder, Reader};
use crate::judge::Judge;
use crate::partition::MAX_BASE_CHUNKS;
use crate::router::{Router, RouterShape, pending_values};
use crate::state_model::StateModel;
use crate::statistics::{Statistics, motion_channels};
use crate::tokenizer::{Layout, Tokenizer};

/// The action-conditioned LongScape model of one rig.
#[derive(Debug)]
pub struct WorldModel {
    /// Sizes and constants.
    pub config: ModelConfig,
    /// The rig whose logs it was trained on.
    pub embodiment: Embodiment,
    /// Frames to latents and back.
    pub tokenizer: Tokenizer,
    /// Scales of the rig's numbers.
    pub statistics: Statistics,
    /// Instructions to vectors.
    pub instruction: InstructionEncoder,
    /// Proprioception from actions.
    pub state: StateModel,
    /// Pixels from context, actions and proprioception.
    pub experts: Experts,
    /// Which expert comes next.
    pub router: Router,
    /// Whether the task is done.
    pub judge: Judge,
}

impl WorldModel {
    /// Builds the model for a rig from the tensors of `vb`, with all experts in memory.
    ///
    /// # Errors
    /// [`ModelError::Config`] or [`ModelError::Size`] if config or rig cannot be used,
    /// [`ModelError::Tensor`] if a tensor is missing or has another shape.
    pub fn new(
        config: &ModelConfig,
        embodiment: &Embodiment,
        vb: &VarBuilder<'static>,
    ) -> Result<Self> {
        let shape = expert_shape(config, embodiment)?;
        let experts = (0..MAX_BASE_CHUNKS)
            .map(|index| Ok(Arc::new(Expert::new(shape, &vb.pp("experts").pp(index))?)))
            .collect::<Result<_>>()?;
        Self::with_experts(config, embodiment, Experts::All(experts), vb)
    }

    /// As [`new`](Self::new), with experts from elsewhere.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_experts(
        config: &ModelConfig,
        embodiment: &Embodiment,
        experts: Experts,
        vb: &VarBuilder<'static>,
    ) -> Result<Self> {
        let shape = expert_shape(config, embodiment)?;
        let (patches, coefficients) = (shape.patches, shape.coefficients);
        let layout = Layout::new(&config.tokens, &embodiment.cameras)?;
        let statistics = Statistics::new(embodiment, patches, coefficients, &vb.pp("statistics"))?;
        let words = config.instruction.width;
        // Both encoders ask the same T5, which reads an instruction once.
        let reader = Reader::new(&config.instruction, vb)?;
        let (actions, states) = (embodiment.actions.len(), embodiment.proprioception.len());
        let router = RouterShape {
            patches,
            coefficients,
            instruction: words,
            pending: pending_values(actions, states, motion_channels(embodiment).len()),
        };
        Ok(Self {
            tokenizer: Tokenizer::new(&config.tokens, layout, &vb.pp("tokenizer"))?,
            instruction: InstructionEncoder::new(
                &config.instruction,
                &reader,
                &vb.pp("instruction"),
            )?,
            state: StateModel::new(
                &config.state,
                (&config.instruction, &reader),
                &statistics,
                &vb.pp("state"),
            )?,
            experts,
            router: Router::new(&config.router, router, &vb.pp("router"))?,
            judge: Judge::new(
                config.judge.width,
                words,
                config.state.forecast > 0,
                &statistics,
                &vb.pp("judge"),
            )?,
            statistics,
            config: config.clone(),
            embodiment: embodiment.clone(),
        })
    }

    /// Where the model computes.
    pub fn device(&self) -> &Device {
        self.statistics.device()
    }

    /// Latents of what is seen, `(1, patches, coefficients)`.
    ///
    /// # Errors
    /// [`ModelError::Size`] for a missing camera or an image of another size.
    pub(crate) fn latents_of(&self, observation: &Observation) -> Result<Tensor> {
        let patches = self.tokenizer.layout().patches_of(observation)?;
        self.tokenizer.encode(patches, 1, self.device())
    }

    /// Measured proprioception as a tensor, `(1, channels)`.
    ///
    /// # Errors
    /// [`ModelError::Size`] for another number of channels, [`ModelError::NotFinite`].
    pub(crate) fn state_of(&self, proprioception: &[f32]) -> Result<Tensor> {
        let channels = self.embodiment.proprioception.len();
        if proprioception.len() != channels {
            return Err(ModelError::size("proprioception", channels, proprioception.len()));
        }
        if proprioception.iter().any(|value| !value.is_finite()) {
            let what = "proprioception of an observation".to_owned();
            return Err(ModelError::NotFinite { what, place: None });
        }
        Ok(Tensor::from_slice(proprioception, (1, channels), self.device())?)
    }

    /// Latents from a chunk that the flow made: the difference to the last context frame, in the
    /// experts' scale, added to that frame.
    ///
    /// # Shapes
    /// - `tokens`: `(batch, groups, patches, pack × coefficients)`
    /// - `last`: `(batch, patches, coefficients)`
    /// - returns: `(batch, frames, patches, coefficients)`
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn latents_from_flow(&self, tokens: &Tensor, last: &Tensor) -> Result<Tensor> {
        let change = self.tokenizer.unpack(tokens)?.broadcast_mul(&self.statistics.flow_scale)?;
        Ok(change.broadcast_add(&last.unsqueeze(1)?)?)
    }

    /// The inverse of [`latents_from_flow`](Self::latents_from_flow): what the flow is trained
    /// to reach.
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn flow_from_latents(&self, latents: &Tensor, last: &Tensor) -> Result<Tensor> {
        let change = latents.broadcast_sub(&last.unsqueeze(1)?)?;
        self.tokenizer.pack(&change.broadcast_div(&self.statistics.flow_scale)?)
    }

    /// A foreseen picture as the experts read it: its difference to the last context frame, in
    /// their scale, packed.
    ///
    /// # Shapes
    /// - `picture`: `(batch, frames, patches, foreseen coefficients)`
    /// - `last`: `(batch, patches, coefficients)`
    /// - returns: `(batch, groups, patches, pack × foreseen coefficients)`
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn foreseen_tokens(&self, picture: &Tensor, last: &Tensor) -> Result<Tensor> {
        let kept = picture.dim(3)?;
        let last = last.narrow(2, 0, kept)?.contiguous()?.unsqueeze(1)?;
        let scale = self.statistics.flow_scale.narrow(1, 0, kept)?.contiguous()?;
        self.tokenizer.pack(&picture.broadcast_sub(&last)?.broadcast_div(&scale)?)
    }
}

/// The sizes of the experts for a rig.
///
/// # Errors
/// [`ModelError::Config`] or [`ModelError::Size`] if config or rig cannot be used.
pub fn expert_shape(config: &ModelConfig, embodiment: &Embodiment) -> Result<ExpertShape> {
    config.validate()?;
    embodiment.validate().map_err(|error| ModelError::size("the rig", "a valid one", error))?;
    let (actions, states) = (embodiment.actions.len(), embodiment.proprioception.len());
    if states == 0 {
        return Err(ModelError::size("the rig", "proprioception", "none"));
    }
    let layout = Layout::new(&config.tokens, &embodiment.cameras)?;
    Ok(ExpertShape {
        patches: layout.patches(),
        coefficients: config.tokens.coefficients,
        pack: config.tokens.pack,
        context_groups: config.expert.context / config.tokens.pack,
        conditions: condition_values(config.tokens.pack, actions, states),
        foreseen: config.state.forecast,
        instruction: config.instruction.width,
        width: config.expert.width,
        layers: config.expert.layers,
        heads: config.expert.heads,
        expansion: config.expert.expansion,
        condition: config.expert.condition,
    })
}
