//! Rates corrected for a judge's errors.

use std::fmt::Write as _;

use rand::Rng;
use rehearse_calibration::estimate::JudgeCounts;
use rehearse_scenarios::seed::Seed;

use crate::{LEVEL, measure, percent};

const RUNS: u64 = 20_000;

pub fn section() -> Result<String, Box<dyn std::error::Error>> {
    let mut text = format!(
        "## A rate corrected for its judge\n
n judged trials; the judge's errors counted on m true successes and m true failures; true rates even from
0.05 to 0.95; {RUNS} runs: coverage in % (mean width). Lang and Reiczigel's interval leans to the safe
side, most of all with few counted errors; it does not promise 97 % as an upper bound.\n
| n | m | sensitivity | specificity | corrected |\n|---|---|---|---|---|\n"
    );
    let seed = Seed::root(1).child("judge");
    for n in [10, 25, 100] {
        for m in [25, 200] {
            for (sensitivity, specificity) in [(0.95, 0.95), (0.9, 0.7)] {
                let (share, width) = measure(seed, RUNS, |seed| {
                    let mut rng = seed.rng();
                    let truth = rng.random_range(0.05..0.95);
                    let apparent = truth * sensitivity + (1.0 - truth) * (1.0 - specificity);
                    let judged = binomial(n, apparent, &mut rng);
                    let judge = JudgeCounts {
                        successes: m,
                        successes_seen: binomial(m, sensitivity, &mut rng),
                        failures: m,
                        failures_seen: binomial(m, specificity, &mut rng),
                    };
                    let got = judge.correct(judged as f64 / n as f64, n as f64, LEVEL)?;
                    Ok((got.interval.contains(truth), got.interval.width()))
                })?;
                let share = percent(share);
                writeln!(
                    text,
                    "| {n} | {m} | {sensitivity} | {specificity} | {share} ({width:.3}) |"
                )?;
            }
        }
    }
    Ok(text)
}

fn binomial(n: u64, p: f64, rng: &mut impl Rng) -> u64 {
    (0..n).filter(|_| rng.random_bool(p)).count() as u64
}
