//! Why a run could not be made.

use std::path::PathBuf;

use rehearse_planner::PlanError;
use rehearse_policy_bridge::closed_loop::LoopError;
use rehearse_policy_bridge::zenoh::{BridgeError, NameError};
use rehearse_scenarios::interface::InterfaceError;
use rehearse_scenarios::local::RecordingError;
use rehearse_scenarios::log::LogError;
use rehearse_scenarios::suite::SuiteError;
use rehearse_scoring::sequential::SequentialError;
use rehearse_scoring::trial::TableError;
use rehearse_world_model::ModelError;

use crate::judge::{JudgeError, RubricError};

/// Why a run could not be made, with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The suite cannot be used.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// A rubric of the suite cannot be used.
    #[error(transparent)]
    Rubric(#[from] RubricError),
    /// The suite's log cannot be used.
    #[error("cannot use the suite's log")]
    Log {
        /// The cause.
        #[from]
        source: LogError,
    },
    /// The log knows no such task.
    #[error("the log has no episode of task {task:?} in split {split:?}; there is {there}")]
    UnknownTask {
        /// Name of the task.
        task: String,
        /// Name of the split.
        split: String,
        /// The tasks that there are.
        there: String,
    },
    /// The log has fewer starts than the suite asks for.
    #[error(
        "task {task:?} needs start {wanted}, but split {split:?} of the log has {found} episodes of it"
    )]
    TooFewStarts {
        /// Name of the task.
        task: String,
        /// Name of the split.
        split: String,
        /// Index of the missing start.
        wanted: u64,
        /// Episodes that there are.
        found: usize,
    },
    /// A planner of the suite cannot be made.
    #[error("planner {name:?} cannot be made")]
    Planner {
        /// The policy's name in the suite.
        name: String,
        /// The cause.
        #[source]
        source: PlanError,
    },
    /// An episode of the log is too short to play back.
    #[error("episode {episode} of the log cannot be played back")]
    Recording {
        /// Index of the episode.
        episode: usize,
        /// The cause.
        #[source]
        source: RecordingError,
    },
    /// The learned world cannot be used.
    #[error("cannot use the learned world")]
    Model {
        /// The cause.
        #[from]
        source: ModelError,
    },
    /// A name cannot stand in a zenoh key.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A policy or a world over zenoh cannot be reached.
    #[error("cannot reach {what}")]
    Bridge {
        /// Who was to be reached.
        what: String,
        /// The cause.
        #[source]
        source: BridgeError,
    },
    /// The suite asks for what this version does not run.
    #[error("{what} cannot be run by this version; {advice}")]
    NotSupported {
        /// What was asked for.
        what: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// The run directory is there already.
    #[error("{} holds a run already; go on with it by --resume, or choose another --out", path.display())]
    Exists {
        /// The run directory.
        path: PathBuf,
    },
    /// Another process works on the run directory.
    #[error("another process works on {}; wait for it, or choose another --out", path.display())]
    Busy {
        /// The run directory.
        path: PathBuf,
    },
    /// Parts that do not make a whole run.
    #[error("{}: {message}", path.display())]
    Parts {
        /// The part.
        path: PathBuf,
        /// What is missing, doubled or mixed.
        message: String,
    },
    /// The report cannot be made.
    #[error("cannot make the report's {what}")]
    Report {
        /// The part of the report.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The run directory holds another run.
    #[error("{} holds a run of another {field}: it was {was}, now it is {is}", path.display())]
    OtherRun {
        /// The run directory.
        path: PathBuf,
        /// What differs.
        field: &'static str,
        /// As the run directory states it.
        was: String,
        /// As it is now.
        is: String,
    },
    /// A trial cannot be imagined a second time.
    #[error("cannot imagine trials a second time")]
    Draws {
        /// The cause.
        #[source]
        source: InterfaceError,
    },
    /// Nothing can be said of when the ranking is settled.
    #[error("cannot follow when the ranking is settled")]
    Settle {
        /// The cause.
        #[from]
        source: SequentialError,
    },
    /// The judge's record cannot be used.
    #[error("cannot use what is known of the judge")]
    Judge {
        /// The cause.
        #[from]
        source: JudgeError,
    },
    /// The judge's record is of another judge.
    #[error("{} is of {found}, and the run's judge is {wanted}; make it anew by `rehearse judge check`", path.display())]
    OtherJudge {
        /// The record.
        path: PathBuf,
        /// The judge that it is of.
        found: String,
        /// The run's judge.
        wanted: String,
    },
    /// A file of the run directory is damaged.
    #[error("{}: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The table of trials cannot be made.
    #[error("cannot make the table of trials")]
    Table {
        /// The cause.
        #[from]
        source: TableError,
    },
    /// The closed loop stopped.
    #[error(transparent)]
    Loop(#[from] LoopError),
}

impl RunError {
    /// A file error, as `map_err` takes it.
    pub(super) fn file(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// A damaged file.
    pub(super) fn damaged(path: &std::path::Path, message: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), message: message.to_string() }
    }
}
