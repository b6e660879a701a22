//! Expected calibration error, with and without its bias.

use rehearse_scoring::special::normal_cdf;
use serde::{Deserialize, Serialize};

use super::{Bin, Diagram};

/// How far predictions are from observed rates, over the bins of a diagram.
///
/// A perfectly calibrated predictor has a positive plain ECE, for the observed rate of every bin
/// is off by chance: with few trials per bin most of the plain number is that noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationGap {
    /// Expected calibration error: mean of |observed − predicted|, by predictions.
    pub ece: f64,
    /// The same less its bias from the noise of the bins' rates, at least 0: the bias is taken
    /// from normal noise around the gaps seen (Kumar, Liang and Ma 2019, "Verified uncertainty
    /// calibration", §4, in closed form).
    pub ece_debiased: f64,
    /// Root of the mean squared gap less its bias (the same paper, eq. 5), at least 0. Bins with
    /// a single prediction cannot be debiased and are left out.
    pub rms_debiased: f64,
    /// The largest gap of any bin.
    pub worst: f64,
}

impl CalibrationGap {
    /// The gaps of `diagram`.
    pub fn of(diagram: &Diagram) -> Self {
        let total: f64 = diagram.bins.iter().map(|b| b.n as f64).sum();
        let mean = |of: &dyn Fn(&Bin) -> f64| {
            diagram.bins.iter().map(|b| b.n as f64 * of(b)).sum::<f64>() / total
        };
        let ece = mean(&|b| b.gap().abs());
        let noisy = mean(&|b| {
            folded_normal_mean(b.gap(), (b.observed * (1.0 - b.observed) / b.n as f64).sqrt())
        });
        let square = mean(&|b| {
            if b.n < 2 {
                return 0.0;
            }
            b.gap().powi(2) - b.observed * (1.0 - b.observed) / (b.n - 1) as f64
        });
        Self {
            ece,
            ece_debiased: (2.0 * ece - noisy).max(0.0),
            rms_debiased: square.max(0.0).sqrt(),
            worst: diagram.bins.iter().map(|b| b.gap().abs()).fold(0.0, f64::max),
        }
    }
}

/// The mean of |X| for a normal X (Leone, Nelson and Nottingham 1961).
fn folded_normal_mean(mean: f64, deviation: f64) -> f64 {
    if deviation <= 0.0 {
        return mean.abs();
    }
    let z = mean / deviation;
    let root = (2.0 / std::f64::consts::PI).sqrt();
    deviation * root * (-0.5 * z * z).exp() + mean * (1.0 - 2.0 * normal_cdf(-z))
}

#[cfg(test)]
mod tests {
    use super::super::{Binning, Predictions};
    use super::*;

    fn gap(p: &[f64], y: &[f64]) -> CalibrationGap {
        let predictions = Predictions::new(p, y).unwrap();
        CalibrationGap::of(&Diagram::of(&predictions, Binning::EqualWidth(10), 0.95).unwrap())
    }

    #[test]
    fn gaps_by_hand() {
        // Bin of 0.75: gap −0.25 over two; bin of 0.25: gap −0.25 over two.
        let got = gap(&[0.75, 0.75, 0.25, 0.25], &[1.0, 0.0, 0.0, 0.0]);
        assert_eq!((got.ece, got.worst), (0.25, 0.25));
        // Squares: (0.0625 − 0.25) / 2 + 0.0625 / 2 < 0.
        assert_eq!(got.rms_debiased, 0.0);
        assert!(got.ece_debiased < 0.25);
    }

    #[test]
    fn the_folded_normal_has_its_known_mean() {
        let root = (2.0 / std::f64::consts::PI).sqrt();
        assert!((folded_normal_mean(0.0, 3.0) - 3.0 * root).abs() < 1e-15);
        assert_eq!(folded_normal_mean(-0.5, 0.0), 0.5);
        assert!((folded_normal_mean(-8.0, 0.1) - 8.0).abs() < 1e-12);
        // E|N(1, 1)| = √(2/π) e^(−½) + 1 − 2Φ(−1).
        assert!((folded_normal_mean(1.0, 1.0) - 1.166_630_941_144_9).abs() < 1e-10);
    }

    #[test]
    fn certain_bins_have_no_bias_to_remove() {
        let got = gap(&[0.95; 5], &[0.0; 5]);
        assert!((got.ece - 0.95).abs() < 1e-15);
        assert_eq!(got.ece, got.ece_debiased);
        assert!((got.rms_debiased - 0.95).abs() < 1e-15);
    }
}
