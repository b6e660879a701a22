//! Bootstrap intervals against SciPy's, and what must hold of them without a reference.

use proptest::prelude::*;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::bootstrap::{
    Acceleration, Replicates, basic, bca, mean_bca, percentile, proportion_bca, stratified_mean_bca,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    samples: Vec<Vec<f64>>,
    statistic: String,
    level: f64,
    percentile: [f64; 2],
    basic: [f64; 2],
    #[serde(rename = "BCa")]
    bca: [f64; 2],
    resamples: Vec<f64>,
    estimate: f64,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn statistic(case: &Case, samples: &[Vec<f64>]) -> f64 {
    if case.statistic == "variance" {
        let centre = mean(&samples[0]);
        samples[0].iter().map(|v| (v - centre).powi(2)).sum::<f64>() / samples[0].len() as f64
    } else {
        samples.iter().map(|sample| mean(sample)).sum::<f64>() / samples.len() as f64
    }
}

#[test]
fn given_scipys_resamples_the_ends_are_scipys() {
    let text = include_str!("../fixtures/bootstrap.json");
    let cases = serde_json::from_str::<Fixture>(text).unwrap().cases;
    assert!(cases.len() > 30);
    for (index, case) in cases.iter().enumerate() {
        let estimate = statistic(case, &case.samples);
        assert!((estimate - case.estimate).abs() < 1e-12);
        let mut acceleration = Acceleration::none();
        for stratum in 0..case.samples.len() {
            let left_out: Vec<f64> = (0..case.samples[stratum].len())
                .map(|place| {
                    let mut samples = case.samples.clone();
                    samples[stratum].remove(place);
                    statistic(case, &samples)
                })
                .collect();
            acceleration.add_sample(left_out.iter().map(|&value| (value, 1.0)));
        }
        let replicates = Replicates::new(case.resamples.clone()).unwrap();
        for (name, got, [low, high]) in [
            ("percentile", replicates.percentile(case.level), case.percentile),
            ("basic", replicates.basic(estimate, case.level), case.basic),
            ("BCa", replicates.bca(estimate, acceleration, case.level), case.bca),
        ] {
            let got = got.unwrap();
            assert!(
                (got.low - low).abs() < 1e-8 && (got.high - high).abs() < 1e-8,
                "case {index}: {name} {got:?}, SciPy [{low}, {high}]"
            );
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let values: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17) / 17.0).collect();
    let strata: Vec<&[f64]> = values.chunks(8).collect();
    let median = |places: &[u32]| {
        let mut drawn: Vec<f64> = places.iter().map(|&i| values[i as usize]).collect();
        drawn.sort_unstable_by(f64::total_cmp);
        drawn[drawn.len() / 2]
    };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            (
                bca(values.len(), &median, 999, 0.95, Seed::root(1)),
                percentile(values.len(), &median, 999, 0.95, Seed::root(1)),
                basic(values.len(), &median, 999, 0.95, Seed::root(1)),
                stratified_mean_bca(&strata, 999, 0.95, Seed::root(1)),
                proportion_bca(7, 30, 999, 0.95, Seed::root(1)),
            )
        })
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(1), run(5));
}

#[test]
fn another_seed_gives_another_interval_of_nearly_the_same_width() {
    let values: Vec<f64> = (0..60).map(|i| f64::from(i).sin()).collect();
    let one = mean_bca(&values, 5_000, 0.95, Seed::root(1)).unwrap();
    let two = mean_bca(&values, 5_000, 0.95, Seed::root(2)).unwrap();
    assert_ne!(one, two);
    assert!((one.width() / two.width() - 1.0).abs() < 0.05, "{one:?} {two:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_mean_lies_within_its_interval_and_that_within_the_data(
        values in prop::collection::vec(0.0..1.0_f64, 3..40), seed in 0_u64..1_000
    ) {
        let interval = mean_bca(&values, 500, 0.9, Seed::root(seed)).unwrap();
        let (low, high) = values.iter().fold((1.0_f64, 0.0_f64), |(l, h), &v| (l.min(v), h.max(v)));
        prop_assert!(interval.contains(mean(&values)));
        prop_assert!(low - 1e-12 <= interval.low && interval.high <= high + 1e-12);
    }

    #[test]
    fn a_higher_level_gives_a_wider_interval(successes in 1_u64..29, seed in 0_u64..1_000) {
        let at = |level| proportion_bca(successes, 30, 500, level, Seed::root(seed)).unwrap();
        prop_assert!(at(0.99).width() >= at(0.8).width());
    }
}
