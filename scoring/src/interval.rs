//! An interval, its level, and the method that made it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an interval was made. Every report names it, for two methods rarely give the same ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// Wilson's score interval for a proportion.
    Wilson,
    /// Clopper and Pearson's exact interval for a proportion.
    ClopperPearson,
    /// Jeffreys' equal-tailed interval for a proportion: Beta(½, ½) as the prior.
    Jeffreys,
    /// Newcombe's hybrid score interval for a difference of two proportions.
    Newcombe,
    /// Inverted score test of a difference: Miettinen and Nurminen's if unpaired, Tango's if paired.
    Score,
    /// Bias-corrected and accelerated bootstrap.
    Bca,
    /// Percentile bootstrap.
    Percentile,
    /// Basic (reverse percentile) bootstrap.
    Basic,
    /// Fisher's z transformation of a correlation.
    FisherZ,
    /// Normal approximation (estimate ± z standard errors).
    Normal,
    /// Bootstrap that draws trials anew within each cell, on both sides.
    TrialBootstrap,
    /// Posterior of the true rates, given the trials of both sides.
    TrialPosterior,
    /// Time-uniform: valid at every moment at once, however often one looks.
    ConfidenceSequence,
    /// Prediction-powered inference: few real trials and many imagined ones.
    PredictionPowered,
    /// Rogan and Gladen's correction of a rate for a judge that errs.
    RoganGladen,
}

impl fmt::Display for IntervalMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wilson => "Wilson",
            Self::ClopperPearson => "Clopper–Pearson",
            Self::Jeffreys => "Jeffreys",
            Self::Newcombe => "Newcombe",
            Self::Score => "score",
            Self::Bca => "BCa bootstrap",
            Self::Percentile => "percentile bootstrap",
            Self::Basic => "basic bootstrap",
            Self::FisherZ => "Fisher z",
            Self::Normal => "normal",
            Self::TrialBootstrap => "trial bootstrap",
            Self::TrialPosterior => "trial posterior",
            Self::ConfidenceSequence => "confidence sequence",
            Self::PredictionPowered => "prediction-powered",
            Self::RoganGladen => "Rogan–Gladen",
        })
    }
}

/// A two-sided interval `[low, high]`, both ends included.
///
/// ```
/// use rehearse_scoring::interval::{Interval, IntervalMethod};
///
/// let interval = Interval { low: 0.25, high: 0.75, level: 0.95, method: IntervalMethod::Wilson };
/// assert_eq!(interval.to_string(), "[0.250, 0.750] (95 % Wilson)");
/// assert!(interval.contains(0.5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end, in the unit of the estimate.
    pub low: f64,
    /// Upper end, in the unit of the estimate.
    pub high: f64,
    /// Confidence level in (0, 1), such as 0.95.
    pub level: f64,
    /// How it was made.
    pub method: IntervalMethod,
}

impl Interval {
    /// Whether `value` lies within, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// `high − low`.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { low, high, level, method } = self;
        let percent = (level * 1e4).round() / 1e2;
        write!(f, "[{low:.3}, {high:.3}] ({percent} % {method})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialises_by_stable_names() {
        let interval =
            Interval { low: 0.1, high: 0.2, level: 0.9, method: IntervalMethod::ClopperPearson };
        let json = serde_json::to_string(&interval).unwrap();
        assert_eq!(json, r#"{"low":0.1,"high":0.2,"level":0.9,"method":"clopper_pearson"}"#);
        assert_eq!(serde_json::from_str::<Interval>(&json).unwrap(), interval);
    }
}
