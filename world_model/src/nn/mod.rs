//! Layers, in the order in which they build on each other. No layer knows of robots.

mod block;
pub mod fused;
mod gru;
mod linear;
pub mod ops;
mod variables;

pub use block::{Block, Cache, Modulation, OwnTokens};
pub use gru::Gru;
pub use linear::{Linear, linear, linear_scaled, linear_zero};
pub use variables::Variables;
