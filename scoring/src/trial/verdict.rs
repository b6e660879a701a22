//! How a trial ended, as scoring sees it.

use rehearse_scenarios::outcome::Outcome;

/// How a trial ended: an [`Outcome`] without its reason, or a partial credit.
///
/// Scores of exactly 0 and 1 are [`Failure`](Self::Failure) and [`Success`](Self::Success), so
/// that equal results compare equal whichever column they came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The task was done.
    Success,
    /// The task was not done.
    Failure,
    /// The task was done in part: a credit strictly between 0 and 1.
    Partial(f64),
    /// Something broke; the trial says nothing about the policy.
    Void,
    /// The judge could not tell.
    Unsure,
}

impl Verdict {
    /// The verdict of a score; none unless it is in [0, 1].
    pub fn from_score(score: f64) -> Option<Self> {
        match score {
            1.0 => Some(Self::Success),
            0.0 => Some(Self::Failure),
            s if s > 0.0 && s < 1.0 => Some(Self::Partial(s)),
            _ => None,
        }
    }

    /// The verdict of a word in the column `outcome`.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Success, Self::Failure, Self::Void, Self::Unsure]
            .into_iter()
            .find(|v| word.eq_ignore_ascii_case(v.as_str()))
    }

    /// The score in [0, 1]; none if void or unsure.
    pub fn score(self) -> Option<f64> {
        match self {
            Self::Success => Some(1.0),
            Self::Failure => Some(0.0),
            Self::Partial(credit) => Some(credit),
            Self::Void | Self::Unsure => None,
        }
    }

    /// The word in the column `outcome`. A partial credit is a `failure` there: the task was not
    /// done; the credit stands in the column `success`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure | Self::Partial(_) => "failure",
            Self::Void => "void",
            Self::Unsure => "unsure",
        }
    }
}

impl From<&Outcome> for Verdict {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Failure => Self::Failure,
            Outcome::Unsure => Self::Unsure,
            Outcome::Void { .. } => Self::Void,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_outside_the_unit_interval_are_no_verdict() {
        for score in [-0.1, 1.1, 72.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Verdict::from_score(score), None);
        }
        assert_eq!(Verdict::from_score(-0.0), Some(Verdict::Failure));
        assert_eq!(Verdict::from_score(0.25).and_then(Verdict::score), Some(0.25));
    }

    #[test]
    fn words_are_those_of_outcomes() {
        for outcome in [Outcome::Success, Outcome::Failure, Outcome::Unsure] {
            assert_eq!(Verdict::from_word(outcome.as_str()), Some(Verdict::from(&outcome)));
        }
        assert_eq!(Verdict::from_word("VOID"), Some(Verdict::Void));
        assert_eq!(Verdict::from_word("succes"), None);
    }
}
