//! Rates corrected for a judge that errs.

use rehearse_scoring::interval::{Interval, IntervalMethod};
use rehearse_scoring::special::normal_critical;
use serde::{Deserialize, Serialize};

use super::Estimate;
use crate::error::{CalibrationError, check_level, check_shares};

/// How a judge's verdicts compare with the truth on trials where both are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeCounts {
    /// True successes.
    pub successes: u64,
    /// True successes that the judge calls so.
    pub successes_seen: u64,
    /// True failures.
    pub failures: u64,
    /// True failures that the judge calls so.
    pub failures_seen: u64,
}

/// A rate corrected for the judge's errors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct JudgeCorrected {
    /// The corrected rate, kept within [0, 1].
    pub value: f64,
    /// Its interval: Lang and Reiczigel's.
    pub interval: Interval,
    /// The rate as the judge gave it.
    pub apparent: f64,
    /// Share of true successes that the judge calls so.
    pub sensitivity: f64,
    /// Share of true failures that the judge calls so.
    pub specificity: f64,
    /// Whether the correction led outside [0, 1] and was cut: then the judge does worse here than
    /// on the trials that its counts come from, or n is small.
    pub cut: bool,
}

impl JudgeCounts {
    /// Checks that the parts do not exceed their wholes.
    ///
    /// # Errors
    /// [`CalibrationError::Counts`]; [`CalibrationError::Empty`] without a true success or without
    /// a true failure; [`CalibrationError::UninformativeJudge`] where no correction exists.
    pub fn validate(&self) -> Result<(), CalibrationError> {
        let Self { successes, successes_seen, failures, failures_seen } = *self;
        for (what, part, whole) in [
            ("true successes called success", successes_seen, successes),
            ("true failures called failure", failures_seen, failures),
        ] {
            if part > whole {
                return Err(CalibrationError::Counts { what, part, whole });
            }
        }
        if successes == 0 {
            return Err(CalibrationError::Empty { what: "true successes to judge the judge by" });
        }
        if failures == 0 {
            return Err(CalibrationError::Empty { what: "true failures to judge the judge by" });
        }
        let (sensitivity, specificity) = (self.sensitivity(), self.specificity());
        if sensitivity + specificity <= 1.0 {
            return Err(CalibrationError::UninformativeJudge { sensitivity, specificity });
        }
        Ok(())
    }

    fn sensitivity(&self) -> f64 {
        self.successes_seen as f64 / self.successes as f64
    }

    fn specificity(&self) -> f64 {
        self.failures_seen as f64 / self.failures as f64
    }

    /// The true rate behind the `apparent` rate of `trials` judged trials.
    ///
    /// The estimate is Rogan and Gladen's (1978), `(q + Sp − 1) / (Se + Sp − 1)`; the interval is
    /// Lang and Reiczigel's (2014, "Confidence limits for prevalence of disease adjusted for
    /// estimated sensitivity and specificity", Preventive Veterinary Medicine 113), which carries
    /// the uncertainty of all three rates. `trials` need not be whole.
    ///
    /// # Errors
    /// As [`validate`](Self::validate); [`CalibrationError::Value`] for a rate outside [0, 1];
    /// [`CalibrationError::Parameter`] for a level outside (0, 1) or trials that are not positive.
    pub fn correct(
        &self,
        apparent: f64,
        trials: f64,
        level: f64,
    ) -> Result<JudgeCorrected, CalibrationError> {
        check_level(level)?;
        self.validate()?;
        check_shares("apparent rate", &[apparent])?;
        if !(trials > 0.0 && trials.is_finite()) {
            return Err(CalibrationError::Parameter {
                name: "number of judged trials",
                value: trials,
                expected: "a positive number",
            });
        }
        let (sensitivity, specificity) = (self.sensitivity(), self.specificity());
        let raw = (apparent + specificity - 1.0) / (sensitivity + specificity - 1.0);
        let (low, high) = self.ends(apparent, trials, normal_critical(level));
        let value = raw.clamp(0.0, 1.0);
        Ok(JudgeCorrected {
            value,
            // The ends belong to a shrunken estimate, which at small n may lie to one side.
            interval: Interval {
                low: low.clamp(0.0, 1.0).min(value),
                high: high.clamp(0.0, 1.0).max(value),
                level,
                method: IntervalMethod::RoganGladen,
            },
            apparent,
            sensitivity,
            specificity,
            cut: raw != value,
        })
    }

    /// The true rate behind a prediction-powered `estimate` whose real results the judge gave.
    ///
    /// The estimate counts as the rate of its effective number of trials, so its results should
    /// be successes and failures; with partial credits the interval is too wide.
    ///
    /// # Errors
    /// As [`correct`](Self::correct).
    pub fn correct_estimate(
        &self,
        estimate: &Estimate,
    ) -> Result<JudgeCorrected, CalibrationError> {
        self.correct(estimate.value, estimate.effective_trials, estimate.interval.level)
    }

    /// Lang and Reiczigel's limits, before they are cut to [0, 1].
    fn ends(&self, apparent: f64, trials: f64, z: f64) -> (f64, f64) {
        let (successes, failures) = (self.successes as f64 + 2.0, self.failures as f64 + 2.0);
        let sensitivity = (self.successes_seen as f64 + 1.0) / successes;
        let specificity = (self.failures_seen as f64 + 1.0) / failures;
        let n = trials + z * z;
        let apparent = (trials * apparent + z * z / 2.0) / n;
        let informedness = sensitivity + specificity - 1.0;
        let rate = (apparent + specificity - 1.0) / informedness;
        let missed = sensitivity * (1.0 - sensitivity) / successes;
        let imagined = specificity * (1.0 - specificity) / failures;
        let shift = 2.0 * z * z * (rate * missed - (1.0 - rate) * imagined);
        let variance = apparent * (1.0 - apparent) / n
            + rate * rate * missed
            + (1.0 - rate) * (1.0 - rate) * imagined;
        let half = z * variance.sqrt() / informedness;
        (rate + shift - half, rate + shift + half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERFECT: JudgeCounts =
        JudgeCounts { successes: 50, successes_seen: 50, failures: 50, failures_seen: 50 };

    #[test]
    fn a_rate_survives_the_judge_and_back() {
        // Se = 0.9, Sp = 0.8, true rate 0.3: the judge shows 0.3·0.9 + 0.7·0.2 = 0.41.
        let judge =
            JudgeCounts { successes: 100, successes_seen: 90, failures: 100, failures_seen: 80 };
        let got = judge.correct(0.41, 200.0, 0.95).unwrap();
        assert!((got.value - 0.3).abs() < 1e-15);
        assert!(!got.cut && got.interval.contains(0.3));
    }

    #[test]
    fn a_perfect_judge_changes_nothing_but_the_doubt_about_it() {
        let got = PERFECT.correct(0.6, 100.0, 0.95).unwrap();
        assert!((got.value - 0.6).abs() < 1e-15);
        let more = JudgeCounts {
            successes: 1_000_000,
            successes_seen: 1_000_000,
            failures: 1_000_000,
            failures_seen: 1_000_000,
        };
        let sure = more.correct(0.6, 100.0, 0.95).unwrap();
        assert!(sure.interval.width() < got.interval.width());
    }

    #[test]
    fn what_leads_outside_is_cut_and_said() {
        let judge =
            JudgeCounts { successes: 20, successes_seen: 18, failures: 20, failures_seen: 14 };
        let got = judge.correct(0.1, 30.0, 0.95).unwrap();
        assert_eq!((got.value, got.cut), (0.0, true));
        assert!(got.interval.low == 0.0 && got.interval.high < 1.0);
    }

    #[test]
    fn judges_without_sense_are_refused() {
        let chance =
            JudgeCounts { successes: 10, successes_seen: 5, failures: 10, failures_seen: 5 };
        assert!(matches!(
            chance.correct(0.5, 10.0, 0.95),
            Err(CalibrationError::UninformativeJudge { .. })
        ));
        let more = JudgeCounts { successes_seen: 51, ..PERFECT };
        assert!(matches!(more.correct(0.5, 10.0, 0.95), Err(CalibrationError::Counts { .. })));
        let none = JudgeCounts { failures: 0, failures_seen: 0, ..PERFECT };
        assert!(matches!(none.correct(0.5, 10.0, 0.95), Err(CalibrationError::Empty { .. })));
        for (rate, trials) in [(1.5, 10.0), (f64::NAN, 10.0), (0.5, 0.0), (0.5, f64::NAN)] {
            assert!(PERFECT.correct(rate, trials, 0.95).is_err(), "{rate} of {trials}");
        }
    }
}
