//! Intervals of agreement: from theory, over policies, and over trials.

use super::correlation::{kendall, raw_pearson, spearman};
use super::error::AgreementError;
use super::mmrv::{MmrvConvention, raw_mmrv};
use super::options::AgreeOptions;
use super::pairs::{Measured, Noise, Pairs};
use super::posterior::{MIN_POINTS, Point, draws};
use super::reliability::{MIN_RELIABILITY, Rated, reliability};
use super::summary::{raw_bias, raw_mae};
use crate::bootstrap::{
    Acceleration, AliasTable, BootstrapError, Replicates, Stream, Tuples, jackknife, replicate,
    resample,
};
use crate::interval::{Interval, IntervalMethod};
use crate::special::normal_critical;
use crate::warning::Side;

/// A statistic of real and imagined rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Pearson's r.
    Pearson,
    /// Spearman's ρ.
    Spearman,
    /// Kendall's τ-b.
    Kendall,
    /// Mean maximum rank violation.
    Mmrv(MmrvConvention),
    /// Mean of imagined minus real.
    Bias,
    /// Mean absolute difference.
    MeanAbsoluteError,
}

impl Statistic {
    /// Its value; NaN where it is undefined.
    pub(super) fn of(self, real: &[f64], imagined: &[f64]) -> f64 {
        match self {
            Self::Pearson => raw_pearson(real, imagined),
            Self::Spearman => spearman(real, imagined).unwrap_or(f64::NAN),
            Self::Kendall => kendall(real, imagined).unwrap_or(f64::NAN),
            Self::Mmrv(convention) => raw_mmrv(real, imagined, convention),
            Self::Bias => raw_bias(real, imagined),
            Self::MeanAbsoluteError => raw_mae(real, imagined),
        }
    }

    /// Its name within a sentence.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pearson => "Pearson's r",
            Self::Spearman => "Spearman's rho",
            Self::Kendall => "Kendall's tau",
            Self::Mmrv(_) => "MMRV",
            Self::Bias => "the bias",
            Self::MeanAbsoluteError => "the mean absolute error",
        }
    }
}

/// What the points of a statistic are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// One point per policy.
    Policies,
    /// One point per policy × task cell.
    Cells,
}

/// An interval by resampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampled {
    /// The interval.
    pub interval: Interval,
    /// Resamples that left the statistic undefined, such as a correlation of equal rates.
    pub undefined: usize,
}

/// Fisher's interval of a correlation from `n` independent pairs (an effective number may be
/// fractional): atanh(r) ± z / √(n − 3).
///
/// It is right for normally distributed rates of policies drawn at random. `None` for `n` of 3 or
/// fewer and for |r| = 1, where it would claim certainty.
///
/// ```
/// let interval = rehearse_scoring::agreement::fisher_z(0.9, 12.0, 0.95).unwrap();
/// assert_eq!(format!("{:.3} {:.3}", interval.low, interval.high), "0.674 0.972");
/// ```
pub fn fisher_z(r: f64, n: f64, level: f64) -> Option<Interval> {
    if !(n > 3.0 && r.abs() < 1.0 && level > 0.0 && level < 1.0) {
        return None;
    }
    let half = normal_critical(level) / (n - 3.0).sqrt();
    let (low, high) = ((r.atanh() - half).tanh(), (r.atanh() + half).tanh());
    Some(Interval { low, high, level, method: IntervalMethod::FisherZ })
}

/// `BCa` interval from drawing policies with replacement, each with all its tasks: what other
/// policies, of which these are a sample, would give.
///
/// With k policies there are only C(2k − 1, k) different resamples, and below ten policies the
/// interval is too narrow.
///
/// # Errors
/// [`AgreementError::Bootstrap`].
pub fn over_policies(
    pairs: &Pairs,
    statistic: Statistic,
    units: Units,
    options: &AgreeOptions,
) -> Result<Resampled, AgreementError> {
    options.check()?;
    let groups = Groups::new(pairs, units);
    let of_policies = |policies: &[u32]| {
        let (mut real, mut imagined) = (Vec::new(), Vec::new());
        for &policy in policies {
            let (real_rates, imagined_rates) = groups.of(policy as usize);
            real.extend_from_slice(real_rates);
            imagined.extend_from_slice(imagined_rates);
        }
        statistic.of(&real, &imagined)
    };
    let k = pairs.policies().len();
    let replicates = resample(k, &of_policies, options.resamples, options.seed.child("policies"))?;
    let places: Vec<u32> = (0..k as u32).collect();
    let acceleration = jackknife(k, &of_policies);
    let interval = replicates.bca(of_policies(&places), acceleration, options.level)?;
    Ok(Resampled { interval, undefined: replicates.undefined() })
}

/// Interval of what endless trials of the same policies would give, from drawing what the trials of
/// both sides leave open.
///
/// The bias has a `BCa` interval from drawing the trials of every cell anew. Of the other statistics,
/// chance moves the value itself: it lowers correlations, and raises MMRV and errors. So the true
/// rates are drawn given the measured ones, with the spread of the truth estimated along, and the
/// interval holds the middle of the statistic over those draws. It may lie to one side of the
/// statistic of the measured rates.
///
/// Cells whose number of trials is not known stay as they are. Rates that are chance for a good part
/// are refused (except for the bias): see [`MIN_RELIABILITY`]. MMRV is a maximum over pairs of
/// policies, and its interval falls short of its level by one to five points; for the others
/// `docs/coverage-agreement.md` has the measured coverage too.
///
/// # Errors
/// [`AgreementError::TrialNoise`], [`AgreementError::TooFew`] below five points, and
/// [`AgreementError::Bootstrap`]; the latter with
/// [`Constant`](crate::bootstrap::BootstrapError::Constant) if no cell can vary.
pub fn over_trials(
    pairs: &Pairs,
    statistic: Statistic,
    units: Units,
    options: &AgreeOptions,
) -> Result<Resampled, AgreementError> {
    options.check()?;
    match statistic {
        Statistic::Bias => bias_over_trials(pairs, units, options),
        Statistic::Pearson
        | Statistic::Spearman
        | Statistic::Kendall
        | Statistic::Mmrv(_)
        | Statistic::MeanAbsoluteError => truth_over_trials(pairs, statistic, units, options),
    }
}

/// The interval of a statistic that chance moves.
fn truth_over_trials(
    pairs: &Pairs,
    statistic: Statistic,
    units: Units,
    options: &AgreeOptions,
) -> Result<Resampled, AgreementError> {
    for side in [Side::Real, Side::Imagined] {
        let found = reliability(pairs, side, units).map(|found| found.value);
        if let Some(reliability) = found.filter(|&value| value < MIN_RELIABILITY) {
            let needed = MIN_RELIABILITY;
            return Err(AgreementError::TrialNoise { side, reliability, needed });
        }
    }
    let of = |side| Rated::new(pairs, side, units);
    let (real, imagined) = (of(Side::Real), of(Side::Imagined));
    let got = real.rates.len();
    if got < MIN_POINTS {
        return Err(AgreementError::TooFew {
            statistic: statistic.name(),
            needed: MIN_POINTS,
            got,
        });
    }
    if real.variances.iter().chain(&imagined.variances).all(|&variance| variance <= 0.0) {
        let value = statistic.of(&real.rates, &imagined.rates);
        return Err(BootstrapError::Constant { value }.into());
    }
    let points: Vec<Point> = (0..got)
        .map(|index| Point {
            rates: [real.rates[index], imagined.rates[index]],
            variances: [real.variances[index], imagined.variances[index]],
        })
        .collect();
    let seed = options.seed.child("trials");
    let values =
        draws(&points, options.resamples, seed, |real, imagined| statistic.of(real, imagined));
    let replicates = Replicates::new(values)?;
    let Interval { low, high, level, .. } = replicates.percentile(options.level)?;
    let interval = Interval { low, high, level, method: IntervalMethod::TrialPosterior };
    Ok(Resampled { interval, undefined: replicates.undefined() })
}

fn bias_over_trials(
    pairs: &Pairs,
    units: Units,
    options: &AgreeOptions,
) -> Result<Resampled, AgreementError> {
    let statistic = Statistic::Bias;
    let sampler = |side| -> Vec<Sampler> {
        pairs.cells().iter().map(|cell| Sampler::new(cell.of(side))).collect()
    };
    let (real, imagined) = (sampler(Side::Real), sampler(Side::Imagined));
    let seed = options.seed.child("trials");
    let values = replicate(
        options.resamples,
        seed,
        || Rates::new(pairs),
        |stream, rates| {
            for (rate, sampler) in rates.real.iter_mut().zip(&real) {
                *rate = sampler.draw(stream);
            }
            for (rate, sampler) in rates.imagined.iter_mut().zip(&imagined) {
                *rate = sampler.draw(stream);
            }
            rates.statistic(pairs, statistic, units)
        },
    );
    let replicates = Replicates::new(values)?;
    let estimate = Rates::new(pairs).statistic(pairs, statistic, units);
    let acceleration = acceleration_over_trials(pairs, statistic, units);
    let Interval { low, high, level, .. } =
        replicates.bca(estimate, acceleration, options.level)?;
    let interval = Interval { low, high, level, method: IntervalMethod::TrialBootstrap };
    Ok(Resampled { interval, undefined: replicates.undefined() })
}

/// The jackknife over trials: a trial left out moves the rate of its own cell only.
fn acceleration_over_trials(pairs: &Pairs, statistic: Statistic, units: Units) -> Acceleration {
    let mut acceleration = Acceleration::none();
    let mut rates = Rates::new(pairs);
    for (index, cell) in pairs.cells().iter().enumerate() {
        for side in [Side::Real, Side::Imagined] {
            let left_out: Vec<(f64, f64)> = without_one(cell.of(side))
                .into_iter()
                .map(|(rate, count)| {
                    let kept = std::mem::replace(&mut rates.of(side)[index], rate);
                    let value = rates.statistic(pairs, statistic, units);
                    rates.of(side)[index] = kept;
                    (value, count)
                })
                .collect();
            acceleration.add_sample(left_out.iter().copied());
        }
    }
    acceleration
}

/// The rates of a cell with one trial left out, and how many trials give each.
fn without_one(measured: &Measured) -> Vec<(f64, f64)> {
    let rate = measured.rate;
    match &measured.noise {
        Noise::Trials(n) if *n > 1 => {
            let n = *n as f64;
            let without = |score: f64| rate + (rate - score) / (n - 1.0);
            vec![(without(0.0), n * (1.0 - rate)), (without(1.0), n * rate)]
        }
        Noise::Scores(scores) if scores.len() > 1 => {
            let others = scores.len() as f64 - 1.0;
            scores.iter().map(|score| (rate + (rate - score) / others, 1.0)).collect()
        }
        Noise::Unknown | Noise::Trials(_) | Noise::Scores(_) => Vec::new(),
    }
}

/// Rates of cells on both sides, and room for those of policies.
struct Rates {
    real: Vec<f64>,
    imagined: Vec<f64>,
    real_policies: Vec<f64>,
    imagined_policies: Vec<f64>,
}

impl Rates {
    /// The measured rates.
    fn new(pairs: &Pairs) -> Self {
        let policies = pairs.policies().len();
        Self {
            real: pairs.cell_rates(Side::Real),
            imagined: pairs.cell_rates(Side::Imagined),
            real_policies: vec![0.0; policies],
            imagined_policies: vec![0.0; policies],
        }
    }

    fn of(&mut self, side: Side) -> &mut [f64] {
        match side {
            Side::Real => &mut self.real,
            Side::Imagined => &mut self.imagined,
        }
    }

    fn statistic(&mut self, pairs: &Pairs, statistic: Statistic, units: Units) -> f64 {
        match units {
            Units::Cells => statistic.of(&self.real, &self.imagined),
            Units::Policies => {
                pairs.average_by_policy(&self.real, &mut self.real_policies);
                pairs.average_by_policy(&self.imagined, &mut self.imagined_policies);
                statistic.of(&self.real_policies, &self.imagined_policies)
            }
        }
    }
}

/// A cell's rate, drawn anew.
enum Sampler {
    Fixed(f64),
    Binomial { n: f64, binomial: AliasTable },
    Scores(Tuples),
}

impl Sampler {
    fn new(measured: &Measured) -> Self {
        match &measured.noise {
            Noise::Unknown => Self::Fixed(measured.rate),
            Noise::Trials(n) => {
                Self::Binomial { n: *n as f64, binomial: AliasTable::binomial(*n, measured.rate) }
            }
            Noise::Scores(scores) => Self::Scores(Tuples::new(scores)),
        }
    }

    fn draw(&self, stream: &mut Stream) -> f64 {
        match self {
            Self::Fixed(rate) => *rate,
            Self::Binomial { n, binomial } => binomial.draw(stream) as f64 / n,
            Self::Scores(scores) => scores.resampled_sum(stream) / scores.values().len() as f64,
        }
    }
}

/// The points of each policy.
struct Groups {
    real: Vec<f64>,
    imagined: Vec<f64>,
    /// Where each policy's points begin, and the end of the last.
    bounds: Vec<usize>,
}

impl Groups {
    fn new(pairs: &Pairs, units: Units) -> Self {
        match units {
            Units::Policies => Self {
                real: pairs.policy_rates(Side::Real),
                imagined: pairs.policy_rates(Side::Imagined),
                bounds: (0..=pairs.policies().len()).collect(),
            },
            Units::Cells => {
                let runs = pairs.cells().chunk_by(|a, b| a.policy == b.policy);
                let ends = runs.scan(0, |end, run| {
                    *end += run.len();
                    Some(*end)
                });
                Self {
                    real: pairs.cell_rates(Side::Real),
                    imagined: pairs.cell_rates(Side::Imagined),
                    bounds: std::iter::once(0).chain(ends).collect(),
                }
            }
        }
    }

    fn of(&self, policy: usize) -> (&[f64], &[f64]) {
        let range = self.bounds[policy]..self.bounds[policy + 1];
        (&self.real[range.clone()], &self.imagined[range])
    }
}

#[cfg(test)]
mod tests {
    use rehearse_scenarios::seed::Seed;

    use super::*;
    use crate::trial::{AggregateTable, Cell, Table};

    fn table(rates: &[f64], trials: Option<u64>) -> Table {
        let cells = rates.iter().enumerate().map(|(index, &rate)| Cell {
            policy: format!("p{index:02}"),
            task: "t".into(),
            rate,
            trials,
        });
        Table::Aggregate(AggregateTable::new(cells.collect(), "test").unwrap())
    }

    fn pairs(trials: Option<u64>) -> Pairs {
        let real = [0.1, 0.25, 0.3, 0.45, 0.5, 0.7, 0.8, 0.9];
        let imagined = [0.2, 0.2, 0.5, 0.4, 0.7, 0.6, 0.9, 0.8];
        Pairs::new(&table(&real, trials), &table(&imagined, trials)).unwrap()
    }

    fn options() -> AgreeOptions {
        AgreeOptions { resamples: 4_000, ..AgreeOptions::new(Seed::root(3)) }
    }

    #[test]
    fn more_trials_narrow_the_interval_over_trials() {
        let width = |trials| {
            let got =
                over_trials(&pairs(Some(trials)), Statistic::Pearson, Units::Policies, &options());
            got.unwrap().interval.width()
        };
        let (few, many) = (width(40), width(4_000));
        assert!(many < 0.2 * few, "{many} against {few}");
    }

    #[test]
    fn intervals_hold_their_estimate() {
        let pairs = pairs(Some(50));
        let (real, imagined) = (pairs.policy_rates(Side::Real), pairs.policy_rates(Side::Imagined));
        for statistic in [
            Statistic::Pearson,
            Statistic::Spearman,
            Statistic::Kendall,
            Statistic::Bias,
            Statistic::MeanAbsoluteError,
        ] {
            let estimate = statistic.of(&real, &imagined);
            let policies = over_policies(&pairs, statistic, Units::Policies, &options()).unwrap();
            assert!(policies.interval.contains(estimate), "{statistic:?} {policies:?}");
        }
        let bias = over_trials(&pairs, Statistic::Bias, Units::Policies, &options()).unwrap();
        assert!(bias.interval.contains(Statistic::Bias.of(&real, &imagined)), "{bias:?}");
    }

    #[test]
    fn trials_take_out_what_chance_did_to_the_estimate() {
        let pairs = pairs(Some(50));
        let (real, imagined) = (pairs.policy_rates(Side::Real), pairs.policy_rates(Side::Imagined));
        let middle = |statistic| {
            let got = over_trials(&pairs, statistic, Units::Policies, &options()).unwrap();
            f64::midpoint(got.interval.low, got.interval.high)
        };
        let of = |statistic: Statistic| statistic.of(&real, &imagined);
        let error = Statistic::MeanAbsoluteError;
        assert!(middle(error) < of(error), "{} of {}", middle(error), of(error));
        let upper = over_trials(&pairs, Statistic::Pearson, Units::Policies, &options()).unwrap();
        assert!(upper.interval.contains(of(Statistic::Pearson)), "{upper:?}");
    }

    #[test]
    fn four_points_have_no_spread_to_estimate() {
        let rates = [0.1, 0.4, 0.6, 0.9];
        let four = table(&rates, Some(50));
        let pairs = Pairs::new(&four, &four).unwrap();
        let got = over_trials(&pairs, Statistic::Pearson, Units::Policies, &options());
        assert!(matches!(got, Err(AgreementError::TooFew { needed: 5, got: 4, .. })), "{got:?}");
        assert!(over_trials(&pairs, Statistic::Bias, Units::Policies, &options()).is_ok());
    }

    #[test]
    fn with_one_task_cells_are_policies() {
        let pairs = pairs(Some(50));
        for resampled in [over_policies, over_trials] {
            let by = |units| resampled(&pairs, Statistic::Pearson, units, &options()).unwrap();
            assert_eq!(by(Units::Policies), by(Units::Cells));
        }
    }

    #[test]
    fn unknown_trials_cannot_be_resampled() {
        let got = over_trials(&pairs(None), Statistic::Pearson, Units::Policies, &options());
        assert!(matches!(got, Err(AgreementError::Bootstrap(BootstrapError::Constant { .. }))));
    }

    #[test]
    fn fisher_refuses_what_it_cannot_say() {
        assert_eq!(fisher_z(0.9, 3.0, 0.95), None);
        assert_eq!(fisher_z(1.0, 30.0, 0.95), None);
        assert_eq!(fisher_z(f64::NAN, 30.0, 0.95), None);
    }
}
