//! Images into a video file.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::encoder::{DecoderSetup, H264_QP, encode_group};
use super::mux::{Muxer, Timing};
use super::{Codec, VideoError};
use crate::embodiment::MAX_IMAGE_SIDE;
use crate::observation::Image;
use crate::time::Rate;

/// Groups of pictures are encoded together up to this many frames: an encoder costs about as much
/// to start as a few frames.
const GROUP_FRAMES: u32 = 32;
/// The most bytes of images that are held for one group.
const MAX_GROUP_BYTES: u64 = 1 << 29;

/// How to compress a video.
///
/// Its colours are BT.601 in limited range with 4:2:0 chroma (`yuv420p`), which every player reads.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoSettings {
    /// [`Codec::Av1`] or [`Codec::H264`].
    pub codec: Codec,
    /// Height in pixels; even, at least 16.
    pub height: u32,
    /// Width in pixels; even, at least 16.
    pub width: u32,
    /// Frames per second.
    pub rate: Rate,
    /// Constant quality on the codec's own scale, less is better and larger: for AV1 0 to 63
    /// (`LeRobot` takes 30), for H.264 12 to 51.
    pub crf: u8,
    /// Frames from one key frame to the next, at least 1. `LeRobot` takes 2, so that every frame is
    /// near one; 30 makes files several times smaller and random access slower.
    pub gop: u32,
}

impl VideoSettings {
    /// The quality, of either codec, at which compression leaves what matters in small pictures.
    ///
    /// At `LeRobot`'s 30 it takes more from a picture of 128 × 128 than an object that stands a
    /// centimetre further adds. Rendered scenes of that size kept 33.3 to 34.5 dB in AV1 at 18 and
    /// 31.7 to 32.8 dB at 30, for half the bytes; H.264 at 18 is as large as AV1 at 18.
    pub const CLEAR_CRF: u8 = 18;

    /// `LeRobot`'s settings: AV1, quality 30, a key frame every second frame.
    pub const fn new(height: u32, width: u32, rate: Rate) -> Self {
        Self { codec: Codec::Av1, height, width, rate, crf: 30, gop: 2 }
    }
}

/// Writes one mp4 file. It appears under its name when [`finish`](Self::finish) succeeds; dropped
/// before that, nothing is left of it.
///
/// The same images and settings make the same bytes, on any number of cores.
#[derive(Debug)]
pub struct VideoWriter {
    path: PathBuf,
    settings: VideoSettings,
    timing: Timing,
    muxer: Muxer,
    setup: Option<DecoderSetup>,
    /// Images that wait until there are enough of them for all cores.
    waiting: Vec<Image>,
    group_frames: usize,
    frames: usize,
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
    /// [`VideoError::Settings`] if the settings make no video, [`VideoError::Io`] if the folder
    /// cannot be written.
    pub fn create(path: &Path, settings: VideoSettings) -> Result<Self, VideoError> {
        let (timing, group_frames) = check(&settings)
            .map_err(|what| VideoError::Settings { what, path: path.to_owned() })?;
        let brand = if settings.codec == Codec::Av1 { *b"av01" } else { *b"avc1" };
        let muxer = Muxer::create(path, brand).map_err(|source| VideoError::Io {
            action: "create",
            path: path.to_owned(),
            source,
        })?;
        let path = path.to_owned();
        let waiting = Vec::new();
        Ok(Self { path, settings, timing, muxer, setup: None, waiting, group_frames, frames: 0 })
    }

    /// Appends a frame. Encoding happens now and then, on all cores of the current `rayon` pool.
    ///
    /// # Errors
    /// [`VideoError::ImageSize`] if the image has another size than the settings,
    /// [`VideoError::Encode`] or [`VideoError::Io`] if encoding or writing fails.
    pub fn push(&mut self, image: &Image) -> Result<(), VideoError> {
        let VideoSettings { height, width, .. } = self.settings;
        if (image.height(), image.width()) != (height, width) {
            return Err(VideoError::ImageSize {
                frame: self.frames,
                got_height: image.height(),
                got_width: image.width(),
                height,
                width,
                path: self.path.clone(),
            });
        }
        self.waiting.push(image.clone());
        self.frames += 1;
        if self.waiting.len() >= self.group_frames * rayon::current_num_threads() {
            self.encode_waiting()?;
        }
        Ok(())
    }

    /// Encodes what is left, writes the tables and gives the file its name.
    ///
    /// # Errors
    /// [`VideoError::NoFrames`] if nothing was pushed, [`VideoError::Encode`] or
    /// [`VideoError::Io`] if encoding or writing fails.
    pub fn finish(mut self) -> Result<Written, VideoError> {
        self.encode_waiting()?;
        let Self { path, settings, timing, muxer, setup, frames, .. } = self;
        let Some(setup) = setup else { return Err(VideoError::NoFrames { path }) };
        let bytes = muxer
            .finish(setup, settings.height as u16, settings.width as u16, timing)
            .map_err(|source| VideoError::Io { action: "write", path, source })?;
        Ok(Written { frames, bytes })
    }

    fn encode_waiting(&mut self) -> Result<(), VideoError> {
        let settings = &self.settings;
        let groups: Vec<_> = self
            .waiting
            .par_chunks(self.group_frames)
            .map(|images| encode_group(settings, images))
            .collect();
        self.waiting.clear();
        for group in groups {
            let failed = |what| VideoError::Encode {
                frame: self.muxer.frames(),
                codec: settings.codec.clone(),
                what,
                path: self.path.clone(),
            };
            let (setup, frames) = group.map_err(failed)?;
            if self.setup.get_or_insert_with(|| setup.clone()) != &setup {
                return Err(failed("the encoder changed its parameters".to_owned()));
            }
            self.muxer.append(&frames).map_err(|source| VideoError::Io {
                action: "write",
                path: self.path.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

/// The times of the frames, and how many are encoded together.
fn check(settings: &VideoSettings) -> Result<(Timing, usize), String> {
    let &VideoSettings { ref codec, height, width, rate, crf, gop } = settings;
    let qualities = match codec {
        Codec::Av1 => 0..=63,
        Codec::H264 => H264_QP,
        Codec::Other(_) => return Err(format!("the codec {codec}; there is av1 and h264")),
    };
    if !qualities.contains(&crf) {
        let (best, worst) = (qualities.start(), qualities.end());
        return Err(format!("crf = {crf}; for {codec} it is between {best} and {worst}"));
    }
    for (name, side) in [("height", height), ("width", width)] {
        if !(16..=MAX_IMAGE_SIDE).contains(&side) || side % 2 == 1 {
            return Err(format!("{name} = {side}; it must be even and 16 to {MAX_IMAGE_SIDE}"));
        }
    }
    let timing = Timing::from_hz(rate.as_hz())
        .ok_or_else(|| format!("rate = {rate}; a frame would last too long"))?;
    let largest = MAX_GROUP_BYTES / (u64::from(height) * u64::from(width) * 3);
    if gop == 0 || u64::from(gop) > largest.max(1) {
        return Err(format!(
            "gop = {gop}; at {height}×{width} pixels it is between 1 and {}",
            largest.max(1)
        ));
    }
    let together = u64::from(GROUP_FRAMES).min(largest) as u32 / gop;
    Ok((timing, (gop * together.max(1)) as usize))
}
