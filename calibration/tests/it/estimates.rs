//! Prediction-powered means against `ppi_py`, SciPy and statsmodels, and as relations.

use proptest::prelude::*;
use rehearse_calibration::estimate::{
    Method, Sample, Stratum, StratumTuning, Tuning, ppi_mean, stratified,
};
use rehearse_scoring::rate::wilson;
use serde::Deserialize;

use super::{close, fixture};

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    level: f64,
    real: Vec<f64>,
    imagined: Vec<f64>,
    unpaired: Vec<f64>,
    lambda: f64,
    value: f64,
    low: f64,
    high: f64,
    fixed_lambda: f64,
    fixed_low: f64,
    fixed_high: f64,
    classical_t: [f64; 2],
    student: [f64; 3],
}

impl Case {
    fn sample(&self) -> Sample<'_> {
        Sample::new(&self.real, &self.imagined, &self.unpaired).unwrap()
    }
}

/// The same formulas: nothing but rounding may differ.
const TOLERANCE: f64 = 1e-10;

#[test]
fn clt_intervals_are_those_of_ppi_py() {
    let fixture: Fixture = fixture("ppi.json");
    assert!(fixture.cases.len() >= 150);
    for (i, case) in fixture.cases.iter().enumerate() {
        let got = ppi_mean(&case.sample(), Method::Clt, Tuning::Plugin, case.level).unwrap();
        close(i, "λ", got.lambda, case.lambda, TOLERANCE);
        close(i, "estimate", got.value, case.value, TOLERANCE);
        close(i, "low", got.interval.low, case.low, TOLERANCE);
        close(i, "high", got.interval.high, case.high, TOLERANCE);
        let tuning = Tuning::Fixed(case.fixed_lambda);
        let got = ppi_mean(&case.sample(), Method::Clt, tuning, case.level).unwrap();
        close(i, "low at fixed λ", got.interval.low, case.fixed_low, TOLERANCE);
        close(i, "high at fixed λ", got.interval.high, case.fixed_high, TOLERANCE);
    }
}

#[test]
fn student_intervals_are_those_of_scipy_and_statsmodels() {
    let fixture: Fixture = fixture("ppi.json");
    for (i, case) in fixture.cases.iter().enumerate() {
        // Quantiles of t with one degree of freedom reach 64: errors scale with the interval.
        let classical =
            ppi_mean(&case.sample(), Method::Student, Tuning::Fixed(0.0), case.level).unwrap();
        let tolerance = 1e-9 * (1.0 + classical.interval.width());
        close(i, "classical low", classical.interval.low, case.classical_t[0], tolerance);
        close(i, "classical high", classical.interval.high, case.classical_t[1], tolerance);
        let got = ppi_mean(&case.sample(), Method::Student, Tuning::Plugin, case.level).unwrap();
        let tolerance = 1e-9 * (1.0 + got.interval.width());
        close(i, "estimate", got.value, case.student[0], tolerance);
        close(i, "low", got.interval.low, case.student[1], tolerance);
        close(i, "high", got.interval.high, case.student[2], tolerance);
    }
}

#[test]
fn one_hand_worked_sample() {
    // Means ¾ and ½; variances 3/16 and ¼, covariance ⅛; pooled variance of eight imagined results
    // with four successes, 8/28; n = N = 4: λ = (1/8) / (2 · 2/7) = 7/32. The unpaired mean is ½.
    let sample =
        Sample::new(&[1.0, 1.0, 1.0, 0.0], &[1.0, 1.0, 0.0, 0.0], &[1.0, 0.0, 1.0, 0.0]).unwrap();
    let got = ppi_mean(&sample, Method::Clt, Tuning::Plugin, 0.95).unwrap();
    assert!((got.lambda - 7.0 / 32.0).abs() < 1e-15);
    assert_eq!(got.value, 0.75);
    let l = 7.0 / 32.0;
    let variance = l * l * 0.25 / 4.0 + (3.0 / 16.0 - 2.0 * l / 8.0 + l * l / 4.0) / 4.0;
    assert!((got.standard_error - f64::sqrt(variance)).abs() < 1e-15);
}

#[test]
fn results_that_never_vary_give_an_honest_interval() {
    // Ten of ten on both sides: no correlation to use, Wilson's interval.
    let sample = Sample::new(&[1.0; 10], &[1.0; 10], &[1.0; 50]).unwrap();
    let got = ppi_mean(&sample, Method::Score, Tuning::Plugin, 0.95).unwrap();
    let alone = wilson(10.0, 10, 0.95).unwrap();
    assert_eq!((got.value, got.interval.high), (1.0, 1.0));
    assert!((got.interval.low - alone.low).abs() < 0.05, "{:?}", got.interval);
    assert!(got.interval.width() > 0.2);
    for method in [Method::Student, Method::Clt] {
        let got = ppi_mean(&sample, method, Tuning::Plugin, 0.95).unwrap();
        assert!(got.interval.low.is_finite() && got.interval.high.is_finite(), "{method:?}");
    }
}

#[test]
fn what_cannot_be_estimated_is_refused() {
    assert!(Sample::new(&[], &[], &[0.5]).is_err());
    assert!(Sample::new(&[1.0], &[], &[]).is_err());
    assert!(Sample::new(&[f64::NAN], &[1.0], &[]).is_err());
    assert!(Sample::new(&[1.0], &[1.0], &[f64::INFINITY]).is_err());
    let sample = Sample::new(&[1.0, 0.0], &[1.0, 0.0], &[1.0, 0.0]).unwrap();
    for level in [0.0, 1.0, f64::NAN, 95.0] {
        assert!(ppi_mean(&sample, Method::Score, Tuning::Plugin, level).is_err(), "{level}");
    }
    assert!(ppi_mean(&sample, Method::Student, Tuning::Plugin, 0.95).is_err());
    assert!(ppi_mean(&sample, Method::Clt, Tuning::Fixed(f64::NAN), 0.95).is_err());
    let metres = Sample::new(&[2.0, 0.0], &[1.0, 0.0], &[]).unwrap();
    assert!(ppi_mean(&metres, Method::Score, Tuning::Plugin, 0.95).is_err());
    assert!(ppi_mean(&metres, Method::Clt, Tuning::Plugin, 0.95).is_ok());
}

fn results(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(f64, f64)>> {
    let share = prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0_f64];
    prop::collection::vec((share.clone(), share), n)
}

proptest! {
    #[test]
    fn score_estimates_stay_in_range_and_in_their_interval(
        pairs in results(1..40), unpaired in prop::collection::vec(0.0..=1.0_f64, 0..60))
    {
        let (y, f): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let sample = Sample::new(&y, &f, &unpaired).unwrap();
        let got = ppi_mean(&sample, Method::Score, Tuning::Plugin, 0.95).unwrap();
        prop_assert!(got.interval.contains(got.value));
        prop_assert!(0.0 <= got.interval.low && got.interval.high <= 1.0);
        // Tuning never makes it worse than the real trials alone.
        prop_assert!(got.effective_trials >= y.len() as f64 * (1.0 - 1e-12));
        prop_assert!(got.standard_error.is_finite() && got.correlation.is_finite());
    }

    #[test]
    fn failures_mirror_successes(
        pairs in results(1..30), unpaired in prop::collection::vec(0.0..=1.0_f64, 1..40))
    {
        let (y, f): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let flip = |values: &[f64]| values.iter().map(|v| 1.0 - v).collect::<Vec<f64>>();
        let (fy, ff, fu) = (flip(&y), flip(&f), flip(&unpaired));
        let got = |y: &[f64], f: &[f64], u: &[f64]| {
            let sample = Sample::new(y, f, u).unwrap();
            ppi_mean(&sample, Method::Score, Tuning::Plugin, 0.9).unwrap()
        };
        let (one, other) = (got(&y, &f, &unpaired), got(&fy, &ff, &fu));
        prop_assert!((one.value + other.value - 1.0).abs() < 1e-9);
        prop_assert!((one.interval.low + other.interval.high - 1.0).abs() < 1e-9);
        prop_assert!((one.lambda - other.lambda).abs() < 1e-9);
    }

    #[test]
    fn order_does_not_matter_and_a_useless_model_costs_nothing(
        pairs in results(4..30), unpaired in prop::collection::vec(0.0..=1.0_f64, 1..40))
    {
        let (mut y, mut f): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let sample = Sample::new(&y, &f, &unpaired).unwrap();
        let before = ppi_mean(&sample, Method::Score, Tuning::Plugin, 0.95).unwrap();
        y.reverse();
        f.reverse();
        let sample = Sample::new(&y, &f, &unpaired).unwrap();
        let after = ppi_mean(&sample, Method::Score, Tuning::Plugin, 0.95).unwrap();
        prop_assert!((before.value - after.value).abs() < 1e-12);
        let constant = vec![0.5; y.len()];
        let sample = Sample::new(&y, &constant, &unpaired).unwrap();
        let got = ppi_mean(&sample, Method::Clt, Tuning::Plugin, 0.95).unwrap();
        prop_assert!((got.value - y.iter().sum::<f64>() / y.len() as f64).abs() < 1e-12);
    }

    #[test]
    fn strata_of_equal_weight_average_their_estimates(
        pairs in results(3..12), unpaired in prop::collection::vec(0.0..=1.0_f64, 1..20))
    {
        let (y, f): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let sample = Sample::new(&y, &f, &unpaired).unwrap();
        for method in [Method::Score, Method::Student, Method::Clt] {
            let one = ppi_mean(&sample, method, Tuning::Plugin, 0.95).unwrap();
            let strata = [Stratum { weight: 1.0, sample }; 3];
            let got = stratified(&strata, method, StratumTuning::Own, 0.95).unwrap();
            prop_assert!((got.value - one.value).abs() < 1e-12);
            let third = one.standard_error / 3.0_f64.sqrt();
            prop_assert!((got.standard_error - third).abs() < 1e-12);
            prop_assert!(got.interval.width() <= one.interval.width() + 1e-12);
        }
    }
}
