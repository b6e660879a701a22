//! A gated recurrent unit.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::nn::{Linear, linear, ops};

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

    /// One step.
    ///
    /// # Shapes
    /// - `x`: `(batch, input)`
    /// - `h`: `(batch, width)`
    /// - returns: the new memory, `(batch, width)`
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn step(&self, x: &Tensor, h: &Tensor) -> Result<Tensor> {
        ops::gru_cell(&self.input.forward(x)?, &self.hidden.forward(h)?, h)
    }
}
