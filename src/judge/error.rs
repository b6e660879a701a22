//! Why a judge could not be checked.

use std::path::PathBuf;

use rehearse_calibration::error::CalibrationError;
use rehearse_scenarios::interface::InterfaceError;
use rehearse_scenarios::log::LogError;
use rehearse_scenarios::outcome::Fault;
use rehearse_scoring::rate::RateError;
use rehearse_world_model::ModelError;

/// Why a judge could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// No episode says whether it succeeded, and no frame whether the task is done.
    #[error("split {split:?} of the log says of no episode whether it succeeded")]
    NoLabels {
        /// The split.
        split: String,
    },
    /// A file that is no check of a judge.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The judge failed.
    #[error("the judge failed at episode {episode} of the log")]
    Broke {
        /// Index of the episode.
        episode: usize,
        /// What happened.
        #[source]
        fault: Fault,
    },
    /// The judge failed as a whole.
    #[error("the judge failed")]
    Failed(#[from] InterfaceError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log holds nothing to judge.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The numbers could not be made.
    #[error("cannot measure the judge's calibration")]
    Calibration {
        /// The cause.
        #[from]
        source: CalibrationError,
    },
    /// A rate could not be made.
    #[error("cannot measure the judge's rates")]
    Rate {
        /// The cause.
        #[from]
        source: RateError,
    },
}
