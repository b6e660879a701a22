//! Success rates with their uncertainty; void and unsure trials counted apart.
//!
//! Wilson's interval is the default; Clopper and Pearson's and Jeffreys' are there on request, and
//! means of partial credits get a `BCa` bootstrap. `docs/coverage-rates.md` has the measured
//! coverage of each.

mod both;
mod error;
mod estimate;
mod interval;

pub use both::BothRates;
pub use error::RateError;
pub use estimate::{DEFAULT_RESAMPLES, Rate, RateMethod};
pub use interval::{clopper_pearson, jeffreys, wilson};
