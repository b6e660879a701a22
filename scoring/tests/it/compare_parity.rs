//! Exact tests, score statistics, adjusted p values and power against SciPy and statsmodels.

use rehearse_scoring::compare::{Alternative, Paired, TwoByTwo, newcombe, score};
use rehearse_scoring::multiple::{benjamini_hochberg, holm};
use rehearse_scoring::power::z_power;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    unpaired: Vec<Unpaired>,
    paired: Vec<PairedCase>,
    multiple: Vec<Multiple>,
    power: Vec<Power>,
}

#[derive(Deserialize)]
struct Unpaired {
    a: (u64, u64),
    b: (u64, u64),
    fisher: Sides,
    boschloo: Sides,
    barnard: Sides,
    scipy: Option<Scipy>,
    newcombe: [f64; 2],
    delta: f64,
    score: Option<f64>,
}

#[derive(Deserialize)]
struct Sides {
    two_sided: f64,
    less: f64,
    greater: f64,
}

#[derive(Deserialize)]
struct Scipy {
    boschloo: f64,
    barnard: f64,
}

#[derive(Deserialize)]
struct PairedCase {
    cells: [u64; 4],
    exact: f64,
    mid_p: f64,
    greater: f64,
    delta: f64,
    score: Option<f64>,
}

#[derive(Deserialize)]
struct Multiple {
    p: Vec<f64>,
    holm: Vec<f64>,
    benjamini_hochberg: Vec<f64>,
}

#[derive(Deserialize)]
struct Power {
    p: f64,
    q: f64,
    trials: u64,
    #[serde(rename = "power")]
    expected: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/compare.json")).unwrap()
}

fn close(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance, "{what}: got {got}, expected {expected}");
}

const SIDES: [Alternative; 3] = [Alternative::TwoSided, Alternative::Less, Alternative::Greater];

impl Sides {
    fn of(&self, alternative: Alternative) -> f64 {
        match alternative {
            Alternative::TwoSided => self.two_sided,
            Alternative::Less => self.less,
            Alternative::Greater => self.greater,
        }
    }
}

#[test]
fn exact_tests_are_those_of_scipy() {
    let cases = fixture().unpaired;
    assert!(cases.len() > 250);
    for case in &cases {
        let table = TwoByTwo::new(case.a, case.b).unwrap();
        for side in SIDES {
            let at = |name| format!("{name} of {:?}, {:?}, {side:?}", case.a, case.b);
            close(table.fisher(side).unwrap(), case.fisher.of(side), 1e-8, &at("Fisher"));
            close(table.boschloo(side).unwrap(), case.boschloo.of(side), 1e-8, &at("Boschloo"));
            close(table.barnard(side).unwrap(), case.barnard.of(side), 1e-8, &at("Barnard"));
        }
    }
}

/// SciPy's Barnard compares score statistics without tolerance, so that tables that tie in theory
/// are counted or not by rounding, and takes the highest peak that its optimiser finds: both can
/// only make its p too small.
#[test]
fn scipys_own_boschloo_is_equal_and_its_barnard_never_larger() {
    let cases = fixture().unpaired;
    let (mut equal, mut all) = (0, 0);
    for case in &cases {
        let Some(scipy) = &case.scipy else { continue };
        let table = TwoByTwo::new(case.a, case.b).unwrap();
        let at = format!("{:?} {:?}", case.a, case.b);
        close(table.boschloo(Alternative::TwoSided).unwrap(), scipy.boschloo, 1e-6, &at);
        let barnard = table.barnard(Alternative::TwoSided).unwrap();
        assert!(barnard >= scipy.barnard - 1e-8, "{at}: {barnard} below {}", scipy.barnard);
        all += 1;
        equal += i32::from((barnard - scipy.barnard).abs() < 1e-6);
    }
    assert!(all > 150 && equal * 10 > all * 8, "{equal} of {all} equal");
}

#[test]
fn differences_of_two_samples_are_those_of_the_definition() {
    for case in fixture().unpaired {
        let table = TwoByTwo::new(case.a, case.b).unwrap();
        let at = format!("{:?}, {:?} at {}", case.a, case.b, case.delta);
        let interval = newcombe(&table, 0.95).unwrap();
        close(interval.low, case.newcombe[0], 1e-8, &at);
        close(interval.high, case.newcombe[1], 1e-8, &at);
        if let Some(expected) = case.score {
            // The reference finds the constrained maximum numerically.
            let got = score(&table, case.delta);
            close(got, expected, 1e-5 * expected.abs().max(1.0), &format!("score of {at}"));
        }
    }
}

#[test]
fn paired_tests_are_those_of_statsmodels() {
    let cases = fixture().paired;
    assert!(cases.len() >= 300);
    for case in cases {
        let [both, only_a, only_b, neither] = case.cells;
        let paired = Paired { both, only_a, only_b, neither };
        let at = format!("{:?}", case.cells);
        close(paired.mcnemar(Alternative::TwoSided), case.exact, 1e-10, &at);
        close(paired.mcnemar(Alternative::Greater), case.greater, 1e-10, &at);
        close(paired.mcnemar_mid_p(Alternative::TwoSided), case.mid_p, 1e-10, &at);
        if let Some(expected) = case.score {
            let got = paired.score(case.delta).unwrap();
            close(got, expected, 1e-5 * expected.abs().max(1.0), &format!("Tango of {at}"));
        }
    }
}

#[test]
fn adjusted_p_values_and_power_are_those_of_statsmodels() {
    let Fixture { multiple, power, .. } = fixture();
    for case in multiple {
        for (got, expected) in [
            (holm(&case.p).unwrap(), &case.holm),
            (benjamini_hochberg(&case.p).unwrap(), &case.benjamini_hochberg),
        ] {
            for (got, expected) in got.iter().zip(expected) {
                close(*got, *expected, 1e-12, "adjusted p");
            }
        }
    }
    for Power { p, q, trials, expected } in power {
        close(z_power(trials, p, q, 0.05), expected, 1e-8, &format!("power {p} {q} {trials}"));
    }
}
