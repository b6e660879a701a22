//! A gated recurrent unit.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::nn::{Linear, linear};

/// A gated recurrent unit, in PyTorch's form (the reset gate acts on the hidden map's output).
#[derive(Clone, Debug)]
pub struct Gru {
    width: usize,
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
            width,
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
        let from_x = self.input.forward(x)?;
        let from_h = self.hidden.forward(h)?;
        let width = self.width;
        let gates = candle_nn::ops::sigmoid(
            &(from_x.narrow(1, 0, 2 * width)? + from_h.narrow(1, 0, 2 * width)?)?,
        )?;
        let reset = gates.narrow(1, 0, width)?;
        let update = gates.narrow(1, width, width)?;
        let fresh = (from_x.narrow(1, 2 * width, width)?
            + (reset * from_h.narrow(1, 2 * width, width)?)?)?
        .tanh()?;
        // (1 - z) n + z h
        &fresh + (update * (h - &fresh)?)?
    }
}
