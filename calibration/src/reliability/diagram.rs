//! Reliability diagrams: predicted against observed rates, in bins.

use rehearse_scoring::interval::Interval;
use rehearse_scoring::rate::wilson;
use serde::{Deserialize, Serialize};

use super::Predictions;
use crate::error::{CalibrationError, check_level};

/// The most bins that a diagram may have.
const MOST_BINS: usize = 10_000;

/// How predictions are put into bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// So many bins of equal width over [0, 1].
    EqualWidth(usize),
    /// So many bins of about as many predictions each: edges at the quantiles. Equal predictions
    /// share a bin, so bins may be fewer.
    EqualMass(usize),
}

/// One bin, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower edge; belongs to the bin below, save for the first.
    pub low: f64,
    /// Upper edge; belongs to this bin.
    pub high: f64,
    /// Predictions in the bin.
    pub n: u64,
    /// Their mean.
    pub predicted: f64,
    /// The mean of their outcomes.
    pub observed: f64,
    /// Wilson's interval of the observed rate: a calibrated predictor's mean lies in about
    /// `level` of them.
    pub interval: Interval,
}

impl Bin {
    /// Observed less predicted: positive where the predictor is too pessimistic.
    pub fn gap(&self) -> f64 {
        self.observed - self.predicted
    }
}

/// A reliability diagram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagram {
    /// How the bins were made.
    pub binning: Binning,
    /// The bins that hold predictions, from low to high.
    pub bins: Vec<Bin>,
}

impl Diagram {
    /// Bins `predictions`; edges are those of scikit-learn's `calibration_curve`.
    ///
    /// # Errors
    /// [`CalibrationError::Parameter`] for a number of bins outside 1 to 10 000 or a level outside
    /// (0, 1).
    pub fn of(
        predictions: &Predictions<'_>,
        binning: Binning,
        level: f64,
    ) -> Result<Self, CalibrationError> {
        check_level(level)?;
        let edges = edges(predictions, binning)?;
        let mut sums = vec![(0_u64, 0.0, 0.0); edges.len() - 1];
        for (p, y) in predictions.iter() {
            let sum = &mut sums[place(&edges, p)];
            *sum = (sum.0 + 1, sum.1 + p, sum.2 + y);
        }
        let bins = sums
            .into_iter()
            .zip(edges.windows(2))
            .filter(|((n, ..), _)| *n > 0)
            .map(|((n, predicted, observed), edge)| {
                let count = n as f64;
                // The sum of n numbers in [0, 1] may pass n by a rounding.
                let interval = wilson(observed.min(count), n, level).map_err(|_counts| {
                    CalibrationError::Value {
                        what: "sum of outcomes in bin from",
                        index: 0,
                        value: observed,
                        expected: "at most the number of outcomes",
                    }
                })?;
                Ok(Bin {
                    low: edge[0],
                    high: edge[1],
                    n,
                    predicted: predicted / count,
                    observed: observed / count,
                    interval,
                })
            })
            .collect::<Result<_, CalibrationError>>()?;
        Ok(Self { binning, bins })
    }

    /// The bin, by its place in [`bins`](Self::bins), that holds `predicted`.
    pub(super) fn bin_of(&self, predicted: f64) -> usize {
        self.bins.partition_point(|bin| bin.high < predicted).min(self.bins.len() - 1)
    }
}

/// Bin edges, one more than bins.
fn edges(predictions: &Predictions<'_>, binning: Binning) -> Result<Vec<f64>, CalibrationError> {
    let (Binning::EqualWidth(count) | Binning::EqualMass(count)) = binning;
    if !(1..=MOST_BINS).contains(&count) {
        return Err(CalibrationError::Parameter {
            name: "number of bins",
            value: count as f64,
            expected: "a whole number from 1 to 10000",
        });
    }
    let step = 1.0 / count as f64;
    let shares = (0..=count).map(|i| if i == count { 1.0 } else { i as f64 * step });
    Ok(match binning {
        Binning::EqualWidth(_) => shares.collect(),
        Binning::EqualMass(_) => {
            let mut sorted = predictions.predicted().to_vec();
            sorted.sort_by(f64::total_cmp);
            // By way of per cent, as scikit-learn: the last bit decides where an edge meets a
            // prediction.
            shares.map(|share| quantile(&sorted, share * 100.0 / 100.0)).collect()
        }
    })
}

/// The quantile of sorted values, linear between order statistics (type 7).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = at.floor();
    let (low, high) = (sorted[below as usize], sorted[at.ceil() as usize]);
    // From the nearer end, so that equal neighbours give exactly their value.
    let part = at - below;
    if part < 0.5 { low + (high - low) * part } else { high - (high - low) * (1.0 - part) }
}

/// The bin of `p`: as many inner edges lie below it.
fn place(edges: &[f64], p: f64) -> usize {
    edges[1..edges.len() - 1].partition_point(|&edge| edge < p)
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: [f64; 6] = [0.0, 0.1, 0.2, 0.5, 0.5, 1.0];
    const Y: [f64; 6] = [0.0, 0.0, 1.0, 1.0, 0.0, 1.0];

    #[test]
    fn upper_edges_belong_to_their_bin() {
        let predictions = Predictions::new(&P, &Y).unwrap();
        let diagram = Diagram::of(&predictions, Binning::EqualWidth(2), 0.95).unwrap();
        let sizes: Vec<u64> = diagram.bins.iter().map(|b| b.n).collect();
        assert_eq!(sizes, [5, 1]);
        assert_eq!(diagram.bins[0].observed, 0.4);
        assert!((diagram.bins[0].predicted - 0.26).abs() < 1e-15);
        assert!((diagram.bins[0].gap() - 0.14).abs() < 1e-15);
        assert!(diagram.bins[1].interval.contains(1.0));
    }

    #[test]
    fn equal_predictions_stay_together() {
        let predictions = Predictions::new(&[0.5; 6], &Y).unwrap();
        let diagram = Diagram::of(&predictions, Binning::EqualMass(4), 0.95).unwrap();
        assert_eq!(diagram.bins.len(), 1);
        assert_eq!((diagram.bins[0].n, diagram.bins[0].observed), (6, 0.5));
    }

    #[test]
    fn every_prediction_is_found_in_its_bin_again() {
        let predictions = Predictions::new(&P, &Y).unwrap();
        for binning in [Binning::EqualWidth(7), Binning::EqualMass(3), Binning::EqualWidth(1)] {
            let diagram = Diagram::of(&predictions, binning, 0.95).unwrap();
            let mut counts = vec![0; diagram.bins.len()];
            for p in P {
                counts[diagram.bin_of(p)] += 1;
            }
            assert_eq!(counts, diagram.bins.iter().map(|b| b.n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn bad_requests_are_refused() {
        let predictions = Predictions::new(&P, &Y).unwrap();
        assert!(Diagram::of(&predictions, Binning::EqualWidth(0), 0.95).is_err());
        assert!(Diagram::of(&predictions, Binning::EqualMass(usize::MAX), 0.95).is_err());
        assert!(Diagram::of(&predictions, Binning::EqualMass(3), 1.0).is_err());
        assert!(Predictions::new(&[], &[]).is_err());
        assert!(Predictions::new(&[0.5], &[]).is_err());
        assert!(Predictions::new(&[f64::NAN], &[1.0]).is_err());
        assert!(Predictions::new(&[0.5], &[1.5]).is_err());
    }
}
