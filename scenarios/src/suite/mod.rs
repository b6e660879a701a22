//! Suites: which policies meet which scenarios, how often, in which world.
//!
//! A suite is one TOML file. Unknown keys are refused, and an error names the file and the path
//! of the key. [`Suite::trials`] expands it to its trials, each with a stable id.

mod edit;
mod error;
mod file;
mod judge;
mod scenario;
mod trial;
mod trust;
mod variation;

pub use edit::Varied;
pub use error::SuiteError;
pub use file::{PolicyEntry, PolicySource, Starts, Suite, TaskEntry, WorldSource};
pub use judge::JudgeEntry;
pub use scenario::Scenario;
pub use trial::{Trial, TrialId};
pub use trust::TrustEntry;
pub use variation::Variation;
