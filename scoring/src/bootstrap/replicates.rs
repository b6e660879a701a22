//! The distribution of a statistic over resamples, and the intervals read off it.

use rayon::prelude::*;

use super::error::BootstrapError;
use crate::interval::{Interval, IntervalMethod};
use crate::special::{normal_cdf, normal_quantile};

/// Resamples below which no quantile is worth reading.
const MIN_RESAMPLES: usize = 100;

/// Resamples count as equal to the estimate within this distance, relative to its size: sums of the
/// same terms in another order differ in their last bits.
const TIE: f64 = 1e-12;

/// A statistic's values over resamples, sorted; undefined ones are counted and left out.
#[derive(Clone, Debug)]
pub struct Replicates {
    sorted: Vec<f64>,
    undefined: usize,
}

impl Replicates {
    /// Values in any order; those that are not finite are counted as undefined.
    ///
    /// # Errors
    /// [`BootstrapError::TooFewResamples`] below 100, [`BootstrapError::Undefined`] if more than
    /// half are undefined.
    pub fn new(mut values: Vec<f64>) -> Result<Self, BootstrapError> {
        let resamples = values.len();
        check_resamples(resamples)?;
        values.retain(|value| value.is_finite());
        let undefined = resamples - values.len();
        if 2 * undefined > resamples {
            return Err(BootstrapError::Undefined { undefined, resamples });
        }
        values.par_sort_unstable_by(f64::total_cmp);
        Ok(Self { sorted: values, undefined })
    }

    /// The values, ascending.
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// Resamples on which the statistic was undefined.
    pub const fn undefined(&self) -> usize {
        self.undefined
    }

    /// The quantile at `p` in [0, 1], linear between order statistics (Hyndman and Fan's type 7,
    /// as numpy's default).
    pub fn quantile(&self, p: f64) -> f64 {
        let last = self.sorted.len() - 1;
        let place = p.clamp(0.0, 1.0) * last as f64;
        let below = place.floor() as usize;
        let (low, high) = (self.sorted[below], self.sorted[(below + 1).min(last)]);
        low + (place - below as f64) * (high - low)
    }

    /// The percentile interval.
    ///
    /// # Errors
    /// [`BootstrapError::Level`], and [`BootstrapError::Constant`] if all resamples are equal.
    pub fn percentile(&self, level: f64) -> Result<Interval, BootstrapError> {
        self.check(level)?;
        let tail = (1.0 - level) / 2.0;
        let (low, high) = (self.quantile(tail), self.quantile(1.0 - tail));
        Ok(Interval { low, high, level, method: IntervalMethod::Percentile })
    }

    /// The basic (reverse percentile) interval around `estimate`.
    ///
    /// It may leave the range of the statistic, such as [0, 1] for a rate.
    ///
    /// # Errors
    /// As [`percentile`](Self::percentile), and [`BootstrapError::Estimate`].
    pub fn basic(&self, estimate: f64, level: f64) -> Result<Interval, BootstrapError> {
        check_estimate(estimate)?;
        let Interval { low, high, .. } = self.percentile(level)?;
        let (low, high) = (2.0 * estimate - high, 2.0 * estimate - low);
        Ok(Interval { low, high, level, method: IntervalMethod::Basic })
    }

    /// The bias-corrected and accelerated interval (Efron 1987).
    ///
    /// # Errors
    /// As [`basic`](Self::basic), and [`BootstrapError::Outside`] if no resample reaches the
    /// estimate from one side.
    pub fn bca(
        &self,
        estimate: f64,
        acceleration: Acceleration,
        level: f64,
    ) -> Result<Interval, BootstrapError> {
        check_estimate(estimate)?;
        self.check(level)?;
        let tie = TIE * estimate.abs().max(1.0);
        let below = self.sorted.partition_point(|&value| value < estimate - tie);
        let up_to = self.sorted.partition_point(|&value| value <= estimate + tie);
        let share = (below + up_to) as f64 / (2 * self.sorted.len()) as f64;
        if share <= 0.0 || share >= 1.0 {
            let (low, high) = (self.quantile(0.0), self.quantile(1.0));
            return Err(BootstrapError::Outside { estimate, low, high });
        }
        let bias = normal_quantile(share);
        let a = acceleration.value();
        let adjusted = |z: f64| {
            let sum = bias + z;
            let scale = 1.0 - a * sum;
            // Past the pole of the formula the adjusted level is all or nothing.
            if scale > 0.0 {
                normal_cdf(bias + sum / scale)
            } else if sum > 0.0 {
                1.0
            } else {
                0.0
            }
        };
        let z = normal_quantile(f64::midpoint(1.0, level));
        let (low, high) = (self.quantile(adjusted(-z)), self.quantile(adjusted(z)));
        Ok(Interval { low, high, level, method: IntervalMethod::Bca })
    }

    fn check(&self, level: f64) -> Result<(), BootstrapError> {
        if !(level > 0.0 && level < 1.0) {
            return Err(BootstrapError::Level { got: level });
        }
        let (low, high) = (self.quantile(0.0), self.quantile(1.0));
        if high - low <= TIE * high.abs().max(1.0) {
            return Err(BootstrapError::Constant { value: low });
        }
        Ok(())
    }
}

/// The acceleration of `BCa`: the skewness of the statistic's influence, from the jackknife.
///
/// Independent samples add up as in SciPy's multi-sample `bootstrap`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Acceleration {
    cubes: f64,
    squares: f64,
}

impl Acceleration {
    /// No acceleration yet; with it `BCa` is the bias-corrected (BC) interval.
    pub const fn none() -> Self {
        Self { cubes: 0.0, squares: 0.0 }
    }

    /// Adds an independent sample: the statistic with each observation of that sample left out
    /// once, as pairs of a value and how many observations give it.
    ///
    /// Values that are not finite are left out.
    pub fn add_sample(&mut self, left_out: impl Iterator<Item = (f64, f64)> + Clone) {
        let finite = left_out.filter(|(value, _)| value.is_finite());
        let (n, sum) =
            finite.clone().fold((0.0, 0.0), |(n, sum), (v, count)| (n + count, sum + v * count));
        if n < 2.0 {
            return;
        }
        let mean = sum / n;
        let (mut cubes, mut squares) = (0.0, 0.0);
        for (value, count) in finite {
            let influence = (n - 1.0) * (mean - value);
            squares += count * influence * influence;
            cubes += count * influence * influence * influence;
        }
        self.cubes += cubes / (n * n * n);
        self.squares += squares / (n * n);
    }

    /// The acceleration; 0 where no observation has influence.
    pub fn value(&self) -> f64 {
        if self.squares > 0.0 { self.cubes / (6.0 * self.squares.powf(1.5)) } else { 0.0 }
    }
}

pub(super) fn check_resamples(resamples: usize) -> Result<(), BootstrapError> {
    if resamples < MIN_RESAMPLES {
        return Err(BootstrapError::TooFewResamples { needed: MIN_RESAMPLES, got: resamples });
    }
    Ok(())
}

fn check_estimate(estimate: f64) -> Result<(), BootstrapError> {
    if estimate.is_finite() { Ok(()) } else { Err(BootstrapError::Estimate { value: estimate }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0, 1, …, 100: quantiles can be read by eye.
    fn ladder() -> Replicates {
        Replicates::new((0..=100).rev().map(f64::from).collect()).unwrap()
    }

    #[test]
    fn percentile_and_basic_by_hand() {
        let interval = ladder().percentile(0.9).unwrap();
        assert!((interval.low - 5.0).abs() < 1e-12 && (interval.high - 95.0).abs() < 1e-12);
        let interval = ladder().basic(40.0, 0.9).unwrap();
        assert!((interval.low + 15.0).abs() < 1e-12 && (interval.high - 75.0).abs() < 1e-12);
    }

    #[test]
    fn without_bias_and_acceleration_bca_is_the_percentile_interval() {
        let bca = ladder().bca(50.0, Acceleration::none(), 0.9).unwrap();
        assert!((bca.low - 5.0).abs() < 1e-9 && (bca.high - 95.0).abs() < 1e-9, "{bca:?}");
    }

    #[test]
    fn bias_moves_both_ends_the_same_way() {
        let low = ladder().bca(30.0, Acceleration::none(), 0.9).unwrap();
        assert!(low.low < 5.0 && low.high < 95.0, "{low:?}");
    }

    #[test]
    fn acceleration_by_hand() {
        // Leave-one-out means of 1, 2, 6 (mean 3): 4, 3.5, 1.5; influence 2·(3 − v): −2, −1, 3.
        let mut acceleration = Acceleration::none();
        acceleration.add_sample([(4.0, 1.0), (3.5, 1.0), (1.5, 1.0)].into_iter());
        let expected = (18.0 / 27.0) / (6.0 * (14.0_f64 / 9.0).powf(1.5));
        assert!((acceleration.value() - expected).abs() < 1e-15);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let few = Replicates::new(vec![1.0; 99]);
        assert!(matches!(few, Err(BootstrapError::TooFewResamples { got: 99, .. })));
        let undefined = Replicates::new([vec![f64::NAN; 60], vec![1.0; 40]].concat());
        assert!(matches!(undefined, Err(BootstrapError::Undefined { undefined: 60, .. })));
        let constant = Replicates::new(vec![0.5; 200]).unwrap();
        assert!(matches!(constant.percentile(0.9), Err(BootstrapError::Constant { .. })));
        for level in [0.0, 1.0, f64::NAN] {
            assert!(matches!(ladder().percentile(level), Err(BootstrapError::Level { .. })));
        }
        let outside = ladder().bca(-1.0, Acceleration::none(), 0.9);
        assert!(matches!(outside, Err(BootstrapError::Outside { .. })));
    }
}
