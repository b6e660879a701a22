//! Images of a camera into the size and layout that a server takes, and back.

use std::sync::Arc;

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Rgb, RgbImage};
use rehearse_scenarios::observation::Image;

use super::manifest::{ImageFacts, Layout, Resize};

/// An image as a server takes it: u8, RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Order of the axes.
    pub layout: Layout,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// The pixels in that order.
    pub pixels: Arc<[u8]>,
}

impl Picture {
    /// Lengths of the axes, in their order.
    pub fn shape(&self) -> [usize; 3] {
        match self.layout {
            Layout::Hwc => [self.height, self.width, 3],
            Layout::Chw => [3, self.height, self.width],
        }
    }

    /// What a server is shown of a camera: cropped around the centre, resized, turned, laid out.
    pub fn of(image: &Image, facts: &ImageFacts) -> Self {
        let (height, width) = (facts.height as usize, facts.width as usize);
        let untouched = facts.resize == Resize::Exact && !facts.upside_down;
        if untouched && facts.layout == Layout::Hwc {
            return Self { layout: Layout::Hwc, height, width, pixels: image.shared_pixels() };
        }
        let buffer: Option<RgbImage> =
            ImageBuffer::from_raw(image.width(), image.height(), image.pixels().to_vec());
        let mut shown = resized(cropped(buffer.unwrap_or_default(), facts.centre_crop), facts);
        if facts.upside_down {
            imageops::rotate180_in_place(&mut shown);
        }
        let pixels = match facts.layout {
            Layout::Hwc => shown.into_raw().into(),
            Layout::Chw => planes(shown.as_raw()).into(),
        };
        Self { layout: facts.layout, height, width, pixels }
    }

    /// The camera's image that a client shows; the inverse of [`Picture::of`] where that is exact.
    ///
    /// # Errors
    /// A sentence if the shape is not the camera's.
    pub fn to_image(shape: &[usize], pixels: &[u8], facts: &ImageFacts) -> Result<Image, String> {
        let (height, width) = (facts.height as usize, facts.width as usize);
        let expected = Self { layout: facts.layout, height, width, pixels: Arc::default() }.shape();
        if shape != expected {
            return Err(format!(
                "image {:?} has shape {shape:?}, expected {expected:?}",
                facts.key
            ));
        }
        let mut pixels = match facts.layout {
            Layout::Hwc => pixels.to_vec(),
            Layout::Chw => pixels_of_planes(pixels),
        };
        if facts.upside_down {
            // Half a turn reverses the order of the pixels.
            let (whole, _) = pixels.as_chunks_mut::<3>();
            whole.reverse();
        }
        Image::from_rgb(facts.height, facts.width, pixels).map_err(|error| error.to_string())
    }
}

fn cropped(image: RgbImage, share: f64) -> RgbImage {
    if share >= 1.0 {
        return image;
    }
    let keep = |side: u32| ((f64::from(side) * share).round() as u32).clamp(1, side);
    let (width, height) = (keep(image.width()), keep(image.height()));
    let (left, top) = ((image.width() - width) / 2, (image.height() - height) / 2);
    imageops::crop_imm(&image, left, top, width, height).to_image()
}

fn resized(image: RgbImage, facts: &ImageFacts) -> RgbImage {
    let &ImageFacts { height, width, resize, .. } = facts;
    if image.dimensions() == (width, height) {
        return image;
    }
    match resize {
        Resize::Exact => image,
        Resize::Stretch => imageops::resize(&image, width, height, FilterType::Triangle),
        Resize::StretchLanczos => imageops::resize(&image, width, height, FilterType::Lanczos3),
        Resize::Pad => {
            // openpi_client/image_tools.py, `_resize_with_pad_pil`: sizes are rounded down.
            let ratio = (f64::from(image.width()) / f64::from(width))
                .max(f64::from(image.height()) / f64::from(height));
            let side = |side: u32| ((f64::from(side) / ratio) as u32).max(1);
            let (inner_width, inner_height) = (side(image.width()), side(image.height()));
            let inner = imageops::resize(&image, inner_width, inner_height, FilterType::Triangle);
            let mut padded = RgbImage::from_pixel(width, height, Rgb([0; 3]));
            let left = i64::from((width - inner_width.min(width)) / 2);
            let top = i64::from((height - inner_height.min(height)) / 2);
            imageops::replace(&mut padded, &inner, left, top);
            padded
        }
    }
}

fn planes(pixels: &[u8]) -> Vec<u8> {
    let (pixels, _) = pixels.as_chunks::<3>();
    (0..3).flat_map(|channel| pixels.iter().map(move |pixel| pixel[channel])).collect()
}

fn pixels_of_planes(planes: &[u8]) -> Vec<u8> {
    let size = planes.len() / 3;
    (0..size).flat_map(|at| (0..3).map(move |channel| planes[channel * size + at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(height: u32, width: u32, resize: Resize) -> ImageFacts {
        ImageFacts {
            key: "image".into(),
            camera: "front".into(),
            height,
            width,
            layout: Layout::Hwc,
            resize,
            centre_crop: 1.0,
            upside_down: false,
        }
    }

    fn image(height: u32, width: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Image {
        let pixels: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (y, x)))
            .flat_map(|(y, x)| pixel(y, x))
            .collect();
        Image::from_rgb(height, width, pixels).unwrap()
    }

    #[test]
    fn an_exact_image_shares_its_pixels() {
        let image = image(2, 3, |y, x| [y as u8, x as u8, 9]);
        let picture = Picture::of(&image, &facts(2, 3, Resize::Exact));
        assert!(Arc::ptr_eq(&picture.pixels, &image.shared_pixels()));
        assert_eq!(picture.shape(), [2, 3, 3]);
    }

    #[test]
    fn planes_come_channel_by_channel() {
        let image = image(1, 2, |_, x| [x as u8, 10 + x as u8, 20 + x as u8]);
        let facts = ImageFacts { layout: Layout::Chw, ..facts(1, 2, Resize::Exact) };
        let picture = Picture::of(&image, &facts);
        assert_eq!(*picture.pixels, [0, 1, 10, 11, 20, 21]);
        assert_eq!(picture.shape(), [3, 1, 2]);
    }

    #[test]
    fn a_wide_image_is_padded_above_and_below() {
        // 4 wide, 2 high into 4×4: one black row above, one below.
        let image = image(2, 4, |_, _| [200, 100, 50]);
        let picture = Picture::of(&image, &facts(4, 4, Resize::Pad));
        let row = |y: usize| &picture.pixels[y * 12..(y + 1) * 12];
        assert_eq!(row(0), [0; 12]);
        assert_eq!(row(1), [200, 100, 50].repeat(4));
        assert_eq!(row(2), [200, 100, 50].repeat(4));
        assert_eq!(row(3), [0; 12]);
    }

    #[test]
    fn a_crop_keeps_the_centre() {
        let image =
            image(
                4,
                4,
                |y, x| if (1..3).contains(&y) && (1..3).contains(&x) { [255; 3] } else { [0; 3] },
            );
        let facts = ImageFacts { centre_crop: 0.5, ..facts(2, 2, Resize::Stretch) };
        assert_eq!(*Picture::of(&image, &facts).pixels, [255; 12]);
    }

    #[test]
    fn what_is_exact_comes_back() {
        let image = image(3, 2, |y, x| [(10 * y + x) as u8, y as u8, x as u8]);
        for layout in [Layout::Hwc, Layout::Chw] {
            for upside_down in [false, true] {
                let facts = ImageFacts { layout, upside_down, ..facts(3, 2, Resize::Exact) };
                let picture = Picture::of(&image, &facts);
                let back = Picture::to_image(&picture.shape(), &picture.pixels, &facts).unwrap();
                assert_eq!(back, image, "{layout:?} {upside_down}");
            }
        }
        let upside_down = ImageFacts { upside_down: true, ..facts(3, 2, Resize::Exact) };
        assert_eq!(Picture::of(&image, &upside_down).pixels[..3], [21, 2, 1]);
    }
}
