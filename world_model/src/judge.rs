//! The judge head: how likely the task is done in a frame.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use crate::error::Result;
use crate::nn::{Linear, linear, ops};
use crate::statistics::Statistics;

/// A small head on latents of the current and the first frame, proprioception and instruction.
#[derive(Clone, Debug)]
pub struct Judge {
    frame: Linear,
    state: Linear,
    instruction: Linear,
    hidden: Linear,
    head: Linear,
    /// Platt's slope and offset, one value each.
    slope: Tensor,
    offset: Tensor,
    statistics: Statistics,
}

/// What the judge looks at, batch first.
#[derive(Clone, Debug)]
pub struct JudgeInput<'a> {
    /// Latents of the frame, `(batch, patches, coefficients)`.
    pub frame: &'a Tensor,
    /// Latents of the first frame of its episode, alike.
    pub first: &'a Tensor,
    /// Proprioception at the frame, `(batch, channels)`, in the rig's units.
    pub state: &'a Tensor,
    /// Proprioception at the first frame, alike.
    pub first_state: &'a Tensor,
    /// `(batch, instruction width)`.
    pub instruction: &'a Tensor,
}

impl Judge {
    /// Loads the judge below `vb`.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(
        width: usize,
        instruction: usize,
        statistics: &Statistics,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let (patches, coefficients) = statistics.flow_scale.dims2()?;
        let states = statistics.state_mean.dim(0)?;
        Ok(Self {
            frame: linear(2 * patches * coefficients, width, &vb.pp("frame"))?,
            state: linear(2 * states, width, &vb.pp("state"))?,
            instruction: linear(instruction, width, &vb.pp("instruction"))?,
            hidden: linear(width, width, &vb.pp("hidden"))?,
            head: linear(width, 1, &vb.pp("head"))?,
            slope: vb.get_with_hints(1, "platt.slope", Init::Const(1.0))?,
            offset: vb.get_with_hints(1, "platt.offset", Init::Const(0.0))?,
            statistics: statistics.clone(),
        })
    }

    /// Raw scores before calibration, `(batch)`.
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn score(&self, input: &JudgeInput<'_>) -> Result<Tensor> {
        let change = (input.frame - input.first)?.flatten_from(1)?;
        let frames = Tensor::cat(&[&input.frame.flatten_from(1)?, &change], 1)?;
        let normal = self.statistics.normal_state(input.state)?;
        let moved = (&normal - self.statistics.normal_state(input.first_state)?)?;
        let x = (self.frame.forward(&frames)?
            + self.state.forward(&Tensor::cat(&[&normal, &moved], 1)?)?)?;
        let x = ops::gelu(&(x + self.instruction.forward(input.instruction)?)?)?;
        let x = ops::gelu(&self.hidden.forward(&x)?)?;
        Ok(self.head.forward(&x)?.squeeze(1)?)
    }

    /// Calibrated probabilities that the task is done, `(batch)` in [0, 1].
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn probability(&self, input: &JudgeInput<'_>) -> Result<Tensor> {
        let score = self.score(input)?;
        let score = score.broadcast_mul(&self.slope)?.broadcast_add(&self.offset)?;
        Ok(candle_nn::ops::sigmoid(&score)?)
    }
}

/// Platt's calibration: the slope and offset under which `scores` say the labels best, by
/// Newton's method on the regularised log loss.
///
/// Returns the identity when all labels are alike.
pub fn platt(scores: &[f32], labels: &[bool]) -> [f32; 2] {
    let positives = labels.iter().filter(|&&label| label).count() as f64;
    let negatives = labels.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return [1.0, 0.0];
    }
    // Platt's targets, which keep the slope finite when the scores separate the labels.
    let targets = [1.0 / (negatives + 2.0), (positives + 1.0) / (positives + 2.0)];
    let (mut slope, mut offset) = (1.0_f64, 0.0_f64);
    for _ in 0..100 {
        let (mut g, mut h) = ([0.0; 2], [[1e-6, 0.0], [0.0, 1e-6]]);
        for (&score, &label) in scores.iter().zip(labels) {
            let score = f64::from(score);
            let p = 1.0 / (1.0 + (-(slope * score + offset)).exp());
            let (error, weight) = (p - targets[usize::from(label)], p * (1.0 - p));
            g[0] += error * score;
            g[1] += error;
            h[0][0] += weight * score * score;
            h[0][1] += weight * score;
            h[1][1] += weight;
        }
        let determinant = h[0][0] * h[1][1] - h[0][1] * h[0][1];
        let step = [
            (h[1][1] * g[0] - h[0][1] * g[1]) / determinant,
            (h[0][0] * g[1] - h[0][1] * g[0]) / determinant,
        ];
        // Long steps overshoot where the curve is flat.
        let length = (step[0] * step[0] + step[1] * step[1]).sqrt();
        let damping = if length > 1.0 { 1.0 / length } else { 1.0 };
        slope -= damping * step[0];
        offset -= damping * step[1];
        if length < 1e-9 {
            break;
        }
    }
    if slope.is_finite() && offset.is_finite() && slope > 0.0 {
        [slope as f32, offset as f32]
    } else {
        [1.0, 0.0]
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;
    use rehearse_scenarios::seed::Seed;

    use super::*;

    #[test]
    fn calibration_finds_the_slope_that_made_the_labels() {
        let mut rng = Seed::root(4).rng();
        let scores = (0..20_000).map(|_| rng.random_range(-4.0_f32..4.0)).collect::<Vec<_>>();
        let labels = scores
            .iter()
            .map(|&score| rng.random::<f32>() < 1.0 / (1.0 + (-(0.5 * score - 1.0)).exp()))
            .collect::<Vec<_>>();
        let [slope, offset] = platt(&scores, &labels);
        assert!((slope - 0.5).abs() < 0.05 && (offset + 1.0).abs() < 0.05, "{slope} {offset}");
    }

    #[test]
    fn labels_that_are_all_alike_leave_the_scores_alone() {
        assert_eq!(platt(&[1.0, 2.0], &[true, true]), [1.0, 0.0]);
    }

    #[test]
    fn separable_scores_keep_a_finite_slope() {
        let [slope, offset] = platt(&[-2.0, -1.0, 1.0, 2.0], &[false, false, true, true]);
        assert!(slope > 0.5 && slope < 10.0 && offset.abs() < 1e-3, "{slope} {offset}");
    }
}
