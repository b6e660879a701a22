//! Attention without scores in memory.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use pulp::Arch;
use rayon::prelude::*;

use super::kernel::{TILE, copy_in, product, softmax, sum2, turn_in};
use super::{values, with_values};

const NAME: &str = "fused attention";
/// Least query rows in a task, so that turning the keys stays a small part of it.
const LEAST_ROWS: usize = 16;

/// Attention over `heads` heads; queries, keys and values as in
/// [`ops::attention`](crate::nn::ops::attention).
#[derive(Clone, Copy, Debug)]
pub struct FusedAttention {
    /// Heads; divides the width.
    pub heads: usize,
}

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    head: usize,
}

impl Sizes {
    fn new(heads: usize, q: &Shape, k: &Shape) -> Result<(usize, Self)> {
        let (batch, queries, width) = q.dims3()?;
        let (_, keys, _) = k.dims3()?;
        Ok((batch, Self { heads, queries, keys, width, head: width / heads }))
    }

    fn scale(self) -> f32 {
        1.0 / (self.head as f32).sqrt()
    }

    fn padded_head(self) -> usize {
        self.head.next_multiple_of(TILE)
    }

    fn padded_keys(self) -> usize {
        self.keys.next_multiple_of(TILE)
    }
}

impl CustomOp3 for FusedAttention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, sizes) = Sizes::new(self.heads, q_layout.shape(), k_layout.shape())?;
        let (q, k, v) =
            (values(q, q_layout, NAME)?, values(k, k_layout, NAME)?, values(v, v_layout, NAME)?);
        let Sizes { queries, keys, width, .. } = sizes;
        let threads = rayon::current_num_threads();
        let parts = threads.div_ceil(batch.max(1)).min(queries.div_ceil(LEAST_ROWS)).max(1);
        let rows = queries.div_ceil(parts);
        let mut out = vec![0.0; batch * queries * width];
        let tasks = out
            .chunks_mut(queries * width)
            .enumerate()
            .flat_map(|(b, out)| {
                out.chunks_mut(rows * width).enumerate().map(move |(part, out)| (b, part, out))
            })
            .collect::<Vec<_>>();
        let arch = Arch::new();
        tasks.into_par_iter().for_each(|(b, part, out)| {
            let from = (b * queries + part * rows) * width;
            let q = &q[from..from + out.len()];
            let all = b * keys * width..(b + 1) * keys * width;
            let (k, v) = (&k[all.clone()], &v[all]);
            arch.dispatch(|| forward(sizes, q, k, v, out));
        });
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, sizes) = Sizes::new(self.heads, q.shape(), k.shape())?;
        let grad = grad.contiguous()?;
        let (per_q, per_k) = (sizes.queries * sizes.width, sizes.keys * sizes.width);
        let mut dq = vec![0.0; batch * per_q];
        let mut dk = vec![0.0; batch * per_k];
        let mut dv = vec![0.0; batch * per_k];
        let arch = Arch::new();
        with_values([q, k, v, out, &grad], NAME, |[q, k, v, out, grad]| {
            dq.par_chunks_mut(per_q)
                .zip(dk.par_chunks_mut(per_k))
                .zip(dv.par_chunks_mut(per_k))
                .enumerate()
                .for_each(|(b, ((dq, dk), dv))| {
                    let queries = b * per_q..(b + 1) * per_q;
                    let keys = b * per_k..(b + 1) * per_k;
                    let inputs = [
                        &q[queries.clone()],
                        &k[keys.clone()],
                        &v[keys],
                        &out[queries.clone()],
                        &grad[queries],
                    ];
                    arch.dispatch(|| backward(sizes, inputs, [dq, dk, dv]));
                });
        })?;
        Ok((
            Some(Tensor::from_vec(dq, q.shape(), q.device())?),
            Some(Tensor::from_vec(dk, k.shape(), k.device())?),
            Some(Tensor::from_vec(dv, v.shape(), v.device())?),
        ))
    }
}

/// Some query rows of one trial, all heads.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn forward(sizes: Sizes, q: &[f32], k: &[f32], v: &[f32], out: &mut [f32]) {
    let Sizes { heads, keys, width, head, .. } = sizes;
    let rows = out.len() / width;
    let (wide, long) = (sizes.padded_head(), sizes.padded_keys());
    let mut turned = vec![0.0; head * long];
    let mut padded = vec![0.0; keys * wide];
    let mut scores = vec![0.0; rows * long];
    let mut mixed = vec![0.0; rows * wide];
    for h in 0..heads {
        let at = h * head;
        turn_in((&k[at..], width), (&mut turned, long), [keys, head]);
        copy_in((&v[at..], width), (&mut padded, wide), [keys, head]);
        product((&q[at..], width), (&turned, long), (&mut scores, long), [rows, head, long]);
        for row in scores.chunks_exact_mut(long) {
            softmax(&mut row[..keys], sizes.scale());
        }
        product((&scores, long), (&padded, wide), (&mut mixed, wide), [rows, keys, wide]);
        copy_in((&mixed, wide), (&mut out[at..], width), [rows, head]);
    }
}

/// One trial, all heads: from queries, keys, values, result and its gradient to the gradients of
/// queries, keys and values.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]
fn backward(sizes: Sizes, inputs: [&[f32]; 5], outputs: [&mut [f32]; 3]) {
    let Sizes { heads, queries, keys, width, head } = sizes;
    let [q, k, v, out, grad] = inputs;
    let [dq, dk, dv] = outputs;
    let (wide, long) = (sizes.padded_head(), sizes.padded_keys());
    let tall = queries.next_multiple_of(TILE);
    let mut turned = vec![0.0; head * long];
    let mut narrow = vec![0.0; keys.max(queries) * wide];
    let mut weights = vec![0.0; queries * long];
    let mut slopes = vec![0.0; queries * long];
    let mut flipped = vec![0.0; keys * tall];
    let mut mixed = vec![0.0; keys.max(queries) * wide];
    for h in 0..heads {
        let at = h * head;
        turn_in((&k[at..], width), (&mut turned, long), [keys, head]);
        product((&q[at..], width), (&turned, long), (&mut weights, long), [queries, head, long]);
        for row in weights.chunks_exact_mut(long) {
            softmax(&mut row[..keys], sizes.scale());
        }
        // dP = dO · Vᵀ, then dS = P ∘ (dP - Σ dO ∘ O) · scale.
        turn_in((&v[at..], width), (&mut turned, long), [keys, head]);
        product((&grad[at..], width), (&turned, long), (&mut slopes, long), [queries, head, long]);
        for (row, (slopes, weights)) in
            slopes.chunks_exact_mut(long).zip(weights.chunks_exact(long)).enumerate()
        {
            let from = row * width + at;
            let common = sum2(&grad[from..from + head], &out[from..from + head], |a, b| a * b);
            for (slope, &weight) in slopes[..keys].iter_mut().zip(weights) {
                *slope = weight * (*slope - common) * sizes.scale();
            }
        }
        // dQ = dS · K
        copy_in((&k[at..], width), (&mut narrow, wide), [keys, head]);
        product((&slopes, long), (&narrow, wide), (&mut mixed, wide), [queries, keys, wide]);
        copy_in((&mixed, wide), (&mut dq[at..], width), [queries, head]);
        // dK = dSᵀ · Q
        turn_in((&slopes, long), (&mut flipped, tall), [queries, keys]);
        copy_in((&q[at..], width), (&mut narrow, wide), [queries, head]);
        product((&flipped, tall), (&narrow, wide), (&mut mixed, wide), [keys, queries, wide]);
        copy_in((&mixed, wide), (&mut dk[at..], width), [keys, head]);
        // dV = Pᵀ · dO
        turn_in((&weights, long), (&mut flipped, tall), [queries, keys]);
        copy_in((&grad[at..], width), (&mut narrow, wide), [queries, head]);
        product((&flipped, tall), (&narrow, wide), (&mut mixed, wide), [keys, queries, wide]);
        copy_in((&mixed, wide), (&mut dv[at..], width), [keys, head]);
    }
}
