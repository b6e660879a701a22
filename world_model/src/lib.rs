//! What happens next: an action-conditioned video world model, its training, and the learned
//! [`World`](rehearse_scenarios::interface::World).
pub mod checkpoint;
pub mod conditions;
pub mod config;
pub mod device;
pub mod error;
pub mod expert;
pub mod experts;
pub mod fidelity;
pub mod flow;
pub mod instruction;
pub mod judge;
pub mod metrics;
pub mod model;
pub mod nn;
pub mod partition;
mod replay;
pub mod rollout;
pub mod router;
pub mod routing;
pub mod state_model;
pub mod statistics;
pub mod tokenizer;
pub mod train;
pub mod world;

pub use error::{ModelError, Result};
