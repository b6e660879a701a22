//! The operations between the matrix products: fused where the device has a fused form, plain
//! elsewhere.

use candle_core::{D, Result, Tensor};

use crate::nn::fused::{
    Affine, FusedSelfAttention, GatedAdd, Gelu, ModulatedNorm, Recurrence, takes,
};

/// Added to the variance before its root in every normalisation.
pub const NORM_EPSILON: f64 = 1e-6;

/// Attention of an array's tokens to a cached context and to each other, over `heads` heads,
/// without a mask.
///
/// # Shapes
/// - `qkv`: `(batch, tokens, 3 × width)`, queries, keys and values side by side; heads are
///   consecutive runs of the width
/// - `k`, `v`: of the context, `(batch, keys, width)`
/// - returns: `(batch, tokens, width)`
///
/// # Errors
/// A tensor error if shapes disagree or `heads` does not divide the width.
pub fn self_attention(qkv: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, _, all) = qkv.dims3()?;
    let (known, _, width) = k.dims3()?;
    let fits = k.dims() == v.dims() && known == batch && all == 3 * width;
    if !fits || heads == 0 || width % heads != 0 {
        candle_core::bail!(
            "self-attention over {heads} heads of {:?} with context {:?} and {:?}",
            qkv.dims(),
            k.dims(),
            v.dims()
        );
    }
    if takes(&[qkv, k, v]) {
        qkv.apply_op3(k, v, FusedSelfAttention { heads })
    } else {
        plain::self_attention(qkv, k, v, heads)
    }
}

/// Scaled dot-product attention over `heads` heads, without a mask.
///
/// # Shapes
/// - `q`: `(batch, queries, width)`; heads are consecutive runs of the width
/// - `k`, `v`: `(batch, keys, width)`
/// - returns: `(batch, queries, width)`
///
/// # Errors
/// A tensor error if shapes disagree or `heads` does not divide the width.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (b, queries, width) = q.dims3()?;
    let keys = k.dim(1)?;
    let head = width / heads;
    let split =
        |x: &Tensor, t: usize| x.reshape((b, t, heads, head))?.transpose(1, 2)?.contiguous();
    let (q, k, v) = (split(q, queries)?, split(k, keys)?, split(v, keys)?);
    let scores = (q.matmul(&k.t()?)? * (1.0 / (head as f64).sqrt()))?; // (B, H, Tq, Tk)
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
    weights.matmul(&v)?.transpose(1, 2)?.reshape((b, queries, width))
}

/// Layer normalisation without weights over the last axis, then `× (1 + scale) + shift`.
///
/// # Shapes
/// - `x`: `(batch, groups, tokens, width)`
/// - `shift`, `scale`: `(batch, groups, width)`
///
/// # Errors
/// A tensor error if shapes disagree.
pub fn modulated_norm(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
    per_group(x, &[shift, scale])?;
    if takes(&[x, shift, scale]) {
        x.apply_op3(shift, scale, ModulatedNorm)
    } else {
        plain::modulated_norm(x, shift, scale)
    }
}

/// `x + gate × y`.
///
/// # Shapes
/// - `x`, `y`: `(batch, groups, tokens, width)`
/// - `gate`: `(batch, groups, width)`
///
/// # Errors
/// A tensor error if shapes disagree.
pub fn gated_add(x: &Tensor, gate: &Tensor, y: &Tensor) -> Result<Tensor> {
    per_group(x, &[gate])?;
    if x.dims() == y.dims() && takes(&[x, gate, y]) {
        x.apply_op3(gate, y, GatedAdd)
    } else {
        plain::gated_add(x, gate, y)
    }
}

/// The tanh form of GELU.
///
/// # Errors
/// A tensor error.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if takes(&[x]) { x.apply_op1(Gelu) } else { x.gelu() }
}

/// `x · weight + bias`.
///
/// # Shapes
/// - `x`: `(rows, in)`, `weight`: `(in, out)`, `bias`: `(out)`
///
/// # Errors
/// A tensor error if shapes disagree.
pub fn affine(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let ((rows, input), (known, output)) = (x.dims2()?, weight.dims2()?);
    if input != known || bias.dims() != [output] {
        candle_core::bail!(
            "an affine map of {:?} by {:?} and {:?}",
            x.dims(),
            weight.dims(),
            bias.dims()
        );
    }
    if rows > 0 && takes(&[x, weight, bias]) {
        x.apply_op3(weight, bias, Affine)
    } else {
        plain::affine(x, weight, bias)
    }
}

/// The weights of a [`recurrence`].
#[derive(Clone, Copy, Debug)]
pub struct Recurrent<'a> {
    /// Memory to gates, `(width, 3 × width)`: reset, update, fresh.
    pub hidden: &'a Tensor,
    /// `(3 × width)`.
    pub hidden_bias: &'a Tensor,
    /// Sum of the outputs to gates, `(outputs, 3 × width)`.
    pub feedback: &'a Tensor,
    /// Memory to output, `(width, outputs)`.
    pub output: &'a Tensor,
    /// `(outputs)`.
    pub output_bias: &'a Tensor,
}

/// A gated recurrent unit over all steps, in PyTorch's form (the reset gate acts on the hidden
/// map's output), whose outputs add up, `y + h · output + output bias`, and are fed back to the
/// gates of the next step, `known + y · feedback`. The sum begins at 0.
///
/// # Shapes
/// - `known`: what goes into the gates of each step beside that, `(batch, steps, 3 × width)`
/// - `h`: the memory at the start, `(batch, width)`
/// - returns: memory and sum after each step, `(batch, steps, width + outputs)`
///
/// # Errors
/// A tensor error if shapes disagree, or without a step.
pub fn recurrence(known: &Tensor, h: &Tensor, weights: &Recurrent<'_>) -> Result<Tensor> {
    let ((batch, steps, gates), (rows, width)) = (known.dims3()?, h.dims2()?);
    let Recurrent { hidden, hidden_bias, feedback, output, output_bias } = *weights;
    let outputs = output_bias.elem_count();
    let fits = batch == rows
        && batch * steps * outputs > 0
        && gates == 3 * width
        && hidden.dims() == [width, gates]
        && hidden_bias.dims() == [gates]
        && feedback.dims() == [outputs, gates]
        && output.dims() == [width, outputs];
    if !fits {
        candle_core::bail!("a recurrence over {:?} from {:?}: {weights:?}", known.dims(), h.dims());
    }
    if takes(&[known, h]) {
        let weights = [hidden, hidden_bias, feedback, output, output_bias]
            .into_iter()
            .map(Tensor::flatten_all)
            .collect::<Result<Vec<_>>>()?;
        known.apply_op3(h, &Tensor::cat(&weights, 0)?, Recurrence { outputs })
    } else {
        plain::recurrence(known, h, weights)
    }
}

/// Layer normalisation without weights over the last axis.
///
/// # Errors
/// A tensor error.
pub fn norm(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + NORM_EPSILON)?.sqrt()?)
}

/// One row, `count` times.
///
/// # Errors
/// A tensor error if there are several rows.
pub fn repeat_rows(row: &Tensor, count: usize) -> Result<Tensor> {
    let mut shape = row.dims().to_vec();
    shape[0] = count;
    row.broadcast_as(shape)?.contiguous()
}

fn per_group(x: &Tensor, vectors: &[&Tensor]) -> Result<()> {
    let (batch, groups, _, width) = x.dims4()?;
    for vector in vectors {
        if vector.dims() != [batch, groups, width] {
            candle_core::bail!("a vector per group of {:?} is {:?}", x.dims(), vector.dims());
        }
    }
    Ok(())
}

/// The same from the tensor library's own operations, on any device.
pub mod plain {
    use candle_core::{Result, Tensor};

    use super::Recurrent;

    /// See [`self_attention`](super::self_attention).
    ///
    /// # Errors
    /// A tensor error if shapes disagree.
    pub fn self_attention(qkv: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
        let width = k.dim(2)?;
        let part = |i: usize| qkv.narrow(2, i * width, width)?.contiguous();
        let k = Tensor::cat(&[k, &part(1)?], 1)?;
        let v = Tensor::cat(&[v, &part(2)?], 1)?;
        super::attention(&part(0)?, &k, &v, heads)
    }

    /// See [`modulated_norm`](super::modulated_norm).
    ///
    /// # Errors
    /// A tensor error if shapes disagree.
    pub fn modulated_norm(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Result<Tensor> {
        super::norm(x)?
            .broadcast_mul(&(scale.unsqueeze(2)? + 1.0)?)?
            .broadcast_add(&shift.unsqueeze(2)?)
    }

    /// See [`gated_add`](super::gated_add).
    ///
    /// # Errors
    /// A tensor error if shapes disagree.
    pub fn gated_add(x: &Tensor, gate: &Tensor, y: &Tensor) -> Result<Tensor> {
        x + y.broadcast_mul(&gate.unsqueeze(2)?)?
    }

    /// See [`affine`](super::affine).
    ///
    /// # Errors
    /// A tensor error if shapes disagree.
    pub fn affine(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        x.matmul(weight)?.broadcast_add(bias)
    }

    /// See [`recurrence`](super::recurrence).
    ///
    /// # Errors
    /// A tensor error if shapes disagree.
    pub fn recurrence(known: &Tensor, h: &Tensor, weights: &Recurrent<'_>) -> Result<Tensor> {
        let Recurrent { hidden, hidden_bias, feedback, output, output_bias } = *weights;
        let mut h = h.clone();
        let mut y = Tensor::zeros((h.dim(0)?, output.dim(1)?), h.dtype(), h.device())?;
        let mut steps = Vec::with_capacity(known.dim(1)?);
        for step in 0..known.dim(1)? {
            let from_x = (known.narrow(1, step, 1)?.squeeze(1)? + y.matmul(feedback)?)?;
            h = cell(&from_x, &affine(&h, hidden, hidden_bias)?, &h)?;
            y = (y + affine(&h, output, output_bias)?)?;
            steps.push(Tensor::cat(&[&h, &y], 1)?);
        }
        Tensor::stack(&steps, 1)
    }

    /// The new memory from the maps of input and memory, `(batch, 3 × width)`, and the memory.
    fn cell(from_x: &Tensor, from_h: &Tensor, h: &Tensor) -> Result<Tensor> {
        let width = h.dim(1)?;
        let both = (from_x.narrow(1, 0, 2 * width)? + from_h.narrow(1, 0, 2 * width)?)?;
        let gates = candle_nn::ops::sigmoid(&both)?;
        let reset = gates.narrow(1, 0, width)?;
        let update = gates.narrow(1, width, width)?;
        let fresh = (from_x.narrow(1, 2 * width, width)?
            + (reset * from_h.narrow(1, 2 * width, width)?)?)?
        .tanh()?;
        // (1 - z) n + z h
        &fresh + (update * (h - &fresh)?)?
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use rehearse_scenarios::seed::Seed;

    use super::*;
    use crate::flow::normal;

    fn draw(name: &str, shape: &[usize]) -> Var {
        let seed = Seed::root(8).child(name);
        let draws = normal(&[seed], shape, &Device::Cpu).unwrap().squeeze(0).unwrap();
        Var::from_tensor(&draws).unwrap()
    }

    /// Results and gradients of two forms of one function must agree.
    fn agree(
        vars: &[&Var],
        fused: impl Fn() -> Result<Tensor>,
        plain: impl Fn() -> Result<Tensor>,
    ) {
        let weigh = |y: &Tensor| {
            let weights = draw("weights", y.dims());
            (y * weights.as_detached_tensor()).unwrap().sum_all().unwrap()
        };
        let (a, b) = (fused().unwrap(), plain().unwrap());
        close(&a, &b, "result");
        let (ga, gb) = (weigh(&a).backward().unwrap(), weigh(&b).backward().unwrap());
        for (index, var) in vars.iter().enumerate() {
            let gradients = (ga.get(var).unwrap(), gb.get(var).unwrap());
            close(gradients.0, gradients.1, &format!("gradient {index}"));
        }
    }

    fn close(a: &Tensor, b: &Tensor, what: &str) {
        let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (a, b) = (flat(a), flat(b));
        let most = b.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        for (i, (x, y)) in a.iter().zip(&b).enumerate() {
            // Rounding of sums of a few hundred terms, relative to the largest value.
            assert!((x - y).abs() <= 1e-5 * most, "{what}[{i}]: {x} against {y} of {most}");
        }
    }

    #[test]
    fn fused_attention_equals_the_plain_one() {
        for (batch, own, context, width, heads) in
            [(3, 32, 42, 64, 2), (1, 5, 2, 24, 3), (2, 33, 137, 128, 2)]
        {
            let qkv = draw("qkv", &[batch, own, 3 * width]);
            let k = draw("k", &[batch, context, width]);
            let v = draw("v", &[batch, context, width]);
            agree(
                &[&qkv, &k, &v],
                || self_attention(&qkv, &k, &v, heads),
                || plain::self_attention(&qkv, &k, &v, heads),
            );
        }
    }

    #[test]
    fn fused_normalisation_gate_and_gelu_equal_the_plain_ones() {
        let x = draw("x", &[2, 3, 5, 40]);
        let y = draw("y", &[2, 3, 5, 40]);
        let (shift, scale) = (draw("shift", &[2, 3, 40]), draw("scale", &[2, 3, 40]));
        agree(
            &[&x, &shift, &scale],
            || modulated_norm(&x, &shift, &scale),
            || plain::modulated_norm(&x, &shift, &scale),
        );
        agree(&[&x, &shift, &y], || gated_add(&x, &shift, &y), || plain::gated_add(&x, &shift, &y));
        let wide = (x.as_tensor() * 4.0).unwrap();
        agree(&[&x], || gelu(&wide), || wide.gelu());
    }

    #[test]
    fn the_fused_affine_map_equals_the_plain_one() {
        // Rows for one task, and for several.
        for (rows, input, output) in [(3, 5, 7), (700, 9, 96)] {
            let (x, weight) = (draw("x", &[rows, input]), draw("weight", &[input, output]));
            let bias = draw("bias", &[output]);
            agree(
                &[&x, &weight, &bias],
                || affine(&x, &weight, &bias),
                || plain::affine(&x, &weight, &bias),
            );
        }
    }

    #[test]
    fn the_fused_recurrence_equals_the_plain_one() {
        for (batch, steps, width, outputs) in [(5, 7, 21, 3), (1, 1, 32, 1), (13, 40, 64, 4)] {
            let small = |name: &str, shape: &[usize], scale: f64| {
                Var::from_tensor(&(draw(name, shape).as_detached_tensor() * scale).unwrap())
                    .unwrap()
            };
            let scale = 1.0 / (width as f64).sqrt();
            let known = draw("known", &[batch, steps, 3 * width]);
            let h = draw("h", &[batch, width]);
            let hidden = small("hidden", &[width, 3 * width], scale);
            let hidden_bias = draw("hidden bias", &[3 * width]);
            let feedback = small("feedback", &[outputs, 3 * width], 0.1);
            let output = small("output", &[width, outputs], scale);
            let output_bias = small("output bias", &[outputs], 0.1);
            let weights = Recurrent {
                hidden: &hidden,
                hidden_bias: &hidden_bias,
                feedback: &feedback,
                output: &output,
                output_bias: &output_bias,
            };
            agree(
                &[&known, &h, &hidden, &hidden_bias, &feedback, &output, &output_bias],
                || recurrence(&known, &h, &weights),
                || plain::recurrence(&known, &h, &weights),
            );
            assert!(recurrence(&known, &known.narrow(1, 0, 1).unwrap(), &weights).is_err());
        }
    }

    #[test]
    fn gradients_are_the_same_bytes_with_one_thread_and_two() {
        let (x, h) = (draw("x", &[700, 9]), draw("h", &[7, 32]));
        let (weight, bias) = (draw("weight", &[9, 96]), draw("bias", &[96]));
        let (hidden, output) = (draw("hidden", &[32, 96]), draw("output", &[32, 2]));
        let (feedback, output_bias) = (draw("feedback", &[2, 96]), draw("output bias", &[2]));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let known = affine(&x, &weight, &bias).unwrap().reshape((7, 100, 96)).unwrap();
                let weights = Recurrent {
                    hidden: &hidden,
                    hidden_bias: &bias,
                    feedback: &feedback,
                    output: &output,
                    output_bias: &output_bias,
                };
                let out = recurrence(&known, &h, &weights).unwrap();
                let gradients = out.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                [&x, &weight, &bias, &h, &hidden, &feedback, &output, &output_bias].map(|var| {
                    let gradient = gradients.get(var).unwrap().flatten_all().unwrap();
                    gradient
                        .to_vec1::<f32>()
                        .unwrap()
                        .iter()
                        .map(|v| v.to_bits())
                        .collect::<Vec<_>>()
                })
            })
        };
        assert_eq!(run(1), run(2));
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let (qkv, k) = (draw("qkv", &[1, 4, 24]), draw("k", &[1, 4, 16]));
        assert!(self_attention(&qkv, &k, &k, 2).is_err());
        let k = draw("k", &[1, 4, 8]);
        assert!(self_attention(&qkv, &k, &k, 3).is_err());
        assert!(self_attention(&qkv, &k, &k, 2).is_ok());
        let x = draw("x", &[1, 2, 3, 8]);
        assert!(modulated_norm(&x, &draw("s", &[1, 1, 8]), &draw("s", &[1, 2, 8])).is_err());
    }
}
