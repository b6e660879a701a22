//! Searches over batched action sequences, one enum.
//!
//! A search runs in the unit box of [`Limits`](crate::limits::Limits) and over *blocks*: one value
//! per channel that is held for several control steps. Several problems (trials) are searched at
//! once, each with its own seed; the objective is asked once per iteration for all candidates of
//! all problems.

mod cem;
mod gradient;
mod mppi;
mod noise;
mod search;
mod settings;
mod shooting;

pub use search::{Iteration, Objective, Problems, Search, Solution, Times};
pub use settings::{
    CemSettings, GradientSettings, MppiSettings, OptimizerSettings, SearchSettings,
    ShootingSettings,
};
