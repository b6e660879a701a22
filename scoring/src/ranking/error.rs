//! Why there is no ranking.

use crate::compare::CompareError;

/// Why there is no ranking.
#[derive(Debug, thiserror::Error)]
pub enum RankingError {
    /// Fewer than two policies.
    #[error("a ranking needs at least two policies, got {got}")]
    TooFewPolicies {
        /// How many there are.
        got: usize,
    },
    /// A policy has no decided trial on a task that others were tried on.
    #[error(
        "policy `{policy}` has no decided trial on task `{task}`: rank over the tasks that all \
         policies share"
    )]
    MissingCell {
        /// The policy.
        policy: String,
        /// The task.
        task: String,
    },
    /// A score outside [0, 1] or not a number.
    #[error("score {score} of policy `{policy}` is outside [0, 1]")]
    Score {
        /// The policy.
        policy: String,
        /// The score.
        score: f64,
    },
    /// No resamples, or so few that a percentile means nothing.
    #[error("a rank interval needs at least {needed} resamples, got {got}")]
    TooFewResamples {
        /// Smallest number accepted.
        needed: usize,
        /// Resamples asked for.
        got: usize,
    },
    /// A level that is not in (0, 1).
    #[error("confidence level {level} is outside (0, 1): 0.95 is usual")]
    Level {
        /// What was given.
        level: f64,
    },
    /// A table of wins that is not square, negative, or not finite.
    #[error("wins of policy {row} over policy {column} are {value}, not a count")]
    Wins {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// What was given; not a number where the entry is missing.
        value: f64,
    },
    /// Some policies never lost to the others, so that their strength has no upper bound.
    #[error(
        "{winners} never lost to {losers}: their distance in a Bradley–Terry model is infinite; \
         give a prior, or compare them directly"
    )]
    Separated {
        /// Who never lost.
        winners: String,
        /// To whom.
        losers: String,
    },
    /// Fewer or more differences than there are pairs of policies.
    #[error("{policies} policies have {expected} pairs, got {got}")]
    Pairs {
        /// Policies.
        policies: usize,
        /// Their pairs.
        expected: usize,
        /// Pairs given.
        got: usize,
    },
    /// Two policies could not be compared.
    #[error("cannot compare `{first}` and `{second}`")]
    Pair {
        /// The policy that stands higher.
        first: String,
        /// The policy that stands lower.
        second: String,
        /// Why not.
        #[source]
        source: Box<CompareError>,
    },
    /// The fit did not come to rest.
    #[error("Bradley–Terry fit did not converge in {steps} steps")]
    NotConverged {
        /// Steps taken.
        steps: usize,
    },
}
