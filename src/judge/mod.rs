//! How far a judge can be believed: its verdicts against what the log knows.

mod check;
mod error;
mod verdicts;

pub use check::{FrameCheck, JudgeCheck, TaskCheck, check, rule_of};
pub use error::JudgeError;
pub use verdicts::{OutcomeCheck, Verdicts};
