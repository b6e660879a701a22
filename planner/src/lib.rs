//! A policy that thinks with a world model.
//!
//! # What this crate does
//! - [`optimizer`]: searches over batched action sequences (random shooting, CEM and iCEM, MPPI,
//!   gradient descent, CEM that seeds gradients), in one enum;
//! - [`limits`]: what an action may be: bounds, rate and norm limits, the gripper's two ends;
//! - [`objective`]: what a plan is to bring about: success, a goal's picture or proprioception,
//!   keeping out of a region, agreement between draws;
//! - [`proposals`]: courses of action from logs, among a search's candidates;
//! - [`steering`]: plans over places in the place of actions;
//! - [`standpoint`]: what candidates are imagined with, the whole model or its memory alone;
//! - [`policy`]: receding-horizon control as a policy like any other, from its [`config`].
//!
//! # What this crate does not do
//! It trains nothing, and it never sees the world that a trial takes place in: the model that a
//! planner thinks with is its own instance.
//!
//! ```text
//! seeds, last plan ─► optimizer: draw ─► limits ─► objective (imagination) ─► learn ─► best plan
//!                        ▲                                                    │
//!                        └────────────────── iterations ──────────────────────┘
//! ```
//!
//! # Example
//! A point that is pushed for five steps is to end at 1: the search finds how.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use rehearse_planner::limits::{LimitSettings, Limits};
//! use rehearse_planner::optimizer::{
//!     CemSettings, OptimizerSettings, Problems, Search, SearchSettings,
//! };
//! use rehearse_scenarios::embodiment::{Channel, Embodiment};
//! use rehearse_scenarios::seed::Seed;
//! use rehearse_scenarios::time::Rate;
//!
//! let rig = Embodiment {
//!     robot: None,
//!     rate: Rate::from_hz(10.0)?,
//!     cameras: vec![],
//!     proprioception: vec![],
//!     actions: vec![Channel { bounds: Some([-0.5, 0.5]), ..Channel::named("dx") }],
//! };
//! let limits = Limits::new(&rig, LimitSettings::default(), &Device::Cpu)?;
//! let settings = SearchSettings {
//!     blocks: 5,
//!     block_steps: 1,
//!     iterations: 20,
//!     optimizer: OptimizerSettings::Cem(CemSettings { min_spread: 0.0, ..CemSettings::default() }),
//! };
//! let problems = Problems { seeds: vec![Seed::root(7)], ..Problems::default() };
//! let solution = Search::new(settings, limits)?.solve(&problems, None, &mut |actions: &Tensor| {
//!     let end = actions.sum(2)?.squeeze(2)?;
//!     Ok(end.affine(1.0, -1.0)?.sqr()?)
//! })?;
//! assert!(solution.cost[0] < 1e-3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod config;
mod error;
pub mod limits;
pub mod objective;
pub mod optimizer;
pub mod policy;
pub mod proposals;
pub mod standpoint;
pub mod steering;

pub use error::{PlanError, Result};
