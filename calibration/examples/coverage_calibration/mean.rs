//! One rate or one mean.

use std::fmt::Write as _;

use rand::Rng as _;
use rehearse_calibration::estimate::{Method, Sample, Tuning, ppi_mean};
use rehearse_scenarios::seed::Seed;

use crate::draw::{Coins, rates};
use crate::{LEVEL, measure, percent};

const RUNS: u64 = 20_000;
const UNPAIRED: usize = 500;

pub fn section() -> Result<String, Box<dyn std::error::Error>> {
    let mut text = format!(
        "## One success rate\n
n pairs, {UNPAIRED} further imagined scenarios, {RUNS} runs a cell: coverage in % (mean width).\n
| n | correlation | score | Student | CLT (`ppi_py`) | real trials alone (score, λ = 0) |
|---|---|---|---|---|---|\n"
    );
    let seed = Seed::root(1).child("mean");
    for n in [10, 25, 100] {
        for rho in [0.0, 0.3, 0.6, 0.8, 0.95] {
            write!(text, "| {n} | {rho} |")?;
            for (method, tuning) in [
                (Method::Score, Tuning::Plugin),
                (Method::Student, Tuning::Plugin),
                (Method::Clt, Tuning::Plugin),
                (Method::Score, Tuning::Fixed(0.0)),
            ] {
                let (share, width) = measure(seed, RUNS, |seed| {
                    let mut rng = seed.rng();
                    let (real, imagined) = rates(&mut rng);
                    let coins = Coins::new(real, imagined, rho);
                    let (y, f) = coins.pairs(n, &mut rng);
                    let rest = coins.imagined(UNPAIRED, &mut rng);
                    let got = ppi_mean(&Sample::new(&y, &f, &rest)?, method, tuning, LEVEL)?;
                    Ok((got.interval.contains(real), got.interval.width()))
                })?;
                write!(text, " {} ({width:.3}) |", percent(share))?;
            }
            text.push('\n');
        }
    }
    text.push_str("\nAt single rates (n pairs, correlation 0.6, no bias), score method:\n\n| n |");
    let points = [0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95];
    for rate in points {
        write!(text, " {rate} |")?;
    }
    text.push_str("\n|---|---|---|---|---|---|---|---|---|---|\n");
    for n in [10, 25, 100] {
        write!(text, "| {n} |")?;
        for rate in points {
            let (share, _) = measure(seed.child("point"), RUNS, |seed| {
                let mut rng = seed.rng();
                let coins = Coins::new(rate, rate, 0.6);
                let (y, f) = coins.pairs(n, &mut rng);
                let rest = coins.imagined(UNPAIRED, &mut rng);
                let sample = Sample::new(&y, &f, &rest)?;
                let got = ppi_mean(&sample, Method::Score, Tuning::Plugin, LEVEL)?;
                Ok((got.interval.contains(rate), got.interval.width()))
            })?;
            write!(text, " {} |", percent(share))?;
        }
        text.push('\n');
    }
    text.push_str(&normal()?);
    Ok(text)
}

fn normal() -> Result<String, Box<dyn std::error::Error>> {
    let mut text = format!(
        "\n## One mean of normal results\n
Real and imagined results jointly normal, {UNPAIRED} unpaired: coverage in %. Here Student's interval
is exact, but for the noise of the unpaired mean.\n
| n | correlation | Student | CLT (`ppi_py`) |\n|---|---|---|---|\n"
    );
    let seed = Seed::root(1).child("normal");
    for n in [5, 10, 25, 100] {
        for rho in [0.0, 0.6, 0.95] {
            write!(text, "| {n} | {rho} |")?;
            for method in [Method::Student, Method::Clt] {
                let (share, _) = measure(seed, RUNS, |seed| {
                    let mut rng = seed.rng();
                    let mut normal = || {
                        let (u, v): (f64, f64) = (rng.random(), rng.random());
                        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
                    };
                    let (y, f): (Vec<f64>, Vec<f64>) = (0..n)
                        .map(|_| {
                            let f = normal();
                            (rho * f + f64::sqrt(1.0 - rho * rho) * normal(), f)
                        })
                        .unzip();
                    let rest: Vec<f64> = (0..UNPAIRED).map(|_| normal()).collect();
                    let sample = Sample::new(&y, &f, &rest)?;
                    let got = ppi_mean(&sample, method, Tuning::Plugin, LEVEL)?;
                    Ok((got.interval.contains(0.0), got.interval.width()))
                })?;
                write!(text, " {} |", percent(share))?;
            }
            text.push('\n');
        }
    }
    Ok(text)
}
