//! From YUV 4:2:0 to RGB and back, as `FFmpeg`'s `swscale` does it.
//!
//! Policies are trained on frames that Python decoded, nearly always through
//! `frame.to_ndarray(format="rgb24")` or its like, which ends in `swscale`'s unscaled converter
//! (`libswscale/x86/yuv_2_rgb.asm`, coefficients from `ff_yuv2rgb_c_init_tables` in
//! `libswscale/yuv2rgb.c`). The same integer arithmetic is used here, so that the pixels are equal
//! bit by bit: products of 16-bit numbers whose upper halves are kept, and chroma that is repeated,
//! not interpolated.

use std::sync::Arc;

use mp4_atom::Colr;

use crate::observation::{Image, ImageSizeError};

/// How the numbers of a stream stand for colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Colour {
    pub(super) matrix: Matrix,
    pub(super) range: Range,
}

/// The matrix between RGB and YUV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Matrix {
    /// BT.601, which `swscale` also takes where the stream says nothing.
    #[default]
    Bt601,
    Bt709,
    Fcc,
    Smpte240,
    Bt2020,
}

/// Which numbers are black and white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Range {
    /// Luma 16 to 235; also where the stream says nothing.
    #[default]
    Limited,
    /// Luma 0 to 255.
    Full,
}

impl Matrix {
    /// From the number in a bitstream or a `colr` box (ITU-T H.273, table 4).
    pub(super) const fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Bt709,
            4 => Self::Fcc,
            7 => Self::Smpte240,
            9 | 10 => Self::Bt2020,
            _ => Self::Bt601,
        }
    }

    /// Weights of V in R, U in B, and minus those of U and V in G, times 65536
    /// (`ff_yuv2rgb_coeffs`).
    const fn weights(self) -> [i64; 4] {
        match self {
            Self::Bt601 => [104_597, 132_201, 25_675, 53_279],
            Self::Bt709 => [117_489, 138_438, 13_975, 34_925],
            Self::Fcc => [104_448, 132_798, 24_759, 53_109],
            Self::Smpte240 => [117_579, 136_230, 16_907, 35_559],
            Self::Bt2020 => [110_013, 140_363, 12_277, 42_626],
        }
    }
}

impl Colour {
    /// What a `colr` box states.
    pub(super) const fn from_box(colr: &Colr) -> Self {
        match *colr {
            Colr::Nclx { matrix_coefficients, full_range_flag, .. } => Self {
                matrix: Matrix::from_number(matrix_coefficients),
                range: if full_range_flag { Range::Full } else { Range::Limited },
            },
            Colr::Nclc { matrix_coefficients, .. } => {
                Self { matrix: Matrix::from_number(matrix_coefficients), range: Range::Limited }
            }
            _ => Self { matrix: Matrix::Bt601, range: Range::Limited },
        }
    }
}

/// A decoded picture, 8 bits, 4:2:0. Chroma planes have half the size, rounded up.
#[derive(Clone, Copy)]
pub(super) struct Picture<'a> {
    pub(super) height: u32,
    pub(super) width: u32,
    pub(super) y: &'a [u8],
    pub(super) u: &'a [u8],
    pub(super) v: &'a [u8],
    /// Bytes from one row of `y` to the next.
    pub(super) y_stride: usize,
    /// Bytes from one row of `u` or `v` to the next.
    pub(super) uv_stride: usize,
    pub(super) colour: Colour,
}

impl Picture<'_> {
    /// The picture as an RGB image.
    ///
    /// # Errors
    /// If a plane is shorter than its size and stride say.
    pub(super) fn to_image(self) -> Result<Image, ImageSizeError> {
        let Self { height, width, y, u, v, y_stride, uv_stride, colour } = self;
        let (rows, columns) = (height as usize, width as usize);
        let short = |got| ImageSizeError { height, width, expected: rows * columns * 3, got };
        let half = columns.div_ceil(2);
        let converter = Converter::new(colour);
        let mut pixels: Arc<[u8]> = std::iter::repeat_n(0, rows * columns * 3).collect();
        let target = Arc::get_mut(&mut pixels).ok_or_else(|| short(0))?;
        for (row, rgb) in target.chunks_exact_mut(columns * 3).enumerate() {
            let luma = line(y, row, y_stride, columns).ok_or_else(|| short(y.len()))?;
            let first = line(u, row / 2, uv_stride, half).ok_or_else(|| short(u.len()))?;
            let second = line(v, row / 2, uv_stride, half).ok_or_else(|| short(v.len()))?;
            converter.row(luma, first, second, rgb);
        }
        Image::from_rgb(height, width, pixels)
    }
}

fn line(plane: &[u8], row: usize, stride: usize, len: usize) -> Option<&[u8]> {
    plane.get(row * stride..row * stride + len)
}

/// The coefficients of one colour convention, as 16-bit numbers with 13 fractional bits.
struct Converter {
    y_offset: i16,
    y: i16,
    v_to_r: i16,
    u_to_g: i16,
    v_to_g: i16,
    u_to_b: i16,
}

/// Pixels that are converted at a time, so that the compiler uses vectors.
const BLOCK: usize = 32;

impl Converter {
    fn new(Colour { matrix, range }: Colour) -> Self {
        let [v_to_r, u_to_b, u_to_g, v_to_g] = matrix.weights();
        let (y, y_offset, scale) = match range {
            Range::Limited => (65_536 * 255 / 219, 16 << 16, (1, 1)),
            Range::Full => (65_536, 0, (224, 255)),
        };
        let scale = |weight: i64| weight * scale.0 / scale.1;
        let round = |value: i64| ((value + (1 << 15)) >> 16) as i16;
        Self {
            y_offset: round(y_offset * 8),
            y: round(y * 8192),
            v_to_r: round(scale(v_to_r) * 8192),
            u_to_g: round(-scale(u_to_g) * 8192),
            v_to_g: round(-scale(v_to_g) * 8192),
            u_to_b: round(scale(u_to_b) * 8192),
        }
    }

    /// One row: `y` and `rgb` have the width, `u` and `v` half of it, rounded up.
    fn row(&self, y: &[u8], u: &[u8], v: &[u8], rgb: &mut [u8]) {
        let blocks = y
            .chunks(BLOCK)
            .zip(u.chunks(BLOCK / 2).zip(v.chunks(BLOCK / 2)))
            .zip(rgb.chunks_mut(BLOCK * 3));
        for ((y, (u, v)), rgb) in blocks {
            if let (Some(y), Some(u), Some(v)) = (y.first_chunk(), u.first_chunk(), v.first_chunk())
            {
                self.block(y, u, v, rgb);
            } else {
                let (mut luma, mut first, mut second) =
                    ([0; BLOCK], [0; BLOCK / 2], [0; BLOCK / 2]);
                luma[..y.len()].copy_from_slice(y);
                first[..u.len()].copy_from_slice(u);
                second[..v.len()].copy_from_slice(v);
                self.block(&luma, &first, &second, rgb);
            }
        }
    }

    /// Writes as many of the block's pixels as `rgb` holds.
    fn block(&self, y: &[u8; BLOCK], u: &[u8; BLOCK / 2], v: &[u8; BLOCK / 2], rgb: &mut [u8]) {
        let mut red = [0_i16; BLOCK / 2];
        let mut green = [0_i16; BLOCK / 2];
        let mut blue = [0_i16; BLOCK / 2];
        for i in 0..BLOCK / 2 {
            let (u, v) = (i16::from(u[i]) * 8 - 1024, i16::from(v[i]) * 8 - 1024);
            red[i] = upper_product(v, self.v_to_r);
            green[i] = upper_product(u, self.u_to_g) + upper_product(v, self.v_to_g);
            blue[i] = upper_product(u, self.u_to_b);
        }
        let mut luma = [0_i16; BLOCK];
        for (luma, &y) in luma.iter_mut().zip(y) {
            *luma = upper_product(i16::from(y) * 8 - self.y_offset, self.y);
        }
        for (i, pixel) in rgb.chunks_exact_mut(3).enumerate() {
            pixel[0] = clamp(luma[i] + red[i / 2]);
            pixel[1] = clamp(luma[i] + green[i / 2]);
            pixel[2] = clamp(luma[i] + blue[i / 2]);
        }
    }
}

/// The upper 16 bits of the product, as the instruction `pmulhw` gives them.
const fn upper_product(a: i16, b: i16) -> i16 {
    ((a as i32 * b as i32) >> 16) as i16
}

fn clamp(value: i16) -> u8 {
    value.clamp(0, 255) as u8
}

/// The planes of an image in YUV 4:2:0, BT.601, limited range: Y, then U, then V, without gaps.
#[derive(Debug)]
pub(super) struct Planes {
    pub(super) height: usize,
    pub(super) width: usize,
    bytes: Vec<u8>,
}

impl Planes {
    /// From an image with even sides. Chroma is the mean over 2×2 pixels.
    pub(super) fn from_image(image: &Image) -> Self {
        let (height, width) = (image.height() as usize, image.width() as usize);
        let mut bytes = vec![0; height * width * 3 / 2];
        let (luma, chroma) = bytes.split_at_mut(height * width);
        let (first, second) = chroma.split_at_mut(height * width / 4);
        let row_pairs =
            image.pixels().chunks_exact(width * 6).zip(luma.chunks_exact_mut(width * 2));
        let chroma_rows = first.chunks_exact_mut(width / 2).zip(second.chunks_exact_mut(width / 2));
        for ((rgb, luma), (first, second)) in row_pairs.zip(chroma_rows) {
            for (luma, pixel) in luma.iter_mut().zip(rgb.chunks_exact(3)) {
                let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
                *luma = ((8414 * r + 16_519 * g + 3208 * b + (16 << 15) + (1 << 14)) >> 15) as u8;
            }
            let (upper, lower) = rgb.split_at(width * 3);
            let squares = upper.chunks_exact(6).zip(lower.chunks_exact(6));
            for ((upper, lower), (first, second)) in squares.zip(first.iter_mut().zip(second)) {
                let [r, g, b] = [0, 1, 2].map(|c| {
                    [upper[c], upper[c + 3], lower[c], lower[c + 3]]
                        .map(i32::from)
                        .iter()
                        .sum::<i32>()
                });
                let half = (128 << 17) + (1 << 16);
                *first = ((-4865 * r - 9528 * g + 14_392 * b + half) >> 17) as u8;
                *second = ((14_392 * r - 12_061 * g - 2332 * b + half) >> 17) as u8;
            }
        }
        Self { height, width, bytes }
    }

    /// Y, U and V.
    pub(super) fn split(&self) -> [&[u8]; 3] {
        let (luma, chroma) = self.bytes.split_at(self.height * self.width);
        let (first, second) = chroma.split_at(self.height * self.width / 4);
        [luma, first, second]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The colour of a picture that has one.
    fn rgb(y: u8, u: u8, v: u8, colour: Colour) -> [u8; 3] {
        let (luma, first, second) = ([y; 9], [u; 4], [v; 4]);
        let picture = Picture {
            height: 3,
            width: 3,
            y: &luma,
            u: &first,
            v: &second,
            y_stride: 3,
            uv_stride: 2,
            colour,
        };
        let image = picture.to_image().unwrap();
        let (pixels, _) = image.pixels().as_chunks::<3>();
        assert_eq!(pixels.len(), 9);
        assert!(pixels.iter().all(|pixel| pixel == &pixels[0]));
        pixels[0]
    }

    #[test]
    fn colours_are_those_of_the_converter_worked_by_hand() {
        let limited = Colour::default();
        // y: ((235·8 − 128) · 9539) >> 16 = 255; chroma 128 adds nothing.
        assert_eq!(rgb(235, 128, 128, limited), [255; 3]);
        assert_eq!(rgb(16, 128, 128, limited), [0; 3]);
        assert_eq!(rgb(0, 128, 128, limited), [0; 3]);
        // y: (520 · 9539) >> 16 = 75; v: 896 · 13075 >> 16 = 178; u: −304 · (−3209) >> 16 = 14,
        // 896 · (−6660) >> 16 = −92; u to blue: −304 · 16525 >> 16 = −77.
        assert_eq!(rgb(81, 90, 240, limited), [253, 0, 0]);
        let full = Colour { range: Range::Full, ..limited };
        // y: (255·8 · 8192) >> 16 = 255.
        assert_eq!(rgb(255, 128, 128, full), [255; 3]);
        assert_eq!(rgb(1, 128, 128, full), [1; 3]);
    }

    #[test]
    fn planes_that_are_too_short_are_refused() {
        let picture = Picture {
            height: 4,
            width: 4,
            y: &[0; 16],
            u: &[0; 4],
            v: &[0; 3],
            y_stride: 4,
            uv_stride: 2,
            colour: Colour::default(),
        };
        assert!(picture.to_image().is_err());
    }

    #[test]
    fn grey_stays_grey_there_and_back() {
        for value in 0..=255 {
            let image = Image::from_rgb(2, 2, vec![value; 12]).unwrap();
            let planes = Planes::from_image(&image);
            let [y, u, v] = planes.split();
            assert_eq!((u, v), (&[128][..], &[128][..]));
            let back = rgb(y[0], 128, 128, Colour::default());
            assert!(back.iter().all(|&back| back.abs_diff(value) <= 1), "{value}: {back:?}");
        }
    }

    #[test]
    fn primary_colours_survive_there_and_back() {
        for pixel in [[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50]] {
            let image = Image::from_rgb(2, 2, pixel.repeat(4)).unwrap();
            let planes = Planes::from_image(&image);
            let [y, u, v] = planes.split();
            let back = rgb(y[0], u[0], v[0], Colour::default());
            assert!(back.iter().zip(pixel).all(|(b, p)| b.abs_diff(p) <= 3), "{pixel:?}: {back:?}");
        }
    }
}
