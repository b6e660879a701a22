//! What can go wrong in the model: one enum for the crate.

use std::path::PathBuf;

use rehearse_scenarios::census::CensusError;

/// Why the model could not be built, run, trained, loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A value of a configuration is out of its range.
    #[error("config value {key} is {got}; {expected}")]
    Config {
        /// Path of the key, such as `expert.heads`.
        key: &'static str,
        /// What was given.
        got: String,
        /// What would be accepted.
        expected: String,
    },
    /// A configuration file that cannot be read as one.
    #[error("the configuration {}: {message}", path.display())]
    ConfigSyntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        message: String,
    },
    /// A device that is not there, or not built in.
    #[error("device {name:?}: {reason}")]
    Device {
        /// As the user wrote it.
        name: String,
        /// Why it cannot be used, and what to do.
        reason: String,
    },
    /// A quantity has the wrong size.
    #[error("{what} has {got}, expected {expected}")]
    Size {
        /// Which quantity, and where.
        what: String,
        /// The size that the model needs.
        expected: String,
        /// The size that was given.
        got: String,
    },
    /// NaN or an infinity where numbers are needed.
    #[error("{what} is not finite{place}", place = place.as_ref().map(|p| format!(" ({p})")).unwrap_or_default())]
    NotFinite {
        /// Which quantity.
        what: String,
        /// Where: an episode, a step.
        place: Option<String>,
    },
    /// The logs hold nothing for a purpose.
    #[error("the logs have no {what} in split {split:?}")]
    EmptySplit {
        /// What is missing: `episodes`, `frames`.
        what: &'static str,
        /// The split that was asked for.
        split: String,
    },
    /// A checkpoint that cannot be used.
    #[error("checkpoint: {reason} ({})", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong, with what was expected.
        reason: String,
    },
    /// The weights of a network to measure with that cannot be used.
    #[error("weights of {network}: {reason} ({})", path.display())]
    Weights {
        /// The network, and what it is for.
        network: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, with what was expected.
        reason: String,
    },
    /// A T5 that cannot be used.
    #[error("T5: {reason} ({})", path.display())]
    T5 {
        /// Its folder, or the file in it.
        path: PathBuf,
        /// What is wrong, with what was expected.
        reason: String,
    },
    /// Too few clips to measure a distance between sets of them.
    #[error(
        "FVD needs at least {needed} clips of {frames} frames, split {split:?} has {got} in the \
         episodes that are replayed"
    )]
    TooFewClips {
        /// The split that was asked for.
        split: String,
        /// Frames of a clip.
        frames: usize,
        /// Smallest number that will do.
        needed: usize,
        /// Whole clips found.
        got: usize,
    },
    /// A measure that another crate computes failed.
    #[error("{measure}: {source}")]
    Measure {
        /// The measure.
        measure: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An instruction that training did not meet, and no T5 to read it.
    #[error("training did not meet the instruction {instruction:?}, and the T5 that could read it (digest {digest}) is not there{place}", place = folder.as_ref().map(|folder| format!(": put its folder, or a link to it, at {}", folder.display())).unwrap_or_default())]
    Unread {
        /// The instruction.
        instruction: String,
        /// Digest of the T5 that training read by.
        digest: String,
        /// Where it was looked for.
        folder: Option<PathBuf>,
    },
    /// Logs or a policy that do not fit the checkpoint's rig.
    #[error(transparent)]
    Embodiment(#[from] CensusError),
    /// Training cannot go on.
    #[error("training stopped in stage {stage} at step {step}: {reason}; the last good state is {}", saved.display())]
    Diverged {
        /// Name of the stage.
        stage: String,
        /// Step within the stage.
        step: usize,
        /// What was seen.
        reason: String,
        /// Where the last good state lies.
        saved: PathBuf,
    },
    /// The robot log could not be read.
    #[error("cannot read the logs: {0}")]
    Log(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file could not be read or written.
    #[error("{action}: {source} ({})", path.display())]
    Io {
        /// What was being done: `write the token cache`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// JSON that cannot be read or written.
    #[error("{what}: {source}")]
    Json {
        /// Which document.
        what: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A tensor operation failed.
    #[error("tensor: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl ModelError {
    /// A [`ModelError::Size`].
    pub(crate) fn size(
        what: impl Into<String>,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Self {
        Self::Size { what: what.into(), expected: expected.to_string(), got: got.to_string() }
    }

    /// A function that wraps an I/O error with what was done and where.
    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// The crate's result.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;
