//! A gated recurrent unit over all steps, whose output adds up and is fed back to its gates.
//!
//! Trials do not meet, so each task takes some of them through all steps: threads never wait for
//! each other on the way, and the weights stay in the cache.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use pulp::Arch;
use rayon::prelude::*;

use super::affine::column_sums;
use super::kernel::{Panels, Strided, exp, sum2};
use super::{values, with_values};

const NAME: &str = "fused recurrence";

/// [`ops::recurrence`](crate::nn::ops::recurrence) of `(known, h, weights)`, where `weights` holds
/// one after the other the hidden map and its bias, the feedback, and the output map and its bias.
#[derive(Clone, Copy, Debug)]
pub struct Recurrence {
    /// Values that are put out and fed back.
    pub outputs: usize,
}

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    steps: usize,
    width: usize,
    outputs: usize,
}

impl Sizes {
    fn gates(self) -> usize {
        3 * self.width
    }

    /// Memory and output of a step.
    fn row(self) -> usize {
        self.width + self.outputs
    }
}

/// The weights as the loops read them.
struct Weights<'a> {
    hidden: Panels,
    hidden_bias: &'a [f32],
    /// `(outputs, 3 × width)`.
    feedback: &'a [f32],
    /// `(outputs, width)`: turned.
    output: Vec<f32>,
    output_bias: &'a [f32],
}

impl<'a> Weights<'a> {
    fn new(values: &'a [f32], Sizes { width, outputs, .. }: Sizes) -> Self {
        let (hidden, rest) = values.split_at(3 * width * width);
        let (hidden_bias, rest) = rest.split_at(3 * width);
        let (feedback, rest) = rest.split_at(3 * width * outputs);
        let (output, output_bias) = rest.split_at(width * outputs);
        let turned = (0..outputs).flat_map(|o| output.iter().skip(o).step_by(outputs).copied());
        Self {
            hidden: Panels::new(Strided::rows(hidden, 3 * width), [width, 3 * width]),
            hidden_bias,
            feedback,
            output: turned.collect(),
            output_bias,
        }
    }
}

impl CustomOp3 for Recurrence {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        known: &CpuStorage,
        known_layout: &Layout,
        h: &CpuStorage,
        h_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, steps, _) = known_layout.shape().dims3()?;
        let (_, width) = h_layout.shape().dims2()?;
        let sizes = Sizes { steps, width, outputs: self.outputs };
        let (known, h) = (values(known, known_layout, NAME)?, values(h, h_layout, NAME)?);
        let weights = Weights::new(values(weights, weights_layout, NAME)?, sizes);
        let mut out = vec![0.0; batch * steps * sizes.row()];
        let rows = batch.div_ceil(rayon::current_num_threads());
        let arch = Arch::new();
        out.par_chunks_mut(rows * steps * sizes.row())
            .zip(known.par_chunks(rows * steps * sizes.gates()))
            .zip(h.par_chunks(rows * width))
            .for_each(|((out, known), h)| forward(arch, sizes, known, h, &weights, out));
        Ok((CpuStorage::F32(out), Shape::from((batch, steps, sizes.row()))))
    }

    fn bwd(
        &self,
        known: &Tensor,
        h: &Tensor,
        weights: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, steps, gates) = known.dims3()?;
        let (_, width) = h.dims2()?;
        let sizes = Sizes { steps, width, outputs: self.outputs };
        let grad = grad.contiguous()?;
        let mut from_known = vec![0.0; known.elem_count()];
        let mut from_memory = vec![0.0; known.elem_count()];
        let mut dh = vec![0.0; h.elem_count()];
        let mut dy = vec![0.0; batch * steps * self.outputs];
        let rows = batch.div_ceil(rayon::current_num_threads());
        let arch = Arch::new();
        with_values([known, h, weights, out, &grad], NAME, |[known, h, weights, out, grad]| {
            let turned = Strided::rows(&weights[..gates * width], gates).turned();
            let turned = Panels::new(turned, [gates, width]);
            let weights = Weights::new(weights, sizes);
            let task = |each: usize| rows * steps * each;
            let inputs = known
                .par_chunks(task(gates))
                .zip(h.par_chunks(rows * width))
                .zip(out.par_chunks(task(sizes.row())))
                .zip(grad.par_chunks(task(sizes.row())));
            from_known
                .par_chunks_mut(task(gates))
                .zip(from_memory.par_chunks_mut(task(gates)))
                .zip(dh.par_chunks_mut(rows * width))
                .zip(dy.par_chunks_mut(task(self.outputs)))
                .zip(inputs)
                .for_each(|((((from_known, from_memory), dh), dy), (((known, h), out), grad))| {
                    let (inputs, into) = ([known, h, out, grad], [from_known, from_memory, dh, dy]);
                    backward(arch, sizes, inputs, &weights, &turned, into);
                });
        })?;
        let device = h.device();
        let from_memory = Tensor::from_vec(from_memory, (batch * steps, gates), device)?;
        let dy = Tensor::from_vec(dy, (batch * steps, self.outputs), device)?;
        let from_known = Tensor::from_vec(from_known, (batch, steps, gates), device)?;
        let dweights = weights
            .track_op()
            .then(|| {
                let flat = from_known.flatten(0, 1)?;
                weights_gradient(sizes, &h.detach(), &out.detach(), [&flat, &from_memory, &dy])
            })
            .transpose()?;
        let dh = Tensor::from_vec(dh, (batch, width), device)?;
        Ok((Some(from_known), Some(dh), dweights))
    }
}

/// Gradients of the weights, all steps at once, in the order in which the weights are packed.
///
/// `[from_known, from_memory, dy]` are the gradients of the two maps into the gates and of the
/// outputs, `(batch × steps, …)`.
fn weights_gradient(
    sizes: Sizes,
    h: &Tensor,
    out: &Tensor,
    [from_known, from_memory, dy]: [&Tensor; 3],
) -> Result<Tensor> {
    let Sizes { steps, width, outputs } = sizes;
    let start = Tensor::cat(&[h, &Tensor::zeros((h.dim(0)?, outputs), h.dtype(), h.device())?], 1)?;
    let before = Tensor::cat(&[&start.unsqueeze(1)?, out], 1)?.narrow(1, 0, steps)?;
    let memory = |rows: &Tensor| rows.narrow(2, 0, width)?.contiguous()?.flatten(0, 1);
    let fed_back = before.narrow(2, width, outputs)?.contiguous()?.flatten(0, 1)?;
    let parts = [
        memory(&before)?.t()?.matmul(from_memory)?,
        column_sums(from_memory)?,
        fed_back.t()?.matmul(from_known)?,
        memory(out)?.t()?.matmul(dy)?,
        column_sums(dy)?,
    ];
    let flat = parts.iter().map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&flat, 0)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Reset gate, update gate and fresh memory of one unit.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn gates(x: [f32; 3], m: [f32; 3]) -> [f32; 3] {
    let (reset, update) = (sigmoid(x[0] + m[0]), sigmoid(x[1] + m[1]));
    [reset, update, 2.0 * sigmoid(2.0 * reset.mul_add(m[2], x[2])) - 1.0]
}

/// `x += y · feedback`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn feed_back(y: &[f32], feedback: &[f32], x: &mut [f32]) {
    for (&y, line) in y.iter().zip(feedback.chunks_exact(x.len())) {
        for (x, &weight) in x.iter_mut().zip(line) {
            *x = y.mul_add(weight, *x);
        }
    }
}

wide! {
/// Some trials, all steps.
fn forward<'a>(
    simd;
    sizes: Sizes,
    known: &'a [f32],
    h: &'a [f32],
    weights: &'a Weights<'a>,
    out: &'a mut [f32],
) {
    let Sizes { steps, width, outputs } = sizes;
    let (rows, all, long) = (h.len() / width, sizes.gates(), weights.hidden.columns());
    let mut memory = h.to_vec();
    let mut sums = vec![0.0; rows * outputs];
    let mut maps = vec![0.0; rows * long];
    let mut x = vec![0.0; all];
    let [b0, b1, b2] = thirds(weights.hidden_bias);
    for step in 0..steps {
        weights.hidden.product(simd, Strided::rows(&memory, width), (&mut maps, long), rows);
        for row in 0..rows {
            let at = row * steps + step;
            let h = &mut memory[row * width..][..width];
            let y = &mut sums[row * outputs..][..outputs];
            x.copy_from_slice(&known[at * all..][..all]);
            feed_back(y, weights.feedback, &mut x);
            let ([x0, x1, x2], [m0, m1, m2]) = (thirds(&x), thirds(&maps[row * long..][..all]));
            for i in 0..width {
                let m = [m0[i] + b0[i], m1[i] + b1[i], m2[i] + b2[i]];
                let [_, update, fresh] = gates([x0[i], x1[i], x2[i]], m);
                h[i] = update.mul_add(h[i] - fresh, fresh);
            }
            let lines = weights.output.chunks_exact(width).zip(weights.output_bias);
            for (y, (line, bias)) in y.iter_mut().zip(lines) {
                *y += sum2(h, line, |h, weight| h * weight) + bias;
            }
            let (into_h, into_y) = out[at * sizes.row()..][..sizes.row()].split_at_mut(width);
            into_h.copy_from_slice(h);
            into_y.copy_from_slice(y);
        }
    }
}
}

wide! {
/// Some trials, all steps backwards: from `known`, the first memory, the result and its gradient
/// to the gradients of both maps into the gates, of the first memory and of each output.
fn backward<'a>(
    simd;
    sizes: Sizes,
    inputs: [&'a [f32]; 4],
    weights: &'a Weights<'a>,
    turned: &'a Panels,
    gradients: [&'a mut [f32]; 4],
) {
    let Sizes { steps, width, outputs } = sizes;
    let [known, h, out, grad] = inputs;
    let [from_known, from_memory, dh, dys] = gradients;
    let (rows, all, each) = (h.len() / width, sizes.gates(), sizes.row());
    let (long, wide) = (weights.hidden.columns(), turned.columns());
    let mut before = vec![0.0; rows * each];
    let mut maps = vec![0.0; rows * long];
    let mut carried = vec![0.0; rows * wide];
    let mut sums = vec![0.0; rows * outputs];
    let mut x = vec![0.0; all];
    let [b0, b1, b2] = thirds(weights.hidden_bias);
    for step in (0..steps).rev() {
        for (row, before) in before.chunks_exact_mut(each).enumerate() {
            match step.checked_sub(1) {
                Some(last) => before.copy_from_slice(&out[(row * steps + last) * each..][..each]),
                None => {
                    let (memory, sums) = before.split_at_mut(width);
                    memory.copy_from_slice(&h[row * width..][..width]);
                    sums.fill(0.0);
                }
            }
        }
        weights.hidden.product(simd, Strided::rows(&before, each), (&mut maps, long), rows);
        for row in 0..rows {
            let at = row * steps + step;
            let (h, y) = before[row * each..][..each].split_at(width);
            let (grad_h, grad_y) = grad[at * each..][..each].split_at(width);
            let dh = &mut dh[row * width..][..width];
            let dy = &mut sums[row * outputs..][..outputs];
            for (dh, grad) in dh.iter_mut().zip(grad_h) {
                *dh += grad;
            }
            for (dy, grad) in dy.iter_mut().zip(grad_y) {
                *dy += grad;
            }
            feed_back(dy, &weights.output, dh);
            dys[at * outputs..][..outputs].copy_from_slice(dy);
            x.copy_from_slice(&known[at * all..][..all]);
            feed_back(y, weights.feedback, &mut x);
            let dx = &mut from_known[at * all..][..all];
            let ([x0, x1, x2], [m0, m1, m2]) = (thirds(&x), thirds(&maps[row * long..][..all]));
            let [dx0, dx1, dx2] = thirds_mut(dx);
            let [dm0, dm1, dm2] = thirds_mut(&mut from_memory[at * all..][..all]);
            for i in 0..width {
                let m = [m0[i] + b0[i], m1[i] + b1[i], m2[i] + b2[i]];
                let [reset, update, fresh] = gates([x0[i], x1[i], x2[i]], m);
                let into_fresh = dh[i] * (1.0 - update) * (1.0 - fresh * fresh);
                let into_update = dh[i] * (h[i] - fresh) * update * (1.0 - update);
                let into_reset = into_fresh * m[2] * reset * (1.0 - reset);
                (dx0[i], dx1[i], dx2[i]) = (into_reset, into_update, into_fresh);
                (dm0[i], dm1[i], dm2[i]) = (into_reset, into_update, into_fresh * reset);
                dh[i] *= update;
            }
            for (dy, line) in dy.iter_mut().zip(weights.feedback.chunks_exact(all)) {
                *dy += sum2(dx, line, |dx, weight| dx * weight);
            }
        }
        let slopes = Strided::rows(&from_memory[step * all..], steps * all);
        turned.product(simd, slopes, (&mut carried, wide), rows);
        for (dh, carried) in dh.chunks_exact_mut(width).zip(carried.chunks_exact(wide)) {
            for (dh, carried) in dh.iter_mut().zip(carried) {
                *dh += carried;
            }
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
