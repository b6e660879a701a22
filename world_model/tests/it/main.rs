//! The model held against its PyTorch twin, and training, checkpoints and fidelity end to end on
//! a log that the tests write themselves.

mod checkpoint;
mod parity;
mod rig;
mod training;
