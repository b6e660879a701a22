//! One agreement, whole: the content of `rehearse agree --format json`.

use serde::Serialize;

use super::checks::Checks;
use super::correlation::{is_constant, kendall, pearson, spearman};
use super::error::AgreementError;
use super::mmrv::{MmrvConvention, raw_mmrv};
use super::options::AgreeOptions;
use super::pairs::Pairs;
use super::permutation::{Permutation, permutation_floor, permutation_p};
use super::reliability::{MIN_RELIABILITY, Reliability};
use super::resampling::{Resampled, Statistic, Units, fisher_z, over_policies, over_trials};
use super::summary::{raw_bias, raw_mae};
use super::trials::TrialAgreement;
use crate::interval::Interval;
use crate::warning::{Side, Warning};

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// Policies below which a correlation is refused: two points always lie on a line.
const MIN_FOR_CORRELATION: usize = 3;

/// Policies below which no bootstrap over them is made: three give ten resamples.
const MIN_FOR_BOOTSTRAP: usize = 5;

/// Policies above which τ is not resampled: its time grows with their square.
const MAX_FOR_KENDALL: usize = 200;

/// How far imagined results agree with real ones; serialises to the `agree` JSON.
///
/// A number that the data cannot give is `null` there, and a warning says why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Version of this form.
    pub format: u32,
    /// Policies on both sides.
    pub policies: usize,
    /// Pearson's r over policies. Its interval is Fisher's, from the effective number of policies.
    pub pearson: PearsonReport,
    /// MMRV over policies. Its interval is over trials, or over policies where no numbers of
    /// trials are known.
    pub mmrv: MmrvReport,
    /// Spearman's ρ over policies.
    pub spearman: Option<f64>,
    /// Kendall's τ-b over policies.
    pub kendall: Option<f64>,
    /// Mean absolute difference between imagined and real rates of policies.
    pub mae: f64,
    /// Mean of imagined minus real rates of policies: above 0 imagination is optimistic.
    pub bias: f64,
    /// The same over policy × task cells.
    pub cells: CellAgreement,
    /// Agreement trial by trial, where the tables name the same scenarios.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_agreement: Option<TrialAgreement>,
    /// Further intervals of the statistics over policies.
    pub intervals: Vec<OtherInterval>,
    /// What bounds the numbers above.
    pub checks: Checks,
    /// What a reader should be told.
    pub warnings: Vec<Warning>,
}

/// Agreement over policy × task cells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellAgreement {
    /// Cells on both sides.
    pub cells: usize,
    /// Pearson's r; its p permutes policies within tasks only, and its interval draws policies
    /// with all their cells (trials, below five policies).
    pub pearson: PearsonReport,
    /// MMRV, with an interval as Pearson's.
    pub mmrv: MmrvReport,
    /// Spearman's ρ.
    pub spearman: Option<f64>,
    /// Kendall's τ-b.
    pub kendall: Option<f64>,
    /// Mean absolute difference.
    pub mae: f64,
    /// Mean of imagined minus real.
    pub bias: f64,
}

/// Pearson's r with what bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PearsonReport {
    /// r; none below three points, or if a side is constant.
    pub value: Option<f64>,
    /// Its interval.
    pub interval: Option<Interval>,
    /// One-sided permutation p.
    pub p: Option<f64>,
    /// The smallest p that these policies can give: 1/k!.
    pub p_floor: f64,
    /// Whether every permutation was tried.
    pub p_exact: bool,
}

/// MMRV with its interval and convention.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MmrvReport {
    /// MMRV; 0 is a perfect ranking.
    pub value: f64,
    /// Its interval.
    pub interval: Option<Interval>,
    /// The convention.
    pub convention: MmrvConvention,
}

/// An interval beside the main one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OtherInterval {
    /// `pearson`, `spearman`, `kendall`, `mmrv`, `mae` or `bias`.
    pub statistic: &'static str,
    /// What was drawn anew: `policies` or `trials`.
    pub over: &'static str,
    /// The interval.
    pub interval: Interval,
}

/// Compares imagined with real results.
///
/// # Errors
/// [`AgreementError::Level`], and [`AgreementError::Bootstrap`] for too few resamples.
pub fn agree(pairs: &Pairs, options: &AgreeOptions) -> Result<Agreement, AgreementError> {
    options.check()?;
    let checks = Checks::new(pairs, &options.lineages);
    let mut warnings = pairs.warnings().to_vec();
    let points = Points::of_policies(pairs);
    let intervals = intervals(pairs, options, &mut warnings)?;
    let find = |statistic: &str, over: &str| {
        intervals.iter().find(|i| i.statistic == statistic && i.over == over).map(|i| i.interval)
    };

    let mut pearson = points.pearson(options)?;
    pearson.interval =
        pearson.value.and_then(|r| fisher_z(r, checks.effective_policies, options.level));
    let mmrv = MmrvReport {
        value: raw_mmrv(&points.real, &points.imagined, options.convention),
        interval: find("mmrv", "trials").or_else(|| find("mmrv", "policies")),
        convention: options.convention,
    };
    let agreement = Agreement {
        format: FORMAT,
        policies: pairs.policies().len(),
        pearson,
        mmrv,
        spearman: points.correlation(spearman),
        kendall: points.correlation(kendall),
        mae: raw_mae(&points.real, &points.imagined),
        bias: raw_bias(&points.real, &points.imagined),
        cells: cells(pairs, options)?,
        trial_agreement: TrialAgreement::of(pairs.confusion(), options.level),
        intervals,
        checks,
        warnings: Vec::new(),
    };
    warn(&agreement, &points, &mut warnings);
    Ok(Agreement { warnings, ..agreement })
}

/// Rates of policies or cells, and what may be permuted with what.
struct Points {
    real: Vec<f64>,
    imagined: Vec<f64>,
    blocks: Vec<usize>,
}

impl Points {
    fn of_policies(pairs: &Pairs) -> Self {
        let (real, imagined) = (pairs.policy_rates(Side::Real), pairs.policy_rates(Side::Imagined));
        Self { blocks: vec![0; real.len()], real, imagined }
    }

    fn of_cells(pairs: &Pairs) -> Self {
        Self {
            real: pairs.cell_rates(Side::Real),
            imagined: pairs.cell_rates(Side::Imagined),
            blocks: pairs.cell_tasks(),
        }
    }

    /// A correlation, unless there are too few points or a side is constant.
    fn correlation(
        &self,
        of: impl Fn(&[f64], &[f64]) -> Result<f64, AgreementError>,
    ) -> Option<f64> {
        let enough = self.real.len() >= MIN_FOR_CORRELATION;
        enough.then(|| of(&self.real, &self.imagined).ok()).flatten()
    }

    /// Pearson's r and its permutation test, still without an interval.
    fn pearson(&self, options: &AgreeOptions) -> Result<PearsonReport, AgreementError> {
        let value = self.correlation(pearson);
        let test = value
            .map(|_| {
                let seed = options.seed.child("permutations");
                let (real, imagined) = (&self.real, &self.imagined);
                permutation_p(real, imagined, &self.blocks, options.permutations, seed)
            })
            .transpose()?;
        let untested =
            Permutation { p: 1.0, floor: permutation_floor(self.real.len()), exact: false };
        let Permutation { p, floor, exact } = test.unwrap_or(untested);
        Ok(PearsonReport {
            value,
            interval: None,
            p: test.map(|_| p),
            p_floor: floor,
            p_exact: exact,
        })
    }
}

/// Every interval by resampling over policies that the data allow.
fn intervals(
    pairs: &Pairs,
    options: &AgreeOptions,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<OtherInterval>, AgreementError> {
    let policies = pairs.policies().len();
    let mut found = Vec::new();
    for (name, statistic) in [
        ("pearson", Statistic::Pearson),
        ("spearman", Statistic::Spearman),
        ("kendall", Statistic::Kendall),
        ("mmrv", Statistic::Mmrv(options.convention)),
        ("mae", Statistic::MeanAbsoluteError),
        ("bias", Statistic::Bias),
    ] {
        let correlation =
            matches!(statistic, Statistic::Pearson | Statistic::Spearman | Statistic::Kendall);
        if correlation && policies < MIN_FOR_CORRELATION
            || statistic == Statistic::Kendall && policies > MAX_FOR_KENDALL
        {
            continue;
        }
        let trials = over_trials(pairs, statistic, Units::Policies, options);
        let policies = (policies >= MIN_FOR_BOOTSTRAP)
            .then(|| over_policies(pairs, statistic, Units::Policies, options));
        for (over, resampled) in [("policies", policies), ("trials", Some(trials))] {
            let resampled = resampled.map(possible).transpose()?.flatten();
            let Some(Resampled { interval, undefined }) = resampled else { continue };
            // Some loss is nature's way: a resample of few policies may well be constant.
            if undefined * 100 > options.resamples {
                warnings.push(Warning::UndefinedResamples {
                    statistic: statistic.name(),
                    undefined,
                    resamples: options.resamples,
                });
            }
            found.push(OtherInterval { statistic: name, over, interval });
        }
    }
    Ok(found)
}

/// Turns what the data cannot give into nothing, and keeps what the caller did wrong.
fn possible(
    resampled: Result<Resampled, AgreementError>,
) -> Result<Option<Resampled>, AgreementError> {
    use crate::bootstrap::BootstrapError::{Constant, Estimate, Outside, TooFew, Undefined};
    match resampled {
        Ok(resampled) => Ok(Some(resampled)),
        Err(
            AgreementError::TrialNoise { .. }
            | AgreementError::TooFew { .. }
            | AgreementError::Bootstrap(
                Constant { .. }
                | Estimate { .. }
                | Outside { .. }
                | TooFew { .. }
                | Undefined { .. },
            ),
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

fn cells(pairs: &Pairs, options: &AgreeOptions) -> Result<CellAgreement, AgreementError> {
    let points = Points::of_cells(pairs);
    let resample =
        if pairs.policies().len() >= MIN_FOR_BOOTSTRAP { over_policies } else { over_trials };
    let interval = |statistic| -> Result<Option<Interval>, AgreementError> {
        let resampled = possible(resample(pairs, statistic, Units::Cells, options))?;
        Ok(resampled.map(|resampled| resampled.interval))
    };
    let mut pearson = points.pearson(options)?;
    if pearson.value.is_some() {
        pearson.interval = interval(Statistic::Pearson)?;
    }
    let convention = options.convention;
    Ok(CellAgreement {
        cells: points.real.len(),
        pearson,
        mmrv: MmrvReport {
            value: raw_mmrv(&points.real, &points.imagined, convention),
            interval: interval(Statistic::Mmrv(convention))?,
            convention,
        },
        spearman: points.correlation(spearman),
        kendall: points.correlation(kendall),
        mae: raw_mae(&points.real, &points.imagined),
        bias: raw_bias(&points.real, &points.imagined),
    })
}

/// The warnings that follow from the numbers.
fn warn(agreement: &Agreement, points: &Points, warnings: &mut Vec<Warning>) {
    let Agreement { policies, pearson, checks, bias, .. } = agreement;
    let policies = *policies;
    let mut few = |needed, refused| {
        warnings.push(Warning::TooFewPolicies { policies, needed, refused });
    };
    if policies < MIN_FOR_CORRELATION {
        few(MIN_FOR_CORRELATION, "a correlation");
    } else if policies < 4 {
        few(4, "an interval of the correlation");
    }
    if policies >= 2 {
        for (side, rates) in [(Side::Real, &points.real), (Side::Imagined, &points.imagined)] {
            if is_constant(rates) {
                warnings.push(Warning::ConstantSide { side, value: rates[0] });
            }
        }
    }
    if policies >= MIN_FOR_CORRELATION && pearson.p_floor > 0.01 {
        warnings.push(Warning::PermutationFloor { policies, floor: pearson.p_floor });
    }
    if policies >= MIN_FOR_BOOTSTRAP && checks.bootstrap_support < 1_000.0 {
        warnings.push(Warning::BootstrapSupport { policies, support: checks.bootstrap_support });
    }
    if checks.effective_policies < policies as f64 - 0.5 {
        warnings.push(Warning::SharedLineage { policies, effective: checks.effective_policies });
    }
    warn_of_checks(checks, warnings);
    if let Some(interval) = pearson.interval.filter(|interval| interval.contains(0.0)) {
        warnings.push(Warning::CorrelationUnresolved { low: interval.low, high: interval.high });
    }
    if bias.abs() >= 0.1 {
        warnings.push(Warning::Bias { bias: *bias });
    }
}

fn warn_of_checks(checks: &Checks, warnings: &mut Vec<Warning>) {
    if let Some(leverage) = &checks.leverage {
        let moved = leverage.without.is_none_or(|without| {
            (without - leverage.with).abs() > 0.2 || without * leverage.with < 0.0
        });
        if moved {
            warnings.push(Warning::Leverage {
                policy: leverage.policy.clone(),
                with: leverage.with,
                without: leverage.without,
            });
        }
    }
    if let Some((pooled, within)) = checks.tasks.and_then(|t| Some((t.pooled, t.within?))) {
        if pooled * within < 0.0 && pooled.abs().min(within.abs()) > 0.1 {
            warnings.push(Warning::SimpsonReversal { pooled, within });
        } else if pooled - within > 0.2 {
            warnings.push(Warning::TaskDifficulty { pooled, within });
        }
    }
    for reliability in checks.reliability.iter().filter(|found| found.value < MIN_RELIABILITY) {
        let Reliability { side, value } = *reliability;
        warnings.push(Warning::TrialNoise { side, reliability: value });
    }
    for granularity in &checks.granularity {
        if granularity.pairs_within * 4 >= granularity.pairs {
            warnings.push(Warning::Granularity {
                side: granularity.side,
                step: granularity.step,
                pairs: granularity.pairs_within,
                all: granularity.pairs,
            });
        }
    }
    let values = checks.mmrv.iter().map(|entry| entry.value);
    let (low, high) = values
        .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if high - low > 0.02 {
        warnings.push(Warning::MmrvConventions { low, high });
    }
}
