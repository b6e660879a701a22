//! Means and proportions: the same distribution as resampling indices, with far less work.

use rehearse_scenarios::seed::Seed;

use super::alias::AliasTable;
use super::error::BootstrapError;
use super::indices::check_len;
use super::replicates::{Acceleration, Replicates, check_resamples};
use super::stream::{Stream, replicate_sums};
use super::tuples::Tuples;
use crate::interval::Interval;

/// `BCa` interval of the mean of `values`.
///
/// Values that lie in equal steps, such as successes or credits in quarters, cost one draw per
/// resample.
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

/// Most steps from the lowest value to the highest.
const MOST_STEPS: usize = 100;

/// Most steps from the lowest sum to the highest: making their table then takes milliseconds.
const MOST_STEPS_OF_SUMS: usize = 4_096;

/// What a value may be off its step, of the range of all: credits such as 2/3 are rounded.
const OFF_STEP: f64 = 1e-12;

/// One stratum, ready to be resampled.
enum Stratum {
    /// `low + k × step`, `counts[k]` times of `n`; `sums` draws the sum of k over a resample.
    Steps { low: f64, step: f64, counts: Vec<u64>, n: u64, sums: AliasTable },
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
        Ok(match counts_of_steps(values, low, high) {
            Some(counts) => Self::steps(low, high, counts),
            None => Self::Values(Tuples::new(values)),
        })
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
        Ok(Self::steps(0.0, 1.0, vec![trials - successes, successes]))
    }

    fn steps(low: f64, high: f64, counts: Vec<u64>) -> Self {
        let n = counts.iter().sum::<u64>();
        let sums = match counts[..] {
            // Exact for any number of trials, of which a table of sums could not hold millions.
            [_, upper] => AliasTable::binomial(n, upper as f64 / n as f64),
            _ => {
                let law: Vec<f64> = counts.iter().map(|&count| count as f64 / n as f64).collect();
                AliasTable::sum(&law, n)
            }
        };
        let step = (high - low) / (counts.len() - 1) as f64;
        Self::Steps { low, step, counts, n, sums }
    }

    fn mean(&self) -> f64 {
        match self {
            Self::Steps { low, step, counts, n, .. } => {
                let sum: u64 = (0..).zip(counts).map(|(k, count)| k * count).sum();
                low + step * (sum as f64 / *n as f64)
            }
            Self::Values(tuples) => {
                tuples.values().iter().sum::<f64>() / tuples.values().len() as f64
            }
        }
    }

    #[inline]
    fn resampled_mean(&self, stream: &mut Stream) -> f64 {
        match self {
            Self::Steps { low, step, n, sums, .. } => {
                low + step * (sums.draw(stream) as f64 / *n as f64)
            }
            Self::Values(tuples) => tuples.resampled_sum(stream) / tuples.values().len() as f64,
        }
    }

    /// Adds the stratum's leave-one-out statistics, `share` of whose movement reaches the estimate.
    fn accelerate(&self, share: f64, acceleration: &mut Acceleration) {
        let mean = self.mean();
        match self {
            Self::Steps { low, step, counts, n, .. } => {
                let others = (*n as f64 - 1.0).max(1.0);
                let without = |k: usize| share * (mean - (low + step * k as f64)) / others;
                let levels = counts.iter().enumerate();
                acceleration.add_sample(levels.map(|(k, &count)| (without(k), count as f64)));
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

/// How many of `values`, from `low` to `high`, lie at each step of the fewest equal steps that hold
/// them all; `None` where it would take too many.
fn counts_of_steps(values: &[f64], low: f64, high: f64) -> Option<Vec<u64>> {
    let range = high - low;
    let place = |value: f64, steps: usize| {
        if range == 0.0 {
            return Some(0);
        }
        let place = (value - low) / range * steps as f64;
        ((place - place.round()).abs() <= OFF_STEP * steps as f64).then(|| place.round() as usize)
    };
    let few = |&steps: &usize| steps == 1 || steps * values.len() <= MOST_STEPS_OF_SUMS;
    (1..=MOST_STEPS).take_while(few).find_map(|steps| {
        let mut counts = vec![0; steps + 1];
        for &value in values {
            counts[place(value, steps)?] += 1;
        }
        Some(counts)
    })
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
        let thirds: Vec<f64> = (0..30).map(|i| f64::from(i * i % 4) / 3.0).collect();
        // Rates of 30 trials move in steps of 1/30, so their quantiles may be one step apart.
        for (values, tolerance) in [(smooth, 0.011), (thirds, 0.012), (binary, 0.034)] {
            let mean = |places: &[u32]| {
                places.iter().map(|&i| values[i as usize]).sum::<f64>() / places.len() as f64
            };
            let slow = indices::bca(30, &mean, RESAMPLES, 0.9, Seed::root(1)).unwrap();
            let fast = mean_bca(&values, RESAMPLES, 0.9, Seed::root(2)).unwrap();
            close(fast, slow, tolerance);
        }
    }

    #[test]
    fn the_fewest_steps_that_hold_all_values() {
        let thirds = [0.0, 1.0, 2.0 / 3.0, 1.0 / 3.0, 1.0];
        assert_eq!(counts_of_steps(&thirds, 0.0, 1.0), Some(vec![1, 1, 1, 2]));
        // Half and three quarters of a credit, none of it: steps of a quarter from 0 to ¾.
        assert_eq!(counts_of_steps(&[0.75, 0.0, 0.5], 0.0, 0.75), Some(vec![1, 0, 1, 1]));
        assert_eq!(counts_of_steps(&[-2.0, 5.0], -2.0, 5.0), Some(vec![1, 1]));
        assert_eq!(counts_of_steps(&[0.4; 3], 0.4, 0.4), Some(vec![3, 0]));
        assert_eq!(counts_of_steps(&[0.0, 2.0_f64.sqrt() / 2.0, 1.0], 0.0, 1.0), None);
        // Success and failure stay two levels however many there are.
        let many: Vec<f64> = (0..10_000).map(|i| f64::from(i % 2)).collect();
        assert_eq!(counts_of_steps(&many, 0.0, 1.0), Some(vec![5_000, 5_000]));
        let quarters: Vec<f64> = (0..10_000).map(|i| f64::from(i % 5) / 4.0).collect();
        assert_eq!(counts_of_steps(&quarters, 0.0, 1.0), None);
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
