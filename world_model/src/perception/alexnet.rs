//! `AlexNet` as LPIPS sees with it (Zhang et al. 2018, `richzhang/PerceptualSimilarity` v0.1).

use std::path::Path;

use candle_core::{Device, Tensor};

use super::weights::Weights;
use crate::error::{ModelError, Result};

/// The convolutions: index within torchvision's `features`, kernel, stride, padding. The second
/// and the third follow a 3×3 maximum at stride 2.
const CONVOLUTIONS: [(usize, usize, usize, usize); 5] =
    [(0, 11, 4, 2), (3, 5, 1, 2), (6, 3, 1, 1), (8, 3, 1, 1), (10, 3, 1, 1)];

/// What the reference subtracts from each channel of a frame in [−1, 1], and divides it by then.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];

/// `AlexNet`'s convolutions, and how much LPIPS makes of each of their channels.
#[derive(Clone, Debug)]
pub struct AlexNet {
    layers: Vec<Layer>,
    shift: Tensor,
    scale: Tensor,
    digest: String,
}

#[derive(Clone, Debug)]
struct Layer {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    padding: usize,
    /// Whether a 3×3 maximum at stride 2 goes before.
    pooled: bool,
    /// Per channel, what a squared difference counts.
    importance: Vec<f32>,
}

impl AlexNet {
    /// The smallest side of a frame, in pixels, of which every layer sees something.
    pub const SMALLEST: usize = 31;

    /// Reads `features.{0,3,6,8,10}.{weight,bias}` of torchvision's `alexnet` and
    /// `lin{0..4}.model.1.weight` of LPIPS v0.1 from a safetensors file. The widths are the file's.
    ///
    /// # Errors
    /// [`ModelError::Io`], or [`ModelError::Weights`] naming the tensor that is missing or has
    /// another shape.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let weights = Weights::read("AlexNet for LPIPS", path, device)?;
        let mut layers = Vec::with_capacity(CONVOLUTIONS.len());
        let mut input = 3;
        for (place, (index, kernel, stride, padding)) in CONVOLUTIONS.into_iter().enumerate() {
            let side = Some(kernel);
            let weight = weights
                .get(&format!("features.{index}.weight"), &[None, Some(input), side, side])?;
            let output = weight.dim(0)?;
            let bias = weights.get(&format!("features.{index}.bias"), &[Some(output)])?;
            let importance = weights.get(
                &format!("lin{place}.model.1.weight"),
                &[Some(1), Some(output), Some(1), Some(1)],
            )?;
            layers.push(Layer {
                weight,
                bias: bias.reshape((1, output, 1, 1))?,
                stride,
                padding,
                pooled: place == 1 || place == 2,
                importance: importance.flatten_all()?.to_vec1()?,
            });
            input = output;
        }
        let channels = |values: [f32; 3]| Tensor::new(&values, device)?.reshape((1, 3, 1, 1));
        Ok(Self {
            layers,
            shift: channels(SHIFT)?,
            scale: channels(SCALE)?,
            digest: weights.digest,
        })
    }

    /// BLAKE3 of the weights' file, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Per layer, the weight of each channel.
    pub fn importance(&self) -> impl Iterator<Item = &[f32]> {
        self.layers.iter().map(|layer| layer.importance.as_slice())
    }

    /// What each of the five layers sees, after its rectifier.
    ///
    /// # Shapes
    /// - `frames`: `(n, 3, height, width)` in [−1, 1], RGB
    /// - returns: five times `(n, channels, height, width)` of the layer
    ///
    /// # Errors
    /// [`ModelError::Size`] for frames smaller than [`SMALLEST`](Self::SMALLEST), and a tensor
    /// error for frames of another shape.
    pub fn features(&self, frames: &Tensor) -> Result<Vec<Tensor>> {
        let (_, _, height, width) = frames.dims4()?;
        let least = Self::SMALLEST;
        if height.min(width) < least {
            let expected = format!("at least {least}×{least} pixels");
            let got = format!("{height}×{width}");
            return Err(ModelError::size("a frame for AlexNet", expected, got));
        }
        let mut x = frames.broadcast_sub(&self.shift)?.broadcast_div(&self.scale)?;
        let mut seen = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            if layer.pooled {
                x = x.max_pool2d_with_stride(3, 2)?;
            }
            x = x.conv2d(&layer.weight, layer.padding, layer.stride, 1, 1)?;
            x = x.broadcast_add(&layer.bias)?.relu()?;
            seen.push(x.clone());
        }
        Ok(seen)
    }
}
