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
//!
//! # Example
//! A policy acts in a world for five steps. Either could as well be a
//! [`RemotePolicy`](zenoh::RemotePolicy) or a [`RemoteWorld`](zenoh::RemoteWorld).
//! ```
//! use std::sync::Arc;
//! use rehearse_policy_bridge::closed_loop::{
//!     Cancel, Event, Lane, LoopOptions, ObserverError, Trial, run,
//! };
//! use rehearse_scenarios::interface::PolicyInfo;
//! use rehearse_scenarios::local::{NoisePolicy, ReplayWorld};
//! use rehearse_scenarios::seed::Seed;
//! use rehearse_scenarios::testing::{sample_recordings, sample_rig};
//!
//! let mut world = ReplayWorld::new(sample_rig(), sample_recordings(&[9]));
//! let policy = NoisePolicy::new(PolicyInfo {
//!     name: "noise".into(),
//!     embodiment: sample_rig(),
//!     chunk: 4,
//!     max_batch: 8,
//!     digest: None,
//! })?;
//! let trials = (0..1).map(|index| Trial {
//!     id: format!("demo/{index}/noise/0"),
//!     task: Arc::from("sample"),
//!     index,
//!     instruction: Arc::from("do it"),
//!     observation: None,
//!     world_seed: Seed::root(1).child("world").index(index),
//!     policy_seed: Seed::root(1).child("noise").index(index),
//!     horizon: 5,
//! });
//! let mut lengths = vec![];
//! let mut observer = |event: Event<'_>| -> Result<(), ObserverError> {
//!     if let Event::Ended { episode, .. } = event {
//!         lengths.push(episode.len());
//!     }
//!     Ok(())
//! };
//! let lanes = vec![Lane::new(Box::new(policy), 2, trials)];
//! let options = LoopOptions::default();
//! run(&mut world, lanes, &options, &mut observer, &Cancel::default())?;
//! assert_eq!(lengths, [5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod adapter;
pub mod closed_loop;
pub mod wire;
pub mod zenoh;
