//! Why a bootstrap gave no interval.

/// Why a bootstrap gave no interval.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BootstrapError {
    /// Too few observations to resample.
    #[error("a bootstrap needs at least 2 observations, got {got}")]
    TooFew {
        /// Observations given.
        got: usize,
    },
    /// More observations than an index can address.
    #[error("a bootstrap takes at most {limit} observations, got {got}")]
    TooMany {
        /// The limit.
        limit: usize,
        /// Observations given.
        got: usize,
    },
    /// Too few resamples for quantiles.
    #[error("a bootstrap needs at least {needed} resamples, got {got}")]
    TooFewResamples {
        /// Smallest number accepted.
        needed: usize,
        /// Resamples asked for.
        got: usize,
    },
    /// A confidence level outside (0, 1).
    #[error("a confidence level must be between 0 and 1, got {got}")]
    Level {
        /// What was given.
        got: f64,
    },
    /// An observation that is not a finite number.
    #[error("observation {index} is {value}, not a finite number")]
    NotFinite {
        /// Its place, from 0.
        index: usize,
        /// What it is.
        value: f64,
    },
    /// More successes than trials.
    #[error("{successes} successes in {trials} trials")]
    Counts {
        /// Successes given.
        successes: u64,
        /// Trials given.
        trials: u64,
    },
    /// The statistic of the data themselves is not a finite number.
    #[error("the statistic of the data is {value}, not a finite number")]
    Estimate {
        /// What it is.
        value: f64,
    },
    /// The statistic is undefined on most resamples.
    #[error("the statistic is undefined on {undefined} of {resamples} resamples")]
    Undefined {
        /// Resamples without a number.
        undefined: usize,
        /// Resamples in all.
        resamples: usize,
    },
    /// Every resample gives the same value, so a bootstrap knows of no uncertainty.
    #[error(
        "every resample gives {value}: the data do not vary, and a bootstrap would claim certainty; \
         use an exact interval"
    )]
    Constant {
        /// The value.
        value: f64,
    },
    /// The estimate lies outside all resamples, where the bias correction is not defined.
    #[error("the estimate {estimate} lies outside all resamples [{low}, {high}]")]
    Outside {
        /// The estimate.
        estimate: f64,
        /// Smallest resample.
        low: f64,
        /// Largest resample.
        high: f64,
    },
}
