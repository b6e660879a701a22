//! Sums of values drawn with replacement, several at a time.

use super::stream::Stream;

/// Largest table of sums: 32 KiB, so that it stays in the nearest cache.
const LARGEST: usize = 4_096;

/// A sample, with the sums of all its tuples of some length: a draw of one such sum is a draw of as
/// many values.
#[derive(Clone, Debug)]
pub(crate) struct Tuples {
    values: Table,
    /// Sums of every ordered tuple; equal to `values` if `length` is 1.
    sums: Table,
    length: usize,
}

/// Numbers to draw from, padded with zeros to a power of two.
#[derive(Clone, Debug)]
struct Table {
    padded: Vec<f64>,
    len: usize,
}

impl Table {
    fn new(mut numbers: Vec<f64>) -> Self {
        let len = numbers.len();
        numbers.resize(len.next_power_of_two(), 0.0);
        Self { padded: numbers, len }
    }

    fn numbers(&self) -> &[f64] {
        &self.padded[..self.len]
    }

    #[inline]
    fn sum(&self, stream: &mut Stream, count: usize) -> f64 {
        stream.sum_of(&self.padded, self.len, count)
    }
}

impl Tuples {
    /// Prepares `values`, of which there is one at least.
    pub(crate) fn new(values: &[f64]) -> Self {
        let (mut sums, mut length) = (values.to_vec(), 1);
        while sums.len() * values.len() <= LARGEST && length < values.len() {
            sums = sums.iter().flat_map(|sum| values.iter().map(move |v| sum + v)).collect();
            length += 1;
        }
        Self { values: Table::new(values.to_vec()), sums: Table::new(sums), length }
    }

    /// The sum of as many values as the sample has, drawn from it with replacement.
    #[inline]
    pub(crate) fn resampled_sum(&self, stream: &mut Stream) -> f64 {
        let (tuples, singles) = (self.values.len / self.length, self.values.len % self.length);
        let sum = self.sums.sum(stream, tuples);
        if singles == 0 { sum } else { sum + self.values.sum(stream, singles) }
    }

    /// The sample.
    pub(crate) fn values(&self) -> &[f64] {
        self.values.numbers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_all_tuples() {
        let tuples = Tuples::new(&[0.0, 1.0, 10.0]);
        // Never longer than the sample itself.
        assert_eq!((tuples.length, tuples.sums.len), (3, 27));
        assert_eq!(tuples.sums.numbers().iter().filter(|&&sum| sum == 11.0).count(), 6);
        assert_eq!(tuples.sums.numbers().iter().filter(|&&sum| sum == 30.0).count(), 1);
    }

    #[test]
    fn moments_are_those_of_drawing_one_by_one() {
        for n in [1_usize, 2, 7, 50, 65, 300] {
            let values: Vec<f64> = (0..n).map(|i| (i * i % 11) as f64).collect();
            let mean = values.iter().sum::<f64>() / n as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
            let tuples = Tuples::new(&values);
            let draws = 20_000_u64;
            let sums = (0..draws).map(|i| tuples.resampled_sum(&mut Stream::new(5, i)));
            let (mut first, mut second) = (0.0, 0.0);
            for sum in sums {
                let z = sum - mean * n as f64;
                first += z;
                second += z * z;
            }
            let expected = variance * n as f64;
            let error = (expected / draws as f64).sqrt();
            assert!((first / draws as f64).abs() <= 4.5 * error, "mean of {n}");
            assert!((second / draws as f64 - expected).abs() <= 0.05 * expected, "variance of {n}");
        }
    }
}
