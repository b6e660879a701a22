//! Real trials allocated batch by batch.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rand::Rng as _;
use rehearse_calibration::allocation::{Assignment, Objective, next_batch};
use rehearse_calibration::calibrate::{Options, calibrate};
use rehearse_calibration::pairs::Pairs;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::trial::{Trial, TrialTable, Verdict};

use crate::{LEVEL, measure, percent};

const RUNS: u64 = 4_000;
const FIRST: usize = 5;
const IMAGINED: usize = 200;
/// True rate of each task, and how often imagination repeats the real outcome there.
const TASKS: [(f64, f64); 4] = [(0.5, 0.2), (0.5, 0.9), (0.92, 0.5), (0.1, 0.9)];

pub fn section() -> Result<String, Box<dyn std::error::Error>> {
    let mut text = format!(
        "## Trials allocated in batches\n
Four tasks that differ in rate and in how well imagination foretells them; {FIRST} real trials of each
to begin with, {IMAGINED} imagined scenarios, then 60 more real trials: spread evenly, or in 6 batches where
the estimated residual variance is largest. {RUNS} runs: coverage in % (mean width).\n
| allocation | score |\n|---|---|\n"
    );
    let seed = Seed::root(1).child("sequential");
    for (name, adaptive) in [("even", false), ("sequential Neyman", true)] {
        let (share, width) = measure(seed, RUNS, |seed| one(seed, adaptive))?;
        writeln!(text, "| {name} | {} ({width:.3}) |", percent(share))?;
    }
    Ok(text)
}

fn one(
    seed: Seed,
    adaptive: bool,
) -> Result<(bool, f64), Box<dyn std::error::Error + Send + Sync>> {
    let mut rng = seed.rng();
    let (mut real, mut imagined) = (Vec::new(), Vec::new());
    let mut truths: BTreeMap<(String, String), f64> = BTreeMap::new();
    for (task, (rate, copied)) in TASKS.into_iter().enumerate() {
        let task = format!("t{task}");
        for scenario in 0..IMAGINED {
            let scenario = format!("s{scenario:03}");
            let truth = rng.random_bool(rate);
            let seen = if rng.random_bool(copied) { truth } else { rng.random_bool(0.6) };
            let trial = |success: bool| {
                let verdict = if success { Verdict::Success } else { Verdict::Failure };
                Trial::new("a", &task, verdict).of_scenario(&scenario, None)
            };
            if real.len() % FIRST != 0 || scenario == "s000" {
                real.push(trial(truth));
            }
            imagined.push(trial(seen));
            truths.insert((task.clone(), scenario), f64::from(u8::from(truth)));
        }
    }
    let (real, imagined) = (TrialTable::new(real, "real")?, TrialTable::new(imagined, "imagined")?);
    let mut pairs = Pairs::new(&real, &imagined)?;
    for batch in 0..6_u64 {
        let next = if adaptive {
            next_batch(&pairs, 10, &Objective::EveryPolicy, seed.child("batch").index(batch))?
        } else {
            even(&pairs, if batch % 2 == 0 { [3, 3, 2, 2] } else { [2, 2, 3, 3] })?
        };
        for Assignment { policy, task, scenario } in next {
            let score = truths[&(task.clone(), scenario.clone())];
            pairs.record(&policy, &task, &scenario, score)?;
        }
    }
    let answer = calibrate(&pairs, &Options { level: LEVEL, ..Options::default() })?;
    let truth = TASKS.iter().map(|(rate, _)| rate).sum::<f64>() / TASKS.len() as f64;
    let interval = answer.policies[0].interval;
    Ok((interval.contains(truth), interval.width()))
}

fn even(
    pairs: &Pairs,
    counts: [usize; 4],
) -> Result<Vec<Assignment>, rehearse_calibration::error::CalibrationError> {
    let mut batch = Vec::new();
    for (task, count) in counts.into_iter().enumerate() {
        let task = format!("t{task}");
        // Scenarios are exchangeable here, so the next ones are as good as random ones.
        let open = pairs.cell("a", &task)?.unpaired();
        for scenario in open.iter().take(count).cloned() {
            batch.push(Assignment { policy: "a".into(), task: task.clone(), scenario });
        }
    }
    Ok(batch)
}
