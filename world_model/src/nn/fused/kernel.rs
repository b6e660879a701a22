//! Loops that the compiler turns into vectors of whatever width the machine has.
//!
//! Sums run over sixteen lanes that are added at the end, so their order is fixed. Every function
//! is inlined into a closure that `pulp` compiles once per instruction set.

#![expect(clippy::inline_always, reason = "a call would leave the instruction set of its caller")]

use pulp::Simd;

/// Lanes of a sum.
const LANES: usize = 16;
/// Columns that operands are padded to a multiple of: two of the widest vectors.
pub const TILE: usize = 32;
/// Rows that are summed at once: with two vectors each, as many sums as fill the pipelines.
const ROWS: usize = 6;

/// e to the x, with a relative error of about 2e-7.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // x = n ln 2 + r: the addition of 1.5 · 2²³ rounds to n and leaves it in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    // ln 2 in two parts, so that the difference keeps its digits.
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_2e-4_f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_6e-1);
    let p = p.mul_add(r, 0.5);
    let y = p.mul_add(r * r, r) + 1.0;
    y * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

/// Sum of `f` over two rows, lane by lane.
#[inline(always)]
pub fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a_whole, b_whole) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_whole.remainder(), b_whole.remainder());
    for (a, b) in a_whole.zip(b_whole) {
        for i in 0..LANES {
            lanes[i] += f(a[i], b[i]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += f(a, b);
    }
    fold(lanes)
}

/// Sum of `f` over a row, lane by lane.
#[inline(always)]
pub fn sum(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum2(a, a, |a, _| f(a))
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Turns a row of scores into weights that sum to one.
#[inline(always)]
pub fn softmax(row: &mut [f32], scale: f32) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let whole = row.chunks_exact(LANES);
    let rest = whole.remainder();
    for chunk in whole {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = if value > *lane { value } else { *lane };
    }
    let most = lanes.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    for value in row.iter_mut() {
        *value = exp((*value - most) * scale);
    }
    let inverse = 1.0 / sum(row, |value| value);
    for value in row.iter_mut() {
        *value *= inverse;
    }
}

/// A matrix in memory: `values[row * strides[0] + column * strides[1]]`.
#[derive(Clone, Copy)]
pub struct Strided<'a> {
    pub values: &'a [f32],
    pub strides: [usize; 2],
}

impl<'a> Strided<'a> {
    /// Rows of `stride` values each.
    #[inline(always)]
    pub fn rows(values: &'a [f32], stride: usize) -> Self {
        Self { values, strides: [stride, 1] }
    }

    /// The same memory, with rows for columns.
    #[inline(always)]
    pub fn turned(self) -> Self {
        Self { strides: [self.strides[1], self.strides[0]], ..self }
    }
}

/// `out[m, n] = Σ_k a[m, k] · b[k, n]`; `b` and `out` are row-major with the given strides, and
/// `columns` and these strides are multiples of [`TILE`].
#[inline(always)]
pub fn product<S: Simd>(
    simd: S,
    a: Strided<'_>,
    (b, b_stride): (&[f32], usize),
    (out, out_stride): (&mut [f32], usize),
    [rows, inner, columns]: [usize; 3],
) {
    for column in (0..columns).step_by(2 * S::F32_LANES) {
        let b = (&b[column..], b_stride);
        let mut row = 0;
        while row < rows {
            let a = Strided { values: &a.values[row * a.strides[0]..], ..a };
            let out = (&mut out[row * out_stride + column..], out_stride);
            match rows - row {
                1 => block::<S, 1>(simd, a, b, out, inner),
                2 => block::<S, 2>(simd, a, b, out, inner),
                3 => block::<S, 3>(simd, a, b, out, inner),
                4 => block::<S, 4>(simd, a, b, out, inner),
                5 => block::<S, 5>(simd, a, b, out, inner),
                _ => block::<S, ROWS>(simd, a, b, out, inner),
            }
            row += ROWS;
        }
    }
}

/// `R` rows of two vectors, with all sums in registers.
#[inline(always)]
fn block<S: Simd, const R: usize>(
    simd: S,
    Strided { values, strides }: Strided<'_>,
    (b, b_stride): (&[f32], usize),
    (out, out_stride): (&mut [f32], usize),
    inner: usize,
) {
    let mut sums = [[simd.splat_f32s(0.0); 2]; R];
    for k in 0..inner {
        let line = S::as_simd_f32s(&b[k * b_stride..][..2 * S::F32_LANES]).0;
        let line = [line[0], line[1]];
        for (r, sums) in sums.iter_mut().enumerate() {
            let weight = simd.splat_f32s(values[r * strides[0] + k * strides[1]]);
            for (sum, part) in sums.iter_mut().zip(line) {
                *sum = simd.mul_add_e_f32s(weight, part, *sum);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let into = &mut out[r * out_stride..][..2 * S::F32_LANES];
        S::as_mut_simd_f32s(into).0.copy_from_slice(&sums);
    }
}

/// A matrix to multiply by, cut into runs of [`TILE`] columns that lie together, the last filled up
/// with zeros. Worth its making where many products share it.
pub struct Panels {
    values: Vec<f32>,
    inner: usize,
}

impl Panels {
    /// From `inner × columns`.
    pub fn new(matrix: Strided<'_>, [inner, columns]: [usize; 2]) -> Self {
        let Strided { values: from, strides } = matrix;
        let mut values = vec![0.0; columns.next_multiple_of(TILE) * inner];
        for (index, line) in values.chunks_exact_mut(TILE).enumerate() {
            let (first, row) = (index / inner * TILE, index % inner);
            for (column, value) in (first..columns).zip(line) {
                *value = from[row * strides[0] + column * strides[1]];
            }
        }
        Self { values, inner }
    }

    /// Columns of a product, with those that fill up the last run.
    pub fn columns(&self) -> usize {
        self.values.len() / self.inner
    }

    /// `out[m, n] = Σ_k a[m, k] · self[k, n]`; the rows of `out` are `stride` values apart, at
    /// least [`columns`](Self::columns).
    #[inline(always)]
    pub fn product<S: Simd>(
        &self,
        simd: S,
        a: Strided<'_>,
        (out, stride): (&mut [f32], usize),
        rows: usize,
    ) {
        for (index, panel) in self.values.chunks_exact(TILE * self.inner).enumerate() {
            let out = (&mut out[index * TILE..], stride);
            product(simd, a, (panel, TILE), out, [rows, self.inner, TILE]);
        }
    }
}

/// Copies `rows × columns` from a strided array into rows of `stride`; the rest stays as it is.
#[inline(always)]
pub fn copy_in(
    (from, from_stride): (&[f32], usize),
    (into, into_stride): (&mut [f32], usize),
    [rows, columns]: [usize; 2],
) {
    for row in 0..rows {
        into[row * into_stride..][..columns].copy_from_slice(&from[row * from_stride..][..columns]);
    }
}

/// As [`copy_in`], turned: `into[column, row] = from[row, column]`.
#[inline(always)]
pub fn turn_in(
    (from, from_stride): (&[f32], usize),
    (into, into_stride): (&mut [f32], usize),
    [rows, columns]: [usize; 2],
) {
    for row in 0..rows {
        let line = &from[row * from_stride..][..columns];
        for (column, &value) in line.iter().enumerate() {
            into[column * into_stride + row] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    wide! {
    fn multiply<'a>(
        simd;
        a: Strided<'a>,
        b: (&'a [f32], usize),
        out: (&'a mut [f32], usize),
        sizes: [usize; 3],
    ) {
        product(simd, a, b, out, sizes);
    }
    }

    #[test]
    fn the_exponential_is_right_to_seven_digits() {
        for i in -8600..=8700 {
            let x = i as f32 * 0.01;
            let truth = f64::from(x).exp();
            let relative = (f64::from(exp(x)) / truth - 1.0).abs();
            assert!(relative < 4e-7, "e^{x}: {relative}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1000.0) < 1e-37);
    }

    #[test]
    fn products_of_odd_sizes_are_right() {
        let (rows, inner, columns) = (7, 5, TILE);
        let a = (0..rows * inner).map(|i| i as f32 - 9.0).collect::<Vec<_>>();
        let b = (0..inner * columns).map(|i| (i % 11) as f32).collect::<Vec<_>>();
        let turned = (0..rows * inner).map(|i| a[i % rows * inner + i / rows]).collect::<Vec<_>>();
        let forms = [Strided::rows(&a, inner), Strided::rows(&turned, rows).turned()];
        for a_form in forms {
            let mut out = vec![0.0; rows * columns];
            let sizes = [rows, inner, columns];
            multiply(pulp::Arch::new(), a_form, (&b, columns), (&mut out, columns), sizes);
            for row in 0..rows {
                for column in 0..columns {
                    let truth: f32 =
                        (0..inner).map(|k| a[row * inner + k] * b[k * columns + column]).sum();
                    assert_eq!(out[row * columns + column], truth);
                }
            }
        }
    }
}
