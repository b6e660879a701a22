//! Bradley–Terry and superiority against statsmodels and SciPy.

use rehearse_scoring::ranking::{BradleyTerry, rate_superiority, trial_superiority};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    fits: Vec<Fit>,
    trials: Vec<Trials>,
    rates: Vec<Rates>,
}

#[derive(Deserialize)]
struct Fit {
    wins: Vec<Vec<f64>>,
    strengths: Vec<f64>,
    standard_errors: Vec<f64>,
}

#[derive(Deserialize)]
struct Trials {
    a: Vec<f64>,
    b: Vec<f64>,
    superiority: f64,
}

#[derive(Deserialize)]
struct Rates {
    a: (u64, u64),
    b: (u64, u64),
    superiority: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/ranking.json")).unwrap()
}

#[test]
fn bradley_terry_is_the_logistic_regression_it_should_be() {
    for (index, case) in fixture().fits.iter().enumerate() {
        let fit = BradleyTerry::fit(&case.wins, 0.0, 0.95).unwrap();
        let pairs = fit.strengths.iter().zip(&case.strengths);
        let errors = fit.standard_errors.iter().zip(&case.standard_errors);
        for (got, expected) in pairs.chain(errors) {
            assert!((got - expected).abs() < 1e-8, "case {index}: {got}, expected {expected}");
        }
    }
}

#[test]
fn superiority_is_mann_and_whitneys_and_the_integral() {
    let Fixture { trials, rates, .. } = fixture();
    for case in trials {
        let got = trial_superiority(&case.a, &case.b).unwrap();
        assert!((got - case.superiority).abs() < 1e-12);
    }
    for Rates { a, b, superiority } in rates {
        let got = rate_superiority(a, b);
        assert!((got - superiority).abs() < 1e-8, "{a:?} {b:?}: {got}, expected {superiority}");
    }
}
