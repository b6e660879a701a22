//! Intervals and distributions against SciPy and statsmodels.

use rehearse_scoring::rate::{clopper_pearson, jeffreys, wilson};
use rehearse_scoring::special::{
    binomial_cdf, binomial_pmf, binomial_tail, hypergeometric_pmf, normal_quantile,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    intervals: Vec<Case>,
    binomial: Vec<Binomial>,
    hypergeometric: Vec<Hypergeometric>,
    normal: Vec<Normal>,
}

#[derive(Deserialize)]
struct Case {
    successes: u64,
    trials: u64,
    level: f64,
    wilson: [f64; 2],
    clopper_pearson: [f64; 2],
    jeffreys: [f64; 2],
}

#[derive(Deserialize)]
struct Binomial {
    k: u64,
    n: u64,
    p: f64,
    pmf: f64,
    cdf: f64,
    tail: f64,
}

#[derive(Deserialize)]
struct Hypergeometric {
    k: u64,
    marked: u64,
    plain: u64,
    draws: u64,
    pmf: f64,
}

#[derive(Deserialize)]
struct Normal {
    p: f64,
    quantile: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/rates.json")).unwrap()
}

/// SciPy's binomial loses digits at n near 1e5; ours does not, so this is its tolerance.
const TOLERANCE: f64 = 1e-8;

#[test]
fn intervals_are_those_of_statsmodels() {
    let cases = fixture().intervals;
    assert!(cases.len() > 350);
    let mut worst = 0.0_f64;
    for case in &cases {
        let Case { successes: k, trials: n, level, .. } = *case;
        for (name, got, expected) in [
            ("Wilson", wilson(k as f64, n, level), case.wilson),
            ("Clopper–Pearson", clopper_pearson(k, n, level), case.clopper_pearson),
            ("Jeffreys", jeffreys(k, n, level), case.jeffreys),
        ] {
            let got = got.unwrap();
            let error = (got.low - expected[0]).abs().max((got.high - expected[1]).abs());
            assert!(error < TOLERANCE, "{name} of {k}/{n} at {level}: off by {error:e}");
            worst = worst.max(error);
        }
    }
    assert!(worst < 1e-10, "worst error {worst:e}");
}

#[test]
fn distributions_are_those_of_scipy() {
    let Fixture { binomial, hypergeometric, normal, .. } = fixture();
    for Binomial { k, n, p, pmf, cdf, tail } in binomial {
        for (name, got, expected) in [
            ("pmf", binomial_pmf(k, n, p), pmf),
            ("cdf", binomial_cdf(k, n, p), cdf),
            ("tail", binomial_tail(k, n, p), tail),
        ] {
            let scale = TOLERANCE * expected.abs().max(1e-3);
            assert!((got - expected).abs() <= scale, "{name}({k}; {n}, {p}): {got} {expected}");
        }
    }
    for Hypergeometric { k, marked, plain, draws, pmf } in hypergeometric {
        let got = hypergeometric_pmf(k, marked, plain, draws);
        assert!((got - pmf).abs() <= 1e-10 * pmf.max(1e-3), "{k} {marked} {plain} {draws}");
    }
    for Normal { p, quantile } in normal {
        let got = normal_quantile(p);
        assert!((got - quantile).abs() <= 1e-12 * quantile.abs().max(1.0), "{p}: {got} {quantile}");
    }
}
