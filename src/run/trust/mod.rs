//! How far a rollout can be trusted: evidence of its own fidelity, trial by trial.
//!
//! A learned world is good near what it was trained on, and for as long as it was measured to be.
//! `Region` is what the training data covers, [`Evidence`] where a trial lay in it, [`Again`]
//! what became of it under other noise.

mod again;
mod evidence;
mod neighbours;
mod region;
mod witness;

pub use again::Again;
pub use evidence::{Evidence, Outside};

pub(super) use again::{Job, draw_again, read as read_draws, write as write_draws};
pub(super) use witness::Witness;
