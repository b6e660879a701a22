//! What the memory foresees beside proprioception: the coarse picture, and success.
//!
//! Both are read off the recurrent memory, which was trained through whole episodes. A flow model
//! learns a chunk at a time and is quick to make a missed grasp a grasp; the memory has seen where
//! the actions led in the end. So the experts are shown its coarse picture before they draw, and
//! the judge of imagination hears its opinion. (The coarse picture plays the part that the
//! recurrent state plays in RSSM world models: Hafner et al., arXiv 1811.04551.)

use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::error::Result;
use crate::nn::{Linear, linear, linear_zero, ops};
use crate::statistics::Statistics;

/// The heads that read the memory.
#[derive(Clone, Debug)]
pub struct Forecast {
    hidden: Linear,
    picture: Linear,
    success: Linear,
    /// Scale of the leading coefficients' change, `(patches, coefficients)`.
    scale: Tensor,
}

/// What is foreseen at some steps.
#[derive(Clone, Debug)]
pub struct Foreseen {
    /// Change of each patch's leading coefficients since the first frame,
    /// `(batch, steps, patches, coefficients)`.
    pub change: Tensor,
    /// Log odds that the task is done, `(batch, steps)`.
    pub success: Tensor,
}

impl Forecast {
    /// Loads the heads below `vb`; they read `memory` values and foresee `coefficients` of each
    /// patch.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(
        memory: usize,
        coefficients: usize,
        statistics: &Statistics,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let scale = statistics.flow_scale.narrow(1, 0, coefficients)?.contiguous()?;
        let patches = scale.dim(0)?;
        Ok(Self {
            hidden: linear(memory, memory, &vb.pp("hidden"))?,
            picture: linear_zero(memory, patches * coefficients, &vb.pp("picture"))?,
            success: linear_zero(memory, 1, &vb.pp("success"))?,
            scale,
        })
    }

    /// What memories foresee, `(batch, steps, memory)`.
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn forward(&self, memories: &Tensor) -> Result<Foreseen> {
        let (batch, steps, _) = memories.dims3()?;
        let (patches, coefficients) = self.scale.dims2()?;
        let x = ops::gelu(&self.hidden.forward(memories)?)?;
        // The map is scaled rather than what it makes: there are more steps than weights.
        let picture = self.picture.scaled(&self.scale.flatten_all()?)?;
        Ok(Foreseen {
            change: picture.forward(&x)?.reshape((batch, steps, patches, coefficients))?,
            success: self.success.forward(&x)?.squeeze(2)?,
        })
    }
}

impl Foreseen {
    /// Leading coefficients at each step, `(batch, steps, patches, coefficients)`.
    ///
    /// # Shapes
    /// - `first`: latents of the first frame, `(batch, patches, all coefficients)`
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn picture(&self, first: &Tensor) -> Result<Tensor> {
        let kept = self.change.dim(3)?;
        let first = first.narrow(2, 0, kept)?.contiguous()?.unsqueeze(1)?;
        Ok(self.change.broadcast_add(&first)?)
    }
}
