//! The difference of two policies' corrected rates.

use std::collections::BTreeMap;

use rehearse_scoring::interval::{Interval, IntervalMethod};
use serde::{Deserialize, Serialize};

use super::{Sample, Stratified};
use crate::error::CalibrationError;

/// How much each scenario moves a stratified estimate, by stratum and scenario.
///
/// Two policies met in the same scenarios err together; the products of their influences, summed
/// over the scenarios that they share, are the covariance of their estimates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Influence(BTreeMap<(usize, String), f64>);

impl Influence {
    /// Nothing known of scenarios: estimates are then taken as independent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds stratum `index` with its `share` of the overall mean (shares add up to 1), the λ of
    /// its estimate, and the names of its scenarios: those of the pairs and the unpaired ones.
    ///
    /// # Errors
    /// [`CalibrationError::Length`] when names and results differ in number.
    pub fn add_stratum(
        &mut self,
        index: usize,
        share: f64,
        lambda: f64,
        sample: &Sample<'_>,
        paired: &[String],
        unpaired: &[String],
    ) -> Result<(), CalibrationError> {
        for (names, results) in
            [(paired.len(), sample.real().len()), (unpaired.len(), sample.unpaired().len())]
        {
            if names != results {
                return Err(CalibrationError::Length {
                    what: "scenario names",
                    got: names,
                    expected: results,
                });
            }
        }
        let residuals: Vec<f64> =
            sample.real().iter().zip(sample.imagined()).map(|(y, f)| y - lambda * f).collect();
        let mut put = |names: &[String], values: &[f64], scale: f64| {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            for (name, value) in names.iter().zip(values) {
                self.0.insert((index, name.clone()), share * scale * (value - mean) / n);
            }
        };
        put(paired, &residuals, 1.0);
        put(unpaired, sample.unpaired(), lambda);
        Ok(())
    }

    /// The correlation of two estimates through the scenarios that they share.
    ///
    /// Shrunk a little, as two trials' worth of independence, for a few scenarios can agree by
    /// chance.
    fn correlation(&self, other: &Self) -> f64 {
        let variance = |it: &Self| it.0.values().map(|v| v * v).sum::<f64>();
        let scale = (variance(self) * variance(other)).sqrt();
        let shared: Vec<f64> =
            self.0.iter().filter_map(|(key, value)| Some(value * other.0.get(key)?)).collect();
        let n = shared.len() as f64;
        if scale > 0.0 && n > 0.0 {
            (shared.iter().sum::<f64>() / scale).clamp(-1.0, 1.0) * n / (n + 2.0)
        } else {
            0.0
        }
    }
}

/// By how much one policy's real rate exceeds another's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The first policy's estimate less the second's.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
    /// Correlation of the two estimates through shared scenarios.
    pub correlation: f64,
}

/// The difference `a − b` of two estimates over the same strata.
///
/// The interval recovers each side's variance at the ends of its own interval (Zou and Donner
/// 2008, "Construction of confidence intervals about effect measures"), which at λ = 0 and one
/// stratum is Newcombe's (1998, method 10) hybrid score interval.
///
/// # Errors
/// [`CalibrationError::Parameter`] when the two intervals differ in level;
/// [`CalibrationError::Length`] when the numbers of strata differ.
pub fn difference(
    a: &Stratified,
    influence_a: &Influence,
    b: &Stratified,
    influence_b: &Influence,
) -> Result<Difference, CalibrationError> {
    if a.interval.level != b.interval.level {
        return Err(CalibrationError::Parameter {
            name: "confidence level of the second estimate",
            value: b.interval.level,
            expected: "the level of the first",
        });
    }
    if a.strata.len() != b.strata.len() {
        return Err(CalibrationError::Length {
            what: "strata of the second estimate",
            got: b.strata.len(),
            expected: a.strata.len(),
        });
    }
    let correlation = influence_a.correlation(influence_b);
    let value = a.value - b.value;
    let level = a.interval.level;
    let below = (a.value - a.interval.low, b.interval.high - b.value);
    let above = (a.interval.high - a.value, b.value - b.interval.low);
    let low = value - recovered(below, correlation);
    let high = value + recovered(above, correlation);
    Ok(Difference {
        value,
        interval: Interval { low, high, level, method: IntervalMethod::PredictionPowered },
        correlation,
    })
}

fn recovered((a, b): (f64, f64), correlation: f64) -> f64 {
    (a * a - 2.0 * correlation * a * b + b * b).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use rehearse_scoring::interval::IntervalMethod;

    use super::super::{Method, Stratum, StratumTuning, stratified};
    use super::*;

    fn names(prefix: &str, n: usize) -> Vec<String> {
        (0..n).map(|i| format!("{prefix}{i}")).collect()
    }

    fn classical(real: &[f64]) -> (Stratified, Influence) {
        let sample = Sample::new(real, real, &[]).unwrap();
        let strata = [Stratum { weight: 1.0, sample }];
        let estimate = stratified(&strata, Method::Score, StratumTuning::Fixed(0.0), 0.95).unwrap();
        let mut influence = Influence::new();
        influence.add_stratum(0, 1.0, 0.0, &sample, &names("s", real.len()), &[]).unwrap();
        (estimate, influence)
    }

    fn trials(successes: usize, n: usize) -> Vec<f64> {
        (0..n).map(|i| f64::from(u8::from(i < successes))).collect()
    }

    #[test]
    fn without_imagination_and_apart_it_is_newcombes_interval() {
        // 56/70 against 48/80: Newcombe (1998), table II, example (a), method 10: 0.0524 to 0.3339.
        let (a, _) = classical(&trials(56, 70));
        let (b, _) = classical(&trials(48, 80));
        let got = difference(&a, &Influence::new(), &b, &Influence::new()).unwrap();
        assert!((got.value - 0.2).abs() < 1e-15);
        assert!((got.interval.low - 0.0524).abs() < 5e-5, "{:?}", got.interval);
        assert!((got.interval.high - 0.3339).abs() < 5e-5, "{:?}", got.interval);
        assert_eq!(got.interval.method, IntervalMethod::PredictionPowered);
    }

    #[test]
    fn shared_scenarios_make_the_difference_sharper() {
        let (a, shared_a) = classical(&trials(30, 50));
        let (b, shared_b) = classical(&trials(25, 50));
        let together = difference(&a, &shared_a, &b, &shared_b).unwrap();
        let apart = difference(&a, &Influence::new(), &b, &Influence::new()).unwrap();
        // φ of 25 both, 5 only a, 20 neither: 0.8165, shrunk by 50 / 52.
        let phi = (25.0 * 20.0) / (30.0_f64 * 20.0 * 25.0 * 25.0).sqrt();
        assert!((together.correlation - phi * 50.0 / 52.0).abs() < 1e-12);
        assert!(together.interval.width() < 0.7 * apart.interval.width());
        assert_eq!(together.value, apart.value);
    }

    #[test]
    fn swapping_the_policies_mirrors_the_interval() {
        let (a, ia) = classical(&trials(9, 20));
        let (b, ib) = classical(&trials(13, 20));
        let (ab, ba) =
            (difference(&a, &ia, &b, &ib).unwrap(), difference(&b, &ib, &a, &ia).unwrap());
        assert!((ab.interval.low + ba.interval.high).abs() < 1e-15);
        assert_eq!(ab.value, -ba.value);
    }
}
