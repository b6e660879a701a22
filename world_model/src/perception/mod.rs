//! Networks that measure how a video looks: `AlexNet` for LPIPS, I3D for FVD.
//!
//! The networks live here, with nothing built in: their weights are files that the user converts
//! from the published ones, and their widths follow from those. What is made of their features
//! lives with whoever asks for it, as a [`FrameMeasure`] and a [`ClipMeasure`].

mod alexnet;
mod i3d;
mod volume;
mod weights;

pub use alexnet::AlexNet;
pub use i3d::{CLIP, I3d};

use candle_core::Tensor;

use crate::error::Result;

/// A distance between an imagined frame and the recorded one, such as LPIPS.
pub trait FrameMeasure {
    /// BLAKE3 of the weights that it measures with, in hex.
    fn digest(&self) -> &str;

    /// The smallest side of a frame that it takes, in pixels.
    fn smallest(&self) -> usize;

    /// The distance of each frame from its counterpart.
    ///
    /// # Shapes
    /// `recorded`, `imagined`: `(frames, 3, height, width)` in [−1, 1], RGB
    ///
    /// # Errors
    /// [`ModelError`](crate::ModelError): a shape that disagrees, features that are not finite.
    fn distances(&self, recorded: &Tensor, imagined: &Tensor) -> Result<Vec<f64>>;
}

/// A distance between two sets of clips, such as FVD.
pub trait ClipMeasure {
    /// BLAKE3 of the weights that it measures with, in hex.
    fn digest(&self) -> &str;

    /// The features of one clip.
    ///
    /// # Shapes
    /// `clip`: `(16, 3, height, width)` in [−1, 1], RGB; 16 is [`CLIP`]
    ///
    /// # Errors
    /// [`ModelError`](crate::ModelError): a shape that disagrees.
    fn features(&self, clip: &Tensor) -> Result<Vec<f32>>;

    /// The distance between the clips with these features.
    ///
    /// # Errors
    /// [`ModelError`](crate::ModelError): fewer than two clips on a side, features that are not
    /// finite.
    fn distance(&self, recorded: &[Vec<f32>], imagined: &[Vec<f32>]) -> Result<f64>;
}

/// The measures that need networks, where the user has weights for them. Default: none.
#[derive(Clone, Copy, Default)]
pub struct Measures<'a> {
    /// LPIPS.
    pub lpips: Option<&'a dyn FrameMeasure>,
    /// FVD.
    pub fvd: Option<&'a dyn ClipMeasure>,
}
