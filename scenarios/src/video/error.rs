//! Why a video cannot be read or written.

use std::path::PathBuf;

/// Why a video cannot be read or written. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `open`, `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}
