//! Why a video cannot be read or written.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::Codec;

/// Why a video cannot be read or written. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `open`, `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is cut short: something that it announces lies past its end.
    #[error(
        "{what} ends at byte {needed}, but the file has {len} bytes; it is cut short: {}",
        path.display()
    )]
    Truncated {
        /// What lies past the end: `box "mdat"`, `frame 17`.
        what: String,
        /// Where it would end, in bytes from the start of the file.
        needed: u64,
        /// Length of the file in bytes.
        len: u64,
        /// The file.
        path: PathBuf,
    },
    /// The file is no mp4, or its tables contradict each other.
    #[error("{what}: {}", path.display())]
    Malformed {
        /// What is wrong.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// A box of the mp4 cannot be parsed.
    #[error("box {kind:?} cannot be read: {}", path.display())]
    Box {
        /// Its four characters.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The frames have no pixels, or too many.
    #[error(
        "frames of {height}×{width} pixels; each side must be between 1 and {max_side}, and a \
         frame at most {max_pixels} pixels: {}",
        path.display()
    )]
    FrameSize {
        /// Stated height in pixels.
        height: u32,
        /// Stated width in pixels.
        width: u32,
        /// The largest side that is accepted, in pixels.
        max_side: u32,
        /// The largest frame that is accepted, in pixels.
        max_pixels: u64,
        /// The file.
        path: PathBuf,
    },
    /// No frame has this number.
    #[error("there is no frame {index}: the video has {frames} frames: {}", path.display())]
    NoSuchFrame {
        /// The frame asked for, from 0; of a range, its end.
        index: usize,
        /// How many frames there are.
        frames: usize,
        /// The file.
        path: PathBuf,
    },
    /// No frame is shown near this time.
    #[error(
        "no frame within {tolerance_secs} s of {secs} s; the nearest is frame {nearest} at \
         {nearest_secs} s: {}",
        path.display()
    )]
    NoFrameAt {
        /// The time asked for, in seconds.
        secs: f64,
        /// How far away a frame may be, in seconds.
        tolerance_secs: f64,
        /// The frame shown nearest to it.
        nearest: usize,
        /// When that is shown, in seconds.
        nearest_secs: f64,
        /// The file.
        path: PathBuf,
    },
    /// The bitstream of a frame cannot be decoded.
    #[error("frame {frame} cannot be decoded as {codec}: {what}: {}", path.display())]
    Decode {
        /// The frame, in presentation order from 0.
        frame: usize,
        /// The codec.
        codec: Codec,
        /// What the decoder said.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// Neither the embedded decoders nor an installed `ffmpeg` read the codec.
    #[error(
        "{codec} video ({why}) needs the program `ffmpeg` (5.1 or later), which is not on the \
         PATH: install it, or convert the video to AV1 or H.264 with 8 bits and 4:2:0: {}",
        path.display()
    )]
    NeedsFfmpeg {
        /// The codec.
        codec: Codec,
        /// Why the embedded decoders do not read it.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// `ffmpeg` was run and failed.
    #[error("ffmpeg stopped before frame {frame}: {message:?}: {}", path.display())]
    Ffmpeg {
        /// The first frame that it did not deliver.
        frame: usize,
        /// The end of what it wrote to its standard error.
        message: String,
        /// The file.
        path: PathBuf,
    },
    /// No video can be written with these settings.
    #[error("a video cannot be written with {what}: {}", path.display())]
    Settings {
        /// The setting and what it may be.
        what: String,
        /// The file that was to be written.
        path: PathBuf,
    },
    /// An image does not have the size of the video that it is to become a frame of.
    #[error(
        "frame {frame} is {got_height}×{got_width} pixels, the video {height}×{width}: {}",
        path.display()
    )]
    ImageSize {
        /// The frame, from 0.
        frame: usize,
        /// Height of the image in pixels.
        got_height: u32,
        /// Width of the image in pixels.
        got_width: u32,
        /// Height of the video in pixels.
        height: u32,
        /// Width of the video in pixels.
        width: u32,
        /// The file that is being written.
        path: PathBuf,
    },
    /// The encoder failed.
    #[error("frame {frame} cannot be encoded as {codec}: {what}: {}", path.display())]
    Encode {
        /// The first frame of the group that failed, from 0.
        frame: usize,
        /// The codec.
        codec: Codec,
        /// What the encoder said.
        what: String,
        /// The file that is being written.
        path: PathBuf,
    },
    /// A video without frames was to be finished.
    #[error("a video needs at least one frame: {}", path.display())]
    NoFrames {
        /// The file that was to be written.
        path: PathBuf,
    },
}
