//! Correlations, Fisher's interval and the permutation test against SciPy.

use rehearse_scenarios::seed::Seed;
use rehearse_scoring::agreement::{fisher_z, kendall, pearson, permutation_p, spearman};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    real: Vec<f64>,
    imagined: Vec<f64>,
    pearson: Option<f64>,
    spearman: Option<f64>,
    kendall: Option<f64>,
    fisher: Option<[f64; 2]>,
    permutation_p: Option<f64>,
}

/// Exact statistics agree with the reference to this.
const TOLERANCE: f64 = 1e-8;

fn cases() -> Vec<Case> {
    let text = include_str!("../fixtures/correlation.json");
    serde_json::from_str::<Fixture>(text).unwrap().cases
}

#[test]
fn coefficients_are_scipys() {
    let cases = cases();
    assert!(cases.len() >= 300);
    for (index, case) in cases.iter().enumerate() {
        for (name, got, expected) in [
            ("pearson", pearson(&case.real, &case.imagined), case.pearson),
            ("spearman", spearman(&case.real, &case.imagined), case.spearman),
            ("kendall", kendall(&case.real, &case.imagined), case.kendall),
        ] {
            match expected {
                Some(expected) => {
                    let got = got.unwrap();
                    assert!(
                        (got - expected).abs() < TOLERANCE,
                        "case {index}: {name} {got}, SciPy {expected}"
                    );
                }
                None => assert!(got.is_err(), "case {index}: {name} {got:?}, SciPy undefined"),
            }
        }
    }
}

#[test]
fn fishers_intervals_are_scipys() {
    let mut checked = 0;
    for case in cases() {
        let Some([low, high]) = case.fisher else { continue };
        let n = case.real.len() as f64;
        let interval = fisher_z(pearson(&case.real, &case.imagined).unwrap(), n, 0.95).unwrap();
        assert!((interval.low - low).abs() < TOLERANCE, "{interval:?}, SciPy [{low}, {high}]");
        assert!((interval.high - high).abs() < TOLERANCE, "{interval:?}, SciPy [{low}, {high}]");
        checked += 1;
    }
    assert!(checked > 100, "only {checked} intervals");
}

#[test]
fn exact_permutation_tests_are_scipys() {
    let mut checked = 0;
    for case in cases() {
        let Some(expected) = case.permutation_p else { continue };
        let blocks = vec![0; case.real.len()];
        let got = permutation_p(&case.real, &case.imagined, &blocks, 0, Seed::root(0)).unwrap();
        assert!(got.exact);
        assert!((got.p - expected).abs() < TOLERANCE, "{} not {expected}", got.p);
        assert!(got.p >= got.floor - 1e-15);
        checked += 1;
    }
    assert!(checked > 30, "only {checked} tests");
}
