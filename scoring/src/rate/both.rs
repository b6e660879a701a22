//! The rate of a tally under both denominators.

use serde::{Deserialize, Serialize};

use crate::trial::Tally;

use super::{Rate, RateError, RateMethod};

/// What became of a set of trials: a rate among those that were decided, the same with every
/// trial in the denominator, and how many were void or unsure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BothRates {
    /// Successes among decided trials; none when no trial was decided.
    pub decided: Option<Rate>,
    /// Successes among all trials, void and unsure included; none when there are no trials.
    pub attempted: Option<Rate>,
    /// Trials in which something broke.
    pub void: u64,
    /// Trials that the judge could not tell.
    pub unsure: u64,
}

impl BothRates {
    /// Both rates of `tally`. Tallies with partial credits get Wilson's interval whatever the
    /// method (see [`Rate::of_credit`]).
    ///
    /// # Errors
    /// [`RateError::Level`].
    pub fn of(tally: &Tally, method: RateMethod, level: f64) -> Result<Self, RateError> {
        let rate = |n: u64| {
            if n == 0 {
                // The level is checked even where there is nothing to apply it to.
                Rate::of_counts(0, 1, method, level).map(|_| None)
            } else if tally.partials == 0 {
                Rate::of_counts(tally.successes, n, method, level).map(Some)
            } else {
                Rate::of_credit(tally.credit, n, level).map(Some)
            }
        };
        Ok(Self {
            decided: rate(tally.decided())?,
            attempted: rate(tally.total())?,
            void: tally.void,
            unsure: tally.unsure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Verdict;

    #[test]
    fn void_and_unsure_are_in_one_denominator_only() {
        let mut tally = Tally::default();
        for verdict in [Verdict::Success, Verdict::Failure, Verdict::Void, Verdict::Unsure] {
            tally.add(verdict);
        }
        let both = BothRates::of(&tally, RateMethod::Wilson, 0.95).unwrap();
        let (decided, attempted) = (both.decided.unwrap(), both.attempted.unwrap());
        assert_eq!((decided.value, decided.n), (0.5, 2));
        assert_eq!((attempted.value, attempted.n), (0.25, 4));
        assert_eq!((both.void, both.unsure), (1, 1));
    }

    #[test]
    fn nothing_decided_gives_no_rate_rather_than_nan() {
        let mut tally = Tally::default();
        tally.add(Verdict::Void);
        let both = BothRates::of(&tally, RateMethod::Wilson, 0.95).unwrap();
        assert_eq!(both.decided, None);
        assert_eq!(both.attempted.unwrap().value, 0.0);
        assert!(BothRates::of(&Tally::default(), RateMethod::Wilson, 2.0).is_err());
    }
}
