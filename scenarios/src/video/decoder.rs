//! One sample in, one picture out.

use super::av1::Av1Decoder;
use super::colour::Picture;
use super::h264::H264Decoder;
use super::track::{StreamConfig, Track};

/// An embedded decoder. It is fed samples in decoding order, from a key frame on, and gives their
/// pictures in presentation order, at once or some samples later.
pub(super) enum Decoder {
    Av1(Av1Decoder),
    H264(H264Decoder),
}

/// Takes a picture; its error ends the decoding.
pub(super) type Take<'a> = &'a mut dyn FnMut(Picture<'_>) -> Result<(), String>;

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
    pub(super) fn restart(&mut self) -> Result<(), String> {
        match self {
            Self::Av1(decoder) => {
                decoder.restart();
                Ok(())
            }
            Self::H264(decoder) => decoder.restart(),
        }
    }

    /// Decodes one sample and gives the pictures that are ready to `take`.
    pub(super) fn decode(
        &mut self,
        sample: Vec<u8>,
        track: &Track,
        take: Take<'_>,
    ) -> Result<(), String> {
        let take =
            &mut |picture: Picture<'_>| check_size(&picture, track).and_then(|()| take(picture));
        match self {
            Self::Av1(decoder) => decoder.decode(sample, take),
            Self::H264(decoder) => decoder.decode(&sample, track.colour, take),
        }
    }

    /// Gives the pictures that were held back; afterwards only a restart is allowed.
    pub(super) fn drain(&mut self, track: &Track, take: Take<'_>) -> Result<(), String> {
        let take =
            &mut |picture: Picture<'_>| check_size(&picture, track).and_then(|()| take(picture));
        match self {
            Self::Av1(_) => Ok(()),
            Self::H264(decoder) => decoder.drain(track.colour, take),
        }
    }
}

fn check_size(picture: &Picture<'_>, track: &Track) -> Result<(), String> {
    if (picture.height, picture.width) == (track.height, track.width) {
        return Ok(());
    }
    Err(format!(
        "the picture is {}×{} pixels, the file says {}×{}",
        picture.height, picture.width, track.height, track.width
    ))
}

/// Says what a decoder's panic said, as far as it can be known.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("the decoder gave up: {}", text.as_deref().unwrap_or("no reason given"))
}
