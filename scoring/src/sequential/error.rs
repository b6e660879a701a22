//! Why a sequential test cannot go on.

/// Why a sequential test cannot go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SequentialError {
    /// A score that is not in [0, 1].
    #[error("score {score} is outside [0, 1]")]
    Score {
        /// What was given.
        score: f64,
    },
    /// A level that is not in (0, 1).
    #[error("confidence level {level} is outside (0, 1): 0.95 is usual")]
    Level {
        /// What was given.
        level: f64,
    },
    /// A margin that is not in (0, 1).
    #[error("margin {margin} is outside (0, 1): 0.1 means ten percentage points")]
    Margin {
        /// What was given.
        margin: f64,
    },
    /// Fewer than two policies, or one of them twice.
    #[error("a ranking needs at least two policies with names of their own, got {got}")]
    Policies {
        /// The names given.
        got: String,
    },
    /// A policy that was not announced.
    #[error("no policy `{policy}`; the run has {known}")]
    UnknownPolicy {
        /// The name given.
        policy: String,
        /// The names announced.
        known: String,
    },
    /// The same trial was reported twice, with different results.
    #[error("trial {slot} of `{policy}` was reported twice, with different results")]
    Twice {
        /// The policy.
        policy: String,
        /// The place in the plan.
        slot: u64,
    },
    /// More successes than trials.
    #[error("{successes} successes of {trials} trials: counts do not add up")]
    Counts {
        /// Successes given.
        successes: u64,
        /// Trials given.
        trials: u64,
    },
}
