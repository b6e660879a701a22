//! A success rate that may be looked at after every trial.

use crate::interval::{Interval, IntervalMethod};
use crate::special::ln_beta;

use super::SequentialError;

/// The rates that `successes` of `trials` do not refute, at all moments at once: the confidence
/// sequence of the Beta(½, ½) mixture (Robbins 1970; Howard et al. 2021, §3.2).
///
/// The likelihood ratio of the mixture to any rate p is a martingale under p, and so ever reaches
/// 1/α with probability at most α.
///
/// # Errors
/// [`SequentialError::Level`], [`SequentialError::Counts`].
pub fn rate_sequence(successes: u64, trials: u64, level: f64) -> Result<Interval, SequentialError> {
    if !(level > 0.0 && level < 1.0) {
        return Err(SequentialError::Level { level });
    }
    if successes > trials {
        return Err(SequentialError::Counts { successes, trials });
    }
    let (k, rest) = (successes as f64, (trials - successes) as f64);
    let mixture = ln_beta(k + 0.5, rest + 0.5) - ln_beta(0.5, 0.5);
    let bound = -(1.0 - level).ln();
    let power = |p: f64, n: f64| if n == 0.0 { 0.0 } else { n * p.ln() };
    let refuted = |p: f64| mixture - power(p, k) - power(1.0 - p, rest) >= bound;
    let estimate = if trials == 0 { 0.5 } else { k / trials as f64 };
    let end = |limit: f64| {
        if !refuted(limit) {
            return limit;
        }
        let (mut inside, mut outside) = (estimate, limit);
        for _ in 0..60 {
            let middle = f64::midpoint(inside, outside);
            if refuted(middle) {
                outside = middle;
            } else {
                inside = middle;
            }
        }
        outside
    };
    let (low, high) = (end(0.0), end(1.0));
    Ok(Interval { low, high, level, method: IntervalMethod::ConfidenceSequence })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::wilson;
    use crate::special::binomial_pmf;

    #[test]
    fn nothing_seen_nothing_refuted() {
        let all = rate_sequence(0, 0, 0.95).unwrap();
        assert_eq!((all.low, all.high), (0.0, 1.0));
        assert!(rate_sequence(2, 1, 0.95).is_err() && rate_sequence(1, 2, 0.0).is_err());
    }

    #[test]
    fn it_is_wider_than_an_interval_for_one_look_and_narrows() {
        let mut last = 1.0;
        for n in [10, 40, 160, 640] {
            let sequence = rate_sequence(n / 2, n, 0.95).unwrap();
            assert!(sequence.width() > wilson(n as f64 / 2.0, n, 0.95).unwrap().width());
            assert!(sequence.contains(0.5) && sequence.width() < last);
            last = sequence.width();
        }
    }

    #[test]
    fn the_mixture_is_a_martingale() {
        // Its mean under any rate is one.
        let (n, p) = (12_u64, 0.3_f64);
        let mean: f64 = (0..=n)
            .map(|k| {
                let (s, f) = (k as f64, (n - k) as f64);
                let ratio =
                    ln_beta(s + 0.5, f + 0.5) - ln_beta(0.5, 0.5) - s * p.ln() - f * (1.0 - p).ln();
                binomial_pmf(k, n, p) * ratio.exp()
            })
            .sum();
        assert!((mean - 1.0).abs() < 1e-12);
    }
}
