//! Images to rows of patch pixels and back, and resampling between the rig's size and the model's.

use rehearse_scenarios::embodiment::Camera;
use rehearse_scenarios::observation::{Image, Observation};

use crate::config::TokenConfig;
use crate::error::{ModelError, Result};

/// How the cameras of a rig become patches: view by view, row by row, column by column.
#[derive(Clone, Debug)]
pub struct Layout {
    cameras: Vec<Camera>,
    height: usize,
    width: usize,
    patch: usize,
    to_model: Vec<[Resampler; 2]>,
    to_rig: Vec<[Resampler; 2]>,
}

impl Layout {
    /// The layout of `cameras`, each imagined at the configured size.
    ///
    /// # Errors
    /// [`ModelError::Size`] without a camera.
    pub fn new(config: &TokenConfig, cameras: &[Camera]) -> Result<Self> {
        if cameras.is_empty() {
            return Err(ModelError::size("the rig", "at least one camera", "none"));
        }
        let TokenConfig { height, width, patch, .. } = *config;
        let pair = |from: (usize, usize), to: (usize, usize)| {
            [Resampler::new(from.0, to.0), Resampler::new(from.1, to.1)]
        };
        let sizes = cameras.iter().map(|camera| (camera.height as usize, camera.width as usize));
        Ok(Self {
            cameras: cameras.to_vec(),
            height,
            width,
            patch,
            to_model: sizes.clone().map(|size| pair(size, (height, width))).collect(),
            to_rig: sizes.map(|size| pair((height, width), size)).collect(),
        })
    }

    /// Patches of one frame, over all views.
    pub fn patches(&self) -> usize {
        self.cameras.len() * (self.height / self.patch) * (self.width / self.patch)
    }

    /// Values of one patch.
    pub fn values(&self) -> usize {
        self.patch * self.patch * 3
    }

    /// The cameras, in order.
    pub fn cameras(&self) -> &[Camera] {
        &self.cameras
    }

    /// One frame's patches, `patches × values` in [0, 1].
    ///
    /// # Errors
    /// [`ModelError::Size`] for a missing camera or an image of another size.
    pub fn patches_of(&self, observation: &Observation) -> Result<Vec<f32>> {
        let images = self
            .cameras
            .iter()
            .map(|camera| {
                observation.images.get(&camera.name).ok_or_else(|| {
                    ModelError::size(
                        "an observation",
                        format!("an image of camera {:?}", camera.name),
                        format!("{:?}", observation.images.keys().collect::<Vec<_>>()),
                    )
                })
            })
            .collect::<Result<Vec<_>>>()?;
        self.patches_of_images(&images)
    }

    /// As [`patches_of`](Self::patches_of), from the images in the order of the cameras.
    ///
    /// # Errors
    /// [`ModelError::Size`] for an image of another size.
    pub fn patches_of_images(&self, images: &[&Image]) -> Result<Vec<f32>> {
        if images.len() != self.cameras.len() {
            return Err(ModelError::size("a frame", self.cameras.len(), images.len()));
        }
        let mut patches = Vec::with_capacity(self.patches() * self.values());
        for ((camera, image), [rows, columns]) in
            self.cameras.iter().zip(images).zip(&self.to_model)
        {
            if (camera.height, camera.width) != (image.height(), image.width()) {
                return Err(ModelError::size(
                    format!("image of camera {:?}", camera.name),
                    format!("{}×{}", camera.height, camera.width),
                    format!("{}×{}", image.height(), image.width()),
                ));
            }
            let pixels =
                image.pixels().iter().map(|&value| f32::from(value) / 255.0).collect::<Vec<_>>();
            let small = resample(&pixels, rows, columns);
            for top in (0..self.height).step_by(self.patch) {
                for left in (0..self.width).step_by(self.patch) {
                    for row in top..top + self.patch {
                        let start = (row * self.width + left) * 3;
                        patches.extend_from_slice(&small[start..start + self.patch * 3]);
                    }
                }
            }
        }
        Ok(patches)
    }

    /// The views of one frame at the model's size, `height × width × 3` each, from its patches.
    pub fn views_of(&self, patches: &[f32]) -> Vec<Vec<f32>> {
        let per_view = patches.len() / self.cameras.len();
        let columns = self.width / self.patch;
        patches
            .chunks_exact(per_view)
            .map(|view| {
                let mut pixels = vec![0.0; per_view];
                for (index, patch) in view.chunks_exact(self.values()).enumerate() {
                    let (top, left) =
                        ((index / columns) * self.patch, (index % columns) * self.patch);
                    for (row, values) in patch.chunks_exact(self.patch * 3).enumerate() {
                        let start = ((top + row) * self.width + left) * 3;
                        pixels[start..start + values.len()].copy_from_slice(values);
                    }
                }
                pixels
            })
            .collect()
    }

    /// The images of one frame at the rig's size, in the order of the cameras.
    ///
    /// # Errors
    /// [`ModelError::Size`] if `patches` is not one frame.
    pub fn images_of(&self, patches: &[f32]) -> Result<Vec<Image>> {
        if patches.len() != self.patches() * self.values() {
            return Err(ModelError::size("a frame", self.patches() * self.values(), patches.len()));
        }
        self.views_of(patches)
            .iter()
            .zip(&self.cameras)
            .zip(&self.to_rig)
            .map(|((view, camera), [rows, columns])| {
                let pixels = resample(view, rows, columns)
                    .into_iter()
                    .map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8)
                    .collect::<Vec<_>>();
                Image::from_rgb(camera.height, camera.width, pixels)
                    .map_err(|error| ModelError::size("an image", error.expected, error.got))
            })
            .collect()
    }
}

/// Weights that resample one axis: area average when it shrinks, linear when it grows.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: usize,
    /// For each output: the first input and the weights from there on.
    taps: Vec<(usize, Vec<f32>)>,
}

impl Resampler {
    /// From `from` to `to` samples; the ends of the axis keep their place.
    pub fn new(from: usize, to: usize) -> Self {
        let ratio = from as f64 / to as f64;
        let taps = (0..to)
            .map(|output| {
                if ratio >= 1.0 {
                    let (low, high) = (output as f64 * ratio, (output + 1) as f64 * ratio);
                    let first = low.floor() as usize;
                    let last = (high.ceil() as usize).min(from);
                    let weights = (first..last)
                        .map(|input| {
                            let covered = high.min((input + 1) as f64) - low.max(input as f64);
                            (covered.max(0.0) / ratio) as f32
                        })
                        .collect();
                    (first, weights)
                } else {
                    let centre =
                        ((output as f64 + 0.5) * ratio - 0.5).clamp(0.0, (from - 1) as f64);
                    let first = (centre.floor() as usize).min(from.saturating_sub(2));
                    let part = (centre - first as f64) as f32;
                    if from == 1 { (0, vec![1.0]) } else { (first, vec![1.0 - part, part]) }
                }
            })
            .collect();
        Self { from, taps }
    }

    fn is_identity(&self) -> bool {
        self.taps.len() == self.from
    }
}

/// Resamples an RGB image, rows first.
fn resample(pixels: &[f32], rows: &Resampler, columns: &Resampler) -> Vec<f32> {
    if rows.is_identity() && columns.is_identity() {
        return pixels.to_vec();
    }
    let stride = columns.from * 3;
    let mut tall = vec![0.0; rows.taps.len() * stride];
    for (line, (first, weights)) in tall.chunks_exact_mut(stride).zip(&rows.taps) {
        for (input, &weight) in pixels[first * stride..].chunks_exact(stride).zip(weights) {
            for (sum, &value) in line.iter_mut().zip(input) {
                *sum += weight * value;
            }
        }
    }
    let mut output = Vec::with_capacity(rows.taps.len() * columns.taps.len() * 3);
    for line in tall.chunks_exact(stride) {
        for (first, weights) in &columns.taps {
            let mut sum = [0.0; 3];
            for (value, &weight) in line[first * 3..].chunks_exact(3).zip(weights) {
                for (sum, &value) in sum.iter_mut().zip(value) {
                    *sum += weight * value;
                }
            }
            output.extend_from_slice(&sum);
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(height: u32, width: u32) -> Layout {
        let config = TokenConfig { height: 4, width: 4, patch: 2, coefficients: 3, pack: 4 };
        let camera = |name: &str| Camera { name: name.into(), height, width };
        Layout::new(&config, &[camera("front"), camera("wrist")]).unwrap()
    }

    fn ramp(height: u32, width: u32) -> Image {
        let bytes = (0..height * width * 3).map(|i| (i % 251) as u8).collect::<Vec<_>>();
        Image::from_rgb(height, width, bytes).unwrap()
    }

    #[test]
    fn patches_and_images_are_the_same_pixels() {
        let layout = layout(4, 4);
        let image = ramp(4, 4);
        let patches = layout.patches_of_images(&[&image, &image]).unwrap();
        assert_eq!(patches.len(), layout.patches() * layout.values());
        // The second patch of the first view starts at row 0, column 2.
        assert_eq!(patches[12], 6.0 / 255.0);
        assert_eq!(layout.images_of(&patches).unwrap(), [image.clone(), image]);
    }

    #[test]
    fn shrinking_averages_areas_and_growing_keeps_a_flat_image_flat() {
        let shrink = Resampler::new(4, 2);
        assert_eq!(shrink.taps, [(0, vec![0.5, 0.5]), (2, vec![0.5, 0.5])]);
        let uneven = Resampler::new(3, 2);
        assert_eq!(uneven.taps[0].0, 0);
        assert!((uneven.taps[0].1[0] - 2.0 / 3.0).abs() < 1e-6);
        for (from, to) in [(3, 2), (2, 5), (1, 4), (128, 64), (64, 128), (7, 7)] {
            for (first, weights) in Resampler::new(from, to).taps {
                assert!(first + weights.len() <= from);
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{from} to {to}");
            }
        }
    }

    #[test]
    fn an_image_of_another_size_is_refused() {
        let error = layout(4, 4).patches_of_images(&[&ramp(4, 4), &ramp(2, 4)]).unwrap_err();
        assert_eq!(error.to_string(), "image of camera \"wrist\" has 2×4, expected 4×4");
    }
}
