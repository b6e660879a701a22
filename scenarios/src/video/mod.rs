//! Video files of robot logs: any frame of an mp4 as an RGB image, and images into an mp4.
//!
//! # What this module does
//! - [`VideoReader`] reads mp4 files with AV1 or H.264 (8 bit, 4:2:0) through embedded decoders,
//!   frame by frame at random or as a stream that decodes on all cores. It holds the table of
//!   samples, never the file.
//! - [`VideoWriter`] writes mp4 files with AV1 or H.264 that any player opens, atomically.
//! - Colours follow what `FFmpeg`'s `swscale` gives for `rgb24`, so that a policy trained on frames
//!   decoded in Python sees the same pixels here.
//!
//! # What this module does not do
//! It reads no audio, no other container, and no fragmented mp4. Other codecs (HEVC, VP9, more than
//! 8 bits) are handed to an `ffmpeg` program on the PATH, if there is one.

mod codec;
mod error;
mod reader;
mod stream;
mod writer;

pub use codec::Codec;
pub use error::VideoError;
pub use reader::VideoReader;
pub use stream::FrameStream;
pub use writer::{VideoSettings, VideoWriter, Written};
