//! Adaptive layer normalisation in one pass.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use pulp::Arch;
use rayon::prelude::*;

use super::kernel::{sum, sum2};
use super::{values, with_values};
use crate::nn::ops::NORM_EPSILON;

const NAME: &str = "fused modulated norm";

/// [`ops::modulated_norm`](crate::nn::ops::modulated_norm) of `(x, shift, scale)`.
#[derive(Clone, Copy, Debug)]
pub struct ModulatedNorm;

impl CustomOp3 for ModulatedNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, _, tokens, width) = x_layout.shape().dims4()?;
        let x = values(x, x_layout, NAME)?;
        let (shift, scale) =
            (values(shift, shift_layout, NAME)?, values(scale, scale_layout, NAME)?);
        let mut out = vec![0.0; x.len()];
        let arch = Arch::new();
        out.par_chunks_mut(tokens * width)
            .zip(x.par_chunks(tokens * width))
            .zip(shift.par_chunks(width).zip(scale.par_chunks(width)))
            .for_each(|((out, x), (shift, scale))| {
                forward(arch, x, shift, scale, out);
            });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        shift: &Tensor,
        scale: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, _, tokens, width) = x.dims4()?;
        let grad = grad.contiguous()?;
        let mut dx = vec![0.0; x.elem_count()];
        let mut dshift = vec![0.0; shift.elem_count()];
        let mut dscale = vec![0.0; scale.elem_count()];
        let arch = Arch::new();
        with_values([x, scale, &grad], NAME, |[x, scale, grad]| {
            dx.par_chunks_mut(tokens * width)
                .zip(dshift.par_chunks_mut(width).zip(dscale.par_chunks_mut(width)))
                .zip(x.par_chunks(tokens * width).zip(grad.par_chunks(tokens * width)))
                .zip(scale.par_chunks(width))
                .for_each(|(((dx, (dshift, dscale)), (x, grad)), scale)| {
                    backward(arch, [x, grad, scale], [dx, dshift, dscale]);
                });
        })?;
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), x.device())?),
            Some(Tensor::from_vec(dshift, shift.shape(), shift.device())?),
            Some(Tensor::from_vec(dscale, scale.shape(), scale.device())?),
        ))
    }
}

/// Mean and inverse deviation of a row.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn moments(row: &[f32]) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = sum(row, |v| v) / count;
    let variance = sum(row, |v| (v - mean) * (v - mean)) / count;
    (mean, 1.0 / (variance + NORM_EPSILON as f32).sqrt())
}

wide! {
fn forward<'a>(_simd; x: &'a [f32], shift: &'a [f32], scale: &'a [f32], out: &'a mut [f32]) {
    let width = shift.len();
    for (out, row) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
        let (mean, inverse) = moments(row);
        for i in 0..width {
            out[i] = ((row[i] - mean) * inverse).mul_add(1.0 + scale[i], shift[i]);
        }
    }
}
}

wide! {
fn backward<'a>(_simd; inputs: [&'a [f32]; 3], outputs: [&'a mut [f32]; 3]) {
    let [x, grad, scale] = inputs;
    let [dx, dshift, dscale] = outputs;
    let width = scale.len();
    let count = width as f32;
    let mut slope = vec![0.0; width];
    let mut normal = vec![0.0; width];
    let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
    for (dx, (row, grad)) in dx.chunks_exact_mut(width).zip(rows) {
        let (mean, inverse) = moments(row);
        for i in 0..width {
            normal[i] = (row[i] - mean) * inverse;
            slope[i] = grad[i] * (1.0 + scale[i]);
            dshift[i] += grad[i];
            dscale[i] = grad[i].mul_add(normal[i], dscale[i]);
        }
        let level = sum(&slope, |v| v) / count;
        let tilt = sum2(&slope, &normal, |a, b| a * b) / count;
        for i in 0..width {
            dx[i] = inverse * (slope[i] - level - normal[i] * tilt);
        }
    }
}
}
