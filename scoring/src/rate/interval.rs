//! Intervals for a proportion.

use crate::interval::{Interval, IntervalMethod};
use crate::special::{beta_quantile, normal_critical};

use super::RateError;

/// Wilson's score interval (Wilson 1927).
///
/// Covers about `level` on average over the true rate, also at small n and near 0 and 1; at single
/// rates it dips below. `credit` may be a sum of partial credits: `m(1 − m)` bounds the variance
/// of any score in [0, 1] with mean m, so the interval is then wider than it need be, never
/// narrower.
///
/// # Errors
/// [`RateError::NoTrials`], [`RateError::Counts`], [`RateError::Level`].
pub fn wilson(credit: f64, trials: u64, level: f64) -> Result<Interval, RateError> {
    check(credit, trials, level)?;
    let n = trials as f64;
    let z = normal_critical(level);
    let p = credit / n;
    let shrink = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / shrink;
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / shrink;
    Ok(Interval {
        // Exact at the ends, where rounding would leave 1e-17.
        low: if credit == 0.0 { 0.0 } else { (centre - half).max(0.0) },
        high: if credit == n { 1.0 } else { (centre + half).min(1.0) },
        level,
        method: IntervalMethod::Wilson,
    })
}

/// Clopper and Pearson's exact interval (1934): covers at least `level` at every true rate, and
/// is wider than it need be at most of them.
///
/// # Errors
/// [`RateError::NoTrials`], [`RateError::Counts`], [`RateError::Level`].
pub fn clopper_pearson(successes: u64, trials: u64, level: f64) -> Result<Interval, RateError> {
    check(successes as f64, trials, level)?;
    let tail = (1.0 - level) / 2.0;
    let (k, rest) = (successes as f64, (trials - successes) as f64);
    Ok(Interval {
        low: if successes == 0 { 0.0 } else { beta_quantile(k, rest + 1.0, tail) },
        high: if successes == trials { 1.0 } else { beta_quantile(k + 1.0, rest, 1.0 - tail) },
        level,
        method: IntervalMethod::ClopperPearson,
    })
}

/// Jeffreys' interval: the middle `level` of Beta(k + ½, n − k + ½), with the end at 0 or 1 where
/// no or all trials succeed (Brown, Cai and `DasGupta` 2001, §3.1.2 and its boundary rule).
///
/// # Errors
/// [`RateError::NoTrials`], [`RateError::Counts`], [`RateError::Level`].
pub fn jeffreys(successes: u64, trials: u64, level: f64) -> Result<Interval, RateError> {
    check(successes as f64, trials, level)?;
    let tail = (1.0 - level) / 2.0;
    let (a, b) = (successes as f64 + 0.5, (trials - successes) as f64 + 0.5);
    Ok(Interval {
        low: if successes == 0 { 0.0 } else { beta_quantile(a, b, tail) },
        high: if successes == trials { 1.0 } else { beta_quantile(a, b, 1.0 - tail) },
        level,
        method: IntervalMethod::Jeffreys,
    })
}

fn check(credit: f64, trials: u64, level: f64) -> Result<(), RateError> {
    if !(level > 0.0 && level < 1.0) {
        return Err(RateError::Level { level });
    }
    if trials == 0 {
        return Err(RateError::NoTrials);
    }
    if !(credit >= 0.0 && credit <= trials as f64) {
        return Err(RateError::Counts { successes: credit, trials });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(interval: Interval) -> (f64, f64) {
        (interval.low, interval.high)
    }

    #[test]
    fn wilson_is_its_quadratic() {
        // 0 of 10 at 95 %: z²/(n + z²), by hand from the quadratic with p̂ = 0.
        let z2 = 1.959_963_984_540_054_f64.powi(2);
        let (low, high) = ends(wilson(0.0, 10, 0.95).unwrap());
        assert_eq!(low, 0.0);
        assert!((high - z2 / (10.0 + z2)).abs() < 1e-14);
    }

    #[test]
    fn clopper_pearson_of_nothing_and_of_everything_has_a_closed_form() {
        // (α/2)^(1/n): 0 of n ends where (1 − p)^n = α/2.
        let (low, high) = ends(clopper_pearson(0, 10, 0.95).unwrap());
        assert_eq!(low, 0.0);
        assert!((high - (1.0 - 0.025_f64.powf(0.1))).abs() < 1e-14);
        let (low, high) = ends(clopper_pearson(10, 10, 0.95).unwrap());
        assert!((low - 0.025_f64.powf(0.1)).abs() < 1e-14);
        assert_eq!(high, 1.0);
    }

    #[test]
    fn bad_requests_are_named() {
        assert!(matches!(wilson(0.0, 0, 0.95), Err(RateError::NoTrials)));
        assert!(matches!(clopper_pearson(3, 2, 0.95), Err(RateError::Counts { .. })));
        assert!(matches!(wilson(f64::NAN, 2, 0.95), Err(RateError::Counts { .. })));
        for level in [0.0, 1.0, -0.5, 95.0, f64::NAN] {
            assert!(matches!(jeffreys(1, 2, level), Err(RateError::Level { .. })));
        }
    }

    proptest! {
        #[test]
        fn every_interval_holds_the_estimate_and_mirrors(n in 1_u64..500, share in 0.0..=1.0_f64,
                                                         level in 0.5..0.999_f64) {
            let k = ((n as f64) * share).round() as u64;
            for method in [|k, n, l| wilson(k as f64, n, l), clopper_pearson, jeffreys] {
                let it = method(k, n, level).unwrap();
                let mirror = method(n - k, n, level).unwrap();
                prop_assert!(0.0 <= it.low && it.high <= 1.0);
                prop_assert!(it.contains(k as f64 / n as f64));
                prop_assert!((it.low - (1.0 - mirror.high)).abs() < 1e-12);
                // The same rate from four times the trials is known better.
                prop_assert!(method(4 * k, 4 * n, level).unwrap().width() < it.width());
                // More confidence, wider.
                prop_assert!(method(k, n, 0.5 + level / 2.0).unwrap().width() > it.width());
            }
        }
    }
}
