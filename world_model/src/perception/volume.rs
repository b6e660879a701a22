//! Convolution and maxima over time and space, made of those over space.
//!
//! A clip is `(frames, channels, height, width)`. The frames that a kernel spans lie side by side,
//! as further channels of one convolution over space, or as candidates for the largest.

use candle_core::{Result, Tensor};

use super::weights::Weights;
use crate::error;

/// Added to the variance in the normalisation of the published I3D.
const NORM_EPSILON: f64 = 1e-3;

/// Kernel and stride along an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub kernel: usize,
    pub stride: usize,
}

impl Window {
    pub const fn new(kernel: usize, stride: usize) -> Self {
        Self { kernel, stride }
    }

    /// Zeros before and after an axis, so that the outputs are the inputs over the stride, rounded
    /// up (TensorFlow's `SAME`): where their number is odd, one more after.
    fn pad(self, x: &Tensor, axis: usize) -> Result<Tensor> {
        let Self { kernel, stride } = self;
        let rest = match x.dim(axis)? % stride {
            0 => stride,
            rest => rest,
        };
        let zeros = kernel.saturating_sub(rest);
        x.pad_with_zeros(axis, zeros / 2, zeros - zeros / 2)
    }

    /// For each place of the kernel, the frames that it meets, of padded ones.
    fn taps(self, x: &Tensor) -> Result<Vec<Tensor>> {
        let Self { kernel, stride } = self;
        let outputs = (x.dim(0)? - kernel) / stride + 1;
        (0..kernel)
            .map(|tap| {
                let frames = (0..outputs).map(|output| (tap + output * stride) as u32);
                x.index_select(&Tensor::from_iter(frames, x.device())?, 0)
            })
            .collect()
    }
}

/// The largest value under a window, of values that are not negative: padding counts as 0.
pub(super) fn max_pool(x: &Tensor, time: Window, space: Window) -> Result<Tensor> {
    let x = space.pad(&space.pad(&time.pad(x, 0)?, 2)?, 3)?;
    let x = x.max_pool2d_with_stride(space.kernel, space.stride)?;
    Tensor::stack(&time.taps(&x)?, 0)?.max(0)
}

/// A convolution with its normalisation, and a rectifier.
#[derive(Clone, Debug)]
pub(super) struct Convolution {
    /// `(out, time × in, kernel, kernel)`, scaled by the normalisation.
    weight: Tensor,
    /// `(1, out, 1, 1)`.
    bias: Tensor,
    window: Window,
}

impl Convolution {
    /// Reads `{name}.conv3d.weight` and the statistics of `{name}.bn`.
    pub fn load(
        weights: &Weights,
        name: &str,
        input: usize,
        window: Window,
    ) -> error::Result<Self> {
        let side = Some(window.kernel);
        let shape = [None, Some(input), side, side, side];
        let weight = weights.get(&format!("{name}.conv3d.weight"), &shape)?;
        let output = weight.dim(0)?;
        let norm = |part: &str| weights.get(&format!("{name}.bn.{part}"), &[Some(output)]);
        let deviation = (norm("running_var")? + NORM_EPSILON)?.sqrt()?;
        let scale = (norm("weight")? / deviation)?;
        let bias = (norm("bias")? - (norm("running_mean")? * &scale)?)?;
        let kernel = window.kernel;
        let weight = weight
            .broadcast_mul(&scale.reshape((output, 1, 1, 1, 1))?)?
            .transpose(1, 2)?
            .reshape((output, kernel * input, kernel, kernel))?;
        Ok(Self { weight, bias: bias.reshape((1, output, 1, 1))?, window })
    }

    /// Channels that come out.
    pub fn width(&self) -> usize {
        self.bias.elem_count()
    }

    /// `(frames, in, height, width)` to `(frames, out, height, width)`, each axis over the stride.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for axis in [0, 2, 3] {
            x = self.window.pad(&x, axis)?;
        }
        let x = Tensor::cat(&self.window.taps(&x)?, 1)?;
        x.conv2d(&self.weight, 0, self.window.stride, 1, 1)?.broadcast_add(&self.bias)?.relu()
    }
}
