//! Betting on the mean of differences.

use crate::interval::{Interval, IntervalMethod};
use crate::special::ln_sum_exp;

use super::SequentialError;

/// How many stakes are bet side by side.
const STAKES: usize = 32;

/// A test of "A and B succeed equally often" that may be looked at after every pair.
///
/// Two gamblers bet on each difference d = score of A − score of B, one on A and one on B, each
/// with a spread of fixed stakes c in (0, 1). If the mean difference is at most δ, the wealth
///
/// `K⁺(δ) = mean over c of Π ((1 − c) + c (1 + d) / (1 + δ))`
///
/// of the first is a non-negative supermartingale that begins at 1, so it ever reaches 1/α with
/// probability at most α (Ville): whenever it does, δ is refuted, however often one looked. This is
/// grid Kelly betting (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
/// variables by betting", §4 and appendix B), moved from [0, 1] to [−1, 1]. Wealth depends on
/// the counts of each difference, not on their order.
///
/// Pairs may be trials of the same scenario, or of different ones matched in any fixed order;
/// partial credits are fine. What is needed is that the pairs enter in an order that does not
/// depend on their results.
#[derive(Debug, Clone)]
pub struct BettingTest {
    /// Distinct differences in ascending order, and how often each occurred.
    counts: Vec<(f64, u64)>,
    pairs: u64,
    sum: f64,
    log_wealth: [[f64; STAKES]; 2],
    best: [f64; 2],
}

/// Stakes, denser towards both ends: the arcsine law, under which mixing costs about ½ ln n.
fn stakes() -> [f64; STAKES] {
    std::array::from_fn(|j| {
        let share = (j as f64 + 0.5) / STAKES as f64;
        (std::f64::consts::FRAC_PI_2 * share).sin().powi(2)
    })
}

fn ln_mean_exp(terms: &[f64; STAKES]) -> f64 {
    ln_sum_exp(terms) - (STAKES as f64).ln()
}

impl Default for BettingTest {
    fn default() -> Self {
        Self::new()
    }
}

impl BettingTest {
    /// A test that has seen nothing.
    pub fn new() -> Self {
        let log_wealth = [[0.0; STAKES]; 2];
        Self { counts: Vec::new(), pairs: 0, sum: 0.0, log_wealth, best: [0.0; 2] }
    }

    /// Takes the scores of one pair.
    ///
    /// # Errors
    /// [`SequentialError::Score`]; the pair then does not count.
    pub fn observe(&mut self, a: f64, b: f64) -> Result<(), SequentialError> {
        for score in [a, b] {
            if !(0.0..=1.0).contains(&score) {
                return Err(SequentialError::Score { score });
            }
        }
        // Adding zero makes a negative zero positive.
        let difference = a - b + 0.0;
        self.pairs += 1;
        self.sum += difference;
        match self.counts.binary_search_by(|(d, _)| d.total_cmp(&difference)) {
            Ok(index) => self.counts[index].1 += 1,
            Err(index) => self.counts.insert(index, (difference, 1)),
        }
        if difference == 0.0 {
            // Whatever the stake, nothing is won or lost.
            return Ok(());
        }
        for (index, stake) in stakes().into_iter().enumerate() {
            self.log_wealth[0][index] += (stake * difference).ln_1p();
            self.log_wealth[1][index] += (-stake * difference).ln_1p();
        }
        for (best, wealth) in self.best.iter_mut().zip(&self.log_wealth) {
            *best = best.max(ln_mean_exp(wealth));
        }
        Ok(())
    }

    /// Pairs so far.
    pub fn pairs(&self) -> u64 {
        self.pairs
    }

    /// Mean score of A minus mean score of B; none before the first pair.
    pub fn difference(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.sum / self.pairs as f64)
    }

    /// ln of the largest wealth so far of betting on A: evidence that A succeeds more often. At
    /// least ln(1/α) with probability at most α if it does not.
    pub fn ln_evidence_for_a(&self) -> f64 {
        self.best[0]
    }

    /// The same for B.
    pub fn ln_evidence_for_b(&self) -> f64 {
        self.best[1]
    }

    /// The two-sided p value, valid at whatever moment one stops.
    pub fn p(&self) -> f64 {
        (2.0 * (-self.best[0].max(self.best[1])).exp()).min(1.0)
    }

    /// The differences that are not refuted now: holds the mean difference at all moments at once
    /// with probability `level`.
    ///
    /// # Errors
    /// [`SequentialError::Level`].
    pub fn interval(&self, level: f64) -> Result<Interval, SequentialError> {
        if !(level > 0.0 && level < 1.0) {
            return Err(SequentialError::Level { level });
        }
        let bound = (2.0 / (1.0 - level)).ln();
        let (low, high) = match self.difference() {
            None => (-1.0, 1.0),
            Some(mean) => (-self.reach(-mean, bound, |d| -d), self.reach(mean, bound, |d| d)),
        };
        Ok(Interval { low, high, level, method: IntervalMethod::ConfidenceSequence })
    }

    /// The smallest δ above `mean` that the gambler on the other side refutes.
    fn reach(&self, mean: f64, bound: f64, sign: fn(f64) -> f64) -> f64 {
        // Wealth of betting that the mean is below δ: it grows with δ, and is at most 1 at the mean.
        let wealth = |delta: f64| {
            let terms = stakes().map(|stake| {
                let term = |(d, count): &(f64, u64)| {
                    let factor = 1.0 - stake + stake * (1.0 - sign(*d)) / (1.0 - delta);
                    *count as f64 * factor.ln()
                };
                self.counts.iter().map(term).sum::<f64>()
            });
            ln_mean_exp(&terms)
        };
        let (mut low, mut high) = (mean, 1.0);
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if middle < 1.0 && wealth(middle) < bound {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wealth_is_what_the_bets_pay() {
        let mut test = BettingTest::new();
        test.observe(1.0, 0.0).unwrap();
        // One win pays 1 + c; the stakes' mean is ½ by symmetry.
        assert!((test.ln_evidence_for_a() - 1.5_f64.ln()).abs() < 1e-12);
        assert_eq!(test.ln_evidence_for_b(), 0.0);
        assert_eq!(test.p(), 1.0);
        assert!(test.observe(1.5, 0.0).is_err() && test.observe(0.0, f64::NAN).is_err());
        assert_eq!(test.pairs(), 1);
    }

    #[test]
    fn wealth_is_a_martingale_when_the_policies_are_equal() {
        // The mean over all 3⁵ sequences of five equally likely-signed differences is 1.
        let mut mean = 0.0;
        for code in 0..243_u32 {
            let mut test = BettingTest::new();
            let mut weight = 1.0;
            let mut rest = code;
            for _ in 0..5 {
                let (a, b, p) =
                    [(1.0, 0.0, 0.3), (0.0, 1.0, 0.3), (1.0, 1.0, 0.4)][(rest % 3) as usize];
                test.observe(a, b).unwrap();
                weight *= p;
                rest /= 3;
            }
            mean += weight * ln_mean_exp(&test.log_wealth[0]).exp();
        }
        assert!((mean - 1.0).abs() < 1e-12);
    }

    #[test]
    fn steady_wins_settle_it_and_ties_do_not() {
        let mut test = BettingTest::new();
        for _ in 0..200 {
            test.observe(1.0, 1.0).unwrap();
        }
        assert_eq!(test.p(), 1.0);
        let mut wins = BettingTest::new();
        let settled = (1..100).find(|_| {
            wins.observe(1.0, 0.0).unwrap();
            wins.p() <= 0.05
        });
        assert!(settled.is_some_and(|n| n <= 9), "{settled:?}");
        assert!(wins.interval(0.95).unwrap().low > 0.0);
    }

    #[test]
    fn before_the_first_pair_nothing_is_known() {
        let interval = BettingTest::new().interval(0.95).unwrap();
        assert_eq!((interval.low, interval.high), (-1.0, 1.0));
        assert_eq!(BettingTest::new().difference(), None);
        assert!(BettingTest::new().interval(1.0).is_err());
    }

    proptest! {
        #[test]
        fn intervals_agree_with_the_test_and_mirror(
            pairs in prop::collection::vec((0..=4_u8, 0..=4_u8), 1..60),
        ) {
            let (mut test, mut mirror) = (BettingTest::new(), BettingTest::new());
            for (a, b) in pairs {
                let (a, b) = (f64::from(a) / 4.0, f64::from(b) / 4.0);
                test.observe(a, b).unwrap();
                mirror.observe(b, a).unwrap();
            }
            let interval = test.interval(0.95).unwrap();
            prop_assert!(interval.contains(test.difference().unwrap()));
            prop_assert!(-1.0 <= interval.low && interval.high <= 1.0);
            let other = mirror.interval(0.95).unwrap();
            prop_assert!((interval.low + other.high).abs() < 1e-9);
            // Zero is outside exactly when the present wealth refutes it.
            let now = ln_mean_exp(&test.log_wealth[0]);
            prop_assert_eq!(interval.low > 1e-9, now > 40.0_f64.ln() + 1e-7);
        }
    }
}
