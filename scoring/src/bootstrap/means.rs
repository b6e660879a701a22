//! Means and proportions: the same distribution as resampling indices, with far less work.

use rehearse_scenarios::seed::Seed;

use super::alias::Binomial;
use super::error::BootstrapError;
use super::indices::check_len;
use super::replicates::{Acceleration, Replicates, check_resamples};
use super::stream::{Stream, replicate_sums};
use super::tuples::Tuples;
use crate::interval::Interval;

/// `BCa` interval of the mean of `values`.
///
/// Values that take only two levels, such as successes, cost one draw per resample.
///
/// # Errors
/// [`BootstrapError`]; [`BootstrapError::Constant`] where all values are equal.
pub fn mean_bca(
    values: &[f64],
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Result<Interval, BootstrapError> {
    check_len(values.len())?;
    stratified_mean_bca(&[values], resamples, level, seed)
}

/// `BCa` interval of the mean of the strata's means, each stratum (a task, say) counting the same.
///
/// Each stratum is resampled within itself: the tasks are fixed, the trials are random. The
/// acceleration adds the strata up as independent samples.
///
/// # Errors
/// [`BootstrapError`]; [`BootstrapError::TooFew`] if there is no stratum or an empty one.
pub fn stratified_mean_bca(
    strata: &[&[f64]],
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Result<Interval, BootstrapError> {
    let strata = strata.iter().map(|values| Stratum::of_values(values));
    interval(&strata.collect::<Result<Vec<_>, _>>()?, resamples, level, seed)
}

/// `BCa` interval of `successes / trials`.
///
/// # Errors
/// [`BootstrapError`]; [`BootstrapError::Constant`] if all or none succeeded.
pub fn proportion_bca(
    successes: u64,
    trials: u64,
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Result<Interval, BootstrapError> {
    check_len(trials as usize)?;
    stratified_proportion_bca(&[(successes, trials)], resamples, level, seed)
}

/// `BCa` interval of the mean of the strata's success rates, from (successes, trials) of each.
///
/// # Errors
/// [`BootstrapError`]; [`BootstrapError::Counts`] where successes exceed trials.
pub fn stratified_proportion_bca(
    strata: &[(u64, u64)],
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Result<Interval, BootstrapError> {
    let strata = strata.iter().map(|&(successes, trials)| Stratum::of_counts(successes, trials));
    interval(&strata.collect::<Result<Vec<_>, _>>()?, resamples, level, seed)
}

/// One stratum, ready to be resampled.
enum Stratum {
    /// `low` or `low + step`, the latter `upper` times of `n`.
    TwoLevels { low: f64, step: f64, upper: u64, n: u64, binomial: Binomial },
    /// Any values.
    Values(Tuples),
}

impl Stratum {
    fn of_values(values: &[f64]) -> Result<Self, BootstrapError> {
        if values.is_empty() {
            return Err(BootstrapError::TooFew { got: 0 });
        }
        if values.len() > 1 {
            check_len(values.len())?;
        }
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (index, &value) in values.iter().enumerate() {
            if !value.is_finite() {
                return Err(BootstrapError::NotFinite { index, value });
            }
            low = low.min(value);
            high = high.max(value);
        }
        if values.iter().any(|&value| value != low && value != high) {
            return Ok(Self::Values(Tuples::new(values)));
        }
        let upper = values.iter().filter(|&&value| value != low).count() as u64;
        Ok(Self::two_levels(low, high - low, upper, values.len() as u64))
    }

    fn of_counts(successes: u64, trials: u64) -> Result<Self, BootstrapError> {
        if trials == 0 {
            return Err(BootstrapError::TooFew { got: 0 });
        }
        if trials > 1 {
            check_len(trials as usize)?;
        }
        if successes > trials {
            return Err(BootstrapError::Counts { successes, trials });
        }
        Ok(Self::two_levels(0.0, 1.0, successes, trials))
    }

    fn two_levels(low: f64, step: f64, upper: u64, n: u64) -> Self {
        let binomial = Binomial::new(n, upper as f64 / n as f64);
        Self::TwoLevels { low, step, upper, n, binomial }
    }

    fn mean(&self) -> f64 {
        match self {
            Self::TwoLevels { low, step, upper, n, .. } => low + step * (*upper as f64 / *n as f64),
            Self::Values(tuples) => {
                tuples.values().iter().sum::<f64>() / tuples.values().len() as f64
            }
        }
    }

    #[inline]
    fn resampled_mean(&self, stream: &mut Stream) -> f64 {
        match self {
            Self::TwoLevels { low, step, n, binomial, .. } => {
                low + step * (binomial.draw(stream) as f64 / *n as f64)
            }
            Self::Values(tuples) => tuples.resampled_sum(stream) / tuples.values().len() as f64,
        }
    }

    /// Adds the stratum's leave-one-out statistics, `share` of whose movement reaches the estimate.
    fn accelerate(&self, share: f64, acceleration: &mut Acceleration) {
        let mean = self.mean();
        match self {
            Self::TwoLevels { low, step, upper, n, .. } => {
                let others = (*n as f64 - 1.0).max(1.0);
                let without = |value: f64| share * (mean - value) / others;
                let pairs =
                    [(without(*low), (n - upper) as f64), (without(low + step), *upper as f64)];
                acceleration.add_sample(pairs.into_iter());
            }
            Self::Values(tuples) => {
                let values = tuples.values();
                let others = values.len() as f64 - 1.0;
                acceleration
                    .add_sample(values.iter().map(|value| (share * (mean - value) / others, 1.0)));
            }
        }
    }
}

fn interval(
    strata: &[Stratum],
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Result<Interval, BootstrapError> {
    if strata.is_empty() {
        return Err(BootstrapError::TooFew { got: 0 });
    }
    check_resamples(resamples)?;
    let share = 1.0 / strata.len() as f64;
    let mut acceleration = Acceleration::none();
    for stratum in strata {
        stratum.accelerate(share, &mut acceleration);
    }
    let estimate = share * strata.iter().map(Stratum::mean).sum::<f64>();
    let mut values = replicate_sums(resamples, seed, strata, Stratum::resampled_mean);
    for value in &mut values {
        *value *= share;
    }
    Replicates::new(values)?.bca(estimate, acceleration, level)
}

#[cfg(test)]
mod tests {
    use super::super::indices;
    use super::*;

    const RESAMPLES: usize = 20_000;

    fn close(a: Interval, b: Interval, tolerance: f64) {
        let (low, high) = ((a.low - b.low).abs(), (a.high - b.high).abs());
        assert!(low < tolerance && high < tolerance, "{a:?} against {b:?}");
    }

    #[test]
    fn counts_and_their_values_are_the_same_resamples() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        let counts = proportion_bca(14, 40, RESAMPLES, 0.95, Seed::root(4)).unwrap();
        assert_eq!(mean_bca(&values, RESAMPLES, 0.95, Seed::root(4)).unwrap(), counts);
    }

    #[test]
    fn each_path_agrees_with_resampled_indices() {
        let smooth: Vec<f64> = (0..30).map(|i| f64::from(i * i) / 900.0).collect();
        let binary: Vec<f64> = (0..30).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        // Rates of 30 trials move in steps of 1/30, so their quantiles may be one step apart.
        for (values, tolerance) in [(smooth, 0.011), (binary, 0.034)] {
            let mean = |places: &[u32]| {
                places.iter().map(|&i| values[i as usize]).sum::<f64>() / places.len() as f64
            };
            let slow = indices::bca(30, &mean, RESAMPLES, 0.9, Seed::root(1)).unwrap();
            let fast = mean_bca(&values, RESAMPLES, 0.9, Seed::root(2)).unwrap();
            close(fast, slow, tolerance);
        }
    }

    #[test]
    fn a_mean_of_shifted_and_scaled_values_shifts_and_scales() {
        let values: Vec<f64> = (0..25).map(|i| f64::from(i).sqrt()).collect();
        let moved: Vec<f64> = values.iter().map(|v| 3.0 + 2.0 * v).collect();
        let plain = mean_bca(&values, RESAMPLES, 0.9, Seed::root(1)).unwrap();
        let shifted = mean_bca(&moved, RESAMPLES, 0.9, Seed::root(1)).unwrap();
        assert!((shifted.low - (3.0 + 2.0 * plain.low)).abs() < 1e-9);
        assert!((shifted.high - (3.0 + 2.0 * plain.high)).abs() < 1e-9);
    }

    #[test]
    fn strata_of_one_kind_narrow_the_interval() {
        let one = stratified_proportion_bca(&[(5, 10)], RESAMPLES, 0.9, Seed::root(1)).unwrap();
        let four = stratified_proportion_bca(&[(5, 10); 4], RESAMPLES, 0.9, Seed::root(1)).unwrap();
        assert!((four.width() / one.width() - 0.5).abs() < 0.1, "{one:?} {four:?}");
    }

    #[test]
    fn bad_counts_and_values_are_named() {
        let seed = Seed::root(0);
        assert_eq!(
            stratified_proportion_bca(&[(3, 2)], 200, 0.9, seed),
            Err(BootstrapError::Counts { successes: 3, trials: 2 })
        );
        let got = mean_bca(&[0.0, f64::NAN, 1.0], 200, 0.9, seed);
        assert!(matches!(got, Err(BootstrapError::NotFinite { index: 1, .. })));
        let got = proportion_bca(9, 9, 200, 0.9, seed);
        assert_eq!(got, Err(BootstrapError::Constant { value: 1.0 }));
        assert!(matches!(mean_bca(&[1.0], 200, 0.9, seed), Err(BootstrapError::TooFew { .. })));
        assert!(stratified_mean_bca(&[&[], &[1.0]], 200, 0.9, seed).is_err());
        assert!(stratified_mean_bca(&[], 200, 0.9, seed).is_err());
    }
}
