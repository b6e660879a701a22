//! The vocabulary of `rehearse`, and the data that it works on.
//!
//! # What this crate does
//! - names the things that every other crate speaks of: [`embodiment`], [`observation`],
//!   [`action`], [`outcome`], [`episode`], [`time`] and [`seed`];
//! - states what a [`World`](interface::World) and a [`Policy`](interface::Policy) are, and
//!   checks any of them against the same contract suites (`testing`, behind the feature of that
//!   name);
//! - reads and writes robot logs ([`log`]: LeRobotDataset v2.1 and v3.0) with their video
//!   ([`video`]: AV1 and H.264, no system FFmpeg);
//! - reads [`suite`] files;
//! - holds the worlds and policies that need no model and no network ([`local`]): a log played
//!   back, a constant, a script, noise.
//!
//! # What this crate does not do
//! No machine learning, no network, no statistics, no closed loop: it never lets a policy act in
//! a world.
//!
//! ```text
//! robot log (LeRobotDataset) ──► log ──► episode: observations + actions + outcome
//!                                 │
//! suite.toml ──► suite ──► scenarios × policies × repeats ──► trials, each with its seeds
//! ```
//!
//! # Example
//! ```
//! use rehearse_scenarios::action::ActionChunk;
//! use rehearse_scenarios::seed::Seed;
//! use rehearse_scenarios::time::{Clock, Rate};
//!
//! let chunk = ActionChunk::from_values(4, vec![0.1, 0.0, 0.0, 1.0, 0.1, 0.0, 0.0, -1.0])?;
//! let mut clock = Clock::new(Rate::from_hz(40.0)?);
//! clock.advance_steps(chunk.steps() as u64);
//! assert_eq!(clock.now().as_nanos(), 50_000_000);
//! assert_eq!(Seed::root(7).child("world"), Seed::root(7).child("world"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod action;
pub mod census;
pub mod embodiment;
pub mod episode;
pub mod interface;
pub mod local;
pub mod log;
pub mod observation;
pub mod outcome;
pub mod seed;
pub mod suite;
pub mod syntax;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod video;
