//! The router: which expert imagines the next chunk (LongScape, eq. 3 and 4).
//!
//! Beside the paper's inputs, the instruction and the last frame, it sees the pending actions
//! and the proprioception predicted from them, a token per pending base chunk.

use candle_core::{D, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::config::RouterConfig;
use crate::error::Result;
use crate::nn::{Linear, linear, linear_zero, ops};
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS};

/// A cross-attention network over instruction, last frame and pending actions.
#[derive(Clone, Debug)]
pub struct Router {
    heads: usize,
    pending: Linear,
    place: Tensor,
    frame: Linear,
    patch: Tensor,
    instruction: Linear,
    query: Linear,
    key_value: Linear,
    output: Linear,
    up: Linear,
    down: Linear,
    head: Linear,
}

/// Sizes of what the router sees.
#[derive(Clone, Copy, Debug)]
pub struct RouterShape {
    /// Patches of a frame.
    pub patches: usize,
    /// Coefficients of a patch.
    pub coefficients: usize,
    /// Width of the instruction's vectors.
    pub instruction: usize,
    /// Values of a pending base chunk, from [`pending_values`].
    pub pending: usize,
}

/// Values that describe one pending base chunk: actions, predicted motion, range of motion so
/// far per motion channel over its typical amplitude, gripper change, and whether it is there.
pub fn pending_values(actions: usize, states: usize, motion: usize) -> usize {
    BASE_CHUNK * (actions + states) + motion + 2
}

impl Router {
    /// Loads the router below `vb`.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(config: &RouterConfig, shape: RouterShape, vb: &VarBuilder<'_>) -> Result<Self> {
        let RouterConfig { width, heads } = *config;
        let small = Init::Randn { mean: 0.0, stdev: 0.1 };
        Ok(Self {
            heads,
            pending: linear(shape.pending, width, &vb.pp("pending"))?,
            place: vb.get_with_hints((MAX_BASE_CHUNKS, width), "place", small)?,
            frame: linear(shape.coefficients, width, &vb.pp("frame"))?,
            patch: vb.get_with_hints((shape.patches, width), "patch", small)?,
            instruction: linear(shape.instruction, width, &vb.pp("instruction"))?,
            query: linear(width, width, &vb.pp("query"))?,
            key_value: linear(width, 2 * width, &vb.pp("key_value"))?,
            output: linear(width, width, &vb.pp("output"))?,
            up: linear(width, 4 * width, &vb.pp("up"))?,
            down: linear(4 * width, width, &vb.pp("down"))?,
            head: linear_zero(MAX_BASE_CHUNKS * width, MAX_BASE_CHUNKS, &vb.pp("head"))?,
        })
    }

    /// Scores of the experts, before the mask of what the pending actions allow.
    ///
    /// # Shapes
    /// - `last`: latents of the last frame, `(batch, patches, coefficients)`
    /// - `instruction`: `(batch, words, instruction width)`
    /// - `pending`: `(batch, 4, pending values)`
    /// - returns: `(batch, 4)`
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn forward(&self, last: &Tensor, instruction: &Tensor, pending: &Tensor) -> Result<Tensor> {
        let queries = self.pending.forward(pending)?.broadcast_add(&self.place)?;
        let frame = self.frame.forward(last)?.broadcast_add(&self.patch)?;
        let words = self.instruction.forward(instruction)?;
        let seen = ops::norm(&Tensor::cat(&[&queries, &frame, &words], 1)?)?;
        let key_value = self.key_value.forward(&seen)?;
        let width = key_value.dim(2)? / 2;
        let k = key_value.narrow(2, 0, width)?.contiguous()?;
        let v = key_value.narrow(2, width, width)?.contiguous()?;
        let q = self.query.forward(&ops::norm(&queries)?)?;
        let attended = self.output.forward(&ops::attention(&q, &k, &v, self.heads)?)?;
        let x = (queries + attended)?;
        let hidden = ops::gelu(&self.up.forward(&ops::norm(&x)?)?)?;
        let x = ops::norm(&(x + self.down.forward(&hidden)?)?)?;
        Ok(self.head.forward(&x.flatten_from(1)?)?)
    }

    /// The best expert of each row among the first `allowed[row]` ones.
    ///
    /// # Errors
    /// A tensor error if the scores are not `(batch, 4)`.
    pub fn choose(scores: &Tensor, allowed: &[usize]) -> Result<Vec<usize>> {
        Ok(scores
            .to_vec2::<f32>()?
            .iter()
            .zip(allowed)
            .map(|(row, &allowed)| {
                let allowed = allowed.clamp(1, row.len());
                // The first of equals, so that the choice is the same everywhere.
                (0..allowed).fold(0, |best, i| if row[i] > row[best] { i } else { best })
            })
            .collect())
    }
}

/// Cross-entropy of the right experts (LongScape, eq. 3).
///
/// # Shapes
/// - `scores`: `(batch, 4)`
/// - `labels`: `(batch)` u32
///
/// # Errors
/// A tensor error if a shape disagrees.
pub fn routing_loss(scores: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let log = candle_nn::ops::log_softmax(scores, D::Minus1)?;
    Ok(log.gather(&labels.unsqueeze(1)?, 1)?.mean_all()?.neg()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_choice_is_masked_to_what_is_pending() {
        let scores =
            Tensor::new(&[[0.0_f32, 1.0, 2.0, 3.0], [5.0, 1.0, 5.0, 0.0]], &Device::Cpu).unwrap();
        assert_eq!(Router::choose(&scores, &[4, 4]).unwrap(), [3, 0]);
        assert_eq!(Router::choose(&scores, &[2, 0]).unwrap(), [1, 0]);
    }

    #[test]
    fn the_loss_of_even_scores_is_the_logarithm_of_four() {
        let scores = Tensor::zeros((2, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let labels = Tensor::new(&[0_u32, 3], &Device::Cpu).unwrap();
        let loss = routing_loss(&scores, &labels).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss - 4.0_f32.ln()).abs() < 1e-6);
    }
}
