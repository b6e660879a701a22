//! How many trials would settle it.
//!
//! Plans assume that the true rates are the observed ones. They are not: with few trials the
//! observed difference is often too large, and so the plan too small. Take it as the order of
//! magnitude, and prefer a run that stops when it is [settled](crate::sequential).

use serde::{Deserialize, Serialize};

use crate::compare::{CompareError, Paired, TwoByTwo};
use crate::special::{
    binomial_cdf, binomial_pmf, binomial_tail, normal_cdf, normal_critical, normal_quantile,
};

/// More trials than anyone will run: plans beyond say so instead of a number.
pub const MOST_TRIALS: u64 = 100_000;

/// Up to here the exact power is searched trial by trial, for it rises in saw-teeth; beyond, the
/// teeth are smaller than a percent and bisection does.
const SCANNED: u64 = 2_000;

/// A plan holds if the power does not drop below its target over this many further trials.
const TOOTH: u64 = 8;

/// How many trials would show a difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Trials needed in all: pairs, or trials of each policy. None beyond [`MOST_TRIALS`].
    pub trials: Option<u64>,
    /// Trials (or pairs) that there are now; of two samples, the smaller.
    pub so_far: u64,
    /// The probability of showing the difference with that many; that of the most trials if
    /// `trials` is none.
    pub power: f64,
    /// The two-sided level of the test.
    pub alpha: f64,
}

/// The pairs at which `McNemar`'s exact test shows the observed difference with probability
/// `power`.
///
/// # Errors
/// [`CompareError::Probability`]; [`CompareError::NoTrials`] without a difference to show.
pub fn settle_paired(seen: &Paired, alpha: f64, power: f64) -> Result<Plan, CompareError> {
    check(alpha, "level of the test")?;
    check(power, "power")?;
    let n = seen.pairs();
    if seen.only_a == seen.only_b {
        return Err(CompareError::NoTrials { policy: "A".to_owned() });
    }
    let (p, q) = (seen.only_a as f64 / n as f64, seen.only_b as f64 / n as f64);
    let trials = smallest(power, |n| mcnemar_power(n, p, q, alpha));
    let reached = mcnemar_power(trials.unwrap_or(MOST_TRIALS), p, q, alpha);
    Ok(Plan { trials, so_far: n, power: reached, alpha })
}

/// The trials of each policy at which an unpaired test shows the observed difference with
/// probability `power`. For Boschloo's or Barnard's test; Fisher's needs a tenth or so more.
///
/// # Errors
/// [`CompareError::Probability`]; [`CompareError::NoTrials`] without a difference to show.
pub fn settle_unpaired(seen: &TwoByTwo, alpha: f64, power: f64) -> Result<Plan, CompareError> {
    check(alpha, "level of the test")?;
    check(power, "power")?;
    if seen.difference() == 0.0 {
        return Err(CompareError::NoTrials { policy: "A".to_owned() });
    }
    let ((x, n), (y, m)) = (seen.a(), seen.b());
    let (p, q) = (x as f64 / n as f64, y as f64 / m as f64);
    let trials = smallest(power, |n| z_power(n, p, q, alpha));
    let reached = z_power(trials.unwrap_or(MOST_TRIALS), p, q, alpha);
    Ok(Plan { trials, so_far: n.min(m), power: reached, alpha })
}

/// The exact power of `McNemar`'s exact two-sided test on `pairs` pairs, of which only A succeeds
/// with probability `only_a` and only B with `only_b`.
pub fn mcnemar_power(pairs: u64, only_a: f64, only_b: f64, alpha: f64) -> f64 {
    let differ = (only_a + only_b).min(1.0);
    if differ <= 0.0 {
        return 0.0;
    }
    let share = only_a / (only_a + only_b);
    let centre = pairs as f64 * differ;
    // Nine standard deviations and a little: what is left out is below 1e-15.
    let reach = 9.0 * (centre * (1.0 - differ)).sqrt() + 40.0;
    let from = (centre - reach).max(0.0) as u64;
    let to = ((centre + reach) as u64).min(pairs);
    (from..=to)
        .filter_map(|n| {
            let critical = critical(n, alpha)?;
            let rejects = binomial_cdf(critical, n, share) + binomial_tail(n - critical, n, share);
            Some(binomial_pmf(n, pairs, differ) * rejects)
        })
        .sum::<f64>()
        .min(1.0)
}

/// The largest count of `n` fair coins at which twice the lower tail is below `alpha`.
fn critical(n: u64, alpha: f64) -> Option<u64> {
    let rejects = |k: u64| 2.0 * binomial_cdf(k, n, 0.5) < alpha;
    if n == 0 || !rejects(0) {
        return None;
    }
    let (mut yes, mut no) = (0, n / 2 + 1);
    while no - yes > 1 {
        let middle = u64::midpoint(yes, no);
        if rejects(middle) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    Some(yes)
}

/// The power of the two-sided pooled z test with `trials` of each policy at rates `p` and `q`, by
/// the normal approximation (Fleiss, Levin and Paik 2003, §4.2, without continuity correction).
pub fn z_power(trials: u64, p: f64, q: f64, alpha: f64) -> f64 {
    let n = trials as f64;
    let gap = (p - q).abs() * n.sqrt();
    let mean = f64::midpoint(p, q);
    let pooled = (2.0 * mean * (1.0 - mean)).sqrt();
    let apart = (p * (1.0 - p) + q * (1.0 - q)).sqrt();
    let z = normal_critical(1.0 - alpha);
    if apart == 0.0 {
        // 0 % against 100 %: shown as soon as the test can show anything.
        return if gap > z * pooled { 1.0 } else { 0.0 };
    }
    normal_cdf((gap - z * pooled) / apart) + normal_cdf((-gap - z * pooled) / apart)
}

/// The trials of each policy for the z test, in closed form: what [`z_power`] inverts up to the
/// far tail.
pub fn z_trials(p: f64, q: f64, alpha: f64, power: f64) -> f64 {
    let mean = f64::midpoint(p, q);
    let pooled = (2.0 * mean * (1.0 - mean)).sqrt();
    let apart = (p * (1.0 - p) + q * (1.0 - q)).sqrt();
    let sum = normal_critical(1.0 - alpha) * pooled + normal_quantile(power) * apart;
    (sum / (p - q)).powi(2)
}

/// The fewest trials from which on the power stays at `target`.
fn smallest(target: f64, power: impl Fn(u64) -> f64) -> Option<u64> {
    let mut high = 2;
    while power(high) < target {
        if high >= MOST_TRIALS {
            return None;
        }
        high = (2 * high).min(MOST_TRIALS);
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        if power(middle) < target {
            low = middle;
        } else {
            high = middle;
        }
    }
    if high > SCANNED {
        return Some(high);
    }
    // Bisection landed on some tooth: begin before it and find the first that holds.
    let mut holds = 0;
    let mut n = (high - high / 5).saturating_sub(TOOTH).max(1);
    while holds < TOOTH {
        holds = if power(n) < target { 0 } else { holds + 1 };
        n += 1;
    }
    Some(n - TOOTH)
}

fn check(value: f64, what: &'static str) -> Result<(), CompareError> {
    if value > 0.0 && value < 1.0 { Ok(()) } else { Err(CompareError::Probability { what, value }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Alternative;

    #[test]
    fn mcnemar_power_is_the_sum_over_all_tables() {
        // All 10 pairs enumerated, with the test itself.
        let (n, p, q) = (10_u64, 0.5, 0.1);
        let mut expected = 0.0;
        for b in 0..=n {
            for c in 0..=n - b {
                let paired = Paired { both: n - b - c, only_a: b, only_b: c, neither: 0 };
                if paired.mcnemar(Alternative::TwoSided) < 0.05 {
                    expected += binomial_pmf(b, n, p) * binomial_pmf(c, n - b, q / (1.0 - p));
                }
            }
        }
        assert!((mcnemar_power(n, p, q, 0.05) - expected).abs() < 1e-13);
    }

    #[test]
    fn the_textbook_sample_size_comes_out() {
        // Fleiss, Levin and Paik, table A.4: 60 % against 70 %, 5 % two-sided, 80 % power: 356
        // a group without the continuity correction.
        assert_eq!(z_trials(0.6, 0.7, 0.05, 0.8).ceil() as u64, 356);
        let seen = TwoByTwo::new((60, 100), (70, 100)).unwrap();
        assert_eq!(settle_unpaired(&seen, 0.05, 0.8).unwrap().trials, Some(356));
    }

    #[test]
    fn plans_reach_their_power_and_say_when_they_cannot() {
        let seen = Paired { both: 10, only_a: 8, only_b: 2, neither: 5 };
        let plan = settle_paired(&seen, 0.05, 0.8).unwrap();
        let n = plan.trials.unwrap();
        assert!(plan.power >= 0.8 && plan.so_far == 25 && n > 25);
        assert!(mcnemar_power(n - 1, 0.32, 0.08, 0.05) < 0.8);
        let close = TwoByTwo::new((5_000, 10_000), (5_001, 10_000)).unwrap();
        let plan = settle_unpaired(&close, 0.05, 0.8).unwrap();
        assert!(plan.trials.is_none() && plan.power < 0.8);
        let same = TwoByTwo::new((5, 10), (10, 20)).unwrap();
        assert!(settle_unpaired(&same, 0.05, 0.8).is_err());
        assert!(settle_paired(&seen, 0.05, 1.0).is_err());
    }

    #[test]
    fn the_plan_gives_boschloos_test_the_power_it_promises() {
        // Boschloo's exact power at the plan, by enumeration.
        let (p, q) = (0.9, 0.3);
        let seen = TwoByTwo::new((18, 20), (6, 20)).unwrap();
        let n = settle_unpaired(&seen, 0.05, 0.8).unwrap().trials.unwrap();
        let mut power = 0.0;
        for x in 0..=n {
            for y in 0..=n {
                let table = TwoByTwo::new((x, n), (y, n)).unwrap();
                if table.boschloo(Alternative::TwoSided).unwrap() < 0.05 {
                    power += binomial_pmf(x, n, p) * binomial_pmf(y, n, q);
                }
            }
        }
        assert!((0.75..0.9).contains(&power), "power {power} with {n} trials");
    }
}
