//! The model held against its PyTorch twin, and training, checkpoints and fidelity end to end on
//! a log that the tests write themselves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod checkpoint;
mod parity;
mod perception;
mod rig;
mod t5;
mod training;
