//! The operations between the matrix products, plain.
//!
//! Each is one function of tensors, so that a fused kernel can take its place without a change
//! in the layers.

use candle_core::{D, Result, Tensor};

/// Added to the variance before its root in every normalisation.
pub const NORM_EPSILON: f64 = 1e-6;

/// Scaled dot-product attention over `heads` heads, without a mask.
///
/// # Shapes
/// - `q`: `(batch, queries, width)`; heads are consecutive runs of the width
/// - `k`, `v`: `(batch, keys, width)`
/// - returns: `(batch, queries, width)`
///
/// # Errors
/// A tensor error if shapes disagree or `heads` does not divide the width.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (b, queries, width) = q.dims3()?;
    let keys = k.dim(1)?;
    let head = width / heads;
    let split =
        |x: &Tensor, t: usize| x.reshape((b, t, heads, head))?.transpose(1, 2)?.contiguous();
    let (q, k, v) = (split(q, queries)?, split(k, keys)?, split(v, keys)?);
    let scores = (q.matmul(&k.t()?)? * (1.0 / (head as f64).sqrt()))?; // (B, H, Tq, Tk)
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
    weights.matmul(&v)?.transpose(1, 2)?.reshape((b, queries, width))
}

/// Layer normalisation without weights over the last axis, then `× (1 + scale) + shift`.
///
/// # Shapes
/// - `x`: `(batch, groups, tokens, width)`
/// - `shift`, `scale`: `(batch, groups, width)`
///
/// # Errors
/// A tensor error if shapes disagree.
pub fn modulated_norm(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
    norm(x)?.broadcast_mul(&(scale.unsqueeze(2)? + 1.0)?)?.broadcast_add(&shift.unsqueeze(2)?)
}

/// Layer normalisation without weights over the last axis.
///
/// # Errors
/// A tensor error.
pub fn norm(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + NORM_EPSILON)?.sqrt()?)
}

/// `x + gate × y`.
///
/// # Shapes
/// - `x`, `y`: `(batch, groups, tokens, width)`
/// - `gate`: `(batch, groups, width)`
///
/// # Errors
/// A tensor error if shapes disagree.
pub fn gated_add(x: &Tensor, gate: &Tensor, y: &Tensor) -> Result<Tensor> {
    x + y.broadcast_mul(&gate.unsqueeze(2)?)?
}

/// The tanh form of GELU.
///
/// # Errors
/// A tensor error.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.gelu()
}
