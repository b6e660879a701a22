//! Policies, worlds and judges over zenoh: clients that implement [`Policy`], [`World`] and
//! [`Judge`], servers that serve any policy and any world, and who is there.
//!
//! The traits block, and so do these types: zenoh's own threads do the waiting.
//!
//! [`Policy`]: rehearse_scenarios::interface::Policy
//! [`World`]: rehearse_scenarios::interface::World
//! [`Judge`]: rehearse_scenarios::interface::Judge

mod answers;
mod batch;
mod client;
mod config;
mod discovery;
mod error;
mod events;
mod exchange;
mod judge;
mod keys;
mod link;
mod policy;
mod queue;
mod server;
mod service;
mod watch;
mod world;

pub use client::ClientOptions;
pub use config::{Connection, RENDEZVOUS, open};
pub use discovery::{Peer, peers};
pub use error::BridgeError;
pub use events::RunEvents;
pub use judge::{RemoteJudge, StatedJudge};
pub use keys::{Kind, Name, NameError};
pub use policy::RemotePolicy;
pub use server::{ServedWorld, Server, ServerOptions};
pub use world::RemoteWorld;

/// A zenoh session, as [`open`] opens it.
pub use ::zenoh::Session;
