//! What the experts know of trials before they draw on: the first frame and the last ones.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::model::WorldModel;
use crate::nn::ops::repeat_rows;

/// What experts go by, batch first.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// `(batch, 1 + words, width)`.
    pub instruction: Tensor,
    /// Latents of the first frame, `(batch, patches, coefficients)`.
    pub first: Tensor,
    /// Proprioception at it, `(batch, channels)`.
    pub first_state: Tensor,
    /// Latents of the last frames, `(batch, context, patches, coefficients)`.
    pub recent: Tensor,
    /// Proprioception at these, `(batch, context, channels)`.
    pub recent_states: Tensor,
    /// The actions that led to these, normalised; 0 before the first.
    pub recent_actions: Tensor,
}

impl Known {
    /// What is known at the start of trials: the first frame stands still, and no action led to it.
    ///
    /// # Shapes
    /// - `first`: latents, `(batch, patches, coefficients)`
    /// - `state`: `(batch, channels)`
    /// - `instruction`: `(batch, 1 + words, width)`
    pub fn new(
        model: &WorldModel,
        first: &Tensor,
        state: &Tensor,
        instruction: Tensor,
    ) -> Result<Self> {
        let context = model.config.expert.context;
        let actions = model.embodiment.actions.len();
        let (batch, patches, coefficients) = first.dims3()?;
        let channels = state.dim(1)?;
        let still = |tensor: &Tensor, shape: &[usize]| {
            tensor.unsqueeze(1)?.broadcast_as(shape)?.contiguous()
        };
        Ok(Self {
            instruction,
            recent: still(first, &[batch, context, patches, coefficients])?,
            recent_states: still(state, &[batch, context, channels])?,
            recent_actions: Tensor::zeros((batch, context, actions), DType::F32, model.device())?,
            first: first.clone(),
            first_state: state.clone(),
        })
    }

    fn map(parts: &[&Self], f: impl Fn(&[&Tensor]) -> candle_core::Result<Tensor>) -> Result<Self> {
        let of = |field: fn(&Self) -> &Tensor| {
            f(&parts.iter().map(|part| field(part)).collect::<Vec<_>>())
        };
        Ok(Self {
            instruction: of(|known| &known.instruction)?,
            first: of(|known| &known.first)?,
            first_state: of(|known| &known.first_state)?,
            recent: of(|known| &known.recent)?,
            recent_states: of(|known| &known.recent_states)?,
            recent_actions: of(|known| &known.recent_actions)?,
        })
    }

    /// Latents of the last frame, `(batch, patches, coefficients)`.
    pub fn last(&self) -> Result<Tensor> {
        Ok(self.recent.narrow(1, self.recent.dim(1)? - 1, 1)?.squeeze(1)?.contiguous()?)
    }

    /// Puts a frame that was seen, `(batch, 1, …)`, in the place of the last one.
    pub fn correct(&mut self, latents: &Tensor, states: &Tensor) -> Result<()> {
        let replace = |old: &Tensor, new: &Tensor| {
            Tensor::cat(&[&old.narrow(1, 0, old.dim(1)? - 1)?, new], 1)
        };
        self.recent = replace(&self.recent, latents)?;
        self.recent_states = replace(&self.recent_states, states)?;
        Ok(())
    }

    /// Several batches as one.
    pub fn cat(parts: &[&Self]) -> Result<Self> {
        Self::map(parts, |tensors| Tensor::cat(tensors, 0))
    }

    /// One trial as a batch of `count` alike.
    pub fn repeat(&self, count: usize) -> Result<Self> {
        Self::map(&[self], |tensors| repeat_rows(tensors[0], count))
    }

    /// Takes in frames that follow, each `(batch, used, …)`; actions are normalised.
    pub fn advance(&mut self, latents: &Tensor, states: &Tensor, actions: &Tensor) -> Result<()> {
        let slide = |old: &Tensor, new: &Tensor| {
            let keep = old.dim(1)?;
            let both = Tensor::cat(&[old, new], 1)?;
            both.narrow(1, both.dim(1)? - keep, keep)?.contiguous()
        };
        self.recent = slide(&self.recent, latents)?;
        self.recent_states = slide(&self.recent_states, states)?;
        self.recent_actions = slide(&self.recent_actions, actions)?;
        Ok(())
    }
}
