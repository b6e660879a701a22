//! Score intervals at an effective number of trials.

use rehearse_scoring::interval::{Interval, IntervalMethod};
use rehearse_scoring::special::normal_critical;

/// One stratum of a weighted sum of rates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScoreTerm {
    /// Its weight; all weights add up to 1.
    pub(crate) weight: f64,
    /// Its estimated rate in [0, 1].
    pub(crate) rate: f64,
    /// How many independent real trials of a rate this estimate is worth; greater than 0.
    pub(crate) trials: f64,
}

/// The score interval of a weighted sum of rates.
///
/// One stratum gets Wilson's interval with its effective number of trials. Several get the
/// stratified Wilson interval of Yan and Su (2010, "Stratified Wilson and Newcombe confidence
/// intervals for multiple binomial proportions", Statistics in Biopharmaceutical Research 2):
/// every stratum's interval is taken at the level at which the weighted sum of their ends has the
/// level asked for.
pub(crate) fn score_interval(terms: &[ScoreTerm], level: f64) -> Interval {
    let z = normal_critical(level);
    let deviation = |term: &ScoreTerm| {
        // Half a success and half a failure, so that a stratum at 0 or 1 still has a say.
        let rate = (term.rate * term.trials + 0.5) / (term.trials + 1.0);
        term.weight * (rate * (1.0 - rate) / term.trials).sqrt()
    };
    let root = terms.iter().map(|t| deviation(t).powi(2)).sum::<f64>().sqrt();
    let sum = terms.iter().map(deviation).sum::<f64>();
    let z = if sum > 0.0 { z * root / sum } else { z };
    let mut ends = (0.0, 0.0);
    for term in terms {
        let (low, high) = wilson(term.rate, term.trials, z);
        ends.0 += term.weight * low;
        ends.1 += term.weight * high;
    }
    Interval {
        low: f64::clamp(ends.0, 0.0, 1.0),
        high: f64::clamp(ends.1, 0.0, 1.0),
        level,
        method: IntervalMethod::PredictionPowered,
    }
}

/// Wilson's interval at `z`, for a number of trials that need not be whole.
fn wilson(rate: f64, trials: f64, z: f64) -> (f64, f64) {
    let shrink = 1.0 + z * z / trials;
    let centre = (rate + z * z / (2.0 * trials)) / shrink;
    let half = z / shrink * (rate * (1.0 - rate) / trials + z * z / (4.0 * trials * trials)).sqrt();
    // Exact at the ends, where rounding would leave 1e-17.
    let low = if rate <= 0.0 { 0.0 } else { (centre - half).min(rate) };
    let high = if rate >= 1.0 { 1.0 } else { (centre + half).max(rate) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use rehearse_scoring::rate;

    use super::*;

    #[test]
    fn whole_trials_of_one_stratum_give_wilsons_interval() {
        for (successes, trials) in [(0, 10), (3, 10), (17, 25), (100, 100)] {
            let rate = f64::from(successes) / trials as f64;
            let term = ScoreTerm { weight: 1.0, rate, trials: trials as f64 };
            let got = score_interval(&[term], 0.95);
            let expected = rate::wilson(f64::from(successes), trials, 0.95).unwrap();
            assert!((got.low - expected.low).abs() < 1e-14);
            assert!((got.high - expected.high).abs() < 1e-14);
        }
    }

    #[test]
    fn equal_strata_are_as_wide_as_their_sum() {
        // Four strata of 25 trials at ½ carry the variance of one of 100, and Yan and Su's
        // intervals at z/2 have Wilson's shrinkage of one of 100.
        let quarter = ScoreTerm { weight: 0.25, rate: 0.5, trials: 25.0 };
        let four = score_interval(&[quarter; 4], 0.95);
        let one = score_interval(&[ScoreTerm { weight: 1.0, rate: 0.5, trials: 100.0 }], 0.95);
        assert!((four.low - one.low).abs() < 1e-14 && (four.high - one.high).abs() < 1e-14);
    }
}
