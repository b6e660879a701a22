//! The affine map. Weights lie `(in, out)`, the way they are multiplied.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::nn::ops;

/// Rows and columns up to which the matrix product cuts sums at [`LONG`] terms.
const FEW: usize = 64;
const LONG: usize = 512;

/// `x · weight + bias`.
///
/// The weight is `(in, out)` in row-major order. With the usual `(out, in)` transposed on the fly,
/// the matrix product picks another summation order for few rows, and a batch of one would differ
/// from one of a batch in its last bits.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Applies the map to the last axis of `x`.
    ///
    /// # Errors
    /// A tensor error if the last axis is not `in` long.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (input, output) = self.weight.dims2()?;
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = output;
        }
        let rows = x.elem_count() / input.max(1);
        let flat = x.reshape((rows, input))?;
        // The matrix product sums in another order for a single row, and for few rows with long
        // sums and narrow outputs; a batch must not round otherwise than its singles.
        let map = |rows: &Tensor| ops::affine(rows, &self.weight, &self.bias);
        let y = if rows == 1 {
            map(&Tensor::cat(&[&flat, &flat], 0)?)?.narrow(0, 0, 1)?
        } else if output <= FEW && input > LONG && rows > FEW {
            let blocks = (0..rows)
                .step_by(FEW)
                .map(|row| map(&flat.narrow(0, row, FEW.min(rows - row))?))
                .collect::<Result<Vec<_>>>()?;
            Tensor::cat(&blocks, 0)?
        } else {
            map(&flat)?
        };
        y.reshape(shape)
    }

    /// The same map, its outputs multiplied by `by`, `(out)`.
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn scaled(&self, by: &Tensor) -> Result<Self> {
        Ok(Self { weight: self.weight.broadcast_mul(by)?, bias: (&self.bias * by)? })
    }

    /// `(in, out)`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(out)`.
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }
}

/// A map with a bias, drawn with a deviation of 1/√in.
///
/// # Errors
/// A tensor error if the checkpoint lacks it or has another shape.
pub fn linear(input: usize, output: usize, vb: &VarBuilder<'_>) -> Result<Linear> {
    linear_scaled(input, output, 1.0, vb)
}

/// A map with a bias, drawn with a deviation of `gain`/√in.
///
/// # Errors
/// As [`linear`].
pub fn linear_scaled(
    input: usize,
    output: usize,
    gain: f64,
    vb: &VarBuilder<'_>,
) -> Result<Linear> {
    let init = Init::Randn { mean: 0.0, stdev: gain / (input.max(1) as f64).sqrt() };
    Ok(Linear {
        weight: vb.get_with_hints((input, output), "weight", init)?,
        bias: vb.get_with_hints(output, "bias", Init::Const(0.0))?,
    })
}

/// A map with a bias that starts at zero.
///
/// # Errors
/// As [`linear`].
pub fn linear_zero(input: usize, output: usize, vb: &VarBuilder<'_>) -> Result<Linear> {
    linear_scaled(input, output, 0.0, vb)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rehearse_scenarios::seed::Seed;

    use super::*;
    use crate::nn::Variables;

    #[test]
    fn one_row_equals_one_row_of_many_bit_for_bit() {
        for (input, output) in [(3, 5), (12, 96), (192, 256), (1024, 256), (256, 1024), (800, 24)] {
            let vars = Variables::new(Seed::root(9));
            let vb = vars.builder(&Device::Cpu, &[]);
            let map = linear(input, output, &vb).unwrap();
            let x = vb.get_with_hints((133, input), "x", Init::Randn { mean: 0.0, stdev: 1.0 });
            let x = x.unwrap();
            let many = map.forward(&x).unwrap().to_vec2::<f32>().unwrap();
            for rows in [1, 2, 7] {
                let few = map.forward(&x.narrow(0, 4, rows).unwrap()).unwrap();
                assert_eq!(few.to_vec2::<f32>().unwrap(), many[4..4 + rows], "{input}×{output}");
            }
        }
    }
}
