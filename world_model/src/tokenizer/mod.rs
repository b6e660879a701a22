//! Frames to a few tens of tokens and back: a linear basis of its own per patch position.
//!
//! ```text
//! images (u8, rig size) ──► resample ──► patches ──► (x - mean)·basis / scale ──► latents (frames, patches, coefficients)
//! latents ──► packed: `pack` frames of one patch are one token of the experts
//! ```
//!
//! A fixed camera shows much the same thing at one place, so a principal-component basis fitted
//! per patch position says more with fewer numbers than a shared or a learned one of like cost,
//! and it costs two matrix products.

mod basis;
mod fit;
mod image;

pub use basis::Tokenizer;
pub use fit::{BasisFit, fit_basis};
pub use image::{Layout, Resampler};
