//! How videos are written, as arguments.

use clap::{Args, ValueEnum};
use rehearse_scenarios::log::LogSettings;
use rehearse_scenarios::video::{Codec, VideoSettings};

/// Arguments of every command that writes a log.
#[derive(Debug, Args)]
pub struct VideoArgs {
    /// How the videos are compressed
    #[arg(long, value_enum, default_value_t)]
    codec: VideoCodec,
    /// Quality of the videos: 0 is best, 63 smallest
    #[arg(
        long,
        default_value_t = VideoSettings::CLEAR_CRF,
        value_parser = clap::value_parser!(u8).range(0..=63)
    )]
    crf: u8,
}

/// A codec that can be written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum VideoCodec {
    /// AV1, as LeRobot writes it: small, slow to write
    #[default]
    Av1,
    /// H.264: quick to write
    H264,
}

impl VideoArgs {
    /// How the log is written.
    pub fn settings(&self) -> LogSettings {
        let codec = match self.codec {
            VideoCodec::Av1 => Codec::Av1,
            VideoCodec::H264 => Codec::H264,
        };
        LogSettings { codec, crf: self.crf, ..LogSettings::default() }
    }
}
