//! Why a suite cannot be used.

use std::path::{Path, PathBuf};

/// Why a suite cannot be used. Each names the file, and the path of the key where there is one.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The file cannot be read.
    #[error("cannot read the suite {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than any suite.
    #[error("the suite {} has {bytes} bytes; at most {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// The file is no TOML, or a key is unknown, missing or of the wrong type.
    #[error("the suite {}: {key}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Path of the key, as in `policy[1].execute`; `.` for the file as a whole.
        key: String,
        /// What is wrong, and where.
        message: String,
    },
    /// A value is outside its range, or contradicts another.
    #[error("the suite {}: {key}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Path of the key, as in `policy[1].execute`.
        key: String,
        /// What is wrong and what is accepted.
        message: String,
    },
}

impl SuiteError {
    pub(super) fn invalid(path: &Path, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), key: key.into(), message: message.into() }
    }
}
