//! A suite run to its end: every scenario × policy × repeat, into a run directory.
//!
//! ```text
//! suite.toml ─► plan ─► starts ─► closed loop ─► journal (a line as each trial ends) ─► trials.parquet
//!                 ▲                    │                                                 episodes/
//!                 └── resume: what the journal holds is not run again ◄──┘
//! ```
//!
//! Only [`RunFolder`] writes a run directory. A run that is killed loses the trials in flight and
//! nothing else: what has ended is in the journal, and a resumed run ends in the same files as one
//! that was never interrupted.

mod conduct;
mod credit;
mod dataset;
mod draws;
mod error;
mod folder;
mod journal;
mod judge;
mod manifest;
mod merge;
mod onlooker;
mod plan;
mod real;
pub mod report;
mod rollouts;
mod settle;
mod spool;
mod starts;
mod timing;
pub mod trust;
mod world;

pub use conduct::{Conduct, Finished, conduct};
pub use dataset::BELIEF;
pub use error::RunError;
pub use folder::RunFolder;
pub use journal::Entry;
pub use manifest::{LogRecord, Manifest, PolicyRecord};
pub use merge::merge;
pub use onlooker::{Onlooker, Stepped};
pub use plan::{Plan, Shard};
pub use rollouts::Rollouts;
pub use timing::{PolicyCost, Session};
