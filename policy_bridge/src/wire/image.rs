//! Camera images on the wire: raw, or a JPEG or PNG file, named as such.

use std::io::Cursor;

use image::{ExtendedColorType, ImageEncoder as _, ImageReader};
use rehearse_scenarios::embodiment::MAX_IMAGE_SIDE;
use rehearse_scenarios::observation::Image;

use super::array::{Array, DType};
use super::encode::Encoder;
use super::error::WireError;
use super::value::Value;

/// How an image is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageForm {
    /// Three bytes a pixel, as they are.
    #[default]
    Raw,
    /// A JPEG file of quality 95: small, and loses detail.
    Jpeg,
    /// A PNG file: smaller than raw, loses nothing, costs time.
    Png,
}

impl ImageForm {
    /// All forms, as a server lists them in its info.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Jpeg, Self::Png];

    /// The form as the protocol names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Jpeg => "jpeg",
            Self::Png => "png",
        }
    }

    /// The form that the protocol calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == name)
    }
}

const JPEG_QUALITY: u8 = 95;

/// Writes an image in `form`.
///
/// # Errors
/// [`WireError::Field`] if the encoder refuses the image.
pub fn write_image(out: &mut Encoder, image: &Image, form: ImageForm) -> Result<(), WireError> {
    let shape = [image.height() as usize, image.width() as usize, 3];
    let mut file = vec![];
    let refused = |error: image::ImageError| {
        WireError::field(
            "image",
            format!("an image that {} can hold", form.as_str()),
            error.to_string(),
        )
    };
    let (width, height) = (image.width(), image.height());
    match form {
        ImageForm::Raw => {
            out.array_u8(&shape, image.pixels());
            return Ok(());
        }
        ImageForm::Jpeg => {
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY)
                .write_image(image.pixels(), width, height, ExtendedColorType::Rgb8)
                .map_err(refused)?;
        }
        ImageForm::Png => {
            image::codecs::png::PngEncoder::new(&mut file)
                .write_image(image.pixels(), width, height, ExtendedColorType::Rgb8)
                .map_err(refused)?;
        }
    }
    out.map(3);
    out.str("__image__");
    out.str(form.as_str());
    out.str("data");
    out.bin(&file);
    out.str("shape");
    out.array(3);
    for side in shape {
        out.uint(side as u64);
    }
    Ok(())
}

/// Reads an image of exactly `height` × `width` pixels, in any form; `what` names it in errors.
///
/// A compressed file is opened only if its own header states that size, so a small file cannot
/// claim a huge image.
///
/// # Errors
/// [`WireError`] if the value is no image, or not of that size.
pub fn image_from_value(
    value: &Value<'_>,
    height: u32,
    width: u32,
    what: &str,
) -> Result<Image, WireError> {
    let expected = || format!("an RGB image of {height}×{width}×3 u8");
    let wrong = |got: String| WireError::field(what, expected(), got);
    let shape = [height as usize, width as usize, 3];
    if Array::is_array(value) {
        let array = Array::from_value(value, what)?;
        if array.dtype != DType::U8 || array.shape != shape {
            return Err(wrong(format!("{} of shape {:?}", array.dtype.as_str(), array.shape)));
        }
        return Image::from_rgb(height, width, &*array.data)
            .map_err(|error| wrong(error.to_string()));
    }
    let fields = value.fields(what)?;
    let form = fields.required("__image__")?.text(what)?;
    let format = match ImageForm::from_name(form) {
        Some(ImageForm::Jpeg) => image::ImageFormat::Jpeg,
        Some(ImageForm::Png) => image::ImageFormat::Png,
        Some(ImageForm::Raw) | None => return Err(wrong(format!("form {form:?}"))),
    };
    let stated = fields.required("shape")?.items(what)?;
    let fits = stated.len() == 3
        && stated.iter().zip(shape).all(|(side, expected)| *side == Value::Uint(expected as u64));
    if !fits {
        return Err(wrong("another shape".to_owned()));
    }
    let file = fields.required("data")?.bytes(what)?;
    let broken = |error: image::ImageError| wrong(format!("a {form} file that fails: {error}"));
    let header = ImageReader::with_format(Cursor::new(file), format);
    let (file_width, file_height) = header.into_dimensions().map_err(broken)?;
    if (file_height, file_width) != (height, width) {
        return Err(wrong(format!("a {form} file of {file_height}×{file_width}")));
    }
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(decoder_limits(height, width));
    let pixels = reader.decode().map_err(broken)?.into_rgb8().into_raw();
    Image::from_rgb(height, width, pixels).map_err(|error| wrong(error.to_string()))
}

fn decoder_limits(height: u32, width: u32) -> image::Limits {
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_IMAGE_SIDE);
    limits.max_image_height = Some(MAX_IMAGE_SIDE);
    // 16-bit RGBA is the widest a PNG can be; a decoder needs some room beside its output.
    limits.max_alloc = Some(u64::from(height) * u64::from(width) * 16 + (1 << 20));
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Limits;

    fn gradient() -> Image {
        let pixels: Vec<u8> = (0..16 * 24 * 3).map(|index| (index / 5) as u8).collect();
        Image::from_rgb(16, 24, pixels).unwrap()
    }

    fn through(form: ImageForm) -> Result<Image, WireError> {
        let mut out = Encoder::default();
        write_image(&mut out, &gradient(), form).unwrap();
        let bytes = out.into_bytes();
        let value = Value::decode(&bytes, &Limits::default()).unwrap();
        image_from_value(&value, 16, 24, "images.front")
    }

    #[test]
    fn raw_and_png_lose_nothing_and_jpeg_little() {
        assert_eq!(through(ImageForm::Raw).unwrap(), gradient());
        assert_eq!(through(ImageForm::Png).unwrap(), gradient());
        let jpeg = through(ImageForm::Jpeg).unwrap();
        let error: u64 = jpeg
            .pixels()
            .iter()
            .zip(gradient().pixels())
            .map(|(&a, &b)| u64::from(a.abs_diff(b)))
            .sum();
        assert!(error / (16 * 24 * 3) < 6, "mean error {}", error / (16 * 24 * 3));
    }

    #[test]
    fn an_image_of_another_size_is_refused_before_it_is_opened() {
        for form in ImageForm::ALL {
            let mut out = Encoder::default();
            write_image(&mut out, &gradient(), form).unwrap();
            let bytes = out.into_bytes();
            let value = Value::decode(&bytes, &Limits::default()).unwrap();
            assert!(image_from_value(&value, 24, 16, "front").is_err(), "{form:?}");
        }
    }

    #[test]
    fn a_file_that_is_larger_than_it_says_is_refused() {
        let mut out = Encoder::default();
        write_image(&mut out, &gradient(), ImageForm::Png).unwrap();
        let bytes = out.into_bytes();
        let mut value = Value::decode(&bytes, &Limits::default()).unwrap();
        let Value::Map(entries) = &mut value else { panic!("an image is a map") };
        entries[2].1 = Value::Array(vec![Value::Uint(2), Value::Uint(2), Value::Uint(3)]);
        let error = image_from_value(&value, 2, 2, "front").unwrap_err();
        assert!(error.to_string().contains("png file of 16×24"), "{error}");
    }
}
