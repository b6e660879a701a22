//! Real trials saved, at the rates and correlations of published tables.

use std::fmt::Write as _;

use rehearse_calibration::estimate::{Method, Sample, Tuning, ppi_mean};
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::rate::wilson;
use serde::Deserialize;

use crate::draw::Coins;
use crate::{LEVEL, measure, percent};

const RUNS: u64 = 400;
const PAIRS: usize = 50;
const UNPAIRED: usize = 500;
/// The saving that is asked for.
const WANTED: f64 = 0.2;

#[derive(Deserialize)]
struct Golden {
    panels: Vec<Panel>,
}

#[derive(Deserialize)]
struct Panel {
    source: String,
    panel: String,
    pearson: f64,
    real: Vec<f64>,
    imagined: Vec<f64>,
}

pub fn section() -> Result<String, Box<dyn std::error::Error>> {
    let golden: Golden = serde_json::from_str(include_str!("../../tests/fixtures/golden.json"))?;
    let mut text = format!(
        "## Real trials saved at the rates and correlations of published tables\n
For every published panel of real and simulated success rates: each policy is run on {PAIRS} real
scenarios and {UNPAIRED} further imagined ones, at the panel's two rates for it. Publications print
rates, not trials, so the correlation of real and imagined outcome *of the same scenario*, on which the
saving depends, is not known; assumed is the panel's Pearson r, or the largest that a policy's two rates
allow if that is less (`reached`, mean over policies). `saved` is 1 − {PAIRS} / n, with n the real trials
that the classical (Wilson) interval needs for the same mean width; {RUNS} runs a policy. Policies whose
real or imagined rate is 0 or 1 have nothing to correlate and are left out. Coverage is at the
panel's own rates, and above 97 % where these are close to 0 or 1.\n
| table | panel | r | reached | coverage | saved | predicted ρ² N / (n + N) |\n|---|---|---|---|---|---|---|\n"
    );
    let seed = Seed::root(1).child("saving");
    let mut savings = Vec::new();
    for (index, panel) in golden.panels.iter().enumerate() {
        let Some(row) = Row::of(panel, seed.index(index as u64))? else { continue };
        savings.push((panel.pearson, row.reached, row.saved));
        writeln!(
            text,
            "| {} | {} | {:.3} | {:.2} | {} | {} % | {} % |",
            panel.source,
            panel.panel,
            panel.pearson,
            row.reached,
            percent(row.coverage),
            percent(row.saved),
            percent(row.predicted)
        )?;
    }
    let count = |of: &dyn Fn(&(f64, f64, f64)) -> bool| savings.iter().filter(|s| of(s)).count();
    let enough = count(&|s| s.2 >= WANTED);
    let strong = count(&|s| s.1 >= 0.5);
    let strong_enough = count(&|s| s.1 >= 0.5 && s.2 >= WANTED);
    let mut sorted: Vec<f64> = savings.iter().map(|s| s.2).collect();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    writeln!(
        text,
        "\n{enough} of {} panels save at least {} %; the median saves {} %. Of the {strong} panels whose
rates allow a correlation of 0.5 or more, {strong_enough} do. At N ≫ n the break-even for 20 % is ρ = 0.45: below it no method
based on these pairs saves that much. If the outcomes of a policy were independent between the real and
the imagined scenario given its rate, nothing would be saved for that policy, whatever r over policies is.",
        savings.len(),
        100.0 * WANTED,
        percent(median)
    )?;
    Ok(text)
}

struct Row {
    reached: f64,
    coverage: f64,
    saved: f64,
    predicted: f64,
}

impl Row {
    fn of(panel: &Panel, seed: Seed) -> Result<Option<Self>, Box<dyn std::error::Error>> {
        let open = |rate: f64| rate > 0.0 && rate < 1.0;
        let policies: Vec<(f64, f64)> = panel
            .real
            .iter()
            .copied()
            .zip(panel.imagined.iter().copied())
            .filter(|&(real, imagined)| open(real) && open(imagined))
            .collect();
        if policies.is_empty() {
            return Ok(None);
        }
        let (mut reached, mut coverage, mut width, mut predicted) = (0.0, 0.0, 0.0, 0.0);
        for (index, &(real, imagined)) in policies.iter().enumerate() {
            let coins = Coins::new(real, imagined, panel.pearson.min(0.999));
            let rho = coins.correlation();
            let (share, mean) = measure(seed.index(index as u64), RUNS, |seed| {
                let mut rng = seed.rng();
                let (y, f) = coins.pairs(PAIRS, &mut rng);
                let rest = coins.imagined(UNPAIRED, &mut rng);
                let sample = Sample::new(&y, &f, &rest)?;
                let got = ppi_mean(&sample, Method::Score, Tuning::Plugin, LEVEL)?;
                Ok((got.interval.contains(real), got.interval.width()))
            })?;
            reached += rho;
            coverage += share;
            width += mean;
            predicted += rho * rho * UNPAIRED as f64 / (PAIRS + UNPAIRED) as f64;
        }
        let count = policies.len() as f64;
        let saved = 1.0 - PAIRS as f64 / classical_trials(&policies, width)?;
        Ok(Some(Self {
            reached: reached / count,
            coverage: coverage / count,
            saved,
            predicted: predicted / count,
        }))
    }
}

/// The real trials, to a fraction, whose Wilson intervals are together as wide as `width`.
fn classical_trials(
    policies: &[(f64, f64)],
    width: f64,
) -> Result<f64, Box<dyn std::error::Error>> {
    let mut before = f64::INFINITY;
    for n in PAIRS as u64 / 2.. {
        let mut now = 0.0;
        for &(rate, _) in policies {
            now += expected_width(rate, n)?;
        }
        if now <= width {
            // Between n − 1 and n by the widths there.
            let part = if before.is_finite() { (width - now) / (before - now) } else { 0.0 };
            return Ok(n as f64 - part);
        }
        before = now;
    }
    Err("no number of trials is enough".into())
}

fn expected_width(rate: f64, n: u64) -> Result<f64, Box<dyn std::error::Error>> {
    let pmf = rehearse_scoring::special::binomial_pmf_all(n, rate);
    let mut mean = 0.0;
    for (k, probability) in pmf.iter().enumerate() {
        mean += probability * wilson(k as f64, n, LEVEL)?.width();
    }
    Ok(mean)
}
