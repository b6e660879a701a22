//! Groups of pictures from images: AV1 through `rav1e`, H.264 through `openh264`.
//!
//! Every group starts with a key frame and is encoded by an encoder of its own, so that groups are
//! encoded on all cores and the bytes do not depend on how many there are.

use mp4_atom::{Atom as _, Av1c, Avcc};
use openh264::OpenH264API;
use openh264::encoder::{
    ColorPrimaries, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange,
    RateControlMode, TransferCharacteristics, VuiConfig,
};
use openh264::formats::YUVSlices;
use rav1e::prelude::{
    ChromaSampling, ColorDescription, ColorPrimaries as Av1Primaries, Config, Context,
    EncoderConfig as Av1Config, EncoderStatus, FrameType as Av1FrameType, MatrixCoefficients,
    PixelRange, Rational, SceneDetectionSpeed, TransferCharacteristics as Av1Transfer,
};

use super::colour::Planes;
use super::{Codec, VideoSettings};
use crate::observation::Image;

/// The fastest preset of `rav1e`: at a key frame every second frame slower ones gain little.
const AV1_SPEED: u8 = 10;
/// The best and the worst quality of `openh264`.
pub(super) const H264_QP: std::ops::RangeInclusive<u8> = 12..=51;

/// An encoded frame as it stands in an mp4.
pub(super) struct EncodedFrame {
    pub(super) bytes: Vec<u8>,
    pub(super) key: bool,
}

/// What a decoder needs before the first frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DecoderSetup {
    Av1(Av1c),
    H264(Avcc),
}

/// Encodes `images`, the first as a key frame.
pub(super) fn encode_group(
    settings: &VideoSettings,
    images: &[Image],
) -> Result<(DecoderSetup, Vec<EncodedFrame>), String> {
    match &settings.codec {
        Codec::Av1 => encode_av1(settings, images),
        Codec::H264 => encode_h264(settings, images),
        Codec::Other(_) => Err(format!("there is no encoder for {}", settings.codec)),
    }
}

fn encode_av1(
    settings: &VideoSettings,
    images: &[Image],
) -> Result<(DecoderSetup, Vec<EncodedFrame>), String> {
    let mut config = Av1Config::with_speed_preset(AV1_SPEED);
    config.height = settings.height as usize;
    config.width = settings.width as usize;
    config.time_base = Rational { num: 1000, den: (settings.rate.as_hz() * 1000.0).round() as u64 };
    config.chroma_sampling = ChromaSampling::Cs420;
    config.pixel_range = PixelRange::Limited;
    config.color_description = Some(ColorDescription {
        color_primaries: Av1Primaries::Unspecified,
        transfer_characteristics: Av1Transfer::Unspecified,
        matrix_coefficients: MatrixCoefficients::BT601,
    });
    config.low_latency = true;
    config.set_key_frame_interval(settings.gop.into(), settings.gop.into());
    config.speed_settings.rdo_lookahead_frames = 1;
    config.speed_settings.scene_detection_mode = SceneDetectionSpeed::None;
    // The quantiser index of AV1 is four times the number that its encoders call CRF.
    config.quantizer = (usize::from(settings.crf) * 4).min(255);
    let mut context: Context<u8> = Config::new()
        .with_encoder_config(config)
        .new_context()
        .map_err(|error| error.to_string())?;
    for image in images {
        let planes = Planes::from_image(image);
        let mut frame = context.new_frame();
        let strides = [planes.width, planes.width / 2, planes.width / 2];
        for ((target, source), stride) in frame.planes.iter_mut().zip(planes.split()).zip(strides) {
            target.copy_from_raw_u8(source, stride, 1);
        }
        context.send_frame(frame).map_err(|error| error.to_string())?;
    }
    context.flush();
    let mut frames = Vec::with_capacity(images.len());
    let mut header = None;
    loop {
        match context.receive_packet() {
            Ok(packet) => {
                let bytes = without_delimiter(packet.data);
                header = header.or_else(|| sequence_header(&bytes));
                frames.push(EncodedFrame { bytes, key: packet.frame_type == Av1FrameType::KEY });
            }
            Err(EncoderStatus::Encoded) => {}
            Err(EncoderStatus::LimitReached) => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    let mut setup = Av1c::decode_body(&mut context.container_sequence_header().as_slice())
        .map_err(|error| error.to_string())?;
    setup.config_obus = header.ok_or("the encoder wrote no sequence header")?;
    complete(DecoderSetup::Av1(setup), frames, images.len())
}

/// A temporal unit without its delimiter, which has no place in an mp4 (AV1 in ISOBMFF, §2.4).
fn without_delimiter(mut unit: Vec<u8>) -> Vec<u8> {
    if unit.starts_with(&[0x12, 0]) {
        unit.drain(..2);
    }
    unit
}

/// The sequence header OBU at the start of a temporal unit, header and all.
fn sequence_header(unit: &[u8]) -> Option<Vec<u8>> {
    let (&head, rest) = unit.split_first()?;
    let (kind, extended, sized) = (head >> 3 & 15, head & 4 != 0, head & 2 != 0);
    if kind != 1 || extended || !sized {
        return None;
    }
    // Its length in LEB128 (AV1 specification, §4.10.5); a sequence header is a few bytes long.
    let (&length, _) = rest.split_first()?;
    let end = 2 + usize::from(length);
    (length < 128).then(|| unit.get(..end).map(<[u8]>::to_vec))?
}

fn encode_h264(
    settings: &VideoSettings,
    images: &[Image],
) -> Result<(DecoderSetup, Vec<EncodedFrame>), String> {
    let quantiser = settings.crf.clamp(*H264_QP.start(), *H264_QP.end());
    let config = EncoderConfig::new()
        .max_frame_rate(FrameRate::from_hz(settings.rate.as_hz() as f32))
        // The mode that moves the quantiser by nothing but its bounds, which are made equal.
        .rate_control_mode(RateControlMode::Bufferbased)
        .qp(QpRange::new(quantiser, quantiser))
        .skip_frames(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(settings.gop))
        .scene_change_detect(false)
        .adaptive_quantization(false)
        .background_detection(false)
        .num_threads(1)
        .vui(
            VuiConfig::bt601()
                .color_primaries(ColorPrimaries::Unspecified)
                .transfer_characteristics(TransferCharacteristics::Unspecified),
        );
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)
        .map_err(|error| error.to_string())?;
    let mut frames = Vec::with_capacity(images.len());
    let mut sets = None;
    for image in images {
        let planes = Planes::from_image(image);
        let [y, u, v] = planes.split();
        let (height, width) = (planes.height, planes.width);
        let source = YUVSlices::new((y, u, v), (width, height), (width, width / 2, width / 2));
        let stream = encoder.encode(&source).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        let (mut sequence, mut picture) = (None, None);
        for layer in (0..stream.num_layers()).filter_map(|index| stream.layer(index)) {
            for nal in (0..layer.nal_count()).filter_map(|index| layer.nal_unit(index)) {
                let nal = without_start_code(nal);
                match nal.first().map(|head| head & 31) {
                    Some(7) => sequence = Some(nal.to_vec()),
                    Some(8) => picture = Some(nal.to_vec()),
                    _ => {
                        bytes.extend((nal.len() as u32).to_be_bytes());
                        bytes.extend(nal);
                    }
                }
            }
        }
        sets = sets.or(sequence.zip(picture));
        frames.push(EncodedFrame { bytes, key: stream.frame_type() == FrameType::IDR });
    }
    let (sequence, picture) = sets.ok_or("the encoder wrote no parameter sets")?;
    let setup = Avcc::new(&sequence, &picture).map_err(|error| error.to_string())?;
    complete(DecoderSetup::H264(setup), frames, images.len())
}

fn without_start_code(nal: &[u8]) -> &[u8] {
    let zeros = nal.iter().take_while(|&&byte| byte == 0).count();
    nal.get(zeros + 1..).unwrap_or_default()
}

fn complete(
    setup: DecoderSetup,
    frames: Vec<EncodedFrame>,
    expected: usize,
) -> Result<(DecoderSetup, Vec<EncodedFrame>), String> {
    let whole = frames.len() == expected && frames.iter().all(|frame| !frame.bytes.is_empty());
    if !whole || !frames.first().is_some_and(|frame| frame.key) {
        return Err(format!("the encoder made {} frames of {expected}", frames.len()));
    }
    Ok((setup, frames))
}
