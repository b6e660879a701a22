//! Why two policies cannot be compared.

use crate::bootstrap::BootstrapError;
use crate::rate::RateError;

/// Why two policies cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One side has no decided trials.
    #[error("policy `{policy}` has no decided trials: nothing to compare")]
    NoTrials {
        /// Which side.
        policy: String,
    },
    /// The table does not have that policy.
    #[error("no policy `{policy}`; the table has {known}")]
    UnknownPolicy {
        /// The name asked for.
        policy: String,
        /// The names there are.
        known: String,
    },
    /// A policy was to be compared with itself.
    #[error("`{policy}` against itself is no comparison")]
    Same {
        /// The policy.
        policy: String,
    },
    /// More successes than trials.
    #[error("{successes} successes of {trials} trials: counts do not add up")]
    Counts {
        /// Successes given.
        successes: u64,
        /// Trials given.
        trials: u64,
    },
    /// A sample too large for an exact test.
    #[error("an exact test takes at most {limit} trials a side, got {got}")]
    TooLarge {
        /// Trials given.
        got: u64,
        /// The most that finish in reasonable time.
        limit: u64,
    },
    /// The level or a probability is outside (0, 1).
    #[error("{what} {value} is outside (0, 1)")]
    Probability {
        /// What it is.
        what: &'static str,
        /// What was given.
        value: f64,
    },
    /// The margin of an equivalence test is not in (0, 1).
    #[error("margin {margin} is outside (0, 1): 0.1 means ten percentage points")]
    Margin {
        /// What was given.
        margin: f64,
    },
    /// No scenario was met by both policies.
    #[error(
        "no trial of `{a}` pairs with one of `{b}`: pairs share task, scenario and repeat; compare \
         unpaired instead"
    )]
    NoPairs {
        /// The first policy.
        a: String,
        /// The second policy.
        b: String,
    },
    /// The bootstrap could not be done.
    #[error("bootstrap of the difference failed")]
    Bootstrap(#[from] BootstrapError),
    /// A rate could not be given its interval.
    #[error("rate of one side failed")]
    Rate(#[from] RateError),
}
