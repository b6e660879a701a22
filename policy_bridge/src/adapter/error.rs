//! Why an adapter could not be set up. What goes wrong later is a trial's
//! [`Fault`](rehearse_scenarios::outcome::Fault).

use std::path::PathBuf;

/// Why an adapter could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The manifest cannot be read.
    #[error("manifest cannot be read: {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The manifest is not TOML, or a key is missing, unknown or of the wrong type.
    #[error("manifest is wrong at {key}: {message}: {}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Path of the key, as in `state[0].part[1].unit`.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// The manifest contradicts itself.
    #[error("manifest does not hold together at {key}: {problem}: {}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Path of the key, as in `state[0].part[1].unit`.
        key: String,
        /// What contradicts what.
        problem: String,
    },
    /// The server is not there, or does not answer as its kind does.
    #[error("{server} cannot be used: {problem}")]
    Server {
        /// The server's address.
        server: String,
        /// What happened and what to do next.
        problem: String,
    },
}

/// A contradiction in a manifest, before the file is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    pub key: String,
    pub problem: String,
}

impl Conflict {
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}
