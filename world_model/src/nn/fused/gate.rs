//! The gated residual in one pass.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use pulp::Arch;
use rayon::prelude::*;

use super::{values, with_values};

const NAME: &str = "fused gated add";

/// [`ops::gated_add`](crate::nn::ops::gated_add) of `(x, gate, y)`.
#[derive(Clone, Copy, Debug)]
pub struct GatedAdd;

impl CustomOp3 for GatedAdd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gate: &CpuStorage,
        gate_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, _, tokens, width) = x_layout.shape().dims4()?;
        let (x, y) = (values(x, x_layout, NAME)?, values(y, y_layout, NAME)?);
        let gate = values(gate, gate_layout, NAME)?;
        let mut out = vec![0.0; x.len()];
        let arch = Arch::new();
        out.par_chunks_mut(tokens * width)
            .zip(x.par_chunks(tokens * width).zip(y.par_chunks(tokens * width)))
            .zip(gate.par_chunks(width))
            .for_each(|((out, (x, y)), gate)| {
                forward(arch, x, gate, y, out);
            });
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        gate: &Tensor,
        y: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, _, tokens, width) = y.dims4()?;
        let grad = grad.contiguous()?;
        let mut dy = vec![0.0; y.elem_count()];
        let mut dgate = vec![0.0; gate.elem_count()];
        let arch = Arch::new();
        with_values([gate, y, &grad], NAME, |[gate, y, grad]| {
            dy.par_chunks_mut(tokens * width)
                .zip(dgate.par_chunks_mut(width))
                .zip(y.par_chunks(tokens * width).zip(grad.par_chunks(tokens * width)))
                .zip(gate.par_chunks(width))
                .for_each(|(((dy, dgate), (y, grad)), gate)| {
                    backward(arch, [gate, y, grad], dgate, dy);
                });
        })?;
        Ok((
            Some(grad.clone()),
            Some(Tensor::from_vec(dgate, gate.shape(), gate.device())?),
            Some(Tensor::from_vec(dy, y.shape(), y.device())?),
        ))
    }
}

wide! {
fn forward<'a>(_simd; x: &'a [f32], gate: &'a [f32], y: &'a [f32], out: &'a mut [f32]) {
    let width = gate.len();
    let rows = x.chunks_exact(width).zip(y.chunks_exact(width));
    for (out, (x, y)) in out.chunks_exact_mut(width).zip(rows) {
        for i in 0..width {
            out[i] = gate[i].mul_add(y[i], x[i]);
        }
    }
}
}

wide! {
fn backward<'a>(_simd; inputs: [&'a [f32]; 3], dgate: &'a mut [f32], dy: &'a mut [f32]) {
    let [gate, y, grad] = inputs;
    let width = gate.len();
    let rows = y.chunks_exact(width).zip(grad.chunks_exact(width));
    for (dy, (y, grad)) in dy.chunks_exact_mut(width).zip(rows) {
        for i in 0..width {
            dy[i] = grad[i] * gate[i];
            dgate[i] = grad[i].mul_add(y[i], dgate[i]);
        }
    }
}
}
