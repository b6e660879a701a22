//! Exit codes, in one place.

use std::process::ExitCode;

/// How the program ends.
///
/// | code | means |
/// |---|---|
/// | 0 | done, and nothing found wrong |
/// | 1 | done, and something found wrong: problems in a log, a check that does not hold |
/// | 2 | not done: wrong arguments, unreadable or impossible input, a peer that is not there |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done, and nothing found wrong.
    Success,
    /// Done, and something found wrong.
    Failure,
    /// Not done.
    Error,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Success => Self::SUCCESS,
            ExitStatus::Failure => Self::from(1),
            ExitStatus::Error => Self::from(2),
        }
    }
}
