//! What a judge says of trials, and how far it can be believed: its verdicts against what the log
//! knows, and rubrics for partial credit.

mod check;
mod error;
mod logged;
mod rubric;
mod verdicts;

pub use check::{FrameCheck, JudgeCheck, TaskCheck, check, rule_of};
pub use error::JudgeError;
pub use logged::{judge_identity, judge_logged};
pub use rubric::{Criterion, GripperState, Rubric, RubricError, Yardstick};
pub use verdicts::{OutcomeCheck, Verdicts};
