//! Pairs of real and imagined results, and imagined results without a real one.

use crate::error::CalibrationError;

/// The results of one policy on one task (or of any set of exchangeable scenarios).
///
/// A scenario is one unit: where it was run several times, its result is the mean over its
/// repeats, so that repeats do not pass for independent evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    real: &'a [f64],
    imagined: &'a [f64],
    unpaired: &'a [f64],
}

impl<'a> Sample<'a> {
    /// `real[i]` and `imagined[i]` are results of the same scenario; `unpaired` are imagined
    /// results of other scenarios of the same kind, and may be empty.
    ///
    /// # Errors
    /// [`CalibrationError::Empty`] without a pair, [`CalibrationError::Length`] when the first two
    /// differ, [`CalibrationError::Value`] for NaN or infinity.
    pub fn new(
        real: &'a [f64],
        imagined: &'a [f64],
        unpaired: &'a [f64],
    ) -> Result<Self, CalibrationError> {
        if real.is_empty() {
            return Err(CalibrationError::Empty { what: "real results" });
        }
        if real.len() != imagined.len() {
            return Err(CalibrationError::Length {
                what: "imagined results",
                got: imagined.len(),
                expected: real.len(),
            });
        }
        for (what, values) in [
            ("real result", real),
            ("imagined result", imagined),
            ("unpaired imagined result", unpaired),
        ] {
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(CalibrationError::Value {
                    what,
                    index,
                    value: values[index],
                    expected: "a finite number",
                });
            }
        }
        Ok(Self { real, imagined, unpaired })
    }

    /// Real results of the paired scenarios.
    pub fn real(&self) -> &'a [f64] {
        self.real
    }

    /// Imagined results of the paired scenarios, in the same order.
    pub fn imagined(&self) -> &'a [f64] {
        self.imagined
    }

    /// Imagined results of the scenarios without a real one.
    pub fn unpaired(&self) -> &'a [f64] {
        self.unpaired
    }
}
