//! A gated recurrent unit.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::nn::ops::{self, Recurrent};
use crate::nn::{Linear, linear};

/// A gated recurrent unit, in PyTorch's form (the reset gate acts on the hidden map's output).
#[derive(Clone, Debug)]
pub struct Gru {
    input: Linear,
    hidden: Linear,
}

impl Gru {
    /// Loads a unit that reads `input` values and remembers `width`.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(input: usize, width: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            input: linear(input, 3 * width, &vb.pp("input"))?,
            hidden: linear(width, 3 * width, &vb.pp("hidden"))?,
        })
    }

    /// The map from what the unit reads to its gates.
    pub fn input(&self) -> &Linear {
        &self.input
    }

    /// All steps, while what `output` makes of the memory adds up and is read again.
    ///
    /// # Shapes
    /// - `known`: what goes into the gates of each step beside that, `(batch, steps, 3 × width)`
    /// - `h`: the memory at the start, `(batch, width)`
    /// - `feedback`: from the sum of outputs to the gates, `(outputs, 3 × width)`
    /// - returns: the memory after each step, `(batch, steps, width)`, and the sum,
    ///   `(batch, steps, outputs)`
    ///
    /// # Errors
    /// A tensor error if a shape disagrees, or without a step.
    pub fn roll(
        &self,
        known: &Tensor,
        h: &Tensor,
        feedback: &Tensor,
        output: &Linear,
    ) -> Result<(Tensor, Tensor)> {
        let weights = Recurrent {
            hidden: self.hidden.weight(),
            hidden_bias: self.hidden.bias(),
            feedback,
            output: output.weight(),
            output_bias: output.bias(),
        };
        let both = ops::recurrence(known, h, &weights)?;
        let (width, outputs) = (h.dim(1)?, feedback.dim(0)?);
        Ok((both.narrow(2, 0, width)?.contiguous()?, both.narrow(2, width, outputs)?.contiguous()?))
    }
}
