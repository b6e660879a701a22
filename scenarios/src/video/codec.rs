//! The codecs of video tracks.

use std::fmt;

/// How the pictures of a video are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Codec {
    /// AV1, the codec that LeRobot writes.
    Av1,
    /// H.264, also called AVC.
    H264,
    /// Anything else, by the four characters in the file: `hev1`, `vp09`, `mp4v`.
    Other(String),
}

impl Codec {
    /// The name that `FFmpeg` and the `info.json` of a `LeRobotDataset` give it: `av1`, `h264`,
    /// `hevc`, `vp9`.
    pub fn name(&self) -> &str {
        match self {
            Self::Av1 => "av1",
            Self::H264 => "h264",
            Self::Other(fourcc) => match fourcc.as_str() {
                "hev1" | "hvc1" => "hevc",
                "vp08" => "vp8",
                "vp09" => "vp9",
                "mp4v" => "mpeg4",
                _ => fourcc,
            },
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
