//! Measures how often 95 % intervals of agreement, and bootstrap intervals of means, cover, and
//! writes the table:
//! `cargo run --release -p rehearse-scoring --example coverage_agreement -- docs`
//!
//! Everything is simulated from fixed seeds.

use std::fmt::Write as _;
use std::path::PathBuf;

use rand::Rng as _;
use rand::RngCore;
use rayon::prelude::*;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::agreement::{
    AgreeOptions, MmrvConvention, Pairs, Statistic, Units, bias, fisher_z, mean_absolute_error,
    mmrv, over_trials, pearson,
};
use rehearse_scoring::bootstrap::{BootstrapError, basic, mean_bca, percentile};
use rehearse_scoring::interval::Interval;
use rehearse_scoring::special::{normal_cdf, normal_quantile};
use rehearse_scoring::trial::{AggregateTable, Cell, Table};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const LEVEL: f64 = 0.95;
const SIZES: [usize; 3] = [10, 25, 100];
/// Runs of what has a formula, and of what is resampled.
const RUNS: (u64, u64) = (20_000, 2_000);
const RESAMPLES: usize = 999;
/// Policies drawn to find the correlation of a population.
const POPULATION: u64 = 1_000_000;
/// Trials behind a rate on either side, where policies are drawn.
const TRIALS: (u64, u64) = (50, 200);

const HEADER: &str = "\
# How often intervals of agreement cover

Written by `cargo run --release -p rehearse-scoring --example coverage_agreement -- docs`; simulated
from fixed seeds, 20,000 runs for Fisher's z and 2,000 for what is resampled (999 resamples), so that
a share of 95 % is known to ±0.3 and ±1.0 points. **Bold**: outside 94 to 97 %. The last column has
the share of runs that are refused an interval; coverage is that of the others.

";

const OVER_POLICIES: &str = "\
## Correlation over policies

Policies are drawn from a population and the target is Pearson's r of that population. *normal*: rates
are jointly normal with correlation ρ, which is what Fisher's z promises for. *success rates*: each
policy has a true rate on either side (jointly normal in probit, correlation 0.9) of which 50 real and
200 imagined trials are seen; the target is the correlation of the rates seen.

| interval | policies | data | coverage, % | median width | no interval, % |
|---|---:|---|---:|---:|---:|
";

const OVER_TRIALS: &str = "
## Agreement of given policies, over trials

Ten policies with true rates that stay; n trials of each on either side are drawn anew. The target is
the statistic of the true rates. *spread*: rates from 0.05 to 0.95, imagined ones up to 0.15 off.
*crowded*: all rates between 0.3 and 0.6. The bias has a BCa bootstrap interval. The other statistics
of measured rates are off themselves (chance lowers a correlation, and raises MMRV and mean absolute
error): their interval is of a posterior of the true rates.

| statistic | n | policies | coverage, % | median width | no interval, % |
|---|---:|---|---:|---:|---:|
";

const MEANS: &str = "
## Means of partial credit

Credits from Beta(0.5, 1.5), which is skewed (mean 0.25).

| interval | n | coverage, % | median width | no interval, % |
|---|---:|---:|---:|---:|
";

const READING: &str = "
## Reading it

- Fisher's z keeps its promise for normal rates at every number of policies. For success rates, which
  are not normal, it is a point and a half short. It is the interval that `agree` prints first.
- BCa over policies is one to three points short up to 25 policies, and right or a point short at 100.
- Over trials, the posterior of Pearson and of the mean absolute error keeps its level wherever rates
  are spread enough for one to be given. MMRV is a maximum over pairs of policies, some of which lie
  so close that trials leave their order open: it is one to five points short. The bias is within
  about a point.
- Where more than a tenth of the variance between rates is chance, no interval over trials is given,
  except for the bias: at n = 10, and for all crowded policies.
- MMRV has no row over policies: its value depends on how many policies there are, so a population
  has none to cover.
- Bootstrap intervals of a mean of ten skewed credits are too narrow by every method. BCa is the least
  so, and right from n = 25 but for the error of the simulation.
";

fn main() -> Result<(), Failure> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "docs".to_owned()));
    std::fs::create_dir_all(&folder)?;
    let text =
        [HEADER, OVER_POLICIES, &policies()?, OVER_TRIALS, &trials()?, MEANS, &means()?, READING];
    std::fs::write(folder.join("coverage-agreement.md"), text.concat())?;
    Ok(())
}

/// How policies come about.
#[derive(Clone, Copy)]
enum Source {
    /// Jointly normal with this correlation.
    Normal(f64),
    /// Success rates of a few trials.
    Rates,
}

impl Source {
    fn name(self) -> String {
        match self {
            Self::Normal(rho) => format!("normal, ρ = {rho}"),
            Self::Rates => "success rates".to_owned(),
        }
    }

    fn draw(self, rng: &mut impl RngCore) -> (f64, f64) {
        let mut normal = || normal_quantile(rng.random_range(1e-12..1.0));
        let (x, y) = (normal(), normal());
        match self {
            Self::Normal(rho) => (x, rho * x + (1.0 - rho * rho).sqrt() * y),
            Self::Rates => {
                let (real, imagined) = (normal_cdf(x), normal_cdf(0.9 * x + 0.19_f64.sqrt() * y));
                (rate(real, TRIALS.0, rng), rate(imagined, TRIALS.1, rng))
            }
        }
    }

    fn sample(self, n: usize, rng: &mut impl RngCore) -> (Vec<f64>, Vec<f64>) {
        (0..n).map(|_| self.draw(rng)).unzip()
    }

    fn target(self) -> Result<f64, Failure> {
        match self {
            Self::Normal(rho) => Ok(rho),
            Self::Rates => {
                let mut rng = Seed::root(1).child("population").rng();
                let (real, imagined) = self.sample(POPULATION as usize, &mut rng);
                Ok(pearson(&real, &imagined)?)
            }
        }
    }
}

/// The share of successes in `trials`.
fn rate(p: f64, trials: u64, rng: &mut impl RngCore) -> f64 {
    (0..trials).filter(|_| rng.random_bool(p)).count() as f64 / trials as f64
}

fn policies() -> Result<String, Failure> {
    let mut text = String::new();
    let sources = [Source::Normal(0.5), Source::Normal(0.9), Source::Rates];
    for source in sources {
        let target = source.target()?;
        for n in SIZES {
            let fisher = measure("fisher", RUNS.0, target, |seed| {
                let (real, imagined) = source.sample(n, &mut seed.rng());
                Ok(pearson(&real, &imagined).ok().and_then(|r| fisher_z(r, n as f64, LEVEL)))
            })?;
            writeln!(text, "| Fisher z | {n} | {} | {fisher}", source.name())?;
        }
    }
    for source in sources {
        let target = source.target()?;
        for n in SIZES {
            let bca = measure("bca", RUNS.1, target, |seed| {
                let (real, imagined) = source.sample(n, &mut seed.rng());
                let r = |places: &[u32]| {
                    let pick = |values: &[f64]| -> Vec<f64> {
                        places.iter().map(|&place| values[place as usize]).collect()
                    };
                    pearson(&pick(&real), &pick(&imagined)).unwrap_or(f64::NAN)
                };
                given(&rehearse_scoring::bootstrap::bca(n, &r, RESAMPLES, LEVEL, seed))
            })?;
            writeln!(text, "| BCa over policies | {n} | {} | {bca}", source.name())?;
        }
    }
    Ok(text)
}

/// True rates of ten policies, real and imagined.
fn truths(crowded: bool) -> (Vec<f64>, Vec<f64>) {
    let offsets = [0.05, -0.1, 0.15, 0.0, -0.05, 0.1, -0.15, 0.05, 0.1, -0.1];
    let pairs = offsets.iter().enumerate().map(|(index, offset)| {
        let place = index as f64 / 9.0;
        if crowded {
            let real = 0.3 + 0.3 * place;
            (real, (real + 0.5 * offset).clamp(0.3, 0.6))
        } else {
            let real = 0.05 + 0.9 * place;
            (real, (real + offset).clamp(0.02, 0.98))
        }
    });
    pairs.unzip()
}

fn trials() -> Result<String, Failure> {
    let mut text = String::new();
    for (name, statistic) in [
        ("Pearson", Statistic::Pearson),
        ("MMRV", Statistic::Mmrv(MmrvConvention::SimplerEnv)),
        ("mean absolute error", Statistic::MeanAbsoluteError),
        ("bias", Statistic::Bias),
    ] {
        for (kind, crowded) in [("spread", false), ("crowded", true)] {
            let (real, imagined) = truths(crowded);
            let target = match statistic {
                Statistic::Mmrv(convention) => mmrv(&real, &imagined, convention)?,
                Statistic::MeanAbsoluteError => mean_absolute_error(&real, &imagined)?,
                Statistic::Bias => bias(&real, &imagined)?,
                Statistic::Pearson | Statistic::Spearman | Statistic::Kendall => {
                    pearson(&real, &imagined)?
                }
            };
            for n in SIZES {
                let row = measure(name, RUNS.1, target, |seed| {
                    let mut rng = seed.rng();
                    let mut seen = |truths: &[f64]| table(truths, n as u64, &mut rng);
                    let pairs = Pairs::new(&seen(&real)?, &seen(&imagined)?)?;
                    let options = AgreeOptions { resamples: RESAMPLES, ..AgreeOptions::new(seed) };
                    let got = over_trials(&pairs, statistic, Units::Policies, &options);
                    Ok(got.ok().map(|resampled| resampled.interval))
                })?;
                writeln!(text, "| {name} | {n} | {kind} | {row}")?;
            }
        }
    }
    Ok(text)
}

/// `trials` of each policy, seen.
fn table(truths: &[f64], trials: u64, rng: &mut impl RngCore) -> Result<Table, Failure> {
    let cells = truths.iter().enumerate().map(|(index, &truth)| Cell {
        policy: format!("p{index}"),
        task: "t".into(),
        rate: rate(truth, trials, rng),
        trials: Some(trials),
    });
    Ok(Table::Aggregate(AggregateTable::new(cells.collect(), "simulated")?))
}

/// An interval of the mean of values.
type Method = fn(&[f64], Seed) -> Result<Interval, BootstrapError>;

fn means() -> Result<String, Failure> {
    let mut text = String::new();
    // Beta(½, 3/2) has the distribution of (r cos θ)² over the unit disc: of a coordinate, squared.
    let credit = |rng: &mut dyn RngCore| {
        let (radius, angle) =
            (rng.random::<f64>().sqrt(), std::f64::consts::TAU * rng.random::<f64>());
        (radius * angle.cos()).powi(2)
    };
    let methods: [(&str, Method); 3] = [
        ("percentile", |values, seed| {
            percentile(values.len(), &mean_of(values), RESAMPLES, LEVEL, seed)
        }),
        ("basic", |values, seed| basic(values.len(), &mean_of(values), RESAMPLES, LEVEL, seed)),
        ("BCa", |values, seed| mean_bca(values, RESAMPLES, LEVEL, seed)),
    ];
    for (name, method) in methods {
        for n in SIZES {
            let row = measure(name, RUNS.1, 0.25, |seed| {
                let mut rng = seed.rng();
                let values: Vec<f64> = (0..n).map(|_| credit(&mut rng)).collect();
                given(&method(&values, seed))
            })?;
            writeln!(text, "| {name} | {n} | {row}")?;
        }
    }
    Ok(text)
}

fn mean_of(values: &[f64]) -> impl Fn(&[u32]) -> f64 + Sync {
    |places| places.iter().map(|&i| values[i as usize]).sum::<f64>() / places.len() as f64
}

/// No interval where the data allow none.
fn given(interval: &Result<Interval, BootstrapError>) -> Result<Option<Interval>, Failure> {
    match interval {
        Ok(interval) => Ok(Some(*interval)),
        Err(BootstrapError::TooFewResamples { .. } | BootstrapError::Level { .. }) => {
            Err("an option of the simulation is out of range".into())
        }
        Err(_) => Ok(None),
    }
}

/// Coverage of `target`, median width and share without an interval, as cells of a table.
fn measure(
    name: &str,
    runs: u64,
    target: f64,
    interval: impl Fn(Seed) -> Result<Option<Interval>, Failure> + Sync,
) -> Result<String, Failure> {
    let root = Seed::root(20_260_824).child(name);
    let found: Vec<Option<Interval>> = (0..runs)
        .into_par_iter()
        .map(|run| interval(root.index(run)))
        .collect::<Result<_, Failure>>()?;
    let covered = found.iter().flatten().filter(|interval| interval.contains(target)).count();
    let mut widths: Vec<f64> = found.iter().flatten().map(Interval::width).collect();
    widths.sort_unstable_by(f64::total_cmp);
    let width = widths.get(widths.len() / 2).copied().unwrap_or_default();
    let without = 100.0 * (found.len() - widths.len()) as f64 / runs as f64;
    if widths.len() < 100 {
        return Ok(format!("- | - | {without:.1} |"));
    }
    let coverage = 100.0 * covered as f64 / widths.len() as f64;
    let bold = if (94.0..=97.0).contains(&coverage) { "" } else { "**" };
    Ok(format!("{bold}{coverage:.1}{bold} | {width:.3} | {without:.1} |"))
}
