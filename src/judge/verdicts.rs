//! Verdicts on whole episodes, counted against the truth.

use rehearse_calibration::estimate::JudgeCounts;
use rehearse_scenarios::outcome::Outcome;
use rehearse_scoring::rate::{Rate, RateMethod};
use serde::{Deserialize, Serialize};

use super::JudgeError;

/// Confidence level of every interval.
const LEVEL: f64 = 0.95;

/// How often a judge said what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdicts {
    /// Episodes said to succeed.
    pub success: u64,
    /// Episodes said to fail.
    pub failure: u64,
    /// Episodes of which the judge could not tell.
    pub unsure: u64,
}

/// Verdicts on episodes whose outcome is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeCheck {
    /// Episodes.
    pub episodes: u64,
    /// Verdicts on those that truly succeeded.
    pub of_successes: Verdicts,
    /// Verdicts on those that truly failed.
    pub of_failures: Verdicts,
    /// Share of decided true successes that are called so.
    pub sensitivity: Option<Rate>,
    /// Share of decided true failures that are called so.
    pub specificity: Option<Rate>,
}

impl Verdicts {
    const fn count(&mut self, verdict: &Outcome) {
        match verdict {
            Outcome::Success => self.success += 1,
            Outcome::Failure => self.failure += 1,
            Outcome::Unsure | Outcome::Void { .. } => self.unsure += 1,
        }
    }

    const fn decided(self) -> u64 {
        self.success + self.failure
    }
}

impl OutcomeCheck {
    /// Counts verdicts, each beside whether the episode truly succeeded.
    pub(super) fn of(verdicts: impl Iterator<Item = (bool, Outcome)>) -> Result<Self, JudgeError> {
        let mut check = Self::default();
        for (succeeded, verdict) in verdicts {
            check.episodes += 1;
            let side = if succeeded { &mut check.of_successes } else { &mut check.of_failures };
            side.count(&verdict);
        }
        check.with_rates()
    }

    /// The same of a confusion matrix, `confusion[truth][verdict]`.
    ///
    /// # Errors
    /// [`JudgeError::Rate`].
    pub fn of_confusion(confusion: [[u64; 2]; 2]) -> Result<Self, JudgeError> {
        let verdicts = |[failure, success]: [u64; 2]| Verdicts { success, failure, unsure: 0 };
        Self {
            episodes: confusion.as_flattened().iter().sum(),
            of_successes: verdicts(confusion[1]),
            of_failures: verdicts(confusion[0]),
            ..Self::default()
        }
        .with_rates()
    }

    fn with_rates(mut self) -> Result<Self, JudgeError> {
        let rate = |part: u64, whole: u64| {
            (whole > 0).then(|| Rate::of_counts(part, whole, RateMethod::Wilson, LEVEL)).transpose()
        };
        self.sensitivity = rate(self.of_successes.success, self.of_successes.decided())?;
        self.specificity = rate(self.of_failures.failure, self.of_failures.decided())?;
        Ok(self)
    }

    /// The counts that a rate is corrected by. Unsure verdicts are in no rate, and not in these.
    pub const fn counts(&self) -> JudgeCounts {
        JudgeCounts {
            successes: self.of_successes.decided(),
            successes_seen: self.of_successes.success,
            failures: self.of_failures.decided(),
            failures_seen: self.of_failures.failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_counted_on_the_side_of_the_truth() {
        let verdicts = [
            (true, Outcome::Success),
            (true, Outcome::Success),
            (true, Outcome::Failure),
            (true, Outcome::Unsure),
            (false, Outcome::Success),
            (false, Outcome::Failure),
            (false, Outcome::Failure),
            (false, Outcome::Failure),
        ];
        let check = OutcomeCheck::of(verdicts.into_iter()).unwrap();
        assert_eq!(check.episodes, 8);
        assert_eq!(check.of_successes, Verdicts { success: 2, failure: 1, unsure: 1 });
        assert_eq!(check.of_failures, Verdicts { success: 1, failure: 3, unsure: 0 });
        let sensitivity = check.sensitivity.unwrap();
        assert_eq!((sensitivity.value, sensitivity.n), (2.0 / 3.0, 3));
        assert_eq!(check.specificity.unwrap().value, 0.75);
        // Rogan and Gladen by hand: (0.5 + 0.75 − 1) / (2/3 + 0.75 − 1) = 0.6.
        let corrected = check.counts().correct(0.5, 100.0, 0.95).unwrap();
        assert!((corrected.value - 0.6).abs() < 1e-12, "{corrected:?}");
    }

    #[test]
    fn a_truth_that_never_occurs_has_no_rate() {
        let check = OutcomeCheck::of([(true, Outcome::Success)].into_iter()).unwrap();
        assert_eq!(check.specificity, None);
    }
}
