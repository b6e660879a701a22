//! Intervals of every policy of a trial table, timed; `tools/bench_bootstrap.py` sets them beside
//! SciPy's.
//!
//! ```text
//! cargo run --release -p rehearse-scoring --example bench_bootstrap -- trials.csv 10000
//! ```

use std::error::Error;
use std::fs::File;
use std::time::Instant;

use rehearse_scenarios::seed::Seed;
use rehearse_scoring::bootstrap::{bca, stratified_mean_bca};
use rehearse_scoring::interval::Interval;
use rehearse_scoring::trial::{Limits, read_csv};

/// Timed runs; the fastest counts, on both sides.
const RUNS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(resamples)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bench_bootstrap TRIALS.csv RESAMPLES".into());
    };
    let resamples: usize = resamples.parse()?;
    let reading = read_csv(File::open(&path)?, &path, &Limits::default())?;
    let table = reading.into_trials("this benchmark")?;
    let policies: Vec<Vec<Vec<f64>>> = table
        .policies()
        .into_iter()
        .map(|policy| table.scores(policy).into_values().collect())
        .collect();

    let fast = timed(|| {
        policies
            .iter()
            .map(|tasks| {
                let strata: Vec<&[f64]> = tasks.iter().map(Vec::as_slice).collect();
                stratified_mean_bca(&strata, resamples, 0.95, Seed::root(1))
            })
            .collect()
    })?;
    // Any statistic of indices: here the mean over all trials of a policy, tasks pooled.
    let general = timed(|| {
        policies
            .iter()
            .map(|tasks| {
                let values = tasks.concat();
                let mean = |places: &[u32]| {
                    places.iter().map(|&place| values[place as usize]).sum::<f64>()
                        / places.len() as f64
                };
                bca(values.len(), &mean, resamples, 0.95, Seed::root(1))
            })
            .collect()
    })?;
    let ends: Vec<[f64; 2]> = fast.1.iter().map(|i| [i.low, i.high]).collect();
    println!(
        "{}",
        serde_json::json!({ "seconds": fast.0, "general_seconds": general.0, "ends": ends })
    );
    Ok(())
}

fn timed<E>(run: impl Fn() -> Result<Vec<Interval>, E>) -> Result<(f64, Vec<Interval>), E> {
    let mut best = f64::INFINITY;
    let mut intervals = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        intervals = run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok((best, intervals))
}
