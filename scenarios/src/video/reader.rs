//! An open video, and random access to its frames.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::decode::{decode_error, decode_frames};
use super::decoder::Decoder;
use super::demux;
use super::ffmpeg::FfmpegFrames;
use super::file::SharedFile;
use super::track::{StreamConfig, Track};
use super::{Codec, FrameStream, VideoError};
use crate::observation::Image;

/// An open video file: the table of its frames, and decoders that are kept for the next request.
///
/// Clones share both, and any number of threads may read at once. The file is not held in memory.
#[derive(Clone)]
pub struct VideoReader {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) file: SharedFile,
    pub(super) track: Track,
    idle: Mutex<Vec<Decoder>>,
}

impl VideoReader {
    /// Opens an mp4 file and reads its tables; decodes nothing.
    ///
    /// # Errors
    /// - [`VideoError::Io`] if the file cannot be read,
    /// - [`VideoError::Truncated`] if a box or a frame lies past its end,
    /// - [`VideoError::Malformed`] or [`VideoError::Box`] if it is no mp4, has no video track or no
    ///   frame, is fragmented, or its tables contradict each other,
    /// - [`VideoError::FrameSize`] if the frames are larger than
    ///   [`MAX_IMAGE_SIDE`](crate::embodiment::MAX_IMAGE_SIDE) or have no pixels.
    pub fn open(path: &Path) -> Result<Self, VideoError> {
        let file = SharedFile::open(path)?;
        let track = demux::read_track(&file)?;
        Ok(Self { shared: Arc::new(Shared { file, track, idle: Mutex::default() }) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.shared.file.path()
    }

    /// How its pictures are compressed.
    pub fn codec(&self) -> &Codec {
        &self.shared.track.codec
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.shared.track.height
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.shared.track.width
    }

    /// Number of frames, at least 1.
    pub fn frame_count(&self) -> usize {
        self.shared.track.samples.len()
    }

    /// When frame `frame` (in presentation order, from 0) is shown, in seconds from the start of
    /// the file; `None` past the end.
    pub fn presentation_secs(&self, frame: usize) -> Option<f64> {
        self.shared.track.samples.secs(frame)
    }

    /// The frame shown nearest to `secs`, in seconds from the start of the file; of two that are
    /// as near, the earlier.
    ///
    /// # Errors
    /// [`VideoError::NoFrameAt`] if that frame is more than `tolerance_secs` away, or `secs` or
    /// `tolerance_secs` is no number.
    pub fn frame_at(&self, secs: f64, tolerance_secs: f64) -> Result<usize, VideoError> {
        let nearest = self.shared.track.samples.nearest(secs);
        let nearest_secs = self.presentation_secs(nearest).unwrap_or(f64::NAN);
        if (nearest_secs - secs).abs() <= tolerance_secs {
            return Ok(nearest);
        }
        let path = self.path().to_owned();
        Err(VideoError::NoFrameAt { secs, tolerance_secs, nearest, nearest_secs, path })
    }

    /// Frame `index` (in presentation order, from 0), decoded from the key frame before it.
    ///
    /// # Errors
    /// [`VideoError::NoSuchFrame`] past the end, [`VideoError::Decode`] if it cannot be decoded,
    /// [`VideoError::Truncated`] or [`VideoError::Io`] if it cannot be read, and
    /// [`VideoError::NeedsFfmpeg`] or [`VideoError::Ffmpeg`] for codecs without an embedded decoder.
    pub fn frame(&self, index: usize) -> Result<Image, VideoError> {
        self.check_end(index, index.saturating_add(1))?;
        if let StreamConfig::External(why) = &self.shared.track.config {
            let mut frames = FfmpegFrames::start(self, why, index..index + 1)?;
            return frames.next().unwrap_or_else(|| Err(self.missing(index)));
        }
        let mut found = None;
        self.shared.decode(index..index + 1, &mut |image| {
            found = Some(image);
            ControlFlow::Break(())
        })?;
        found.ok_or_else(|| self.missing(index))
    }

    /// The frames `range` (in presentation order, from 0), decoded ahead on all cores in bounded
    /// memory.
    ///
    /// # Errors
    /// [`VideoError::NoSuchFrame`] if the range passes the end, and [`VideoError::NeedsFfmpeg`]
    /// for codecs without an embedded decoder where there is no `ffmpeg`.
    pub fn decode_range(&self, range: Range<usize>) -> Result<FrameStream, VideoError> {
        self.check_end(range.end, range.end)?;
        match &self.shared.track.config {
            StreamConfig::External(why) => {
                FfmpegFrames::start(self, why, range).map(FrameStream::external)
            }
            StreamConfig::Av1 | StreamConfig::H264 { .. } => {
                FrameStream::embedded(&self.shared, range)
            }
        }
    }

    fn check_end(&self, index: usize, end: usize) -> Result<(), VideoError> {
        let frames = self.frame_count();
        if end <= frames {
            return Ok(());
        }
        Err(VideoError::NoSuchFrame { index, frames, path: self.path().to_owned() })
    }

    fn missing(&self, frame: usize) -> VideoError {
        decode_error(&self.shared.file, self.codec(), frame, "no picture came of it".to_owned())
    }
}

impl fmt::Debug for VideoReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VideoReader")
            .field("path", &self.path())
            .field("codec", self.codec())
            .field("height", &self.height())
            .field("width", &self.width())
            .field("frames", &self.frame_count())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Decodes with an idle decoder or a new one, which is kept afterwards unless it failed.
    pub(super) fn decode(
        &self,
        range: Range<usize>,
        emit: &mut dyn FnMut(Image) -> ControlFlow<()>,
    ) -> Result<(), VideoError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = match idle {
            Some(decoder) => decoder,
            None => Decoder::new(&self.track)
                .unwrap_or_else(|| Err("there is no embedded decoder".to_owned()))
                .map_err(|what| decode_error(&self.file, &self.track.codec, range.start, what))?,
        };
        decode_frames(&self.file, &self.track, &mut decoder, range, emit)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < rayon::current_num_threads() {
            idle.push(decoder);
        }
        Ok(())
    }
}
