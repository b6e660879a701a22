//! Policies cloned from logs: image, proprioception and instruction to a chunk of actions.
//!
//! Behaviour cloning with a small transformer over image patches: enough to have policies of
//! graded quality to judge, trained in minutes on a laptop. They are made to be ranked, not to be
//! good.
//!
//! ```text
//! logs ─► demonstrations ─► training ─► one file: weights and manifest ─► cloned policy
//! ```
//!
//! # What this does not do
//! It sees one frame and no history, and it learns what the demonstrations did, not what would have
//! worked.

mod checkpoint;
mod cloned;
mod config;
mod demonstrations;
mod error;
mod model;
mod normalisation;
mod training;

pub use checkpoint::{DataRecord, FORMAT, Manifest, load, save};
pub use cloned::ClonedPolicy;
pub use config::{CloneConfig, DataConfig};
pub use demonstrations::Demonstrations;
pub use error::{PolicyError, Result};
pub use model::{CloneModel, Shape};
pub use normalisation::Normalisation;
pub use training::{CurvePoint, Progress, Trained, clone_policy};
