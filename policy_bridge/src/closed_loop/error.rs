//! Why a run could not start, or had to stop.

use rehearse_scenarios::census::CensusError;

/// What an observer may fail with.
pub type ObserverError = Box<dyn std::error::Error + Send + Sync>;

/// Why a run could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// A policy does not fit the world. Found before the first trial.
    #[error(transparent)]
    Census(#[from] CensusError),
    /// A setting that cannot be.
    #[error("{setting} of {policy:?} must be {expected}, got {got}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// The policy whose lane it is in, or `run`.
        policy: String,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// Who looks on failed: a disk is full, a sink is closed.
    #[error("the run was stopped by its observer")]
    Observer(#[source] ObserverError),
    /// The operating system refused a thread.
    #[error("failed to start a thread for policy {policy:?}")]
    Thread {
        /// The policy.
        policy: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
