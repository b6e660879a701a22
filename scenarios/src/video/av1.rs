//! AV1 through `re_rav1d`, a port of dav1d to Rust.

use std::panic::{AssertUnwindSafe, catch_unwind};

use re_rav1d::dav1d::pixel::{MatrixCoefficients, YUVRange};
use re_rav1d::dav1d::{
    BitsPerComponent, Decoder, Error, PixelLayout, PlanarImageComponent as Component, Settings,
};

use super::colour::{Colour, Matrix, Picture, Range};
use super::decoder::{Take, panic_message};

pub(super) struct Av1Decoder {
    decoder: Decoder,
}

impl Av1Decoder {
    /// A decoder for frames of at most this size.
    pub(super) fn new(height: u32, width: u32) -> Result<Self, String> {
        let mut settings = Settings::new();
        // Cores are kept busy by decoding several segments at once, which costs less than threads
        // inside small frames.
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        // Of a layered stream the best layer, one picture a sample, as FFmpeg shows it.
        settings.set_all_layers(false);
        settings.set_frame_size_limit(height.saturating_mul(width));
        let decoder = Decoder::with_settings(&settings).map_err(|error| error.to_string())?;
        Ok(Self { decoder })
    }

    pub(super) fn restart(&mut self) {
        self.decoder.flush();
    }

    /// Decodes a sample, which holds one shown frame.
    pub(super) fn decode(&mut self, sample: Vec<u8>, take: Take<'_>) -> Result<(), String> {
        // The port has assertions, and its getters have `unreachable!()`, that a damaged bitstream
        // can reach. After an error the decoder is not used again, so no broken state is seen.
        catch_unwind(AssertUnwindSafe(|| self.decode_sample(sample, take)))
            .unwrap_or_else(|panic| Err(panic_message(panic.as_ref())))
    }

    fn decode_sample(&mut self, sample: Vec<u8>, take: Take<'_>) -> Result<(), String> {
        let mut shown = 0;
        let mut sent = self.decoder.send_data(sample, None, None, None);
        loop {
            match self.decoder.get_picture() {
                Ok(picture) => {
                    shown += 1;
                    with_planes(&picture, take)?;
                }
                Err(Error::Again) if matches!(sent, Err(Error::Again)) => {
                    let shown_before = shown;
                    sent = self.decoder.send_pending_data();
                    if matches!(sent, Err(Error::Again)) && shown == shown_before {
                        return Err("the decoder takes no more data".to_owned());
                    }
                }
                Err(Error::Again) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        sent.map_err(|error| error.to_string())?;
        if shown == 1 { Ok(()) } else { Err(format!("the sample shows {shown} frames, not one")) }
    }
}

fn with_planes(picture: &re_rav1d::dav1d::Picture, take: Take<'_>) -> Result<(), String> {
    if picture.pixel_layout() != PixelLayout::I420
        || picture.bits_per_component() != Some(BitsPerComponent(8))
    {
        return Err("the frame is not 8 bits in 4:2:0, as the file says".to_owned());
    }
    let [y, u, v] = [Component::Y, Component::U, Component::V].map(|plane| picture.plane(plane));
    let colour = Colour {
        matrix: match picture.matrix_coefficients() {
            MatrixCoefficients::BT709 => Matrix::Bt709,
            MatrixCoefficients::BT470M => Matrix::Fcc,
            MatrixCoefficients::ST240M => Matrix::Smpte240,
            MatrixCoefficients::BT2020NonConstantLuminance
            | MatrixCoefficients::BT2020ConstantLuminance => Matrix::Bt2020,
            _ => Matrix::Bt601,
        },
        range: match picture.color_range() {
            YUVRange::Full => Range::Full,
            YUVRange::Limited => Range::Limited,
        },
    };
    take(Picture {
        height: picture.height(),
        width: picture.width(),
        y: &y,
        u: &u,
        v: &v,
        y_stride: picture.stride(Component::Y) as usize,
        uv_stride: picture.stride(Component::U) as usize,
        colour,
    })
}
