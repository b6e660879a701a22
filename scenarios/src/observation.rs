//! What a policy sees: images by camera, proprioception, the instruction and the time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::time::SimTime;

/// An RGB image: `height` × `width` × 3 bytes, row by row, top to bottom (HWC).
///
/// Cloning shares the pixels.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    height: u32,
    width: u32,
    pixels: Arc<[u8]>,
}

/// Pixels whose number does not fit the stated size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an image of {height}×{width}×3 needs {expected} bytes, got {got}")]
pub struct ImageSizeError {
    /// Stated height in pixels.
    pub height: u32,
    /// Stated width in pixels.
    pub width: u32,
    /// `height` × `width` × 3.
    pub expected: usize,
    /// Bytes that were given.
    pub got: usize,
}

impl Image {
    /// An image from its pixels, `(height, width, 3)` u8.
    ///
    /// # Errors
    /// [`ImageSizeError`] if `pixels` is not `height * width * 3` bytes long or a side is zero.
    pub fn from_rgb(
        height: u32,
        width: u32,
        pixels: impl Into<Arc<[u8]>>,
    ) -> Result<Self, ImageSizeError> {
        let pixels = pixels.into();
        let expected = height as usize * width as usize * 3;
        if pixels.len() == expected && expected > 0 {
            Ok(Self { height, width, pixels })
        } else {
            Err(ImageSizeError { height, width, expected, got: pixels.len() })
        }
    }

    /// Height in pixels.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Width in pixels.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// The pixels, `(height, width, 3)` u8 in row-major order.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels, shared: no copy.
    pub fn shared_pixels(&self) -> Arc<[u8]> {
        Arc::clone(&self.pixels)
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}×{}×3)", self.height, self.width)
    }
}

/// What the robot, or a world in its place, shows at one control step.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Images by camera name, each as its [`Camera`](crate::embodiment::Camera) states.
    pub images: BTreeMap<String, Image>,
    /// Proprioception: one value per channel of
    /// [`Embodiment::proprioception`](crate::embodiment::Embodiment::proprioception), in its unit.
    pub proprioception: Vec<f32>,
    /// The instruction, as the policy is given it.
    pub instruction: Arc<str>,
    /// Simulated time since the start of the trial.
    pub time: SimTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_the_wrong_size_is_refused() {
        let error = Image::from_rgb(2, 2, vec![0; 11]).unwrap_err();
        assert_eq!(error.to_string(), "an image of 2×2×3 needs 12 bytes, got 11");
        assert!(Image::from_rgb(0, 2, vec![]).is_err());
    }
}
