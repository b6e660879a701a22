//! E-process for two streams of successes and failures.

use crate::compare::constrained_rates;
use crate::interval::{Interval, IntervalMethod};

use super::SequentialError;

/// Prior successes and failures of each stream before anything is seen; Turner and Grünwald's
/// choice for blocks of one and one.
const PRIOR: f64 = 0.18;

/// Steps of the differences that a confidence sequence tries.
const STEP: f64 = 0.005;

/// A test of "A and B succeed equally often" for two independent streams of successes and
/// failures, which may be looked at after every block of one trial of each.
///
/// The e-process of Turner, Ly and Grünwald (2024, "Generic E-variables for exact sequential
/// k-sample tests that allow for optional stopping", §3) with its extension to differences
/// (Turner and Grünwald 2023, "Exact anytime-valid confidence intervals for contingency tables and
/// beyond"). Before each block the rates are estimated from the blocks before it; the block's
/// e-value is its likelihood under these estimates over that under the closest pair of rates (in
/// Kullback–Leibler divergence) that differ by δ. With no evidence for a difference beyond δ in
/// the tested direction it is 1.
///
/// Where both streams are Bernoulli with constant rates it grows faster than
/// [`BettingTest`](super::BettingTest) in the end, for it learns from blocks in which both succeed
/// or both fail too. At the numbers of trials of robot evaluations what it spends on learning the
/// rates weighs more, and `BettingTest` settles a little sooner (`docs/sequential.md`); that one
/// also takes pairs on shared scenarios and partial credit.
#[derive(Debug, Clone, Default)]
pub struct TwoSample {
    blocks: Vec<(bool, bool)>,
    now: [Walk; 2],
}

/// A direction's evidence, block by block.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
    successes: (f64, f64),
    blocks: f64,
    ln_e: f64,
    best: f64,
}

impl Walk {
    /// Multiplies in the e-value of one block against "A minus B is at most `delta`".
    fn step(&mut self, a: bool, b: bool, delta: f64) {
        let estimate = |successes: f64| (successes + PRIOR) / (self.blocks + 2.0 * PRIOR);
        let (p, q) = (estimate(self.successes.0), estimate(self.successes.1));
        if p - q > delta {
            let (p0, q0) = constrained_rates(p, 1.0, q, 1.0, delta);
            let ratio = |success: bool, p: f64, p0: f64| {
                if success { p / p0 } else { (1.0 - p) / (1.0 - p0) }
            };
            self.ln_e += (ratio(a, p, p0) * ratio(b, q, q0)).ln();
            self.best = self.best.max(self.ln_e);
        }
        self.successes.0 += f64::from(u8::from(a));
        self.successes.1 += f64::from(u8::from(b));
        self.blocks += 1.0;
    }
}

impl TwoSample {
    /// A test that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one block: whether the next trial of A and the next of B succeeded.
    pub fn observe(&mut self, a: bool, b: bool) {
        self.blocks.push((a, b));
        self.now[0].step(a, b, 0.0);
        self.now[1].step(b, a, 0.0);
    }

    /// Blocks so far.
    pub fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Rate of A minus rate of B; none before the first block.
    pub fn difference(&self) -> Option<f64> {
        let sum: i64 = self.blocks.iter().map(|(a, b)| i64::from(*a) - i64::from(*b)).sum();
        (!self.blocks.is_empty()).then(|| sum as f64 / self.blocks.len() as f64)
    }

    /// ln of the largest e-value so far that A succeeds more often. At least ln(1/α) with
    /// probability at most α if it does not.
    pub fn ln_evidence_for_a(&self) -> f64 {
        self.now[0].best
    }

    /// The same for B.
    pub fn ln_evidence_for_b(&self) -> f64 {
        self.now[1].best
    }

    /// The two-sided p value, valid at whatever moment one stops.
    pub fn p(&self) -> f64 {
        (2.0 * (-self.now[0].best.max(self.now[1].best)).exp()).min(1.0)
    }

    /// The differences never refuted so far, to the step of 0.005 outwards: holds the true one at
    /// all moments at once with probability `level`. Costs a pass over all blocks per step.
    ///
    /// # Errors
    /// [`SequentialError::Level`].
    pub fn interval(&self, level: f64) -> Result<Interval, SequentialError> {
        if !(level > 0.0 && level < 1.0) {
            return Err(SequentialError::Level { level });
        }
        let bound = (2.0 / (1.0 - level)).ln();
        let end = |swap: bool| {
            let steps = (1.0 / STEP).round() as i32;
            let first_kept = (1 - steps..steps).find(|&step| {
                let mut walk = Walk::default();
                for &(a, b) in &self.blocks {
                    let (a, b) = if swap { (b, a) } else { (a, b) };
                    walk.step(a, b, f64::from(step) * STEP);
                }
                walk.best < bound
            });
            // The last refuted step: the end lies between it and the first that is kept.
            f64::from(first_kept.unwrap_or(steps) - 1) * STEP
        };
        let (low, high) = (end(false), -end(true));
        Ok(Interval { low, high, level, method: IntervalMethod::ConfidenceSequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_is_worth_nothing_and_the_second_what_was_learnt() {
        let mut test = TwoSample::new();
        test.observe(true, false);
        assert_eq!((test.ln_evidence_for_a(), test.ln_evidence_for_b()), (0.0, 0.0));
        test.observe(true, false);
        // Estimates 1.18/1.36 and 0.18/1.36, null at ½: (2 · 1.18/1.36)².
        let expected = 2.0 * (2.0 * 1.18 / 1.36_f64).ln();
        assert!((test.ln_evidence_for_a() - expected).abs() < 1e-12);
        assert!((test.p() - 2.0 * (-expected).exp()).abs() < 1e-12);
    }

    #[test]
    fn e_values_have_mean_at_most_one_under_every_null() {
        // All 4⁴ sequences of four blocks, rates on and beyond the line of difference δ.
        for delta in [-0.3, 0.0, 0.2] {
            for (p, beyond) in [(0.5, 0.0), (0.35, 0.0), (0.6, 0.1), (0.4, 0.25)] {
                let q: f64 = p - delta + beyond;
                let mut mean = 0.0;
                for code in 0..256_u32 {
                    let mut walk = Walk::default();
                    let mut weight = 1.0;
                    for block in 0..4 {
                        let bits = code >> (2 * block);
                        let (a, b) = (bits & 1 == 1, bits & 2 == 2);
                        weight *= if a { p } else { 1.0 - p } * if b { q } else { 1.0 - q };
                        walk.step(a, b, delta);
                    }
                    mean += weight * walk.ln_e.exp();
                }
                assert!(mean <= 1.0 + 1e-9, "δ {delta}, p {p}, q {q}: mean {mean}");
            }
        }
    }

    #[test]
    fn the_interval_shrinks_around_the_difference() {
        let mut test = TwoSample::new();
        let whole = test.interval(0.95).unwrap();
        assert_eq!((whole.low, whole.high), (-1.0, 1.0));
        for i in 0..300 {
            test.observe(i % 10 < 7, i % 10 < 4);
        }
        let interval = test.interval(0.95).unwrap();
        assert!(interval.contains(test.difference().unwrap()));
        assert!(interval.low > 0.0 && interval.high < 0.6, "{interval}");
        assert!(test.interval(0.0).is_err());
    }
}
