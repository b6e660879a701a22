//! Which real trials to run next, and how many are enough.
//!
//! A further real trial is worth most where its result is least certain once the imagined trials
//! have been taken into account: in cells (policy × task) with a rate near ½ that the world model
//! follows badly. [`allocate`] spends a budget so that the remaining variance is smallest (Neyman
//! allocation on the residuals of prediction-powered inference, in whole trials);
//! [`next_batch`] does it again after every batch of results; [`budget`] turns the question round.
//!
//! Numbers are predictions: they take today's rates and correlations for true. Recompute them as
//! results come in. Stopping as soon as an interval is short enough makes that interval slightly
//! too short: fix the number of trials first, or use `rehearse_scoring::sequential`.

mod budget;
mod cell;
mod neyman;
mod sequential;

pub use budget::{Budget, PolicyBudget, budget};
pub use cell::{CellState, states};
pub use neyman::{Allocation, Objective, PolicySpread, allocate, neyman_shares};
pub use sequential::{Assignment, next_batch};
