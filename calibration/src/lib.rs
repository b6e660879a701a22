//! How far imagined numbers hold on the real robot: corrected estimates, reliability, trial
//! budgets.
//!
//! # What this crate does
//! - [`pairs`]: matches real and imagined trials of the same scenario.
//! - [`estimate`]: real success rates from few real trials and many imagined ones, with valid
//!   intervals (prediction-powered inference); differences of policies; rates corrected for a
//!   judge that errs.
//! - [`reliability`]: whether predicted probabilities mean what they say, and how to mend them.
//! - [`allocation`]: which real trials to run next, and how many are enough.
//! - [`mod@calibrate`]: all of it for two trial tables; [`warning`]: what to tell the reader.
//!
//! # What this crate does not do
//! It never runs a trial, real or imagined, and never trusts an imagined number on its own:
//! without real trials there is no corrected estimate. It cannot mend a biased choice of the
//! scenarios that were run on the robot.
//!
//! ```text
//! real trials ─────┐
//!                  ├─► pairs ─┬─► estimate ────► corrected rates, differences ─┐
//! imagined trials ─┘          ├─► reliability ─► diagrams, recalibration ──────┼─► calibrate
//!                             └─► allocation ──► the next real trials          ┘
//! ```
//!
//! # Example
//! ```
//! use rehearse_calibration::calibrate::{Options, calibrate};
//! use rehearse_calibration::pairs::Pairs;
//! use rehearse_scoring::trial::{Trial, TrialTable, Verdict};
//!
//! let trial = |i: u32, success: bool| {
//!     let verdict = if success { Verdict::Success } else { Verdict::Failure };
//!     Trial::new("full", "open the drawer", verdict).of_scenario(&format!("s{i}"), None)
//! };
//! // 200 imagined scenarios, of which 20 were run on the robot; imagination is too optimistic.
//! let imagined = (0..200).map(|i| trial(i, i % 4 != 0)).collect();
//! let real = (0..20).map(|i| trial(i, i % 4 != 0 && i % 5 != 0)).collect();
//! let pairs = Pairs::new(&TrialTable::new(real, "real")?, &TrialTable::new(imagined, "imagined")?)?;
//! let answer = calibrate(&pairs, &Options::default())?;
//! let full = &answer.policies[0];
//! assert!(full.value < full.imagined.rate && full.effective_trials > 20.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod allocation;
pub mod calibrate;
pub mod error;
pub mod estimate;
pub mod pairs;
pub mod reliability;
pub mod warning;
