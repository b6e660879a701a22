//! A rate with its n and its interval.

use rehearse_scenarios::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::bootstrap::mean_bca;
use crate::interval::Interval;

use super::RateError;
use super::interval::{clopper_pearson, jeffreys, wilson};

/// Which interval a rate of successes and failures gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateMethod {
    /// Wilson's score interval: right on average, the default.
    #[default]
    Wilson,
    /// Clopper and Pearson's: never below its level, wider.
    ClopperPearson,
    /// Jeffreys': equal-tailed, right on average.
    Jeffreys,
}

/// How often a bootstrap resamples unless told otherwise.
pub const DEFAULT_RESAMPLES: usize = 10_000;

/// A success rate, or a mean of partial credits, never without its n and interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The estimate in [0, 1].
    pub value: f64,
    /// Trials behind it.
    pub n: u64,
    /// Its interval.
    pub interval: Interval,
}

impl Rate {
    /// The rate of `successes` in `trials`.
    ///
    /// # Errors
    /// [`RateError::NoTrials`], [`RateError::Counts`], [`RateError::Level`].
    pub fn of_counts(
        successes: u64,
        trials: u64,
        method: RateMethod,
        level: f64,
    ) -> Result<Self, RateError> {
        let interval = match method {
            RateMethod::Wilson => wilson(successes as f64, trials, level),
            RateMethod::ClopperPearson => clopper_pearson(successes, trials, level),
            RateMethod::Jeffreys => jeffreys(successes, trials, level),
        }?;
        Ok(Self { value: successes as f64 / trials as f64, n: trials, interval })
    }

    /// The mean of `trials` scores in [0, 1] of which only the sum, `credit`, is known, with
    /// Wilson's interval: conservative, for it takes the largest variance that the mean allows.
    ///
    /// # Errors
    /// [`RateError::NoTrials`], [`RateError::Counts`], [`RateError::Level`].
    pub fn of_credit(credit: f64, trials: u64, level: f64) -> Result<Self, RateError> {
        let interval = wilson(credit, trials, level)?;
        Ok(Self { value: credit / trials as f64, n: trials, interval })
    }

    /// The mean of partial credits in [0, 1] with a `BCa` bootstrap interval.
    ///
    /// Scores that are all 0 or 1 are counts, and get Wilson's interval; so do scores that are
    /// all the same, which a bootstrap would call certain.
    ///
    /// # Errors
    /// [`RateError::NoTrials`], [`RateError::Score`], [`RateError::Level`],
    /// [`RateError::Bootstrap`].
    pub fn of_scores(
        scores: &[f64],
        level: f64,
        resamples: usize,
        seed: Seed,
    ) -> Result<Self, RateError> {
        if let Some(index) = scores.iter().position(|s| !(0.0..=1.0).contains(s)) {
            return Err(RateError::Score { index, score: scores[index] });
        }
        let n = scores.len() as u64;
        let credit: f64 = scores.iter().sum();
        let conservative = Self::of_credit(credit, n, level)?;
        let whole = scores.iter().all(|&s| s == 0.0 || s == 1.0);
        let constant = scores.windows(2).all(|pair| pair[0] == pair[1]);
        if whole || constant {
            return Ok(conservative);
        }
        let interval = mean_bca(scores, resamples, level, seed).map_err(RateError::Bootstrap)?;
        Ok(Self { interval, ..conservative })
    }
}
