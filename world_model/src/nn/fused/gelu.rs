//! GELU with a vectorised exponential.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use pulp::Arch;
use rayon::prelude::*;

use super::kernel::exp;
use super::{values, with_values};

const NAME: &str = "fused gelu";
/// Values per task.
const BLOCK: usize = 1 << 14;
const CUBIC: f32 = 0.044_715;
/// 2 √(2/π): twice, because tanh u = 1 - 2 / (e^2u + 1).
const SLOPE: f32 = 1.595_769;

/// [`ops::gelu`](crate::nn::ops::gelu).
#[derive(Clone, Copy, Debug)]
pub struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout, NAME)?;
        let mut out = vec![0.0; x.len()];
        let arch = Arch::new();
        out.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(out, x)| {
            forward(arch, x, out);
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let mut dx = vec![0.0; x.elem_count()];
        let arch = Arch::new();
        with_values([x, &grad], NAME, |[x, grad]| {
            dx.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK).zip(grad.par_chunks(BLOCK))).for_each(
                |(dx, (x, grad))| {
                    backward(arch, x, grad, dx);
                },
            );
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}

wide! {
fn forward<'a>(_simd; x: &'a [f32], out: &'a mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = x * gate(x);
    }
}
}

wide! {
fn backward<'a>(_simd; x: &'a [f32], grad: &'a [f32], dx: &'a mut [f32]) {
    for (dx, (&x, &grad)) in dx.iter_mut().zip(x.iter().zip(grad)) {
        let g = gate(x);
        let inner = SLOPE * (3.0 * CUBIC * x).mul_add(x, 1.0);
        *dx = grad * (x * g * (1.0 - g)).mul_add(inner, g);
    }
}
}

/// (1 + tanh u) / 2, which is the logistic function of 2u.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn gate(x: f32) -> f32 {
    let twice = SLOPE * x * (CUBIC * x).mul_add(x, 1.0);
    1.0 / (1.0 + exp(-twice))
}
