//! Video files of robot logs: any frame of an mp4 as an RGB image, and images into an mp4.
//!
//! # What this module does
//! - [`VideoReader`] reads mp4 files with AV1 or H.264 (8 bit, 4:2:0) through embedded decoders,
//!   frame by frame at random or as a stream that decodes on all cores. It holds the table of
//!   frames, never the file.
//! - [`VideoWriter`] writes mp4 files with AV1 or H.264 that any player opens, atomically.
//! - Colours are bit by bit those of `FFmpeg`'s `swscale` for `rgb24`, so that a policy trained on
//!   frames decoded in Python sees the same pixels here.
//!
//! # What this module does not do
//! It reads no audio, no other container, and no fragmented mp4. Other codecs (HEVC, VP9), more
//! than 8 bits and other chroma layouts are handed to an `ffmpeg` program on the PATH, if there is
//! one; their colours are its own.
//!
//! # Speed
//! AV1 is decoded by a port of dav1d to Rust. With the feature `asm` it uses dav1d's assembly, which
//! is several times faster; on x86-64 that needs the assembler `nasm` to build. Nothing else
//! depends on it: the pixels are the same.
//!
//! ```text
//! file ─► demux ─► track ─► decode (a decoder per core, cut at key frames) ─► colour ─► Image
//! Image ─► colour ─► encoder (groups of pictures on all cores) ─► mux ─► file
//! ```
//!
//! # Example
//! ```
//! use rehearse_scenarios::observation::Image;
//! use rehearse_scenarios::time::Rate;
//! use rehearse_scenarios::video::{VideoReader, VideoSettings, VideoWriter};
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("front.mp4");
//! let mut writer = VideoWriter::create(&path, VideoSettings::new(64, 96, Rate::from_hz(10.0)?))?;
//! for shade in [0, 100, 200] {
//!     writer.push(&Image::from_rgb(64, 96, vec![shade; 64 * 96 * 3])?)?;
//! }
//! assert_eq!(writer.finish()?.frames, 3);
//!
//! let reader = VideoReader::open(&path)?;
//! let last = reader.frame(reader.frame_at(0.2, 1e-4)?)?;
//! assert!(last.pixels().iter().all(|&value| value.abs_diff(200) <= 3));
//! assert_eq!(reader.decode_range(0..3)?.count(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod av1;
mod codec;
mod colour;
mod decode;
mod decoder;
mod demux;
mod encoder;
mod error;
mod ffmpeg;
mod file;
mod h264;
mod mux;
mod reader;
mod stream;
mod track;
mod writer;

pub use codec::Codec;
pub use error::VideoError;
pub use reader::VideoReader;
pub use stream::FrameStream;
pub use writer::{VideoSettings, VideoWriter, Written};
