//! Whether predicted probabilities mean what they say.
//!
//! Predictions are a judge's probability of success, or the imagined success rate of a scenario;
//! outcomes are what really happened. [`Diagram`] bins the one against the other, [`Brier`] and
//! [`CalibrationGap`] put a number on the distance, [`Isotonic`] and [`Platt`] remove it, and
//! [`cross_fit`] says how much of the removal holds on trials that the fit has not seen.
//!
//! ```
//! use rehearse_calibration::reliability::{Binning, Brier, Diagram, Predictions};
//!
//! let predictions = Predictions::new(&[0.9, 0.8, 0.2, 0.9], &[1.0, 1.0, 0.0, 0.0])?;
//! let diagram = Diagram::of(&predictions, Binning::EqualWidth(5), 0.95)?;
//! assert_eq!(diagram.bins.len(), 3);
//! assert!((Brier::of(&predictions, &diagram).score - 0.225).abs() < 1e-12);
//! # Ok::<(), rehearse_calibration::error::CalibrationError>(())
//! ```

mod brier;
mod diagram;
mod folds;
mod gap;
mod isotonic;
mod platt;
mod predictions;
mod recalibrate;
mod report;

pub use brier::Brier;
pub use diagram::{Bin, Binning, Diagram};
pub use folds::Folds;
pub use gap::CalibrationGap;
pub use isotonic::Isotonic;
pub use platt::{Platt, log_odds};
pub use predictions::Predictions;
pub use recalibrate::{Recalibration, Recalibrator, cross_fit};
pub use report::{Recalibrated, Reliability, reliability};
