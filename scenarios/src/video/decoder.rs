//! One sample in, one picture out.

use super::av1::Av1Decoder;
use super::colour::Picture;
use super::h264::H264Decoder;
use super::track::{StreamConfig, Track};

/// An embedded decoder. It decodes a sample at a time, in decoding order, from a key frame on, and
/// gives its picture at once; putting pictures into presentation order is left to the caller, who
/// knows the times.
pub(super) enum Decoder {
    Av1(Av1Decoder),
    H264(H264Decoder),
}

impl Decoder {
    /// A decoder for `track`; `None` if only `ffmpeg` reads it.
    pub(super) fn new(track: &Track) -> Option<Result<Self, String>> {
        match &track.config {
            StreamConfig::Av1 => Some(Av1Decoder::new(track.height, track.width).map(Self::Av1)),
            StreamConfig::H264 { length_size, parameter_sets } => {
                Some(H264Decoder::new(*length_size, parameter_sets).map(Self::H264))
            }
            StreamConfig::External(_) => None,
        }
    }

    /// Forgets everything decoded so far; the next sample is a key frame.
    pub(super) fn restart(&mut self) {
        match self {
            Self::Av1(decoder) => decoder.restart(),
            Self::H264(decoder) => decoder.restart(),
        }
    }

    /// Decodes one sample and gives its picture to `take`.
    pub(super) fn decode<T>(
        &mut self,
        sample: Vec<u8>,
        track: &Track,
        take: impl FnOnce(Picture<'_>) -> T,
    ) -> Result<T, String> {
        let take = |picture: Picture<'_>| {
            if (picture.height, picture.width) == (track.height, track.width) {
                Ok(take(picture))
            } else {
                Err(format!(
                    "the picture is {}×{} pixels, the file says {}×{}",
                    picture.height, picture.width, track.height, track.width
                ))
            }
        };
        match self {
            Self::Av1(decoder) => decoder.decode(sample, take)?,
            Self::H264(decoder) => decoder.decode(&sample, track.colour, take)?,
        }
    }
}

/// Says what a decoder's panic said, as far as it can be known.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("the decoder gave up: {}", text.as_deref().unwrap_or("no reason given"))
}
