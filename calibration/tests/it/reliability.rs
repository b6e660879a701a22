//! Reliability against scikit-learn.

use rehearse_calibration::reliability::{
    Binning, Brier, CalibrationGap, Diagram, Isotonic, Platt, Predictions, reliability,
};
use rehearse_scenarios::seed::Seed;
use serde::Deserialize;

use super::{close, fixture};

#[derive(Deserialize)]
struct Fixture {
    grid: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    predicted: Vec<f64>,
    observed: Vec<f64>,
    bins: usize,
    curves: Curves,
    brier: f64,
    isotonic: Vec<f64>,
    platt_sklearn: Vec<f64>,
    platt_exact: Vec<f64>,
}

#[derive(Deserialize)]
struct Curves {
    uniform: [Vec<f64>; 2],
    quantile: [Vec<f64>; 2],
}

#[test]
fn diagrams_and_brier_scores_are_those_of_scikit_learn() {
    let fixture: Fixture = fixture("reliability.json");
    for (i, case) in fixture.cases.iter().enumerate() {
        let predictions = Predictions::new(&case.predicted, &case.observed).unwrap();
        for (binning, [observed, predicted]) in [
            (Binning::EqualWidth(case.bins), &case.curves.uniform),
            (Binning::EqualMass(case.bins), &case.curves.quantile),
        ] {
            let diagram = Diagram::of(&predictions, binning, 0.95).unwrap();
            assert_eq!(diagram.bins.len(), observed.len(), "case {i}, {binning:?}");
            for (bin, (y, p)) in diagram.bins.iter().zip(observed.iter().zip(predicted)) {
                close(i, "observed", bin.observed, *y, 1e-12);
                close(i, "predicted", bin.predicted, *p, 1e-12);
            }
            close(i, "Brier", Brier::of(&predictions, &diagram).score, case.brier, 1e-12);
        }
    }
}

#[test]
fn isotonic_maps_are_those_of_scikit_learn() {
    let fixture: Fixture = fixture("reliability.json");
    for (i, case) in fixture.cases.iter().enumerate() {
        let predictions = Predictions::new(&case.predicted, &case.observed).unwrap();
        let map = Isotonic::fit(&predictions);
        for (&x, &expected) in fixture.grid.iter().zip(&case.isotonic) {
            close(i, "isotonic", map.predict(x).unwrap(), expected, 1e-8);
        }
    }
}

#[test]
fn platt_maps_are_the_optimum_that_scikit_learn_stops_short_of() {
    let fixture: Fixture = fixture("reliability.json");
    for (i, case) in fixture.cases.iter().enumerate() {
        let map = Platt::fit(&case.predicted, &case.observed).unwrap();
        for ((&x, &exact), &early) in
            fixture.grid.iter().zip(&case.platt_exact).zip(&case.platt_sklearn)
        {
            close(i, "Platt", map.predict(x), exact, 1e-8);
            // L-BFGS ends at a gradient of 1e-6 or so.
            close(i, "Platt of scikit-learn", map.predict(x), early, 1e-3);
        }
    }
}

#[test]
fn noise_is_not_taken_for_miscalibration() {
    // Predictions that are right: outcomes follow them exactly in their bins of 20.
    let mut predicted = Vec::new();
    let mut observed = Vec::new();
    for step in 0..10_u32 {
        for i in 0..20_u32 {
            predicted.push(f64::from(step) / 10.0 + 0.05);
            // 2·step or 2·step + 2 successes of 20 in turn: one off the prediction.
            let successes = 2 * step + if step % 2 == 0 { 0 } else { 2 };
            observed.push(f64::from(u8::from(i < successes)));
        }
    }
    let predictions = Predictions::new(&predicted, &observed).unwrap();
    let diagram = Diagram::of(&predictions, Binning::EqualWidth(10), 0.95).unwrap();
    let gap = CalibrationGap::of(&diagram);
    assert!((gap.ece - 0.05).abs() < 1e-12);
    assert!(gap.ece_debiased < 0.025, "{gap:?}");
    assert_eq!(gap.rms_debiased, 0.0);
    assert!(diagram.bins.iter().all(|b| b.interval.contains(b.predicted)));
}

#[test]
fn the_whole_report_repeats_for_the_same_seed() {
    let predicted: Vec<f64> = (0..50).map(|i| f64::from(i) / 49.0).collect();
    let observed: Vec<f64> = (0..50).map(|i| f64::from(u8::from(i * 7 % 50 > 20))).collect();
    let predictions = Predictions::new(&predicted, &observed).unwrap();
    let run =
        |seed| reliability(&predictions, Binning::EqualMass(5), 0.95, Seed::root(seed)).unwrap();
    assert_eq!(run(1), run(1));
    assert_eq!(run(1).recalibrated.len(), 2);
    // Outcomes that do not follow the predictions: recalibration helps.
    assert!(run(1).recalibrated.iter().all(|r| r.brier < run(1).brier.score));
    let few = Predictions::new(&predicted[..5], &observed[..5]).unwrap();
    let report = reliability(&few, Binning::EqualMass(5), 0.95, Seed::root(1)).unwrap();
    assert!(report.recalibrated.is_empty());
}
