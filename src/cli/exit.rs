//! Exit codes, in one place.

use std::io;
use std::process::ExitCode;

use rehearse_policy_bridge::closed_loop::LoopError;

use crate::run::RunError;

/// How the program ends.
///
/// | code | means |
/// |---|---|
/// | 0 | done, and nothing found wrong |
/// | 1 | done, and something found wrong: problems in a log, a check that does not hold |
/// | 2 | not done: wrong arguments, unreadable or impossible input |
/// | 3 | the suite cannot be run as it is written: an unknown task, a policy that does not fit |
/// | 4 | a policy, a world or a judge that the suite names is not there |
/// | 5 | the run directory holds another run, or one that is not to be gone on with |
/// | 6 | another process works on the run directory |
/// | 7 | nothing more can be written: the disk is full |
/// | 8 | parts of a run that do not make a whole: missing, doubled, mixed |
/// | 9 | stopped before the end; `--resume` goes on |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done, and nothing found wrong.
    Success,
    /// Done, and something found wrong.
    Failure,
    /// Not done.
    Error,
    /// The suite cannot be run as it is written.
    Suite,
    /// A policy, a world or a judge is not there.
    Absent,
    /// The run directory holds another run.
    OtherRun,
    /// Another process works on the run directory.
    Busy,
    /// Nothing more can be written.
    Full,
    /// Parts that do not make a whole.
    Parts,
    /// Stopped before the end.
    Stopped,
}

impl ExitStatus {
    /// The status for what kept a command from being done.
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(of_cause).unwrap_or(Self::Error)
    }
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<ExitStatus> {
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return of_kind(error.kind());
    }
    match cause.downcast_ref::<RunError>()? {
        RunError::Suite(_)
        | RunError::Rubric(_)
        | RunError::UnknownTask { .. }
        | RunError::TooFewStarts { .. }
        | RunError::NotSupported { .. }
        | RunError::Planner { .. }
        | RunError::Name(_)
        | RunError::Settle { .. }
        | RunError::Judge { .. }
        | RunError::OtherJudge { .. }
        | RunError::Loop(LoopError::Census(_)) => Some(ExitStatus::Suite),
        RunError::Bridge { .. } => Some(ExitStatus::Absent),
        RunError::Exists { .. } | RunError::OtherRun { .. } => Some(ExitStatus::OtherRun),
        RunError::Busy { .. } => Some(ExitStatus::Busy),
        RunError::Parts { .. } => Some(ExitStatus::Parts),
        // Their causes may say more.
        RunError::File { .. }
        | RunError::Log { .. }
        | RunError::Recording { .. }
        | RunError::Model { .. }
        | RunError::Damaged { .. }
        | RunError::Table { .. }
        | RunError::Draws { .. }
        | RunError::Report { .. }
        | RunError::Loop(_) => None,
    }
}

const fn of_kind(kind: io::ErrorKind) -> Option<ExitStatus> {
    match kind {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::ReadOnlyFilesystem => Some(ExitStatus::Full),
        _ => None,
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Success => 0,
            ExitStatus::Failure => 1,
            ExitStatus::Error => 2,
            ExitStatus::Suite => 3,
            ExitStatus::Absent => 4,
            ExitStatus::OtherRun => 5,
            ExitStatus::Busy => 6,
            ExitStatus::Full => 7,
            ExitStatus::Parts => 8,
            ExitStatus::Stopped => 9,
        })
    }
}
