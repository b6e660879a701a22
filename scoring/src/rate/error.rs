//! What can be wrong with a request for a rate.

use crate::bootstrap::BootstrapError;

/// Why there is no rate, or no interval.
#[derive(Debug, thiserror::Error)]
pub enum RateError {
    /// A rate of no trials is not a number.
    #[error("no decided trials: a rate needs at least one success or failure")]
    NoTrials,
    /// More successes than trials.
    #[error("{successes} successes of {trials} trials: counts do not add up")]
    Counts {
        /// Successes, or the sum of partial credits.
        successes: f64,
        /// Trials.
        trials: u64,
    },
    /// The level is not a probability strictly between 0 and 1.
    #[error("confidence level {level} is outside (0, 1): 0.95 is usual")]
    Level {
        /// The level asked for.
        level: f64,
    },
    /// A score is not in [0, 1].
    #[error("score {score} of trial {index} is outside [0, 1]")]
    Score {
        /// Which trial, counted from 0.
        index: usize,
        /// Its score.
        score: f64,
    },
    /// The bootstrap could not be done.
    #[error("bootstrap of the mean failed")]
    Bootstrap(#[source] BootstrapError),
}
