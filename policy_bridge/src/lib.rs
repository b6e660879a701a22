//! What acts, over zenoh, and the closed loop between a policy and a world.
//!
//! # What this crate does
//! - states the [`wire`] protocol (`docs/protocol.md`) and reads it without trusting a byte;
//! - serves any policy and any world, and reaches those of others, over [`zenoh`]: discovery,
//!   death notice, deadlines, back-pressure, batches across clients;
//! - speaks to the servers of other projects through [`adapter`]s;
//! - lets policies act in a world and hands the episodes on as they end ([`closed_loop`]).
//!
//! # What this crate does not do
//! No scores, no goals, no statistics: it says what happened, not how good it was. It writes no
//! files. It never unpickles and never evaluates what it receives.

pub mod adapter;
pub mod closed_loop;
pub mod wire;
pub mod zenoh;
