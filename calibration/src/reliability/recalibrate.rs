//! Recalibration, and what it is worth on unseen trials.

use serde::{Deserialize, Serialize};

use super::{Folds, Isotonic, Platt, Predictions, log_odds};
use crate::error::CalibrationError;

/// How predictions are mapped to better ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recalibrator {
    /// Pool adjacent violators; for hundreds of trials.
    Isotonic,
    /// Platt scaling of the log-odds: two parameters.
    Platt,
}

impl Recalibrator {
    /// The name in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Isotonic => "isotonic",
            Self::Platt => "platt",
        }
    }
}

/// A fitted map from predictions to recalibrated ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recalibration {
    /// An isotonic map.
    Isotonic(Isotonic),
    /// A logistic map of log-odds.
    Platt(Platt),
}

impl Recalibration {
    /// Fits a map of the kind `recalibrator` to `predictions`.
    ///
    /// # Errors
    /// None for valid predictions; the type is that of the fits beneath.
    pub fn fit(
        recalibrator: Recalibrator,
        predictions: &Predictions<'_>,
    ) -> Result<Self, CalibrationError> {
        match recalibrator {
            Recalibrator::Isotonic => Ok(Self::Isotonic(Isotonic::fit(predictions))),
            Recalibrator::Platt => {
                let scores: Vec<f64> =
                    predictions.predicted().iter().map(|&p| log_odds(p)).collect();
                Platt::fit(&scores, predictions.observed()).map(Self::Platt)
            }
        }
    }

    /// The recalibrated prediction.
    ///
    /// # Errors
    /// [`CalibrationError::Value`] for a prediction outside [0, 1].
    pub fn predict(&self, prediction: f64) -> Result<f64, CalibrationError> {
        match self {
            Self::Isotonic(map) => map.predict(prediction),
            Self::Platt(map) => {
                crate::error::check_shares("prediction", &[prediction])?;
                Ok(map.predict(log_odds(prediction)))
            }
        }
    }
}

/// Every prediction recalibrated by a map that has not seen its trial: fitted to the other folds.
///
/// # Errors
/// [`CalibrationError::Length`] when `folds` are of another number of trials.
pub fn cross_fit(
    recalibrator: Recalibrator,
    predictions: &Predictions<'_>,
    folds: &Folds,
) -> Result<Vec<f64>, CalibrationError> {
    let of = folds.of_trials();
    if of.len() != predictions.len() {
        return Err(CalibrationError::Length {
            what: "fold numbers",
            got: of.len(),
            expected: predictions.len(),
        });
    }
    let mut recalibrated = vec![0.0; of.len()];
    for fold in 0..folds.count() {
        let (mut p, mut y) = (Vec::new(), Vec::new());
        for ((predicted, observed), &f) in predictions.iter().zip(of) {
            if f != fold {
                p.push(predicted);
                y.push(observed);
            }
        }
        let map = Recalibration::fit(recalibrator, &Predictions::new(&p, &y)?)?;
        for ((slot, &f), &p) in recalibrated.iter_mut().zip(of).zip(predictions.predicted()) {
            if f == fold {
                *slot = map.predict(p)?;
            }
        }
    }
    Ok(recalibrated)
}

#[cfg(test)]
mod tests {
    use rehearse_scenarios::seed::Seed;

    use super::*;

    #[test]
    fn a_trial_does_not_shape_its_own_prediction() {
        let p: Vec<f64> = (0..40).map(|i| f64::from(i) / 39.0).collect();
        let y: Vec<f64> = (0..40).map(|i| f64::from(u8::from(i % 3 == 0 || i > 25))).collect();
        let folds = Folds::new(40, 5, Seed::root(9)).unwrap();
        let mut flipped = y.clone();
        flipped[17] = 1.0 - y[17];
        for kind in [Recalibrator::Isotonic, Recalibrator::Platt] {
            let before = cross_fit(kind, &Predictions::new(&p, &y).unwrap(), &folds).unwrap();
            let after = cross_fit(kind, &Predictions::new(&p, &flipped).unwrap(), &folds).unwrap();
            assert_eq!(before[17], after[17], "{kind:?}");
            assert_ne!(before, after, "{kind:?}");
        }
    }

    #[test]
    fn optimism_is_corrected() {
        // Says 0.9 where 0.5 succeed and 0.6 where 0.1 do.
        let p: Vec<f64> = (0..200).map(|i| if i % 2 == 0 { 0.9 } else { 0.6 }).collect();
        let y: Vec<f64> =
            (0..200)
                .map(|i| {
                    if i % 2 == 0 { f64::from(i / 2 % 2) } else { f64::from(u8::from(i % 20 == 1)) }
                })
                .collect();
        let predictions = Predictions::new(&p, &y).unwrap();
        for kind in [Recalibrator::Isotonic, Recalibrator::Platt] {
            let map = Recalibration::fit(kind, &predictions).unwrap();
            assert!((map.predict(0.9).unwrap() - 0.5).abs() < 0.02, "{kind:?}");
            assert!((map.predict(0.6).unwrap() - 0.1).abs() < 0.02, "{kind:?}");
        }
    }
}
