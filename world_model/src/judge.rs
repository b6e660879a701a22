//! The judge head: how likely the task is done in a frame.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use nalgebra::{DMatrix, DVector};

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
    /// How scores of real frames become probabilities.
    real: Calibration,
    /// The same for imagined frames, of which success is foreseen too.
    imagined: Option<Calibration>,
    statistics: Statistics,
}

/// A logistic map of scores, one value per tensor.
#[derive(Clone, Debug)]
struct Calibration {
    slope: Tensor,
    /// The weight of the log odds that were foreseen.
    foreseen: Option<Tensor>,
    offset: Tensor,
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
    /// Loads the judge below `vb`; `foreseen` says whether success is foreseen in imagination.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(
        width: usize,
        instruction: usize,
        foreseen: bool,
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
            real: Calibration::new(false, &vb.pp("platt"))?,
            imagined: foreseen.then(|| Calibration::new(true, &vb.pp("imagined"))).transpose()?,
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
    /// As [`log_odds`](Self::log_odds).
    pub fn probability(&self, input: &JudgeInput<'_>, foreseen: Option<&Tensor>) -> Result<Tensor> {
        Ok(candle_nn::ops::sigmoid(&self.log_odds(input, foreseen)?)?)
    }

    /// Calibrated log odds that the task is done, `(batch)`.
    ///
    /// `foreseen` are the log odds that the state model foresees in imagined frames, `(batch)`.
    /// They are weighed with what is seen: imagined pixels are no proof of what would happen.
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn log_odds(&self, input: &JudgeInput<'_>, foreseen: Option<&Tensor>) -> Result<Tensor> {
        let score = self.score(input)?;
        match (&self.imagined, foreseen) {
            (Some(imagined), Some(foreseen)) => imagined.odds(&score, Some(foreseen)),
            _ => self.real.odds(&score, None),
        }
    }
}

impl Calibration {
    fn new(foreseen: bool, vb: &VarBuilder<'_>) -> Result<Self> {
        let one = |name: &str, value: f64| vb.get_with_hints(1, name, Init::Const(value));
        Ok(Self {
            slope: one("slope", 1.0)?,
            foreseen: foreseen.then(|| one("foreseen", 0.0)).transpose()?,
            offset: one("offset", 0.0)?,
        })
    }

    fn odds(&self, score: &Tensor, foreseen: Option<&Tensor>) -> Result<Tensor> {
        let mut odds = score.broadcast_mul(&self.slope)?.broadcast_add(&self.offset)?;
        if let (Some(weight), Some(foreseen)) = (&self.foreseen, foreseen) {
            odds = (odds + foreseen.broadcast_mul(weight)?)?;
        }
        Ok(odds)
    }
}

/// Platt's calibration: the weights of the scores, and last the offset, under which they say the
/// labels best, by Newton's method on the regularised log loss.
///
/// `scores` holds `N` values per label. A score that would count against its own meaning gets the
/// weight 0. Labels that are all alike leave the first score as it is.
pub fn platt<const N: usize>(scores: &[[f32; N]], labels: &[bool]) -> Vec<f32> {
    let mut asked = [true; N];
    loop {
        let Some(found) = logistic(scores, labels, asked) else {
            let mut unchanged = vec![0.0; N + 1];
            unchanged[0] = 1.0;
            return unchanged;
        };
        match (0..N).find(|&index| asked[index] && found[index] <= 0.0) {
            Some(index) => asked[index] = false,
            None => return found,
        }
    }
}

/// The weights of the scores that are asked, and the offset; nothing if there is nothing to learn.
fn logistic<const N: usize>(
    scores: &[[f32; N]],
    labels: &[bool],
    asked: [bool; N],
) -> Option<Vec<f32>> {
    let positives = labels.iter().filter(|&&label| label).count() as f64;
    let negatives = labels.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 || !asked.contains(&true) {
        return None;
    }
    // Platt's targets, which keep the slope finite when the scores separate the labels.
    let targets = [1.0 / (negatives + 2.0), (positives + 1.0) / (positives + 2.0)];
    let row = |scores: &[f32; N]| {
        let values = scores.iter().zip(asked).map(|(&s, asked)| if asked { s } else { 0.0 });
        DVector::from_iterator(N + 1, values.chain([1.0]).map(f64::from))
    };
    let mut weights = DVector::from_iterator(
        N + 1,
        asked.into_iter().chain([false]).map(|asked| f64::from(u8::from(asked))),
    );
    for _ in 0..100 {
        let mut gradient = DVector::zeros(N + 1);
        // Keeps the matrix regular where a score is left out.
        let mut curvature = DMatrix::identity(N + 1, N + 1) * 1e-6;
        for (scores, &label) in scores.iter().zip(labels) {
            let x = row(scores);
            let p = 1.0 / (1.0 + (-weights.dot(&x)).exp());
            gradient.axpy(p - targets[usize::from(label)], &x, 1.0);
            curvature.ger(p * (1.0 - p), &x, &x, 1.0);
        }
        let step = curvature.cholesky()?.solve(&gradient);
        // Long steps overshoot where the curve is flat.
        let length = step.norm();
        weights.axpy(-1.0 / length.max(1.0), &step, 1.0);
        if length < 1e-9 {
            break;
        }
    }
    let found = weights.iter().map(|&weight| weight as f32).collect::<Vec<_>>();
    found.iter().all(|weight| weight.is_finite()).then_some(found)
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;
    use rehearse_scenarios::seed::Seed;

    use super::*;

    #[test]
    fn calibration_finds_the_slope_that_made_the_labels() {
        let mut rng = Seed::root(4).rng();
        let mut draw = || rng.random_range(-4.0_f32..4.0);
        let scores = (0..20_000).map(|_| [draw(), draw()]).collect::<Vec<_>>();
        let labels = scores
            .iter()
            .map(|[seen, foreseen]| {
                let odds = 0.5 * seen + 1.5 * foreseen - 1.0;
                rng.random::<f32>() < 1.0 / (1.0 + (-odds).exp())
            })
            .collect::<Vec<_>>();
        let found = platt(&scores, &labels);
        for (found, truth) in found.iter().zip([0.5, 1.5, -1.0]) {
            assert!((found - truth).abs() < 0.1, "{found} for {truth}");
        }
        // Against its meaning, the first score counts for nothing.
        let turned = scores.iter().map(|&[seen, foreseen]| [-seen, foreseen]).collect::<Vec<_>>();
        let found = platt(&turned, &labels);
        assert!(found[0] == 0.0 && found[1] > 1.0, "{found:?}");
    }

    #[test]
    fn labels_that_are_all_alike_leave_the_scores_alone() {
        assert_eq!(platt(&[[1.0, 5.0], [2.0, 6.0]], &[true, true]), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn separable_scores_keep_a_finite_slope() {
        let found = platt(&[[-2.0], [-1.0], [1.0], [2.0]], &[false, false, true, true]);
        let [slope, offset] = found[..] else { panic!("{found:?}") };
        assert!(slope > 0.5 && slope < 10.0 && offset.abs() < 1e-3, "{slope} {offset}");
    }
}
