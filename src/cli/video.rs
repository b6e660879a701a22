//! How videos are written, as arguments.

use clap::{Args, ValueEnum};
use rehearse_scenarios::log::LogSettings;
use rehearse_scenarios::video::Codec;

/// Arguments of every command that writes a log.
#[derive(Debug, Args)]
pub struct VideoArgs {
    /// How the videos are compressed
    #[arg(long, value_enum, default_value_t)]
    codec: VideoCodec,
    /// Quality of the videos: 0 is best, 63 smallest [default: 30 for AV1, 18 for H.264]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=63))]
    crf: Option<u8>,
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
        let crf = self.crf.unwrap_or_else(|| codec.usual_crf());
        LogSettings { codec, crf, ..LogSettings::default() }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        video: VideoArgs,
    }

    #[test]
    fn quality_goes_by_the_codec_unless_stated() {
        let crf = |arguments: &[&str]| {
            let all = ["write"].iter().chain(arguments);
            Command::try_parse_from(all).unwrap().video.settings().crf
        };
        assert_eq!(crf(&[]), 30);
        assert_eq!(crf(&["--codec", "h264"]), 18);
        assert_eq!(crf(&["--codec", "h264", "--crf", "25"]), 25);
    }
}
