//! All of it for one set of predictions.

use rehearse_scenarios::seed::Seed;
use serde::{Deserialize, Serialize};

use super::{Binning, Brier, CalibrationGap, Diagram, Folds, Predictions, Recalibrator, cross_fit};
use crate::error::CalibrationError;

/// Folds of the cross-fitting.
const FOLDS: usize = 5;

/// Trials below which recalibration is not tried: two in every fold.
const RECALIBRATE_FROM: usize = 2 * FOLDS;

/// What a set of predictions is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Predictions with their outcomes.
    pub n: usize,
    /// The Brier score and its parts, over the bins of `diagram`.
    pub brier: Brier,
    /// Expected calibration error over the same bins.
    pub gap: CalibrationGap,
    /// Predicted against observed rates.
    pub diagram: Diagram,
    /// What recalibration would leave, measured on trials that the map has not seen; empty below
    /// ten predictions.
    pub recalibrated: Vec<Recalibrated>,
}

/// Predictions after cross-fitted recalibration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Recalibrated {
    /// The kind of map.
    pub recalibrator: Recalibrator,
    /// Brier score after it.
    pub brier: f64,
    /// Debiased expected calibration error after it.
    pub ece_debiased: f64,
}

/// The reliability of `predictions`; folds are dealt by `seed`.
///
/// # Errors
/// As [`Diagram::of`].
pub fn reliability(
    predictions: &Predictions<'_>,
    binning: Binning,
    level: f64,
    seed: Seed,
) -> Result<Reliability, CalibrationError> {
    let diagram = Diagram::of(predictions, binning, level)?;
    let mut recalibrated = Vec::new();
    if predictions.len() >= RECALIBRATE_FROM {
        let folds = Folds::new(predictions.len(), FOLDS, seed)?;
        for recalibrator in [Recalibrator::Platt, Recalibrator::Isotonic] {
            let better = cross_fit(recalibrator, predictions, &folds)?;
            let better = Predictions::new(&better, predictions.observed())?;
            let diagram = Diagram::of(&better, binning, level)?;
            recalibrated.push(Recalibrated {
                recalibrator,
                brier: Brier::of(&better, &diagram).score,
                ece_debiased: CalibrationGap::of(&diagram).ece_debiased,
            });
        }
    }
    Ok(Reliability {
        n: predictions.len(),
        brier: Brier::of(predictions, &diagram),
        gap: CalibrationGap::of(&diagram),
        diagram,
        recalibrated,
    })
}
