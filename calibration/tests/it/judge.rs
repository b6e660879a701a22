//! Judge corrections against a transcription of the papers in exact arithmetic.

use rehearse_calibration::estimate::{JudgeCounts, Method, Sample, Tuning, ppi_mean};
use serde::Deserialize;

use super::{close, fixture};

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    successes_judged: u64,
    trials: u64,
    level: f64,
    #[serde(flatten)]
    judge: JudgeCounts,
    value: f64,
    low: f64,
    high: f64,
}

#[test]
fn rogan_gladen_and_lang_reiczigel_hold_to_rounding() {
    let fixture: Fixture = fixture("judge.json");
    for (i, case) in fixture.cases.iter().enumerate() {
        let trials = case.trials as f64;
        let apparent = case.successes_judged as f64 / trials;
        let got = case.judge.correct(apparent, trials, case.level).unwrap();
        // Near-useless judges divide by a small Youden index.
        let tolerance = 1e-12 / (got.sensitivity + got.specificity - 1.0).powi(2).min(1.0);
        close(i, "value", got.value, case.value, tolerance);
        close(i, "low", got.interval.low, case.low, 1e-10);
        close(i, "high", got.interval.high, case.high, 1e-10);
    }
}

#[test]
fn a_powered_estimate_is_corrected_with_its_effective_trials() {
    let real = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let imagined = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    let unpaired: Vec<f64> = (0..300).map(|i| f64::from(u8::from(i % 3 != 0))).collect();
    let sample = Sample::new(&real, &imagined, &unpaired).unwrap();
    let judge =
        JudgeCounts { successes: 100, successes_seen: 95, failures: 100, failures_seen: 90 };
    let powered = ppi_mean(&sample, Method::Score, Tuning::Plugin, 0.95).unwrap();
    let alone = ppi_mean(&sample, Method::Score, Tuning::Fixed(0.0), 0.95).unwrap();
    let (with, without) =
        (judge.correct_estimate(&powered).unwrap(), judge.correct_estimate(&alone).unwrap());
    let by_hand = ((powered.value + 0.9 - 1.0) / 0.85).clamp(0.0, 1.0);
    assert!((with.value - by_hand).abs() < 1e-12, "{} is not {by_hand}", with.value);
    assert!(with.interval.width() < without.interval.width());
    assert!(with.interval.contains(with.value));
}
