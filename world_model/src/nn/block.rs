//! The transformer block: adaptive normalisation, attention with cached context, MLP.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::nn::{Linear, linear, linear_zero, ops};

/// Keys and values of a block that later tokens attend to, each `(batch, keys, width)`.
#[derive(Clone, Debug)]
pub struct Cache {
    /// Keys.
    pub k: Tensor,
    /// Values.
    pub v: Tensor,
}

/// An array's own queries, keys and values in a block.
#[derive(Clone, Debug)]
pub struct OwnTokens(Tensor);

impl OwnTokens {
    /// The keys and values, for tokens that come later.
    ///
    /// # Errors
    /// A tensor error.
    pub fn cache(&self) -> Result<Cache> {
        let width = self.0.dim(2)? / 3;
        let part = |i: usize| self.0.narrow(2, i * width, width)?.contiguous();
        Ok(Cache { k: part(1)?, v: part(2)? })
    }
}

/// The six vectors that modulate a block, `(batch, groups, width)` each.
#[derive(Clone, Debug)]
pub struct Modulation([Tensor; 6]);

/// A transformer block with adaptive layer normalisation (`adaLN-Zero`).
#[derive(Clone, Debug)]
pub struct Block {
    heads: usize,
    modulation: Linear,
    qkv: Linear,
    output: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    /// Loads a block of `width`, modulated by vectors of `condition`.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(
        width: usize,
        heads: usize,
        expansion: usize,
        condition: usize,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        Ok(Self {
            heads,
            modulation: linear_zero(condition, 6 * width, &vb.pp("modulation"))?,
            qkv: linear(width, 3 * width, &vb.pp("qkv"))?,
            output: linear(width, width, &vb.pp("output"))?,
            up: linear(width, expansion * width, &vb.pp("up"))?,
            down: linear(expansion * width, width, &vb.pp("down"))?,
        })
    }

    /// The modulation of this block by `condition`, `(batch, groups, condition)`, already
    /// activated.
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn modulation(&self, condition: &Tensor) -> Result<Modulation> {
        let all = self.modulation.forward(condition)?;
        let width = all.dim(2)? / 6;
        let part = |i: usize| all.narrow(2, i * width, width)?.contiguous();
        Ok(Modulation([part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, part(5)?]))
    }

    /// One pass.
    ///
    /// # Shapes
    /// - `x`: `(batch, groups, tokens, width)`
    /// - `context`: keys and values that every token attends to beside its own array's
    /// - returns: as `x`, and this array's own keys and values, for later tokens
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn forward(
        &self,
        x: &Tensor,
        modulation: &Modulation,
        context: &Cache,
    ) -> Result<(Tensor, OwnTokens)> {
        let (batch, groups, tokens, width) = x.dims4()?;
        let Modulation([_, _, gate_a, shift_m, scale_m, gate_m]) = modulation;
        let own = self.own_tokens(x, modulation)?;
        let attended = self
            .output
            .forward(&ops::self_attention(&own.0, &context.k, &context.v, self.heads)?)?;
        let x = ops::gated_add(x, gate_a, &attended.reshape((batch, groups, tokens, width))?)?;
        let normed = ops::modulated_norm(&x, shift_m, scale_m)?;
        let hidden = ops::gelu(&self.up.forward(&normed)?)?;
        let x = ops::gated_add(&x, gate_m, &self.down.forward(&hidden)?)?;
        Ok((x, own))
    }

    /// An array's own queries, keys and values alone, for tokens that come later; see
    /// [`forward`](Self::forward).
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn own_tokens(&self, x: &Tensor, modulation: &Modulation) -> Result<OwnTokens> {
        let (batch, groups, tokens, width) = x.dims4()?;
        let Modulation([shift, scale, ..]) = modulation;
        let normed = ops::modulated_norm(x, shift, scale)?;
        Ok(OwnTokens(self.qkv.forward(&normed.reshape((batch, groups * tokens, width))?)?))
    }
}
