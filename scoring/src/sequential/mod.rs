//! Comparisons that may be looked at after every trial.
//!
//! A p value of [`compare`](crate::compare) holds for one look. Look after every trial and stop
//! when it is below 5 %, and equal policies are told apart far more often than that. The tests here
//! are e-processes: wealth that grows only if the policies differ. They hold at whatever
//! moment one stops, for whatever reason, at the price of some more trials than a plan of fixed
//! size would need.
//!
//! - [`Settler`] follows a whole run and says when its ranking is settled.
//! - [`BettingTest`]: pairs on shared scenarios, partial credit included.
//! - [`TwoSample`]: two independent streams of successes and failures.
//! - [`rate_sequence`]: one rate.
//!
//! `docs/sequential.md` has the measured error under optional stopping and the trials needed.

mod betting;
mod error;
mod rate;
mod settle;
mod two_sample;

pub use betting::BettingTest;
pub use error::SequentialError;
pub use rate::rate_sequence;
pub use settle::{Decision, PairState, Relation, SettleOptions, Settler};
pub use two_sample::TwoSample;
