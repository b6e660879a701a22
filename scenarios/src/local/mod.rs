//! Worlds and policies that need no model and no network.
//!
//! A log played back is the open-loop baseline; constants, scripts and noise are the floors that
//! every policy has to beat, and what the contract suites run on.

mod constant;
mod noise;
mod replay;
mod replay_policy;
mod scripted;
mod trials;

pub use constant::ConstantPolicy;
pub use noise::{NoisePolicy, UnboundedChannel};
pub use replay::{Recording, RecordingError, ReplayWorld};
pub use replay_policy::ReplayPolicy;
pub use scripted::ScriptedPolicy;
pub use trials::OpenTrials;
