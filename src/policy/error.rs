//! What can go wrong with a cloned policy.

use std::path::PathBuf;

use rehearse_scenarios::log::LogError;
use rehearse_world_model::ModelError;

/// Why a policy could not be cloned, loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A recipe that cannot be read as one.
    #[error("the recipe {}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        message: String,
    },
    /// A value of a recipe is out of its range.
    #[error("{key} is {got}; {expected}")]
    Config {
        /// Path of the key, such as `data.episodes`.
        key: &'static str,
        /// What was given.
        got: String,
        /// What would be accepted.
        expected: String,
    },
    /// The logs hold nothing that the recipe asks for.
    #[error("the logs have no episode of split {split:?} with {wanted}")]
    NoEpisodes {
        /// The split that was asked for.
        split: String,
        /// What else was asked for.
        wanted: String,
    },
    /// A file that is no cloned policy, or a damaged one.
    #[error("cloned policy: {reason} ({})", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong, with what was expected.
        reason: String,
    },
    /// Training cannot go on.
    #[error("training stopped at step {step}: the loss is {loss}, or its gradient is not finite")]
    Diverged {
        /// The step, from 0.
        step: usize,
        /// The loss there.
        loss: f64,
    },
    /// A log that cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What the parts shared with the world model say.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor operation failed.
    #[error("tensor: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A file could not be read or written.
    #[error("{action}: {source} ({})", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl PolicyError {
    /// A function that wraps an I/O error with what was done and where.
    pub(super) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// The module's result.
pub type Result<T, E = PolicyError> = std::result::Result<T, E>;
