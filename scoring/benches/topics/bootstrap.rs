//! Resampling: 10,000-resample `BCa` of 50 policies × 20 tasks × 50 trials, and agreement on it.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use rand::Rng as _;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::agreement::{AgreeOptions, Pairs, agree};
use rehearse_scoring::bootstrap::{bca, stratified_mean_bca, stratified_proportion_bca};
use rehearse_scoring::trial::{AggregateTable, Cell, Table};

const POLICIES: usize = 50;
const TASKS: usize = 20;
const TRIALS: usize = 50;
const RESAMPLES: usize = 10_000;

/// By policy and task: the scores of its trials.
fn scores(credit: bool) -> Vec<Vec<Vec<f64>>> {
    let mut rng = Seed::root(7).rng();
    let mut score = || {
        let draw: f64 = rng.random();
        if credit { draw } else { f64::from(u8::from(draw < 0.5)) }
    };
    (0..POLICIES)
        .map(|_| (0..TASKS).map(|_| (0..TRIALS).map(|_| score()).collect()).collect())
        .collect()
}

fn table(scores: &[Vec<Vec<f64>>], shift: f64) -> Table {
    let cells = scores.iter().enumerate().flat_map(|(policy, tasks)| {
        tasks.iter().enumerate().map(move |(task, scores)| Cell {
            policy: format!("p{policy}"),
            task: format!("t{task}"),
            rate: (scores.iter().sum::<f64>() / TRIALS as f64 * shift * (policy + 1) as f64
                / POLICIES as f64)
                .min(1.0),
            trials: Some(TRIALS as u64),
        })
    });
    let cells = AggregateTable::new(cells.collect(), "benchmark");
    Table::Aggregate(cells.unwrap_or_else(|error| panic!("benchmark table: {error}")))
}

/// The benchmarks of this topic.
pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bootstrap");
    group.sample_size(10);
    group.throughput(Throughput::Elements((POLICIES * TASKS * TRIALS * RESAMPLES) as u64));
    for (name, credit) in [("success", false), ("credit", true)] {
        let scores = scores(credit);
        group.bench_function(format!("bca/{name}/50x20x50"), |bencher| {
            bencher.iter(|| {
                for tasks in &scores {
                    let strata: Vec<&[f64]> = tasks.iter().map(Vec::as_slice).collect();
                    black_box(stratified_mean_bca(&strata, RESAMPLES, 0.95, Seed::root(1)).ok());
                }
            });
        });
    }
    let successes = scores(false);
    group.bench_function("bca/counts/50x20x50", |bencher| {
        bencher.iter(|| {
            for tasks in &successes {
                let strata: Vec<(u64, u64)> = tasks
                    .iter()
                    .map(|scores| (scores.iter().sum::<f64>() as u64, TRIALS as u64))
                    .collect();
                black_box(stratified_proportion_bca(&strata, RESAMPLES, 0.95, Seed::root(1)).ok());
            }
        });
    });
    group.bench_function("bca/any_statistic/50x1000", |bencher| {
        bencher.iter(|| {
            for tasks in &successes {
                let values = tasks.concat();
                let mean = |places: &[u32]| {
                    places.iter().map(|&place| values[place as usize]).sum::<f64>()
                        / places.len() as f64
                };
                black_box(bca(values.len(), &mean, RESAMPLES, 0.95, Seed::root(1)).ok());
            }
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("agreement");
    group.sample_size(10);
    let (real, imagined) = (table(&scores(false), 1.5), table(&scores(true), 1.6));
    group.bench_function("agree/50x20", |bencher| {
        bencher.iter(|| {
            let pairs = Pairs::new(&real, &imagined);
            pairs.and_then(|pairs| agree(&pairs, &AgreeOptions::new(Seed::root(1)))).is_ok()
        });
    });
    group.finish();
}
