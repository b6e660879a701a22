//! The gates of a recurrent unit in one pass.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use pulp::Arch;

use super::kernel::exp;
use super::{values, with_values};

const NAME: &str = "fused gated recurrent unit";

/// [`ops::gru_cell`](crate::nn::ops::gru_cell) of `(from_x, from_h, h)`.
#[derive(Clone, Copy, Debug)]
pub struct GruCell;

impl CustomOp3 for GruCell {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        from_x: &CpuStorage,
        x_layout: &Layout,
        from_h: &CpuStorage,
        from_h_layout: &Layout,
        h: &CpuStorage,
        h_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = h_layout.shape().dims2()?;
        let (from_x, from_h) =
            (values(from_x, x_layout, NAME)?, values(from_h, from_h_layout, NAME)?);
        let h = values(h, h_layout, NAME)?;
        let mut out = vec![0.0; h.len()];
        forward(Arch::new(), width, [from_x, from_h, h], &mut out);
        Ok((CpuStorage::F32(out), h_layout.shape().clone()))
    }

    fn bwd(
        &self,
        from_x: &Tensor,
        from_h: &Tensor,
        h: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, width) = h.dims2()?;
        let grad = grad.contiguous()?;
        let mut dx = vec![0.0; from_x.elem_count()];
        let mut dfrom_h = vec![0.0; from_h.elem_count()];
        let mut dh = vec![0.0; h.elem_count()];
        with_values([from_x, from_h, h, &grad], NAME, |inputs| {
            backward(Arch::new(), width, inputs, [&mut dx, &mut dfrom_h, &mut dh]);
        })?;
        Ok((
            Some(Tensor::from_vec(dx, from_x.shape(), h.device())?),
            Some(Tensor::from_vec(dfrom_h, from_h.shape(), h.device())?),
            Some(Tensor::from_vec(dh, h.shape(), h.device())?),
        ))
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Reset gate, update gate and fresh memory of one unit.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn gates(x: [f32; 3], h: [f32; 3]) -> [f32; 3] {
    let (reset, update) = (sigmoid(x[0] + h[0]), sigmoid(x[1] + h[1]));
    [reset, update, 2.0 * sigmoid(2.0 * reset.mul_add(h[2], x[2])) - 1.0]
}

wide! {
fn forward<'a>(_simd; width: usize, inputs: [&'a [f32]; 3], out: &'a mut [f32]) {
    let [from_x, from_h, h] = inputs;
    let maps = from_x.chunks_exact(3 * width).zip(from_h.chunks_exact(3 * width));
    for ((out, h), (x, m)) in out.chunks_exact_mut(width).zip(h.chunks_exact(width)).zip(maps) {
        let ([x0, x1, x2], [m0, m1, m2]) = (thirds(x), thirds(m));
        for i in 0..width {
            let [_, update, fresh] = gates([x0[i], x1[i], x2[i]], [m0[i], m1[i], m2[i]]);
            out[i] = update.mul_add(h[i] - fresh, fresh);
        }
    }
}
}

wide! {
fn backward<'a>(_simd; width: usize, inputs: [&'a [f32]; 4], outputs: [&'a mut [f32]; 3]) {
    let [from_x, from_h, h, grad] = inputs;
    let [dx, dm, dh] = outputs;
    let all = 3 * width;
    for row in 0..h.len() / width {
        let wide = row * all..(row + 1) * all;
        let narrow = row * width..(row + 1) * width;
        let ([x0, x1, x2], [m0, m1, m2]) = (thirds(&from_x[wide.clone()]), thirds(&from_h[wide.clone()]));
        let (h, grad, dh) = (&h[narrow.clone()], &grad[narrow.clone()], &mut dh[narrow]);
        let ([dx0, dx1, dx2], [dm0, dm1, dm2]) =
            (thirds_mut(&mut dx[wide.clone()]), thirds_mut(&mut dm[wide]));
        for i in 0..width {
            let [reset, update, fresh] = gates([x0[i], x1[i], x2[i]], [m0[i], m1[i], m2[i]]);
            let into_fresh = grad[i] * (1.0 - update) * (1.0 - fresh * fresh);
            let into_update = grad[i] * (h[i] - fresh) * update * (1.0 - update);
            let into_reset = into_fresh * m2[i] * reset * (1.0 - reset);
            (dx0[i], dx1[i], dx2[i]) = (into_reset, into_update, into_fresh);
            (dm0[i], dm1[i], dm2[i]) = (into_reset, into_update, into_fresh * reset);
            dh[i] = grad[i] * update;
        }
    }
}
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn thirds(row: &[f32]) -> [&[f32]; 3] {
    let width = row.len() / 3;
    [&row[..width], &row[width..2 * width], &row[2 * width..3 * width]]
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn thirds_mut(row: &mut [f32]) -> [&mut [f32]; 3] {
    let width = row.len() / 3;
    let (first, rest) = row.split_at_mut(width);
    let (second, third) = rest.split_at_mut(width);
    [first, second, third]
}
