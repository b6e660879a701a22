//! H.264 through Cisco's `openh264`, whose source is built in.

use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags, SeqParameterSet};
use h264_reader::rbsp::{BitReader, decode_nal};
use mp4_atom::Avcc;
use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource as _;

use super::colour::{Colour, Matrix, Picture, Range};
use super::decoder::Take;
use super::track::StreamConfig;

/// NAL units by their type (ITU-T H.264, table 7-1): a slice of a picture, and one of a picture
/// that clears the decoder.
pub(super) const SLICE: u8 = 1;
pub(super) const IDR_SLICE: u8 = 5;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// What an `avcC` box says: how to decode the stream, and its colours, which the stream's own
/// parameter set overrides.
pub(super) fn configure(avcc: &Avcc, stated: Colour) -> Result<(StreamConfig, Colour), String> {
    let mut parameter_sets = Vec::new();
    for set in avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets) {
        parameter_sets.extend(START_CODE);
        parameter_sets.extend(set);
    }
    let config = StreamConfig::H264 { length_size: avcc.length_size, parameter_sets };
    // Without one here (`avc3`), the parameter sets come with the frames.
    let Some(nal) = avcc.sequence_parameter_sets.first() else { return Ok((config, stated)) };
    let payload = decode_nal(nal).map_err(|error| format!("parameter set: {error}"))?;
    let sps = SeqParameterSet::from_bits(BitReader::new(&*payload))
        .map_err(|error| format!("parameter set: {error:?}"))?;
    let chroma = &sps.chroma_info;
    let why = if (chroma.bit_depth_luma_minus8, chroma.bit_depth_chroma_minus8) != (0, 0) {
        Some("more than 8 bits")
    } else if chroma.chroma_format != ChromaFormat::YUV420 {
        Some("not 4:2:0")
    } else if sps.frame_mbs_flags != FrameMbsFlags::Frames {
        Some("interlaced")
    } else {
        None
    };
    let signal = sps.vui_parameters.and_then(|vui| vui.video_signal_type);
    let colour = signal.map_or(stated, |signal| Colour {
        matrix: signal.colour_description.map_or(stated.matrix, |description| {
            Matrix::from_number(description.matrix_coefficients.into())
        }),
        range: if signal.video_full_range_flag { Range::Full } else { Range::Limited },
    });
    Ok((why.map_or(config, |why| StreamConfig::External(why.to_owned())), colour))
}

pub(super) struct H264Decoder {
    decoder: Decoder,
    length_size: usize,
    parameter_sets: Vec<u8>,
    /// Whether anything was decoded since the last restart.
    started: bool,
    /// The sample with start codes; kept to spare an allocation a frame.
    annex_b: Vec<u8>,
}

impl H264Decoder {
    pub(super) fn new(length_size: u8, parameter_sets: &[u8]) -> Result<Self, String> {
        Ok(Self {
            decoder: new_decoder()?,
            length_size: usize::from(length_size),
            parameter_sets: parameter_sets.to_vec(),
            started: false,
            annex_b: Vec::new(),
        })
    }

    /// Takes a new decoder: the old one may hold pictures back, and those that it is made to give
    /// up stay reserved in its pool.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        if self.started {
            self.decoder = new_decoder()?;
            self.started = false;
        }
        Ok(())
    }

    /// Decodes a sample. Its picture may come later, for the decoder puts pictures in order.
    pub(super) fn decode(
        &mut self,
        sample: &[u8],
        colour: Colour,
        take: Take<'_>,
    ) -> Result<(), String> {
        self.annex_b.clear();
        if !self.started {
            self.annex_b.extend_from_slice(&self.parameter_sets);
            self.started = true;
        }
        append_annex_b(sample, self.length_size, &mut self.annex_b)?;
        match self.decoder.decode(&self.annex_b).map_err(|error| error.to_string())? {
            Some(picture) => with_planes(&picture, colour, take),
            None => Ok(()),
        }
    }

    /// Gives the pictures that are still held back.
    pub(super) fn drain(&mut self, colour: Colour, take: Take<'_>) -> Result<(), String> {
        let held = self.decoder.flush_remaining().map_err(|error| error.to_string())?;
        held.iter().try_for_each(|picture| with_planes(picture, colour, take))
    }
}

fn new_decoder() -> Result<Decoder, String> {
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    Decoder::with_api_config(OpenH264API::from_source(), config).map_err(|error| error.to_string())
}

fn with_planes(picture: &DecodedYUV<'_>, colour: Colour, take: Take<'_>) -> Result<(), String> {
    let (width, height) = picture.dimensions();
    let (y_stride, uv_stride, _) = picture.strides();
    take(Picture {
        height: height as u32,
        width: width as u32,
        y: picture.y(),
        u: picture.u(),
        v: picture.v(),
        y_stride,
        uv_stride,
        colour,
    })
}

/// The length of a NAL unit from the 1 to 4 bytes before it.
pub(super) fn nal_length(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
}

/// Appends the NAL units of a sample of an mp4 (each after its length) with start codes instead.
fn append_annex_b(
    mut sample: &[u8],
    length_size: usize,
    annex_b: &mut Vec<u8>,
) -> Result<(), String> {
    while !sample.is_empty() {
        let (length, rest) =
            sample.split_at_checked(length_size).ok_or("the sample ends inside a length")?;
        let length = nal_length(length);
        let (nal, rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| format!("a NAL unit of {length} bytes passes the end of its sample"))?;
        annex_b.extend(START_CODE);
        annex_b.extend(nal);
        sample = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_become_start_codes() {
        let mut out = Vec::new();
        append_annex_b(&[0, 2, 7, 8, 0, 1, 9], 2, &mut out).unwrap();
        assert_eq!(out, [0, 0, 0, 1, 7, 8, 0, 0, 0, 1, 9]);
    }

    #[test]
    fn a_length_that_lies_is_refused() {
        let mut out = Vec::new();
        assert!(append_annex_b(&[0, 3, 7, 8], 2, &mut out).unwrap_err().contains("3 bytes"));
        assert!(append_annex_b(&[0], 2, &mut out).is_err());
    }
}
