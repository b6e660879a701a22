//! Corrected rates of every policy, their differences, and how far to trust the imagined ones.

use std::collections::BTreeMap;

use rehearse_scenarios::seed::Seed;
use rehearse_scoring::interval::Interval;
use serde::Serialize;

use crate::error::CalibrationError;
use crate::estimate::{
    Difference, Estimate, Influence, JudgeCorrected, JudgeCounts, Method, Moments, Stratified,
    Stratum, StratumTuning, difference, mean_variance, stratified,
};
use crate::pairs::{CellPairs, Pairs};
use crate::reliability::{Binning, Predictions, Reliability, reliability};
use crate::warning::{CalibrationWarning, Side};

/// Pairs below which a reader is told that there are few.
const FEW_PAIRS: usize = 10;

/// Correlation below which imagined trials save less than a tenth of the real ones.
const WEAK: f64 = 0.3;

/// What [`calibrate`] may be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Confidence level of every interval; 0.95 by default.
    pub level: f64,
    /// How intervals are made; by score by default.
    pub method: Method,
    /// How λ is chosen over tasks.
    pub tuning: StratumTuning,
    /// The errors of the judge that gave the real results, where a judge did.
    pub judge: Option<JudgeCounts>,
    /// Bins of the reliability diagram; ten of equal mass by default.
    pub binning: Binning,
    /// Deals the folds of the recalibration.
    pub seed: Seed,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: 0.95,
            method: Method::Score,
            tuning: StratumTuning::Auto,
            judge: None,
            binning: Binning::EqualMass(10),
            seed: Seed::root(0),
        }
    }
}

/// A rate from one side alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OneSide {
    /// The rate, each task with the same weight.
    pub rate: f64,
    /// Scenarios behind it.
    pub scenarios: usize,
    /// Its interval; none for imagined rates, whose error is no sampling error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// One policy on one task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskCalibration {
    /// The task.
    pub task: String,
    /// The real trials alone.
    pub real: OneSide,
    /// The imagined trials alone.
    pub imagined: OneSide,
    /// Both together.
    pub corrected: Estimate,
}

/// One policy over its tasks, each with the same weight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyCalibration {
    /// The policy.
    pub policy: String,
    /// The real trials alone.
    pub real: OneSide,
    /// The imagined trials alone.
    pub imagined: OneSide,
    /// The corrected rate.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
    /// Imagined rate less corrected rate: the world model's optimism.
    pub optimism: f64,
    /// Correlation of real and imagined results of the same scenario, within tasks.
    pub correlation: f64,
    /// How many real trials alone would be as informative as the real and imagined ones are.
    pub effective_trials: f64,
    /// Share of real trials saved: 1 − real scenarios / effective trials, at least 0.
    pub saved: f64,
    /// The corrected rate, corrected for the judge's errors too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged: Option<JudgeCorrected>,
    /// By task.
    pub tasks: Vec<TaskCalibration>,
}

/// The difference of two policies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyDifference {
    /// The first policy.
    pub a: String,
    /// The second policy.
    pub b: String,
    /// `a`'s corrected rate less `b`'s, over the tasks that both have.
    #[serde(flatten)]
    pub difference: Difference,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Version of this layout.
    pub format: u32,
    /// How intervals were made.
    pub method: Method,
    /// Confidence level of every interval.
    pub level: f64,
    /// The policies, in order of name.
    pub policies: Vec<PolicyCalibration>,
    /// Every two policies with a task in common; not adjusted for their number.
    pub differences: Vec<PolicyDifference>,
    /// The imagined success rates of paired scenarios as predictions of the real results; none
    /// without pairs.
    pub reliability: Option<Reliability>,
    /// What a reader should know.
    pub warnings: Vec<CalibrationWarning>,
}

/// Corrects every policy's imagined rate by its pairs, stratified by task.
///
/// # Errors
/// [`CalibrationError`] for options outside their range.
pub fn calibrate(pairs: &Pairs, options: &Options) -> Result<Calibration, CalibrationError> {
    let mut warnings = pairs.warnings().to_vec();
    let mut policies = Vec::new();
    for (policy, cells) in pairs.policies() {
        policies.push(calibrate_policy(policy, cells, options, &mut warnings)?);
    }
    let differences = differences(pairs, options, &mut warnings)?;
    let (predicted, observed) = pairs.predictions();
    let reliability = if observed.is_empty() {
        None
    } else {
        let predictions = Predictions::new(&predicted, &observed)?;
        Some(reliability(&predictions, options.binning, options.level, options.seed)?)
    };
    Ok(Calibration {
        format: 1,
        method: options.method,
        level: options.level,
        policies,
        differences,
        reliability,
        warnings,
    })
}

fn calibrate_policy(
    policy: &str,
    cells: &BTreeMap<String, CellPairs>,
    options: &Options,
    warnings: &mut Vec<CalibrationWarning>,
) -> Result<PolicyCalibration, CalibrationError> {
    let all: Vec<&CellPairs> = cells.values().collect();
    let corrected = estimate(&all, options, options.tuning)?;
    let alone = estimate(&all, options, StratumTuning::Fixed(0.0))?;
    let correlation = within_tasks(&all)?;
    warn(policy, &all, &corrected, correlation, warnings);
    let imagined: Vec<OneSide> = all.iter().map(|cell| imagined_alone(cell)).collect();
    let tasks = cells
        .keys()
        .zip(&imagined)
        .zip(alone.strata.iter().zip(&corrected.strata))
        .map(|((task, &imagined), (alone, &corrected))| TaskCalibration {
            task: task.clone(),
            real: OneSide {
                rate: alone.value,
                scenarios: alone.pairs,
                interval: Some(alone.interval),
            },
            imagined,
            corrected,
        })
        .collect();
    let imagined = OneSide {
        rate: imagined.iter().map(|i| i.rate).sum::<f64>() / imagined.len() as f64,
        scenarios: imagined.iter().map(|i| i.scenarios).sum(),
        interval: None,
    };
    let judged = options
        .judge
        .map(|judge| {
            let value = corrected.value.clamp(0.0, 1.0);
            judge.correct(value, corrected.effective_trials, options.level)
        })
        .transpose()?;
    if judged.is_some_and(|j| j.cut) {
        warnings.push(CalibrationWarning::JudgeCut { policy: policy.to_owned() });
    }
    Ok(PolicyCalibration {
        policy: policy.to_owned(),
        real: OneSide { rate: alone.value, scenarios: alone.pairs, interval: Some(alone.interval) },
        imagined,
        value: corrected.value,
        interval: corrected.interval,
        optimism: imagined.rate - corrected.value,
        correlation,
        effective_trials: corrected.effective_trials,
        saved: (1.0 - corrected.pairs as f64 / corrected.effective_trials).max(0.0),
        judged,
        tasks,
    })
}

fn estimate(
    cells: &[&CellPairs],
    options: &Options,
    tuning: StratumTuning,
) -> Result<Stratified, CalibrationError> {
    let strata = cells
        .iter()
        .map(|cell| Ok(Stratum { weight: 1.0, sample: cell.sample()? }))
        .collect::<Result<Vec<_>, CalibrationError>>()?;
    stratified(&strata, options.method, tuning, options.level)
}

fn imagined_alone(cell: &CellPairs) -> OneSide {
    let all = [cell.imagined(), cell.unpaired_imagined()].concat();
    OneSide { rate: mean_variance(&all).0, scenarios: all.len(), interval: None }
}

/// The pooled correlation within tasks; 0 where nothing varies.
fn within_tasks(cells: &[&CellPairs]) -> Result<f64, CalibrationError> {
    let (mut real, mut imagined, mut both) = (0.0, 0.0, 0.0);
    for cell in cells.iter().filter(|cell| !cell.paired().is_empty()) {
        let m = Moments::of(&cell.sample()?);
        real += m.n * m.var_real;
        imagined += m.n * m.var_imagined;
        both += m.n * m.covariance;
    }
    let scale = (real * imagined).sqrt();
    Ok(if scale > 0.0 { (both / scale).clamp(-1.0, 1.0) } else { 0.0 })
}

fn warn(
    policy: &str,
    cells: &[&CellPairs],
    corrected: &Stratified,
    correlation: f64,
    warnings: &mut Vec<CalibrationWarning>,
) {
    let policy = policy.to_owned();
    let pairs: usize = cells.iter().map(|cell| cell.paired().len()).sum();
    if pairs == 0 {
        return; // NoPairs has said so, task by task.
    }
    let varies = |of: &dyn Fn(&CellPairs) -> &[f64]| {
        cells.iter().any(|cell| of(cell).windows(2).any(|pair| pair[0] != pair[1]))
    };
    if corrected.unpaired == 0 {
        warnings.push(CalibrationWarning::NothingUnpaired { policy: policy.clone() });
    }
    if pairs < FEW_PAIRS {
        warnings.push(CalibrationWarning::FewPairs { policy: policy.clone(), pairs });
    }
    for (side, varies) in [
        (Side::Real, varies(&|cell| cell.real())),
        (Side::Imagined, varies(&|cell| cell.imagined())),
    ] {
        if !varies && pairs > 1 {
            warnings.push(CalibrationWarning::Constant { policy, side });
            return;
        }
    }
    if pairs >= FEW_PAIRS && correlation < WEAK {
        warnings.push(CalibrationWarning::WeakCorrelation { policy, correlation });
    }
}

fn differences(
    pairs: &Pairs,
    options: &Options,
    warnings: &mut Vec<CalibrationWarning>,
) -> Result<Vec<PolicyDifference>, CalibrationError> {
    let policies: Vec<_> = pairs.policies().iter().collect();
    let mut found = Vec::new();
    for (index, (a, cells_a)) in policies.iter().enumerate() {
        for (b, cells_b) in &policies[index + 1..] {
            let shared: Vec<&String> =
                cells_a.keys().filter(|t| cells_b.contains_key(*t)).collect();
            if shared.len() < cells_a.len().max(cells_b.len()) {
                let (a, b) = ((*a).clone(), (*b).clone());
                warnings.push(CalibrationWarning::UnequalTasks { a, b });
            }
            if shared.is_empty() {
                continue;
            }
            let side = |cells: &BTreeMap<String, CellPairs>| {
                let cells: Vec<&CellPairs> = shared.iter().map(|task| &cells[*task]).collect();
                let estimate = estimate(&cells, options, options.tuning)?;
                let influence = influence(&cells, &estimate)?;
                Ok::<_, CalibrationError>((estimate, influence))
            };
            let ((left, left_influence), (right, right_influence)) =
                (side(cells_a)?, side(cells_b)?);
            let difference = difference(&left, &left_influence, &right, &right_influence)?;
            found.push(PolicyDifference { a: (*a).clone(), b: (*b).clone(), difference });
        }
    }
    Ok(found)
}

fn influence(cells: &[&CellPairs], estimate: &Stratified) -> Result<Influence, CalibrationError> {
    let mut influence = Influence::new();
    let share = 1.0 / cells.len() as f64;
    for (index, (cell, own)) in cells.iter().zip(&estimate.strata).enumerate() {
        // Results without a scenario's name are shared with nobody.
        if !cell.paired().is_empty() {
            let sample = cell.sample()?;
            influence.add_stratum(
                index,
                share,
                own.lambda,
                &sample,
                cell.paired(),
                cell.unpaired(),
            )?;
        }
    }
    Ok(influence)
}
