//! Judges and plans robot policies in an imagined world before they touch the robot.
//!
//! A user brings logs of their robot (a LeRobotDataset), policies that answer over zenoh, and a
//! suite of scenarios. This crate is the facade over the six crates that do the work, and the
//! command line program.
//!
//! # What this crate does
//! Re-exports its parts under short names, runs suites ([`run`]), clones policies from logs
//! ([`policy`]), shows single plans ([`plan`]), measures video with networks ([`perception`]), writes recordings for the rerun viewer ([`viz`], feature `rerun`) and holds the
//! program ([`cli`], feature `cli`).
//!
//! # What this crate does not do
//! The parts do the work, and each can be used alone.
//!
//! ```text
//! robot logs ──► train ──► checkpoint ─────────┐
//!     │                                        ▼
//!     ├─► start frames ─► suite ─► trials ─► World × Policy ─► episodes ─► scoring ─► report
//!     └─► real results ─────────────────────────────────────────────────► calibration
//! ```
//!
//! # Example
//! ```
//! use rehearse::scenarios::interface::{Policy, PolicyInfo};
//! use rehearse::scenarios::local::NoisePolicy;
//! use rehearse::scenarios::embodiment::{Channel, Embodiment};
//! use rehearse::scenarios::time::Rate;
//!
//! let embodiment = Embodiment {
//!     robot: Some("sawyer".into()),
//!     rate: Rate::from_hz(40.0)?,
//!     cameras: vec![],
//!     proprioception: vec![],
//!     actions: vec![Channel { bounds: Some([-1.0, 1.0]), ..Channel::named("dx") }],
//! };
//! let info = PolicyInfo { name: "noise".into(), embodiment, chunk: 8, max_batch: 64, digest: None };
//! assert_eq!(NoisePolicy::new(info)?.info().chunk, 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use rehearse_calibration as calibration;
pub use rehearse_planner as planner;
pub use rehearse_policy_bridge as policy_bridge;
pub use rehearse_scenarios as scenarios;
pub use rehearse_scoring as scoring;
pub use rehearse_world_model as world_model;

pub mod judge;
pub mod perception;
pub mod plan;
pub mod policy;
pub mod run;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "rerun")]
pub mod viz;
