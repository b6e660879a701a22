//! Two policies on the same scenarios.

use rehearse_scenarios::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::bootstrap::mean_bca;
use crate::interval::{Interval, IntervalMethod};
use crate::special::{binomial_cdf, binomial_pmf, binomial_tail, normal_cdf, normal_critical};

use super::{Alternative, CompareError};

/// Successes and failures of A and B on shared scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Paired {
    /// Both succeeded.
    pub both: u64,
    /// Only A succeeded.
    pub only_a: u64,
    /// Only B succeeded.
    pub only_b: u64,
    /// Neither succeeded.
    pub neither: u64,
}

impl Paired {
    /// The number of pairs.
    pub fn pairs(&self) -> u64 {
        self.both + self.only_a + self.only_b + self.neither
    }

    /// Counts one pair.
    pub fn add(&mut self, a: bool, b: bool) {
        match (a, b) {
            (true, true) => self.both += 1,
            (true, false) => self.only_a += 1,
            (false, true) => self.only_b += 1,
            (false, false) => self.neither += 1,
        }
    }

    /// Rate of A minus rate of B; none without pairs.
    pub fn difference(&self) -> Option<f64> {
        let n = self.pairs();
        (n > 0).then(|| (self.only_a as f64 - self.only_b as f64) / n as f64)
    }

    /// `McNemar`'s exact test: among the pairs that differ, A's wins against a fair coin. Two-sided,
    /// twice the smaller tail. 1 where no pair differs.
    pub fn mcnemar(&self, alternative: Alternative) -> f64 {
        let n = self.only_a + self.only_b;
        match alternative {
            Alternative::Greater => binomial_tail(self.only_a, n, 0.5),
            Alternative::Less => binomial_cdf(self.only_a, n, 0.5),
            Alternative::TwoSided => {
                (2.0 * binomial_cdf(self.only_a.min(self.only_b), n, 0.5)).min(1.0)
            }
        }
    }

    /// `McNemar`'s mid-p test (Fagerland, Lydersen and Laake 2013): half the probability of the
    /// observed count itself is left out. Its level stays at or very near the nominal one, which
    /// the exact test falls well short of.
    pub fn mcnemar_mid_p(&self, alternative: Alternative) -> f64 {
        let n = self.only_a + self.only_b;
        if n == 0 {
            return 1.0;
        }
        let half = 0.5 * binomial_pmf(self.only_a, n, 0.5);
        match alternative {
            Alternative::TwoSided if self.only_a == self.only_b => 1.0,
            Alternative::TwoSided => self.mcnemar(alternative) - 2.0 * half,
            Alternative::Greater | Alternative::Less => self.mcnemar(alternative) - half,
        }
    }

    /// Tango's score statistic (1998) for a difference of `delta`: standard normal if it is true.
    /// None without pairs.
    pub fn score(&self, delta: f64) -> Option<f64> {
        let n = self.pairs() as f64;
        if n == 0.0 {
            return None;
        }
        let (b, c) = (self.only_a as f64, self.only_b as f64);
        // The rate of "only B" that is likeliest given the difference: the root of
        // 2n q² + w q − c δ (1 − δ) = 0.
        let linear = (2.0 * n - b + c) * delta - b - c;
        let constant = -c * delta * (1.0 - delta);
        let q = ((linear * linear - 8.0 * n * constant).max(0.0).sqrt() - linear) / (4.0 * n);
        let variance = n * (2.0 * q + delta * (1.0 - delta));
        let gap = b - c - n * delta;
        Some(if gap == 0.0 { 0.0 } else { gap / variance.max(0.0).sqrt() })
    }

    /// Tango's score interval for the difference; it keeps its level at small n and near the ends.
    ///
    /// # Errors
    /// [`CompareError::Probability`] for the level, [`CompareError::NoTrials`] without pairs.
    pub fn interval(&self, level: f64) -> Result<Interval, CompareError> {
        super::check_level(level)?;
        let Some(estimate) = self.difference() else {
            return Err(CompareError::NoTrials { policy: "A".to_owned() });
        };
        let z = normal_critical(level);
        let score = |delta| self.score(delta).unwrap_or(0.0);
        Ok(Interval {
            low: super::last_true(estimate, -1.0, |delta| score(delta) <= z),
            high: super::last_true(estimate, 1.0, |delta| score(delta) >= -z),
            level,
            method: IntervalMethod::Score,
        })
    }

    /// Two one-sided score tests: p of "A and B differ by `margin` or more", small where they are
    /// equivalent within it.
    ///
    /// # Errors
    /// [`CompareError::Margin`], [`CompareError::NoTrials`].
    pub fn equivalence(&self, margin: f64) -> Result<f64, CompareError> {
        super::check_margin(margin)?;
        let (Some(low), Some(high)) = (self.score(-margin), self.score(margin)) else {
            return Err(CompareError::NoTrials { policy: "A".to_owned() });
        };
        Ok(normal_cdf(-low).max(normal_cdf(high)))
    }
}

/// The `BCa` bootstrap interval of the mean difference of paired scores in [0, 1], scenarios
/// resampled: the one for partial credits, where counts do not do.
///
/// # Errors
/// [`CompareError::Bootstrap`], in particular where all differences are equal.
pub fn paired_bootstrap(
    pairs: &[(f64, f64)],
    resamples: usize,
    level: f64,
    seed: Seed,
) -> Result<Interval, CompareError> {
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| a - b).collect();
    Ok(mean_bca(&differences, resamples, level, seed)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(both: u64, only_a: u64, only_b: u64, neither: u64) -> Paired {
        Paired { both, only_a, only_b, neither }
    }

    #[test]
    fn mcnemar_is_a_sign_test() {
        // 1 against 7: 2 · (1 + 8)/2⁸ exactly; mid-p leaves 8/2⁸ out.
        let paired = of(4, 1, 7, 3);
        assert!((paired.mcnemar(Alternative::TwoSided) - 18.0 / 256.0).abs() < 1e-14);
        assert!((paired.mcnemar_mid_p(Alternative::TwoSided) - 10.0 / 256.0).abs() < 1e-14);
        assert!((paired.mcnemar(Alternative::Less) - 9.0 / 256.0).abs() < 1e-14);
        assert!((paired.mcnemar(Alternative::Greater) - 255.0 / 256.0).abs() < 1e-14);
        assert_eq!(of(5, 0, 0, 5).mcnemar(Alternative::TwoSided), 1.0);
        assert_eq!(of(5, 3, 3, 5).mcnemar_mid_p(Alternative::TwoSided), 1.0);
    }

    #[test]
    fn mid_p_matches_the_published_example() {
        // Fagerland et al. (2013), table 1: airway hyper-responsiveness, 1 and 7 discordant of 21.
        let paired = of(1, 1, 7, 12);
        assert!((paired.mcnemar_mid_p(Alternative::TwoSided) - 0.039).abs() < 5e-4);
        assert!((paired.mcnemar(Alternative::TwoSided) - 0.070).abs() < 5e-4);
        // Fagerland, Lydersen and Laake (2014), table III: Tango's interval (−0.517, −0.026).
        let interval = paired.interval(0.95).unwrap();
        assert!((interval.low + 0.517).abs() < 5e-4 && (interval.high + 0.026).abs() < 5e-4);
    }

    #[test]
    fn no_pairs_is_an_error_not_nan() {
        let none = Paired::default();
        assert_eq!(none.difference(), None);
        assert!(none.interval(0.95).is_err() && none.equivalence(0.1).is_err());
        assert!(of(1, 1, 1, 1).equivalence(0.0).is_err());
        assert!(of(1, 1, 1, 1).interval(95.0).is_err());
    }

    proptest! {
        #[test]
        fn the_interval_is_where_the_test_does_not_reject(
            both in 0_u64..40, only_a in 0_u64..40, only_b in 0_u64..40, neither in 1_u64..40,
        ) {
            let paired = of(both, only_a, only_b, neither);
            let interval = paired.interval(0.95).unwrap();
            prop_assert!(interval.contains(paired.difference().unwrap()));
            prop_assert!(-1.0 <= interval.low && interval.high <= 1.0);
            for end in [interval.low, interval.high] {
                if end.abs() < 1.0 {
                    prop_assert!((paired.score(end).unwrap().abs() - 1.959_964).abs() < 1e-4);
                }
            }
            // Swapping the policies mirrors everything.
            let mirror = of(both, only_b, only_a, neither).interval(0.95).unwrap();
            prop_assert!((mirror.low + interval.high).abs() < 1e-9);
            // A wider margin is easier to stay within.
            prop_assert!(paired.equivalence(0.2).unwrap() <= paired.equivalence(0.1).unwrap() + 1e-12);
        }
    }
}
