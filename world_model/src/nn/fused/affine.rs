//! The affine map: the product's own memory takes the bias, and the bias's gradient is one pass.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use pulp::Arch;
use rayon::prelude::*;

use super::{values, with_values};

const NAME: &str = "fused affine map";
/// Values in a task: below that, waking a thread costs more than it saves.
const TASK: usize = 1 << 15;

/// [`ops::affine`](crate::nn::ops::affine) of `(x, weight, bias)`.
#[derive(Clone, Copy, Debug)]
pub struct Affine;

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, input) = x_layout.shape().dims2()?;
        let (_, output) = weight_layout.shape().dims2()?;
        let bias = values(bias, bias_layout, NAME)?;
        let product = x.matmul(weight, (1, rows, output, input), x_layout, weight_layout)?;
        let CpuStorage::F32(mut y) = product else {
            candle_core::bail!("{NAME} takes f32 tensors")
        };
        let arch = Arch::new();
        let task = (TASK / output).max(1) * output;
        if y.len() <= task {
            add(arch, bias, &mut y);
        } else {
            y.par_chunks_mut(task).for_each(|y| add(arch, bias, y));
        }
        Ok((CpuStorage::F32(y), Shape::from((rows, output))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let dx = x.track_op().then(|| grad.matmul(&weight.detach().t()?)).transpose()?;
        let dweight = weight.track_op().then(|| x.detach().t()?.matmul(&grad)).transpose()?;
        let dbias = bias.track_op().then(|| column_sums(&grad)).transpose()?;
        Ok((dx, dweight, dbias))
    }
}

/// The sum of a contiguous matrix's rows. Tasks do not depend on the number of threads, and their
/// sums are added in order.
pub fn column_sums(matrix: &Tensor) -> Result<Tensor> {
    let (_, columns) = matrix.dims2()?;
    let arch = Arch::new();
    let sums = with_values([matrix], NAME, |[values]| {
        let parts = values.par_chunks((TASK / columns).max(1) * columns).map(|rows| {
            let mut sums = vec![0.0; columns];
            sum(arch, rows, &mut sums);
            sums
        });
        let mut total = vec![0.0; columns];
        for part in parts.collect::<Vec<_>>() {
            sum(arch, &part, &mut total);
        }
        total
    })?;
    Tensor::from_vec(sums, columns, matrix.device())
}

wide! {
fn add<'a>(_simd; bias: &'a [f32], y: &'a mut [f32]) {
    for y in y.chunks_exact_mut(bias.len()) {
        for (y, bias) in y.iter_mut().zip(bias) {
            *y += bias;
        }
    }
}
}

wide! {
fn sum<'a>(_simd; rows: &'a [f32], sums: &'a mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
}
}
