//! Agreement trial by trial, where both tables hold the same trials.

use serde::Serialize;

use crate::interval::Interval;
use crate::rate::{Rate, RateMethod};

/// How often imagination and the robot end the same trial the same way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialAgreement {
    /// Trials that both sides decided, matched by policy, task, scenario and repeat.
    pub pairs: u64,
    /// Share of pairs that end the same way.
    pub value: f64,
    /// Wilson's interval of it. Trials of one policy or task resemble each other, so the truth is
    /// somewhat wider.
    pub interval: Interval,
    /// Cohen's κ: agreement beyond what the two rates alone give; none if both sides are constant.
    pub kappa: Option<f64>,
    /// The pairs, counted.
    pub confusion: Confusion,
}

/// Pairs of trials, counted by their ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// Success on both sides.
    pub both: u64,
    /// Success on the robot only.
    pub real_only: u64,
    /// Success in imagination only: optimism.
    pub imagined_only: u64,
    /// Success on neither side.
    pub neither: u64,
}

impl Confusion {
    /// Counts a pair.
    pub(super) const fn add(&mut self, real: bool, imagined: bool) {
        match (real, imagined) {
            (true, true) => self.both += 1,
            (true, false) => self.real_only += 1,
            (false, true) => self.imagined_only += 1,
            (false, false) => self.neither += 1,
        }
    }

    /// Pairs in all.
    pub const fn pairs(&self) -> u64 {
        self.both + self.real_only + self.imagined_only + self.neither
    }

    /// Cohen's κ, in [-1, 1]; `None` without pairs, or where chance alone would always agree.
    pub fn kappa(&self) -> Option<f64> {
        let n = self.pairs() as f64;
        let real = (self.both + self.real_only) as f64 / n;
        let imagined = (self.both + self.imagined_only) as f64 / n;
        let observed = (self.both + self.neither) as f64 / n;
        let chance = real * imagined + (1.0 - real) * (1.0 - imagined);
        (chance < 1.0).then(|| (observed - chance) / (1.0 - chance))
    }
}

impl TrialAgreement {
    /// The agreement of counted pairs; `None` without any.
    pub(super) fn of(confusion: Confusion, level: f64) -> Option<Self> {
        let pairs = confusion.pairs();
        let same = confusion.both + confusion.neither;
        let Rate { value, interval, .. } =
            Rate::of_counts(same, pairs, RateMethod::Wilson, level).ok()?;
        Some(Self { pairs, value, interval, kappa: confusion.kappa(), confusion })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kappa_by_hand() {
        // Cohen's textbook table 20, 5, 10, 15: observed .7, chance .5.
        let confusion = Confusion { both: 20, real_only: 5, imagined_only: 10, neither: 15 };
        assert!((confusion.kappa().unwrap() - 0.4).abs() < 1e-15);
        let agreement = TrialAgreement::of(confusion, 0.95).unwrap();
        assert_eq!((agreement.pairs, agreement.value), (50, 0.7));
    }

    #[test]
    fn no_pairs_no_agreement() {
        assert_eq!(TrialAgreement::of(Confusion::default(), 0.95), None);
        let constant = Confusion { both: 9, ..Confusion::default() };
        assert_eq!(constant.kappa(), None);
    }
}
