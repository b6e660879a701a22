//! A weighted mean over strata, such as a policy's rate over the tasks of a suite.

use rehearse_scoring::interval::{Interval, IntervalMethod};
use rehearse_scoring::special::normal_critical;
use serde::{Deserialize, Serialize};

use super::mean::{CORNER_WEIGHT, Fit, ScoreGain, Spread, fit, student_critical};
use super::{Estimate, Method, Sample, ScoreTerm, Tuning, score_interval};
use crate::error::{CalibrationError, check_level, check_shares};

/// Pairs in every stratum from which each is tuned on its own.
const OWN_PAIRS: usize = 25;

/// One stratum: a task, as a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stratum<'a> {
    /// Its share in the overall mean, greater than 0; shares need not add up to 1.
    pub weight: f64,
    /// Its results.
    pub sample: Sample<'a>,
}

/// How λ is chosen over strata.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StratumTuning {
    /// [`Own`](Self::Own) where every stratum has 25 pairs or more, else
    /// [`Shared`](Self::Shared).
    #[default]
    Auto,
    /// Each stratum its own: smallest variance where strata are large.
    Own,
    /// One for all strata, from their pooled covariances: steadier where strata are small. Only
    /// for [`Method::Score`]; the other methods tune each stratum on its own.
    Shared,
    /// One given for all; 0 is the classical stratified mean.
    Fixed(f64),
}

/// A weighted mean over strata, with the estimate of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stratified {
    /// The weighted mean.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
    /// How the intervals were made.
    pub method: Method,
    /// The standard error, as the method estimates it.
    pub standard_error: f64,
    /// Paired scenarios over all strata.
    pub pairs: usize,
    /// Imagined scenarios without a real result, over all strata.
    pub unpaired: usize,
    /// How many real trials alone, spread over the strata as these are, would be as informative.
    pub effective_trials: f64,
    /// The strata's own estimates, in the order given.
    pub strata: Vec<Estimate>,
}

/// The prediction-powered mean over strata: stratified PPI with per-stratum or shared λ.
///
/// The interval of [`Method::Score`] is Yan and Su's stratified Wilson interval at the strata's
/// effective numbers of trials; [`Method::Student`] adds variances with Satterthwaite's degrees of
/// freedom; [`Method::Clt`] adds variances.
///
/// # Errors
/// [`CalibrationError::Empty`] without strata; [`CalibrationError::Value`] for a weight that is
/// not positive and finite; and whatever [`ppi_mean`](super::ppi_mean) refuses.
pub fn stratified(
    strata: &[Stratum<'_>],
    method: Method,
    tuning: StratumTuning,
    level: f64,
) -> Result<Stratified, CalibrationError> {
    check_level(level)?;
    let weights = shares(strata)?;
    let fits = fit_all(strata, &weights, method, tuning)?;
    let sum = |of: &dyn Fn(&Fit) -> f64| weights.iter().zip(&fits).map(|(w, f)| w * of(f)).sum();
    let value: f64 = sum(&|f| f.value);
    let variances: Vec<f64> =
        weights.iter().zip(&fits).map(|(w, f)| (w * f.deviation).powi(2)).collect();
    let variance: f64 = variances.iter().sum();
    let half = |critical: f64| Interval {
        low: value - critical * variance.sqrt(),
        high: value + critical * variance.sqrt(),
        level,
        method: IntervalMethod::PredictionPowered,
    };
    let interval = match method {
        Method::Score => score_interval(&terms(&weights, &fits), level),
        Method::Student => half(student_critical(level, satterthwaite(&variances, &fits))),
        Method::Clt => half(normal_critical(level)),
    };
    let estimates: Vec<Estimate> = strata
        .iter()
        .zip(&fits)
        .map(|(stratum, fit)| {
            let own = own_interval(fit, level);
            fit.into_estimate(&stratum.sample, method, own)
        })
        .collect();
    let pairs = estimates.iter().map(|e| e.pairs).sum();
    Ok(Stratified {
        value,
        interval,
        method,
        standard_error: variance.sqrt(),
        pairs,
        unpaired: estimates.iter().map(|e| e.unpaired).sum(),
        effective_trials: pairs as f64 * gain(&variances, &fits),
        strata: estimates,
    })
}

/// Weights that add up to 1.
fn shares(strata: &[Stratum<'_>]) -> Result<Vec<f64>, CalibrationError> {
    if strata.is_empty() {
        return Err(CalibrationError::Empty { what: "strata" });
    }
    if let Some(index) = strata.iter().position(|s| !(s.weight > 0.0 && s.weight.is_finite())) {
        return Err(CalibrationError::Value {
            what: "weight of stratum",
            index,
            value: strata[index].weight,
            expected: "a positive number",
        });
    }
    let total: f64 = strata.iter().map(|s| s.weight).sum();
    Ok(strata.iter().map(|s| s.weight / total).collect())
}

fn fit_all(
    strata: &[Stratum<'_>],
    weights: &[f64],
    method: Method,
    tuning: StratumTuning,
) -> Result<Vec<Fit>, CalibrationError> {
    let small = strata.iter().any(|s| s.sample.real().len() < OWN_PAIRS);
    let own = match tuning {
        StratumTuning::Fixed(lambda) => Some(Tuning::Fixed(lambda)),
        StratumTuning::Shared if method == Method::Score => None,
        StratumTuning::Auto if method == Method::Score && small => None,
        StratumTuning::Own | StratumTuning::Shared | StratumTuning::Auto => Some(Tuning::Plugin),
    };
    if let Some(tuning) = own {
        return strata.iter().map(|s| fit(&s.sample, method, tuning, CORNER_WEIGHT)).collect();
    }
    for Stratum { sample, .. } in strata {
        check_shares("real result", sample.real())?;
        check_shares("imagined result", sample.imagined())?;
        check_shares("unpaired imagined result", sample.unpaired())?;
    }
    // Strata with nothing to borrow from must not keep the others from borrowing.
    let group = |powered: bool| {
        let members: Vec<_> = weights
            .iter()
            .zip(strata)
            .filter(|(_, s)| s.sample.unpaired().is_empty() != powered)
            .map(|(&w, s)| (w, s.sample))
            .collect();
        ScoreGain::of(&members, (!powered).then_some(0.0), CORNER_WEIGHT)
    };
    let (powered, alone) = (group(true), group(false));
    Ok(strata
        .iter()
        .map(|s| if s.sample.unpaired().is_empty() { &alone } else { &powered }.apply(&s.sample))
        .collect())
}

fn terms(weights: &[f64], fits: &[Fit]) -> Vec<ScoreTerm> {
    weights
        .iter()
        .zip(fits)
        .filter_map(|(&weight, fit)| match fit.spread {
            Spread::Trials(trials) => Some(ScoreTerm { weight, rate: fit.value, trials }),
            Spread::Student { .. } | Spread::Normal => None,
        })
        .collect()
}

fn own_interval(fit: &Fit, level: f64) -> Interval {
    let critical = match fit.spread {
        Spread::Trials(trials) => {
            return score_interval(&[ScoreTerm { weight: 1.0, rate: fit.value, trials }], level);
        }
        Spread::Student { freedom } => student_critical(level, freedom),
        Spread::Normal => normal_critical(level),
    };
    let half = critical * fit.deviation;
    Interval {
        low: fit.value - half,
        high: fit.value + half,
        level,
        method: IntervalMethod::PredictionPowered,
    }
}

fn satterthwaite(variances: &[f64], fits: &[Fit]) -> f64 {
    let total: f64 = variances.iter().sum();
    let freedom = |fit: &Fit| match fit.spread {
        Spread::Student { freedom } => freedom,
        Spread::Trials(_) | Spread::Normal => f64::INFINITY,
    };
    let least = fits.iter().map(freedom).fold(f64::INFINITY, f64::min);
    if total > 0.0 {
        let spread: f64 = variances.iter().zip(fits).map(|(v, f)| v * v / freedom(f)).sum();
        total * total / spread
    } else {
        least
    }
}

/// Variance of the strata's real trials alone over variance with the imagined ones.
fn gain(variances: &[f64], fits: &[Fit]) -> f64 {
    let with: f64 = variances.iter().sum();
    let without: f64 = variances.iter().zip(fits).map(|(v, f)| v * f.gain).sum();
    if with > 0.0 { without / with } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::super::ppi_mean;
    use super::*;

    const REAL: [f64; 8] = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0];
    const IMAGINED: [f64; 8] = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    const UNPAIRED: [f64; 10] = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0];

    fn sample() -> Sample<'static> {
        Sample::new(&REAL, &IMAGINED, &UNPAIRED).unwrap()
    }

    #[test]
    fn one_stratum_is_the_mean_of_its_sample() {
        for method in [Method::Score, Method::Student, Method::Clt] {
            let one = ppi_mean(&sample(), method, Tuning::Plugin, 0.9).unwrap();
            let strata = [Stratum { weight: 3.0, sample: sample() }];
            for tuning in [StratumTuning::Auto, StratumTuning::Own, StratumTuning::Shared] {
                let got = stratified(&strata, method, tuning, 0.9).unwrap();
                assert!((got.value - one.value).abs() < 1e-15);
                assert!((got.interval.low - one.interval.low).abs() < 1e-12);
                assert!((got.interval.high - one.interval.high).abs() < 1e-12);
                assert!((got.effective_trials - one.effective_trials).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_stratum_without_unpaired_trials_leaves_the_others_their_gain() {
        let alone = Sample::new(&REAL, &IMAGINED, &[]).unwrap();
        let strata =
            [Stratum { weight: 1.0, sample: sample() }, Stratum { weight: 1.0, sample: alone }];
        let got = stratified(&strata, Method::Score, StratumTuning::Shared, 0.95).unwrap();
        assert!(got.strata[0].lambda > 0.1);
        assert_eq!(got.strata[1].lambda, 0.0);
        assert_eq!(got.strata[1].value, 5.0 / 8.0);
        assert!(got.strata[0].effective_trials > 8.0);
        assert_eq!(got.strata[1].effective_trials, 8.0);
    }

    #[test]
    fn bad_weights_are_refused() {
        for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let strata = [Stratum { weight, sample: sample() }];
            let error = stratified(&strata, Method::Score, StratumTuning::Auto, 0.95).unwrap_err();
            assert!(matches!(error, CalibrationError::Value { .. }), "{weight}: {error}");
        }
        assert!(matches!(
            stratified(&[], Method::Score, StratumTuning::Auto, 0.95),
            Err(CalibrationError::Empty { .. })
        ));
    }
}
