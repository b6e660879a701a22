//! The difference of two independent rates: intervals, and equivalence within a margin.

use rehearse_scenarios::seed::Seed;

use crate::bootstrap::stratified_mean_bca;
use crate::interval::{Interval, IntervalMethod};
use crate::rate::wilson;
use crate::special::{normal_cdf, normal_critical};

use super::{CompareError, TwoByTwo};

/// Newcombe's hybrid score interval (1998, method 10) for rate A minus rate B, from the two
/// Wilson intervals. Simple, and close to its level.
///
/// # Errors
/// [`CompareError::Probability`] for the level.
pub fn newcombe(table: &TwoByTwo, level: f64) -> Result<Interval, CompareError> {
    super::check_level(level)?;
    let ((x, n), (y, m)) = (table.a(), table.b());
    let (p, q) = (x as f64 / n as f64, y as f64 / m as f64);
    let a = wilson(x as f64, n, level)?;
    let b = wilson(y as f64, m, level)?;
    Ok(Interval {
        low: p - q - (p - a.low).hypot(b.high - q),
        high: p - q + (a.high - p).hypot(q - b.low),
        level,
        method: IntervalMethod::Newcombe,
    })
}

/// The interval of differences that the score test of Miettinen and Nurminen (1985, eq. 9) does
/// not reject.
///
/// # Errors
/// [`CompareError::Probability`] for the level.
pub fn score_interval(table: &TwoByTwo, level: f64) -> Result<Interval, CompareError> {
    super::check_level(level)?;
    let z = normal_critical(level);
    let estimate = table.difference();
    let total = (table.a().1 + table.b().1) as f64;
    let correction = ((total - 1.0) / total).sqrt();
    let score = |delta| score(table, delta) * correction;
    Ok(Interval {
        low: super::last_true(estimate, -1.0, |delta| score(delta) <= z),
        high: super::last_true(estimate, 1.0, |delta| score(delta) >= -z),
        level,
        method: IntervalMethod::Score,
    })
}

/// The `BCa` bootstrap interval of the difference of two means of scores in [0, 1], both samples
/// resampled: the one for partial credits, where counts do not do.
///
/// # Errors
/// [`CompareError::Bootstrap`], in particular where neither sample varies.
pub fn unpaired_bootstrap(
    a: &[f64],
    b: &[f64],
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Result<Interval, CompareError> {
    // The mean of two strata that count the same, B's negated, is half the difference.
    let negated: Vec<f64> = b.iter().map(|score| -score).collect();
    let half = stratified_mean_bca(&[a, &negated], resamples, level, seed)?;
    Ok(Interval { low: 2.0 * half.low, high: 2.0 * half.high, ..half })
}

/// Two one-sided score tests (Farrington and Manning 1990): p of "the rates differ by `margin` or
/// more", small where they are equivalent within it.
///
/// # Errors
/// [`CompareError::Margin`].
pub fn equivalence(table: &TwoByTwo, margin: f64) -> Result<f64, CompareError> {
    super::check_margin(margin)?;
    let above_low = normal_cdf(-score(table, -margin));
    let below_high = normal_cdf(score(table, margin));
    Ok(above_low.max(below_high))
}

/// The score statistic of a difference of `delta`, with the variance at the likeliest pair of
/// rates that differ by it: standard normal if it is true.
pub fn score(table: &TwoByTwo, delta: f64) -> f64 {
    let ((x, n), (y, m)) = (table.a(), table.b());
    let (x, n, y, m) = (x as f64, n as f64, y as f64, m as f64);
    let gap = x / n - y / m - delta;
    if gap == 0.0 {
        return 0.0;
    }
    let (p, q) = constrained_rates(x, n, y, m, delta);
    let variance = p * (1.0 - p) / n + q * (1.0 - q) / m;
    gap / variance.max(0.0).sqrt()
}

/// The likeliest rates of A and B that differ by `delta`: the root in [0, 1] of the cubic
/// `l3 q³ + l2 q² + l1 q + l0 = 0` in B's rate q (Miettinen and Nurminen 1985, eq. 7), by
/// trigonometry.
///
/// `x` of `n` and `y` of `m` need not be whole.
pub(crate) fn constrained_rates(x: f64, n: f64, y: f64, m: f64, delta: f64) -> (f64, f64) {
    let l3 = n + m;
    let l2 = (n + 2.0 * m) * delta - l3 - (x + y);
    let l1 = (m * delta - l3 - 2.0 * y) * delta + (x + y);
    let l0 = y * delta * (1.0 - delta);
    let third = l2 / (3.0 * l3);
    let half = third.powi(3) - l1 * l2 / (6.0 * l3 * l3) + l0 / (2.0 * l3);
    let root = (third * third - l1 / (3.0 * l3)).max(0.0).sqrt().copysign(half);
    let angle = if root == 0.0 { 0.0 } else { (half / root.powi(3)).clamp(-1.0, 1.0).acos() };
    let rate = 2.0 * root * ((std::f64::consts::PI + angle) / 3.0).cos() - third;
    let rate = rate.clamp((-delta).max(0.0), (1.0 - delta).min(1.0));
    (rate + delta, rate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(a: (u64, u64), b: (u64, u64)) -> TwoByTwo {
        TwoByTwo::new(a, b).unwrap()
    }

    #[test]
    fn newcombe_gives_the_published_examples() {
        // Newcombe (1998), table II, method 10: 56/70 − 48/80, and 9/10 − 3/10.
        let interval = newcombe(&table((56, 70), (48, 80)), 0.95).unwrap();
        assert!((interval.low - 0.0524).abs() < 5e-5 && (interval.high - 0.3339).abs() < 5e-5);
        let interval = newcombe(&table((9, 10), (3, 10)), 0.95).unwrap();
        assert!((interval.low - 0.1705).abs() < 5e-5 && (interval.high - 0.8090).abs() < 5e-5);
    }

    #[test]
    fn miettinen_and_nurminen_give_the_published_example() {
        // Newcombe (1998), table II, method 6: 56/70 − 48/80.
        let interval = score_interval(&table((56, 70), (48, 80)), 0.95).unwrap();
        assert!((interval.low - 0.0528).abs() < 5e-5 && (interval.high - 0.3382).abs() < 5e-5);
    }

    #[test]
    fn without_a_difference_the_score_is_the_pooled_z() {
        let pooled = 17.0 / 40.0_f64;
        let z = 0.25 / (pooled * (1.0 - pooled) * (1.0 / 20.0 + 1.0 / 20.0)).sqrt();
        assert!((score(&table((11, 20), (6, 20)), 0.0) - z).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn intervals_hold_the_estimate_and_mirror(
            n in 1_u64..200, m in 1_u64..200, x in 0.0..=1.0_f64, y in 0.0..=1.0_f64,
        ) {
            let (x, y) = ((x * n as f64) as u64, (y * m as f64) as u64);
            let (one, other) = (table((x, n), (y, m)), table((y, m), (x, n)));
            for method in [newcombe, score_interval] {
                let (it, mirror) = (method(&one, 0.95).unwrap(), method(&other, 0.95).unwrap());
                prop_assert!(it.contains(one.difference()));
                prop_assert!(-1.0 <= it.low + 1e-12 && it.high <= 1.0 + 1e-12);
                prop_assert!((it.low + mirror.high).abs() < 1e-9);
            }
        }

        #[test]
        fn the_constrained_rates_are_the_likeliest(
            n in 1_u64..60, m in 1_u64..60, x in 0.0..=1.0_f64, y in 0.0..=1.0_f64,
            delta in -0.9..0.9_f64,
        ) {
            let (n, m) = (n as f64, m as f64);
            let (x, y) = ((x * n).floor(), (y * m).floor());
            let ln = |k: f64, p: f64| if k == 0.0 { 0.0 } else { k * p.ln() };
            let likelihood = |q: f64| {
                let p = q + delta;
                ln(x, p) + ln(n - x, 1.0 - p) + ln(y, q) + ln(m - y, 1.0 - q)
            };
            let (p, q) = constrained_rates(x, n, y, m, delta);
            prop_assert!((p - q - delta).abs() < 1e-12);
            let best = likelihood(q);
            let (low, high) = ((-delta).max(0.0), (1.0 - delta).min(1.0));
            for i in 1..200 {
                let other = low + (high - low) * f64::from(i) / 200.0;
                prop_assert!(likelihood(other) <= best + 1e-6);
            }
        }
    }
}
