//! Policies and worlds over zenoh: clients that implement [`Policy`] and [`World`], servers that
//! serve any of either, and who is there.
//!
//! The traits block, and so do these types: zenoh's own threads do the waiting.
//!
//! [`Policy`]: rehearse_scenarios::interface::Policy
//! [`World`]: rehearse_scenarios::interface::World

mod answers;
mod batch;
mod client;
mod config;
mod discovery;
mod error;
mod events;
mod exchange;
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
pub use keys::{Kind, Name, NameError};
pub use policy::RemotePolicy;
pub use server::{ServedWorld, Server, ServerOptions};
pub use world::RemoteWorld;

/// A zenoh session, as [`open`] opens it.
pub use ::zenoh::Session;
