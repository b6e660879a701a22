//! Measures how often 95 % intervals cover and how often sequential tests err, and writes the
//! tables: `cargo run --release -p rehearse-scoring --example coverage -- docs`
//!
//! Coverage of intervals from counts is exact (every count enumerated, weighted with its
//! probability); the rest is simulated, from fixed seeds.

use std::fmt::Write as _;
use std::path::PathBuf;

use rand::Rng as _;
use rayon::prelude::*;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::compare::{Alternative, Paired, TwoByTwo, newcombe, score_interval};
use rehearse_scoring::interval::Interval;
use rehearse_scoring::power;
use rehearse_scoring::rate::{Rate, clopper_pearson, jeffreys, wilson};
use rehearse_scoring::sequential::{BettingTest, SettleOptions, Settler, TwoSample, rate_sequence};
use rehearse_scoring::special::{binomial_pmf, binomial_pmf_all};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const LEVEL: f64 = 0.95;
const SIZES: [u64; 3] = [10, 25, 100];
/// Runs of each sequential test.
const RUNS: u64 = 20_000;
/// Longest run of a sequential test, in pairs.
const LONGEST: u64 = 500;

/// An interval on k successes of n.
type Method = fn(u64, u64) -> Result<Interval, Failure>;

fn main() -> Result<(), Failure> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "docs".to_owned()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("coverage-rates.md"), coverage()?)?;
    std::fs::write(folder.join("sequential.md"), sequential()?)?;
    Ok(())
}

fn coverage() -> Result<String, Failure> {
    let mut text = String::from(
        "# How often 95 % intervals cover\n\nWritten by `cargo run --release -p rehearse-scoring \
         --example coverage -- docs`. Where counts are all there is, coverage is exact: every \
         possible count, weighted with its probability.\n\n## One success rate\n\n\
         True rates from 0.005 to 0.995 in steps of 0.005. Wilson and Jeffreys promise 95 % on \
         average over the rates, not at each: their mean lies between 94 % and 97 % at every n, while \
         single rates, near 0 and 1 above all, dip below. Clopper–Pearson promises at least 95 % at \
         each, and pays with width: above 97 % on average at n = 10 and 25.\n\n| n | interval | mean coverage | lowest | highest | mean width |\n\
         |---:|---|---:|---:|---:|---:|\n",
    );
    for n in SIZES {
        let methods: [(&str, Method); 3] = [
            ("Wilson", |k, n| Ok(wilson(k as f64, n, LEVEL)?)),
            ("Clopper–Pearson", |k, n| Ok(clopper_pearson(k, n, LEVEL)?)),
            ("Jeffreys", |k, n| Ok(jeffreys(k, n, LEVEL)?)),
        ];
        for (name, method) in methods {
            let intervals: Vec<Interval> =
                (0..=n).map(|k| method(k, n)).collect::<Result<_, _>>()?;
            let mut table = Spread::default();
            for step in 1..200 {
                let p = f64::from(step) / 200.0;
                let pmf = binomial_pmf_all(n, p);
                let each = || pmf.iter().zip(&intervals);
                let covered = each().filter(|(_, i)| i.contains(p)).map(|(w, _)| w).sum();
                table.add(covered, each().map(|(w, i)| w * i.width()).sum());
            }
            writeln!(text, "| {n} | {name} | {table} |")?;
        }
    }
    text += "\n## Difference of two rates\n\nTrue rates of both policies on a grid of 0.05 to 0.95 \
             (pairs: rates of \"only A\" and \"only B\" on a grid of 0.025 to 0.475).\n\n\
             | n | interval | mean coverage | lowest | highest | mean width |\n\
             |---:|---|---:|---:|---:|---:|\n";
    for n in SIZES {
        for (name, method) in [
            ("Newcombe, two samples", newcombe as fn(&TwoByTwo, f64) -> _),
            ("score (Miettinen–Nurminen), two samples", score_interval),
        ] {
            let row = |x| -> Result<Vec<Interval>, Failure> {
                (0..=n).map(|y| Ok(method(&TwoByTwo::new((x, n), (y, n))?, LEVEL)?)).collect()
            };
            let rows: Vec<Vec<Interval>> =
                (0..=n).into_par_iter().map(row).collect::<Result<_, _>>()?;
            let mut table = Spread::default();
            for (p, q) in grid(0.05, 19) {
                let (of_a, of_b) = (binomial_pmf_all(n, p), binomial_pmf_all(n, q));
                let (mut covered, mut width) = (0.0, 0.0);
                for (a, row) in of_a.iter().zip(&rows) {
                    for (b, interval) in of_b.iter().zip(row) {
                        covered += if interval.contains(p - q) { a * b } else { 0.0 };
                        width += a * b * interval.width();
                    }
                }
                table.add(covered, width);
            }
            writeln!(text, "| {n} | {name} | {table} |")?;
        }
        let row = |only_a| -> Result<Vec<Interval>, Failure> {
            let of = |only_b| Paired { both: 0, only_a, only_b, neither: n - only_a - only_b };
            (0..=n - only_a).map(|only_b| Ok(of(only_b).interval(LEVEL)?)).collect()
        };
        let rows: Vec<Vec<Interval>> =
            (0..=n).into_par_iter().map(row).collect::<Result<_, _>>()?;
        let mut table = Spread::default();
        for (p, q) in grid(0.025, 19) {
            let (mut covered, mut width) = (0.0, 0.0);
            for (only_a, row) in rows.iter().enumerate() {
                let a = binomial_pmf(only_a as u64, n, p);
                let of_b = binomial_pmf_all(n - only_a as u64, q / (1.0 - p));
                for (b, interval) in of_b.iter().zip(row) {
                    covered += if interval.contains(p - q) { a * b } else { 0.0 };
                    width += a * b * interval.width();
                }
            }
            table.add(covered, width);
        }
        writeln!(text, "| {n} | score (Tango), pairs | {table} |")?;
    }
    text += "\n## Mean of partial credits\n\n4,000 simulated samples a row (standard error 0.3 \
             points); BCa with 2,000 resamples. BCa promises its level for large n only: at n = 10 \
             it may fall short, and at n = 25 it does where most trials score nearly the same. \
             Wilson's interval on the sum of credits (`Rate::of_credit`) never does, for it takes \
             the largest variance that the mean allows; it is wider.\n\n| n | scores | BCa | mean \
             width | Wilson | mean width |\n|---:|---|---:|---:|---:|---:|\n";
    for n in SIZES {
        for (name, draw, mean) in credit_models() {
            let [(bca, narrow), (credit, wide)] = partial_credit(n, draw, mean, name)?;
            let (bca, credit) = (100.0 * bca, 100.0 * credit);
            writeln!(
                text,
                "| {n} | {name} | {bca:.1} % | {narrow:.3} | {credit:.1} % | {wide:.3} |"
            )?;
        }
    }
    Ok(text)
}

type Draw = fn(f64) -> f64;

/// Partial credits by the inverse of their distribution, and their mean.
fn credit_models() -> [(&'static str, Draw, f64); 3] {
    [
        ("uniform on 0, ¼, ½, ¾, 1", |u| (u * 5.0).floor().min(4.0) / 4.0, 0.5),
        ("subtasks: 40 % at 0, the rest uniform to 1", |u| ((u - 0.4) / 0.6).max(0.0), 0.3),
        ("nearly solved: u^(1/4)", |u| u.sqrt().sqrt(), 0.8),
    ]
}

/// Coverage and mean width of `BCa`, and of Wilson's interval on the sum.
fn partial_credit(n: u64, draw: Draw, mean: f64, name: &str) -> Result<[(f64, f64); 2], Failure> {
    const SAMPLES: u64 = 4_000;
    let seed = Seed::root(1).child("partial").child(name).index(n);
    let results: Vec<[Interval; 2]> = (0..SAMPLES)
        .into_par_iter()
        .map(|sample| {
            let seed = seed.index(sample);
            let mut rng = seed.child("scores").rng();
            let scores: Vec<f64> = (0..n).map(|_| draw(rng.random())).collect();
            let bca = Rate::of_scores(&scores, LEVEL, 2_000, seed.child("bootstrap"))?;
            let credit = Rate::of_credit(scores.iter().sum(), n, LEVEL)?;
            Ok([bca.interval, credit.interval])
        })
        .collect::<Result<_, Failure>>()?;
    let of = |which: usize| {
        let covered = results.iter().filter(|both| both[which].contains(mean)).count() as f64;
        let width: f64 = results.iter().map(|both| both[which].width()).sum();
        (covered / SAMPLES as f64, width / SAMPLES as f64)
    };
    Ok([of(0), of(1)])
}

fn sequential() -> Result<String, Failure> {
    let mut text = format!(
        "# Stopping as soon as it is settled\n\nWritten by `cargo run --release -p \
         rehearse-scoring --example coverage -- docs`.\n\n## Error under optional stopping\n\n\
         Two equally good policies, {RUNS} simulated runs, looked at after every pair up to \
         {LONGEST}: the share of runs that ever call one better, at a level of 5 %. A test for one \
         look, looked at as often, is there to compare.\n\n\
         | rate of both | betting (pairs) | two-sample e-process | McNemar, at every look |\n\
         |---:|---:|---:|---:|\n"
    );
    for p in [0.05, 0.3, 0.5, 0.8] {
        let ends = simulate(p, p, RUNS, LONGEST, true);
        let share = |pick: fn(&End) -> Option<u64>| {
            100.0 * ends.iter().filter(|end| pick(end).is_some()).count() as f64 / RUNS as f64
        };
        let (betting, two) = (share(|end| end.betting), share(|end| end.two_sample));
        let naive = share(|end| end.naive);
        writeln!(text, "| {p} | {betting:.2} % | {two:.2} % | {naive:.1} % |")?;
    }
    text += "\nConfidence sequence of one rate: share of runs in which it ever, within 500 trials, \
             lost the true rate.\n\n| rate | lost |\n|---:|---:|\n";
    for p in [0.05, 0.5, 0.9] {
        writeln!(text, "| {p} | {:.2} % |", 100.0 * sequence_losses(p)?)?;
    }
    let wrong = settled_wrongly()?;
    writeln!(
        text,
        "\nRankings of four policies (rates 0.5, 0.5, 0.6, 0.7; 2,000 runs of up to {LONGEST} \
         scenarios, level 95 %): called settled, which the two equal ones make an error, in {:.2} % \
         of runs.",
        100.0 * wrong
    )?;
    text += "\n## Trials needed\n\nPairs until one policy is called better (5 % two-sided), medians \
             and the 90th percentile over 2,000 runs of independent trials, beside the pairs that a \
             plan of fixed size needs for 80 % and 90 % power, if the rates were known beforehand \
             (two-sample z test).\n\n| rates | betting | two-sample | fixed plan, 80 % | 90 % |\n\
             |---|---:|---:|---:|---:|\n";
    for (p, q) in [(0.8, 0.28), (0.9, 0.5), (0.7, 0.5), (0.6, 0.5)] {
        let ends = simulate(p, q, 2_000, 5_000, false);
        let quantiles = |pick: fn(&End) -> Option<u64>| {
            let mut all: Vec<u64> = ends.iter().map(|e| pick(e).unwrap_or(u64::MAX)).collect();
            all.sort_unstable();
            format!("{} (90 %: {})", all[all.len() / 2], all[all.len() * 9 / 10])
        };
        let (betting, two) = (quantiles(|end| end.betting), quantiles(|end| end.two_sample));
        let fixed = |target| power::z_trials(p, q, 1.0 - LEVEL, target).ceil();
        let (plan, strong) = (fixed(0.8), fixed(0.9));
        writeln!(text, "| {p} and {q} | {betting} | {two} | {plan} | {strong} |")?;
    }
    let ends = simulate(0.8, 0.28, RUNS, 200, false);
    let mut one_sided: Vec<u64> = ends.iter().map(|e| e.one_sided.unwrap_or(201)).collect();
    one_sided.sort_unstable();
    let by_nine = one_sided.iter().filter(|n| **n <= 9).count() as f64 / RUNS as f64;
    writeln!(
        text,
        "\nSTEP (TRI-ML/sequentialized_barnard_tests), a test built for one longest run of 200 trials, is reported \
         to stop at trial 9 on one order of results of 40/50 against 14/50, one-sided at 5 %. At \
         those rates the two-sample e-process, one-sided at 5 %, stops at trial {} in the median \
         and by trial 9 in {:.0} % of runs. It is bound to no longest run, and pays for that.",
        one_sided[one_sided.len() / 2],
        100.0 * by_nine
    )?;
    Ok(text)
}

/// When each test first called a difference.
struct End {
    betting: Option<u64>,
    two_sample: Option<u64>,
    one_sided: Option<u64>,
    naive: Option<u64>,
}

fn simulate(p: f64, q: f64, runs: u64, longest: u64, naive: bool) -> Vec<End> {
    let seed = Seed::root(2).child("streams").child(&format!("{p} {q} {longest}"));
    let critical = (1.0 / (1.0 - LEVEL)).ln();
    (0..runs)
        .into_par_iter()
        .map(|run| {
            let mut rng = seed.index(run).rng();
            let mut end = End { betting: None, two_sample: None, one_sided: None, naive: None };
            let (mut betting, mut two) = (BettingTest::new(), TwoSample::new());
            let mut paired = Paired::default();
            for n in 1..=longest {
                let (a, b) = (rng.random::<f64>() < p, rng.random::<f64>() < q);
                // Scores of 0 and 1 are always accepted.
                if end.betting.is_none()
                    && betting.observe(f64::from(u8::from(a)), f64::from(u8::from(b))).is_ok()
                    && betting.p() <= 1.0 - LEVEL
                {
                    end.betting = Some(n);
                }
                if end.two_sample.is_none() {
                    two.observe(a, b);
                    if two.ln_evidence_for_a() >= critical && end.one_sided.is_none() {
                        end.one_sided = Some(n);
                    }
                    if two.p() <= 1.0 - LEVEL {
                        end.two_sample = Some(n);
                    }
                }
                if naive && end.naive.is_none() {
                    paired.add(a, b);
                    if a != b && paired.mcnemar(Alternative::TwoSided) <= 1.0 - LEVEL {
                        end.naive = Some(n);
                    }
                }
                let done = end.betting.is_some() && end.two_sample.is_some();
                if done && (!naive || end.naive.is_some()) {
                    break;
                }
            }
            end
        })
        .collect()
}

fn sequence_losses(p: f64) -> Result<f64, Failure> {
    // The sequence depends on the counts only: one table of all of them serves every run.
    let row = |n: u64| -> Result<Vec<bool>, Failure> {
        (0..=n).map(|k| Ok(rate_sequence(k, n, LEVEL)?.contains(p))).collect()
    };
    let holds: Vec<Vec<bool>> = (0..=LONGEST).into_par_iter().map(row).collect::<Result<_, _>>()?;
    let seed = Seed::root(3).child("rate").child(&p.to_string());
    let lost = (0..RUNS).into_par_iter().filter(|run| {
        let mut rng = seed.index(*run).rng();
        let mut successes = 0;
        (1..=LONGEST as usize).any(|n| {
            successes += usize::from(rng.random::<f64>() < p);
            !holds[n][successes]
        })
    });
    Ok(lost.count() as f64 / RUNS as f64)
}

fn settled_wrongly() -> Result<f64, Failure> {
    const REPEATS: u64 = 2_000;
    let rates = [("a", 0.5), ("b", 0.5), ("c", 0.6), ("d", 0.7)];
    let seed = Seed::root(4).child("settle");
    let settled = |run: u64| -> Result<bool, Failure> {
        let mut rng = seed.index(run).rng();
        let names = rates.iter().map(|(name, _)| *name);
        let mut settler = Settler::new(names, SettleOptions::default())?;
        for slot in 0..LONGEST {
            for (name, rate) in rates {
                let score = f64::from(u8::from(rng.random::<f64>() < rate));
                settler.observe(slot, name, Some(score))?;
            }
        }
        // Evidence is kept, so the end of the run tells whether it was ever enough.
        Ok(settler.decision().settled)
    };
    let all: Vec<bool> = (0..REPEATS).into_par_iter().map(settled).collect::<Result<_, _>>()?;
    Ok(all.iter().filter(|settled| **settled).count() as f64 / REPEATS as f64)
}

fn grid(step: f64, steps: u32) -> impl Iterator<Item = (f64, f64)> {
    let at = move |i: u32| f64::from(i) * step;
    (1..=steps).flat_map(move |i| (1..=steps).map(move |j| (at(i), at(j))))
}

/// Mean, lowest and highest coverage over true rates, and the mean width.
#[derive(Default)]
struct Spread {
    coverage: Vec<f64>,
    width: f64,
}

impl Spread {
    fn add(&mut self, covered: f64, width: f64) {
        self.coverage.push(covered);
        self.width += width;
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = self.coverage.len() as f64;
        let percent = |share: f64| 100.0 * share;
        let mean = percent(self.coverage.iter().sum::<f64>() / n);
        let low = percent(self.coverage.iter().copied().fold(1.0, f64::min));
        let high = percent(self.coverage.iter().copied().fold(0.0, f64::max));
        write!(f, "{mean:.1} % | {low:.1} % | {high:.1} % | {:.3}", self.width / n)
    }
}
