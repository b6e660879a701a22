//! The operations between the matrix products: fused where the device has a fused form, plain
//! elsewhere.

use candle_core::{D, Result, Tensor};

use crate::nn::fused::{FusedSelfAttention, GatedAdd, Gelu, GruCell, ModulatedNorm, takes};

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

/// The new memory of a gated recurrent unit, in PyTorch's form (the reset gate acts on the hidden
/// map's output).
///
/// # Shapes
/// - `from_x`, `from_h`: the input's and the memory's maps, `(batch, 3 × width)`: reset, update,
///   fresh
/// - `h`: `(batch, width)`
/// - returns: as `h`
///
/// # Errors
/// A tensor error if shapes disagree.
pub fn gru_cell(from_x: &Tensor, from_h: &Tensor, h: &Tensor) -> Result<Tensor> {
    let (batch, width) = h.dims2()?;
    for map in [from_x, from_h] {
        if map.dims() != [batch, 3 * width] {
            candle_core::bail!("the gates of {:?} are {:?}", h.dims(), map.dims());
        }
    }
    if takes(&[from_x, from_h, h]) {
        from_x.apply_op3(from_h, h, GruCell)
    } else {
        plain::gru_cell(from_x, from_h, h)
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

    /// See [`gru_cell`](super::gru_cell).
    ///
    /// # Errors
    /// A tensor error if shapes disagree.
    pub fn gru_cell(from_x: &Tensor, from_h: &Tensor, h: &Tensor) -> Result<Tensor> {
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
    fn the_fused_recurrent_unit_equals_the_plain_one() {
        let (x, m) = (draw("x", &[5, 3 * 21]), draw("m", &[5, 3 * 21]));
        let h = draw("h", &[5, 21]);
        agree(&[&x, &m, &h], || gru_cell(&x, &m, &h), || plain::gru_cell(&x, &m, &h));
        assert!(gru_cell(&x, &h, &h).is_err());
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
