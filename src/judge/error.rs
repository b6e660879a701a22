//! Why a judge could not be checked.

use std::path::PathBuf;

use rehearse_calibration::error::CalibrationError;
use rehearse_scoring::rate::RateError;

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
