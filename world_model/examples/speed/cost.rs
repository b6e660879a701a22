//! What computing takes at least.

use std::iter::Sum;
use std::ops::{Add, Mul};

/// What a stage must do at least: the operations of its matrix products (an addition and a
/// multiplication are two), and the bytes of their operands and results, each moved once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub operations: f64,
    pub bytes: f64,
}

impl Cost {
    /// Of one product, `rows × inner` by `inner × columns`, in f32.
    pub fn product([rows, inner, columns]: [usize; 3]) -> Self {
        let [rows, inner, columns] = [rows, inner, columns].map(|size| size as f64);
        Self {
            operations: 2.0 * rows * inner * columns,
            bytes: 4.0 * (rows * inner + inner * columns + rows * columns),
        }
    }

    /// Of several products.
    pub fn products<const N: usize>(sizes: [[usize; 3]; N]) -> Self {
        sizes.into_iter().map(Self::product).sum()
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { operations: self.operations + other.operations, bytes: self.bytes + other.bytes }
    }
}

impl Mul<usize> for Cost {
    type Output = Self;

    fn mul(self, times: usize) -> Self {
        let times = times as f64;
        Self { operations: self.operations * times, bytes: self.bytes * times }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}
