//! The prediction-powered mean and its intervals.

use rehearse_scoring::interval::{Interval, IntervalMethod};
use rehearse_scoring::special::{beta_quantile, normal_critical};
use serde::{Deserialize, Serialize};

use super::moments::{Moments, mean_variance};
use super::{Sample, ScoreTerm, score_interval};
use crate::error::{CalibrationError, check_level, check_shares};

/// Weight of each of the four pairs that the score method adds before it trusts a correlation.
///
/// Chosen by simulation (`examples/coverage_calibration`): smaller weights fall below 94 % at n = 25,
/// larger ones pass 97 % at n = 10.
pub(crate) const CORNER_WEIGHT: f64 = 0.4;

/// How the interval is made; see [the module](super) for which to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Wilson's interval at the effective number of trials. For results in [0, 1].
    #[default]
    Score,
    /// Student's t around the double-sampling regression estimator (Cochran 1977, §12.6).
    Student,
    /// The normal approximation of PPI++ (§2 and §6), as in `ppi_py.ppi_mean_ci`.
    Clt,
}

impl Method {
    /// The name in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Student => "student",
            Self::Clt => "clt",
        }
    }
}

/// How λ, the weight of the imagined results, is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tuning {
    /// By the smallest estimated variance (PPI++ §6).
    #[default]
    Plugin,
    /// Given: 0 is the classical mean, 1 is PPI without tuning.
    Fixed(f64),
}

/// A real success rate, or mean, with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
    /// How the interval was made.
    pub method: Method,
    /// The standard error, as the method estimates it.
    pub standard_error: f64,
    /// The weight of the imagined results.
    pub lambda: f64,
    /// Pearson's correlation between real and imagined results of the same scenario; 0 where a
    /// side is constant.
    pub correlation: f64,
    /// Paired scenarios.
    pub pairs: usize,
    /// Imagined scenarios without a real result.
    pub unpaired: usize,
    /// How many real trials alone would be as informative.
    pub effective_trials: f64,
}

/// The prediction-powered mean of the real results of `sample`.
///
/// ```
/// use rehearse_calibration::estimate::{Method, Sample, Tuning, ppi_mean};
///
/// let real = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
/// let imagined = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0];
/// let unpaired = [[1.0; 60].as_slice(), &[0.0; 40]].concat();
/// let sample = Sample::new(&real, &imagined, &unpaired)?;
/// let alone = ppi_mean(&sample, Method::Score, Tuning::Fixed(0.0), 0.95)?;
/// let powered = ppi_mean(&sample, Method::Score, Tuning::Plugin, 0.95)?;
/// assert!(powered.interval.width() < alone.interval.width());
/// assert!(powered.value < alone.value); // the paired scenarios were the easier ones
/// # Ok::<(), rehearse_calibration::error::CalibrationError>(())
/// ```
///
/// # Errors
/// [`CalibrationError::Parameter`] for a level outside (0, 1) or a λ that is not finite;
/// [`CalibrationError::Value`] when [`Method::Score`] meets results outside [0, 1];
/// [`CalibrationError::TooFewPairs`] when [`Method::Student`] has no degree of freedom left.
pub fn ppi_mean(
    sample: &Sample<'_>,
    method: Method,
    tuning: Tuning,
    level: f64,
) -> Result<Estimate, CalibrationError> {
    check_level(level)?;
    let fit = fit(sample, method, tuning, CORNER_WEIGHT)?;
    let interval = match fit.spread {
        Spread::Trials(trials) => {
            score_interval(&[ScoreTerm { weight: 1.0, rate: fit.value, trials }], level)
        }
        Spread::Student { freedom } => {
            centred(fit.value, student_critical(level, freedom) * fit.deviation, level)
        }
        Spread::Normal => centred(fit.value, normal_critical(level) * fit.deviation, level),
    };
    Ok(fit.into_estimate(sample, method, interval))
}

/// A point estimate and what its interval is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    pub(super) value: f64,
    pub(super) lambda: f64,
    /// Standard deviation of the estimate as the method sees it.
    pub(super) deviation: f64,
    /// Variance without the imagined results over variance with them; 1 where it is unknown.
    pub(super) gain: f64,
    pub(super) spread: Spread,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Spread {
    /// Score method: the effective number of trials of a rate.
    Trials(f64),
    Student {
        freedom: f64,
    },
    Normal,
}

impl Fit {
    pub(super) fn into_estimate(
        self,
        sample: &Sample<'_>,
        method: Method,
        interval: Interval,
    ) -> Estimate {
        let pairs = sample.real().len();
        Estimate {
            value: self.value,
            interval,
            method,
            standard_error: self.deviation,
            lambda: self.lambda,
            correlation: Moments::of(sample).correlation(),
            pairs,
            unpaired: sample.unpaired().len(),
            effective_trials: pairs as f64 * self.gain,
        }
    }
}

pub(super) fn fit(
    sample: &Sample<'_>,
    method: Method,
    tuning: Tuning,
    corner_weight: f64,
) -> Result<Fit, CalibrationError> {
    if let Tuning::Fixed(lambda) = tuning
        && !lambda.is_finite()
    {
        return Err(CalibrationError::Parameter {
            name: "λ",
            value: lambda,
            expected: "a finite number",
        });
    }
    // Without unpaired trials there is nothing to borrow from, whatever λ was asked for.
    let tuning = if sample.unpaired().is_empty() { Tuning::Fixed(0.0) } else { tuning };
    match method {
        Method::Score => score(sample, tuning, corner_weight),
        Method::Student => student(sample, tuning),
        Method::Clt => Ok(clt(sample, tuning)),
    }
}

/// PPI++ as published: λ̂ of §6 clipped to [0, 1], plug-in variances.
fn clt(sample: &Sample<'_>, tuning: Tuning) -> Fit {
    let m = Moments::of(sample);
    let (n, unpaired) = (m.n, sample.unpaired().len() as f64);
    let (mean_unpaired, var_unpaired) = mean_variance(sample.unpaired());
    let lambda = match tuning {
        Tuning::Fixed(lambda) => lambda,
        Tuning::Plugin => {
            let scale = (1.0 + n / unpaired) * pooled_variance(sample, 1.0);
            if scale > 0.0 { (m.covariance / scale).clamp(0.0, 1.0) } else { 0.0 }
        }
    };
    let residual = m.var_real - 2.0 * lambda * m.covariance + lambda * lambda * m.var_imagined;
    let imputed = if unpaired > 0.0 { lambda * lambda * var_unpaired / unpaired } else { 0.0 };
    let variance = imputed + residual.max(0.0) / n;
    Fit {
        value: m.real + lambda * (mean_unpaired - m.imagined),
        lambda,
        deviation: variance.sqrt(),
        gain: gain(m.var_real / n, variance),
        spread: Spread::Normal,
    }
}

/// The regression estimator of double sampling: its λ is β̂ · N / (n + N), and its interval allows
/// for β̂ being estimated.
fn student(sample: &Sample<'_>, tuning: Tuning) -> Result<Fit, CalibrationError> {
    let m = Moments::of(sample);
    let (n, unpaired) = (m.n, sample.unpaired().len() as f64);
    let (mean_unpaired, var_unpaired) = mean_variance(sample.unpaired());
    let slope = match tuning {
        Tuning::Plugin if m.var_imagined > 0.0 => Some(m.covariance / m.var_imagined),
        Tuning::Plugin | Tuning::Fixed(_) => None,
    };
    let needed = if slope.is_some() { 3 } else { 2 };
    if sample.real().len() < needed {
        return Err(CalibrationError::TooFewPairs {
            method: "Student",
            needed,
            got: sample.real().len(),
        });
    }
    if let Some(slope) = slope {
        let share = unpaired / (n + unpaired);
        let shift = share * (mean_unpaired - m.imagined);
        let freedom = n - 2.0;
        let residual = n * (m.var_real - slope * m.covariance).max(0.0) / freedom;
        let variance = residual * (1.0 / n + shift * shift / (n * m.var_imagined))
            + slope * slope * pooled_variance(sample, 1.0) / (n + unpaired);
        return Ok(Fit {
            value: m.real + slope * shift,
            lambda: slope * share,
            deviation: variance.sqrt(),
            gain: gain(m.var_real / (n - 1.0), variance),
            spread: Spread::Student { freedom },
        });
    }
    let lambda = if let Tuning::Fixed(lambda) = tuning { lambda } else { 0.0 };
    let residual = m.var_real - 2.0 * lambda * m.covariance + lambda * lambda * m.var_imagined;
    let imputed = if unpaired > 1.0 { var_unpaired / (unpaired - 1.0) } else { 0.0 };
    let variance = residual.max(0.0) / (n - 1.0) + lambda * lambda * imputed;
    Ok(Fit {
        value: m.real + lambda * (mean_unpaired - m.imagined),
        lambda,
        deviation: variance.sqrt(),
        gain: gain(m.var_real / (n - 1.0), variance),
        spread: Spread::Student { freedom: n - 1.0 },
    })
}

fn score(sample: &Sample<'_>, tuning: Tuning, corner_weight: f64) -> Result<Fit, CalibrationError> {
    check_shares("real result", sample.real())?;
    check_shares("imagined result", sample.imagined())?;
    check_shares("unpaired imagined result", sample.unpaired())?;
    let lambda = match tuning {
        Tuning::Fixed(lambda) => Some(lambda),
        Tuning::Plugin => None,
    };
    let gain = ScoreGain::of(&[(1.0, *sample)], lambda, corner_weight);
    Ok(gain.apply(sample))
}

/// What the imagined results gain, in terms that leave Wilson's interval its shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScoreGain {
    lambda: f64,
    /// Variance with imagined results over variance without.
    ratio: f64,
    /// Variance of a real result over that of a success or failure of the same mean.
    dispersion: f64,
}

impl ScoreGain {
    /// The gain over strata with their weights, for one λ: the given one or the best.
    pub(super) fn of(
        strata: &[(f64, Sample<'_>)],
        lambda: Option<f64>,
        corner_weight: f64,
    ) -> Self {
        let total: f64 = strata.iter().map(|(_, s)| s.real().len() as f64).sum();
        let (mut real, mut covariance, mut imagined, mut binary) = (0.0, 0.0, 0.0, 0.0);
        for (weight, sample) in strata {
            let n = sample.real().len() as f64;
            let unpaired = sample.unpaired().len() as f64;
            let m = Moments::smoothed(sample, corner_weight * n / total);
            let share = weight * weight / n;
            real += share * m.var_real;
            covariance += share * m.covariance;
            imagined += share * m.var_imagined * (1.0 + n / unpaired.max(f64::MIN_POSITIVE));
            binary += share * m.real * (1.0 - m.real);
        }
        let best = if imagined.is_finite() { (covariance / imagined).max(0.0) } else { 0.0 };
        let lambda = lambda.unwrap_or(best);
        let loss = if lambda == 0.0 { 0.0 } else { lambda * lambda * imagined };
        Self {
            lambda,
            ratio: (real - 2.0 * lambda * covariance + loss) / real,
            dispersion: real / binary,
        }
    }

    pub(super) fn apply(&self, sample: &Sample<'_>) -> Fit {
        let Self { lambda, ratio, dispersion } = *self;
        let m = Moments::of(sample);
        let (mean_unpaired, _) = mean_variance(sample.unpaired());
        let value = (m.real + lambda * (mean_unpaired - m.imagined)).clamp(0.0, 1.0);
        let trials = m.n / (ratio * dispersion);
        let rate = (value * trials + 0.5) / (trials + 1.0);
        Fit {
            value,
            lambda,
            deviation: (rate * (1.0 - rate) / trials).sqrt(),
            gain: 1.0 / ratio,
            spread: Spread::Trials(trials),
        }
    }
}

fn gain(without: f64, with: f64) -> f64 {
    if with > 0.0 { without / with } else { 1.0 }
}

/// Variance of all imagined results, dividing by their number less `less`.
fn pooled_variance(sample: &Sample<'_>, less: f64) -> f64 {
    let count = (sample.imagined().len() + sample.unpaired().len()) as f64;
    let all = || sample.imagined().iter().chain(sample.unpaired());
    let mean = all().sum::<f64>() / count;
    if count > less { all().map(|f| (f - mean).powi(2)).sum::<f64>() / (count - less) } else { 0.0 }
}

fn centred(value: f64, half: f64, level: f64) -> Interval {
    Interval {
        low: value - half,
        high: value + half,
        level,
        method: IntervalMethod::PredictionPowered,
    }
}

/// The two-sided critical value of Student's t: from the beta quantile, for
/// ν / (ν + t²) ~ Beta(ν/2, ½).
pub(super) fn student_critical(level: f64, freedom: f64) -> f64 {
    let x = beta_quantile(freedom / 2.0, 0.5, 1.0 - level);
    (freedom * (1.0 - x) / x).sqrt()
}
