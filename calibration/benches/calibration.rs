//! Speed of a whole calibration and of an allocation.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rand::Rng as _;
use rehearse_calibration::allocation::{Objective, allocate, states};
use rehearse_calibration::calibrate::{Options, calibrate};
use rehearse_calibration::pairs::Pairs;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::trial::{Trial, TrialTable, Verdict};

/// 20 policies × 10 tasks, 50 imagined scenarios each, 10 of them real.
fn pairs() -> Pairs {
    let mut rng = Seed::root(1).rng();
    let (mut real, mut imagined) = (Vec::new(), Vec::new());
    for policy in 0..20 {
        for task in 0..10 {
            for i in 0..50 {
                let verdict =
                    if rng.random_bool(0.5) { Verdict::Success } else { Verdict::Failure };
                let trial = Trial::new(&format!("p{policy}"), &format!("t{task}"), verdict)
                    .of_scenario(&format!("s{i}"), None);
                if i < 10 {
                    real.push(trial.clone());
                }
                imagined.push(trial);
            }
        }
    }
    let table = |trials| TrialTable::new(trials, "bench").expect("trials are distinct");
    Pairs::new(&table(real), &table(imagined)).expect("tables match")
}

fn benches(criterion: &mut Criterion) {
    let pairs = pairs();
    criterion.bench_function("calibrate/20x10x50", |b| {
        b.iter(|| calibrate(black_box(&pairs), &Options::default()));
    });
    let cells = states(&pairs).expect("pairs are valid");
    criterion.bench_function("allocate/200 cells/10000 trials", |b| {
        b.iter(|| allocate(black_box(&cells), 10_000, &Objective::EveryPolicy));
    });
}

criterion_group!(calibration, benches);
criterion_main!(calibration);
