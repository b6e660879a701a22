//! The Brier score and its parts.

use serde::{Deserialize, Serialize};

use super::{Diagram, Predictions};

/// The mean squared difference of predictions and outcomes, in parts:
///
/// `score = reliability − resolution + uncertainty + within_bins`
///
/// (Murphy 1973; `within_bins` is what Stephenson, Coelho and Jolliffe 2008 add, so that the sum
/// is exact for predictions that differ within a bin).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Brier {
    /// The score, in [0, 1]; smaller is better.
    pub score: f64,
    /// Squared distance of predicted from observed rates over the bins: 0 when calibrated.
    pub reliability: f64,
    /// Spread of the observed rates over the bins: how much the predictions tell apart.
    pub resolution: f64,
    /// Variance of the outcomes: the score of always predicting their mean.
    pub uncertainty: f64,
    /// Variance of predictions within bins, less twice their covariance with the outcomes.
    pub within_bins: f64,
}

impl Brier {
    /// The score of `predictions`, its parts over the bins of their `diagram`.
    pub fn of(predictions: &Predictions<'_>, diagram: &Diagram) -> Self {
        let n = predictions.len() as f64;
        let mean = predictions.observed().iter().sum::<f64>() / n;
        let mean_of = |of: &dyn Fn(f64, f64) -> f64| {
            predictions.iter().map(|(p, y)| of(p, y)).sum::<f64>() / n
        };
        let over_bins = |of: &dyn Fn(f64, f64) -> f64| {
            let bins = &diagram.bins;
            bins.iter().map(|b| b.n as f64 * of(b.predicted, b.observed)).sum::<f64>() / n
        };
        Self {
            score: mean_of(&|p, y| (p - y).powi(2)),
            reliability: over_bins(&|p, y| (p - y).powi(2)),
            resolution: over_bins(&|_, y| (y - mean).powi(2)),
            uncertainty: mean_of(&|_, y| (y - mean).powi(2)),
            within_bins: mean_of(&|p, y| {
                let bin = &diagram.bins[diagram.bin_of(p)];
                let shift = p - bin.predicted;
                shift * shift - 2.0 * shift * (y - bin.observed)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Binning;
    use super::*;

    #[test]
    fn two_sharp_forecasts_by_hand() {
        // 0.75 twice (one success), 0.25 twice (none): score (0.0625 + 0.5625 + 2·0.0625) / 4.
        let predictions =
            Predictions::new(&[0.75, 0.75, 0.25, 0.25], &[1.0, 0.0, 0.0, 0.0]).unwrap();
        let diagram = Diagram::of(&predictions, Binning::EqualWidth(2), 0.95).unwrap();
        let brier = Brier::of(&predictions, &diagram);
        assert_eq!(brier.score, 0.1875);
        assert_eq!(brier.reliability, 0.0625);
        assert_eq!(brier.resolution, 0.0625);
        assert_eq!(brier.uncertainty, 0.1875);
        assert_eq!(brier.within_bins, 0.0);
    }

    proptest! {
        #[test]
        fn the_parts_add_up(pairs in prop::collection::vec((0.0..=1.0_f64, 0.0..=1.0_f64), 1..60),
                            bins in 1_usize..12, mass in any::<bool>()) {
            let (p, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let predictions = Predictions::new(&p, &y).unwrap();
            let binning = if mass { Binning::EqualMass(bins) } else { Binning::EqualWidth(bins) };
            let diagram = Diagram::of(&predictions, binning, 0.95).unwrap();
            let Brier { score, reliability, resolution, uncertainty, within_bins } =
                Brier::of(&predictions, &diagram);
            prop_assert!((reliability - resolution + uncertainty + within_bins - score).abs() < 1e-12);
        }
    }
}
