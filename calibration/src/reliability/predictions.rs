//! Predicted probabilities and what happened.

use crate::error::{CalibrationError, check_shares};

/// Predictions of success in [0, 1], each with its outcome: 0, 1, or a credit between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predictions<'a> {
    predicted: &'a [f64],
    observed: &'a [f64],
}

impl<'a> Predictions<'a> {
    /// `predicted[i]` is what was said of the trial that ended in `observed[i]`.
    ///
    /// # Errors
    /// [`CalibrationError::Empty`], [`CalibrationError::Length`], and [`CalibrationError::Value`]
    /// for anything outside [0, 1].
    pub fn new(predicted: &'a [f64], observed: &'a [f64]) -> Result<Self, CalibrationError> {
        if observed.is_empty() {
            return Err(CalibrationError::Empty { what: "predictions" });
        }
        if predicted.len() != observed.len() {
            return Err(CalibrationError::Length {
                what: "predictions",
                got: predicted.len(),
                expected: observed.len(),
            });
        }
        check_shares("prediction", predicted)?;
        check_shares("outcome", observed)?;
        Ok(Self { predicted, observed })
    }

    /// The predictions.
    pub fn predicted(&self) -> &'a [f64] {
        self.predicted
    }

    /// The outcomes, in the same order.
    pub fn observed(&self) -> &'a [f64] {
        self.observed
    }

    /// How many there are; never 0.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.predicted.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (f64, f64)> + 'a {
        self.predicted.iter().copied().zip(self.observed.iter().copied())
    }
}
