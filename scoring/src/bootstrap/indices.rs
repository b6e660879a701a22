//! Any statistic of resampled indices.

use rayon::prelude::*;
use rehearse_scenarios::seed::Seed;

use super::error::BootstrapError;
use super::replicates::{Acceleration, Replicates, check_resamples};
use super::stream::replicate;
use crate::interval::Interval;

/// Observations above which the jackknife leaves out groups instead of single observations.
const MAX_LEFT_OUT: usize = 2_000;

/// The bias-corrected and accelerated bootstrap interval of `statistic`.
///
/// `statistic` is given places in the data, each below `data_len`, one per observation, and returns
/// its value there, or NaN where it is undefined. It is called with `0..data_len` for the estimate,
/// `resamples` times with places drawn with replacement, and once per observation with that one
/// left out (groups of observations beyond 2,000).
///
/// ```
/// use rehearse_scenarios::seed::Seed;
/// use rehearse_scoring::bootstrap::bca;
///
/// let seconds = [3.1, 2.7, 4.0, 3.3, 9.2, 2.9, 3.8, 3.0];
/// let median = |places: &[u32]| {
///     let mut drawn: Vec<f64> = places.iter().map(|&i| seconds[i as usize]).collect();
///     drawn.sort_unstable_by(f64::total_cmp);
///     (drawn[(drawn.len() - 1) / 2] + drawn[drawn.len() / 2]) / 2.0
/// };
/// let interval = bca(seconds.len(), &median, 5_000, 0.95, Seed::root(1))?;
/// assert!(interval.contains(3.2) && interval.high < 9.2);
/// # Ok::<(), rehearse_scoring::bootstrap::BootstrapError>(())
/// ```
///
/// # Errors
/// [`BootstrapError`]; in particular [`BootstrapError::Constant`] where the data do not vary.
pub fn bca(
    data_len: usize,
    statistic: &(dyn Fn(&[u32]) -> f64 + Sync),
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Result<Interval, BootstrapError> {
    let replicates = resample(data_len, statistic, resamples, seed)?;
    replicates.bca(estimate(data_len, statistic), jackknife(data_len, statistic), level)
}

/// The percentile bootstrap interval of `statistic`; arguments as for [`bca`].
///
/// # Errors
/// [`BootstrapError`].
pub fn percentile(
    data_len: usize,
    statistic: &(dyn Fn(&[u32]) -> f64 + Sync),
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Result<Interval, BootstrapError> {
    resample(data_len, statistic, resamples, seed)?.percentile(level)
}

/// The basic (reverse percentile) bootstrap interval of `statistic`; arguments as for [`bca`].
///
/// # Errors
/// [`BootstrapError`].
pub fn basic(
    data_len: usize,
    statistic: &(dyn Fn(&[u32]) -> f64 + Sync),
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Result<Interval, BootstrapError> {
    let replicates = resample(data_len, statistic, resamples, seed)?;
    replicates.basic(estimate(data_len, statistic), level)
}

/// The values of `statistic` over `resamples` resamples; arguments as for [`bca`].
///
/// # Errors
/// [`BootstrapError::TooFew`], [`BootstrapError::TooMany`], [`BootstrapError::TooFewResamples`] and
/// [`BootstrapError::Undefined`].
pub fn resample(
    data_len: usize,
    statistic: &(dyn Fn(&[u32]) -> f64 + Sync),
    resamples: usize,
    seed: Seed,
) -> Result<Replicates, BootstrapError> {
    check_len(data_len)?;
    check_resamples(resamples)?;
    let buffer = || vec![0_u32; data_len];
    Replicates::new(replicate(resamples, seed, buffer, |stream, places| {
        stream.fill(data_len as u32, places);
        statistic(places)
    }))
}

/// The statistic of the data themselves.
fn estimate(data_len: usize, statistic: &(dyn Fn(&[u32]) -> f64 + Sync)) -> f64 {
    let places: Vec<u32> = (0..data_len as u32).collect();
    statistic(&places)
}

/// The acceleration of `statistic`, leaving out one observation at a time, or one of
/// [`MAX_LEFT_OUT`] groups of neighbours.
pub(crate) fn jackknife(
    data_len: usize,
    statistic: &(dyn Fn(&[u32]) -> f64 + Sync),
) -> Acceleration {
    let groups = data_len.min(MAX_LEFT_OUT);
    let bound = |group: usize| (group * data_len / groups) as u32;
    let values: Vec<f64> = (0..groups)
        .into_par_iter()
        .map(|group| {
            let kept = (0..bound(group)).chain(bound(group + 1)..data_len as u32);
            statistic(&kept.collect::<Vec<u32>>())
        })
        .collect();
    let mut acceleration = Acceleration::none();
    acceleration.add_sample(values.iter().map(|&value| (value, 1.0)));
    acceleration
}

pub(super) const fn check_len(data_len: usize) -> Result<(), BootstrapError> {
    if data_len < 2 {
        return Err(BootstrapError::TooFew { got: data_len });
    }
    let limit = u32::MAX as usize;
    if data_len > limit {
        return Err(BootstrapError::TooMany { limit, got: data_len });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_given_as_many_places_as_documented() {
        let data_len = 6;
        let lengths = |places: &[u32]| {
            assert!(places.iter().all(|&place| place < 6));
            assert!(places.len() == 6 || places.len() == 5);
            places.iter().map(|&place| f64::from(place)).sum()
        };
        let interval = bca(data_len, &lengths, 200, 0.9, Seed::root(2)).unwrap();
        assert!(interval.contains(15.0), "{interval:?}");
    }

    #[test]
    fn no_data_and_one_observation_are_refused() {
        for data_len in [0, 1] {
            let got = bca(data_len, &|_| 0.0, 200, 0.9, Seed::root(0));
            assert_eq!(got, Err(BootstrapError::TooFew { got: data_len }));
        }
    }

    #[test]
    fn an_undefined_estimate_is_refused() {
        let statistic = |places: &[u32]| if places == [0, 1, 2] { f64::NAN } else { 1.0 };
        let got = bca(3, &statistic, 200, 0.9, Seed::root(0));
        assert!(matches!(got, Err(BootstrapError::Estimate { .. })), "{got:?}");
    }
}
