//! Self-attention with a cached context, without scores in memory and without a copy of queries,
//! keys or values.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use pulp::Arch;
use rayon::prelude::*;

use super::kernel::{Strided, TILE, copy_in, product, softmax, sum2, turn_in};
use super::{values, with_values};

const NAME: &str = "fused self-attention";
/// Least query rows in a task, so that turning the keys stays a small part of it.
const LEAST_ROWS: usize = 16;

/// [`ops::self_attention`](crate::nn::ops::self_attention) of `(qkv, context keys, context
/// values)`.
#[derive(Clone, Copy, Debug)]
pub struct FusedSelfAttention {
    /// Heads; divides the width.
    pub heads: usize,
}

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    heads: usize,
    /// Tokens of the array.
    own: usize,
    /// Tokens of the context, which come first among the keys.
    context: usize,
    width: usize,
    head: usize,
}

impl Sizes {
    fn new(heads: usize, qkv: &Shape, context: &Shape) -> Result<(usize, Self)> {
        let (batch, own, _) = qkv.dims3()?;
        let (_, context, width) = context.dims3()?;
        Ok((batch, Self { heads, own, context, width, head: width / heads }))
    }

    fn scale(self) -> f32 {
        1.0 / (self.head as f32).sqrt()
    }

    fn keys(self) -> usize {
        self.context + self.own
    }

    fn padded_head(self) -> usize {
        self.head.next_multiple_of(TILE)
    }

    fn padded_keys(self) -> usize {
        self.keys().next_multiple_of(TILE)
    }
}

impl CustomOp3 for FusedSelfAttention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        qkv_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, sizes) = Sizes::new(self.heads, qkv_layout.shape(), k_layout.shape())?;
        let qkv = values(qkv, qkv_layout, NAME)?;
        let (k, v) = (values(k, k_layout, NAME)?, values(v, v_layout, NAME)?);
        let Sizes { own, context, width, .. } = sizes;
        let threads = rayon::current_num_threads();
        let parts = threads.div_ceil(batch.max(1)).min(own.div_ceil(LEAST_ROWS)).max(1);
        let rows = own.div_ceil(parts);
        let mut out = vec![0.0; batch * own * width];
        let tasks = out
            .chunks_mut(own * width)
            .enumerate()
            .flat_map(|(b, out)| {
                out.chunks_mut(rows * width)
                    .enumerate()
                    .map(move |(part, out)| (b, part * rows, out))
            })
            .collect::<Vec<_>>();
        let arch = Arch::new();
        tasks.into_par_iter().for_each(|(b, first, out)| {
            let qkv = &qkv[b * own * 3 * width..(b + 1) * own * 3 * width];
            let known = b * context * width..(b + 1) * context * width;
            let (k, v) = (&k[known.clone()], &v[known]);
            forward(arch, sizes, qkv, k, v, first, out);
        });
        Ok((CpuStorage::F32(out), Shape::from((batch, own, width))))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, sizes) = Sizes::new(self.heads, qkv.shape(), k.shape())?;
        let grad = grad.contiguous()?;
        let (per_own, per_known) = (sizes.own * sizes.width, sizes.context * sizes.width);
        let mut dqkv = vec![0.0; batch * 3 * per_own];
        let mut dk = vec![0.0; batch * per_known];
        let mut dv = vec![0.0; batch * per_known];
        let arch = Arch::new();
        with_values([qkv, k, v, out, &grad], NAME, |[qkv, k, v, out, grad]| {
            dqkv.par_chunks_mut(3 * per_own)
                .zip(dk.par_chunks_mut(per_known))
                .zip(dv.par_chunks_mut(per_known))
                .enumerate()
                .for_each(|(b, ((dqkv, dk), dv))| {
                    let known = b * per_known..(b + 1) * per_known;
                    let own = b * per_own..(b + 1) * per_own;
                    let inputs = [
                        &qkv[b * 3 * per_own..(b + 1) * 3 * per_own],
                        &k[known.clone()],
                        &v[known],
                        &out[own.clone()],
                        &grad[own],
                    ];
                    backward(arch, sizes, inputs, [dqkv, dk, dv]);
                });
        })?;
        Ok((
            Some(Tensor::from_vec(dqkv, qkv.shape(), qkv.device())?),
            Some(Tensor::from_vec(dk, k.shape(), k.device())?),
            Some(Tensor::from_vec(dv, v.shape(), v.device())?),
        ))
    }
}

wide! {
/// Query rows from `first` on of one trial, as many as `out` takes, all heads.
fn forward<'a>(
    simd;
    sizes: Sizes,
    qkv: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    first: usize,
    out: &'a mut [f32],
) {
    let Sizes { heads, own, context, width, head } = sizes;
    let rows = out.len() / width;
    let (wide, long, keys) = (sizes.padded_head(), sizes.padded_keys(), sizes.keys());
    let mut turned = vec![0.0; head * long];
    let mut padded = vec![0.0; keys * wide];
    let mut scores = vec![0.0; rows * long];
    let mut mixed = vec![0.0; rows * wide];
    for h in 0..heads {
        let at = h * head;
        turn_in((&k[at..], width), (&mut turned, long), [context, head]);
        turn_in((&qkv[width + at..], 3 * width), (&mut turned[context..], long), [own, head]);
        copy_in((&v[at..], width), (&mut padded, wide), [context, head]);
        let rest = &mut padded[context * wide..];
        copy_in((&qkv[2 * width + at..], 3 * width), (rest, wide), [own, head]);
        let q = Strided::rows(&qkv[first * 3 * width + at..], 3 * width);
        product(simd, q, (&turned, long), (&mut scores, long), [rows, head, long]);
        for row in scores.chunks_exact_mut(long) {
            softmax(&mut row[..keys], sizes.scale());
        }
        let weights = Strided::rows(&scores, long);
        product(simd, weights, (&padded, wide), (&mut mixed, wide), [rows, keys, wide]);
        copy_in((&mixed, wide), (&mut out[at..], width), [rows, head]);
    }
}
}

wide! {
/// One trial, all heads: from `qkv`, context keys and values, the result and its gradient to the
/// gradients of the first three.
fn backward<'a>(simd; sizes: Sizes, inputs: [&'a [f32]; 5], outputs: [&'a mut [f32]; 3]) {
    let Sizes { heads, own, context, width, head } = sizes;
    let [qkv, k, v, out, grad] = inputs;
    let [dqkv, dk, dv] = outputs;
    let (wide, long, keys) = (sizes.padded_head(), sizes.padded_keys(), sizes.keys());
    let all = 3 * width;
    let mut turned = vec![0.0; head * long];
    let mut narrow = vec![0.0; keys * wide];
    let mut weights = vec![0.0; own * long];
    let mut slopes = vec![0.0; own * long];
    let mut mixed = vec![0.0; keys * wide];
    for h in 0..heads {
        let at = h * head;
        turn_in((&k[at..], width), (&mut turned, long), [context, head]);
        turn_in((&qkv[width + at..], all), (&mut turned[context..], long), [own, head]);
        let q = Strided::rows(&qkv[at..], all);
        product(simd, q, (&turned, long), (&mut weights, long), [own, head, long]);
        for row in weights.chunks_exact_mut(long) {
            softmax(&mut row[..keys], sizes.scale());
        }
        // dP = dO · Vᵀ, then dS = P ∘ (dP - Σ dO ∘ O) · scale.
        turn_in((&v[at..], width), (&mut turned, long), [context, head]);
        turn_in((&qkv[2 * width + at..], all), (&mut turned[context..], long), [own, head]);
        let dout = Strided::rows(&grad[at..], width);
        product(simd, dout, (&turned, long), (&mut slopes, long), [own, head, long]);
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
        copy_in((&k[at..], width), (&mut narrow, wide), [context, head]);
        let rest = &mut narrow[context * wide..];
        copy_in((&qkv[width + at..], all), (rest, wide), [own, head]);
        let slope = Strided::rows(&slopes, long);
        product(simd, slope, (&narrow, wide), (&mut mixed, wide), [own, keys, wide]);
        copy_in((&mixed, wide), (&mut dqkv[at..], all), [own, head]);
        // dK = dSᵀ · Q
        copy_in((&qkv[at..], all), (&mut narrow, wide), [own, head]);
        product(simd, slope.turned(), (&narrow, wide), (&mut mixed, wide), [keys, own, wide]);
        copy_in((&mixed, wide), (&mut dk[at..], width), [context, head]);
        let rest = &mixed[context * wide..];
        copy_in((rest, wide), (&mut dqkv[width + at..], all), [own, head]);
        // dV = Pᵀ · dO
        copy_in((&grad[at..], width), (&mut narrow, wide), [own, head]);
        let weight = Strided::rows(&weights, long).turned();
        product(simd, weight, (&narrow, wide), (&mut mixed, wide), [keys, own, wide]);
        copy_in((&mixed, wide), (&mut dv[at..], width), [context, head]);
        let rest = &mixed[context * wide..];
        copy_in((rest, wide), (&mut dqkv[2 * width + at..], all), [own, head]);
    }
}
}
