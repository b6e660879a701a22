//! Sequential tests keep their level however often one looks; the full table is in
//! `docs/sequential.md`.

use rand::Rng as _;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::sequential::{BettingTest, SettleOptions, Settler, TwoSample};

const RUNS: u64 = 2_000;
const LOOKS: u64 = 150;

/// The share of runs, on streams of equal rate `p`, in which `differs` ever says so.
fn error(p: f64, mut differs: impl FnMut() -> Box<dyn FnMut(bool, bool) -> bool>) -> f64 {
    let seed = Seed::root(5).child(&p.to_string());
    let wrong = (0..RUNS).filter(|run| {
        let mut rng = seed.index(*run).rng();
        let mut test = differs();
        (0..LOOKS).any(|_| test(rng.random::<f64>() < p, rng.random::<f64>() < p))
    });
    wrong.count() as f64 / RUNS as f64
}

fn score(success: bool) -> f64 {
    f64::from(u8::from(success))
}

#[test]
fn equal_policies_are_told_apart_in_at_most_five_percent_of_runs() {
    for p in [0.1, 0.5] {
        let betting = error(p, || {
            let mut test = BettingTest::new();
            Box::new(move |a, b| test.observe(score(a), score(b)).is_ok() && test.p() <= 0.05)
        });
        let two_sample = error(p, || {
            let mut test = TwoSample::new();
            Box::new(move |a, b| {
                test.observe(a, b);
                test.p() <= 0.05
            })
        });
        for (name, error) in [("betting", betting), ("two-sample", two_sample)] {
            // Not so careful either that nothing is ever called.
            assert!((0.005..=0.05).contains(&error), "{name} at {p}: {error}");
        }
    }
}

#[test]
fn a_settled_ranking_is_the_true_one() {
    let rates = [("a", 0.2), ("b", 0.55), ("c", 0.9)];
    let seed = Seed::root(6);
    let mut wrong = 0;
    for run in 0..200 {
        let mut rng = seed.index(run).rng();
        let names = rates.map(|(name, _)| name);
        let mut settler = Settler::new(names, SettleOptions::default()).unwrap();
        for slot in 0..300 {
            for (name, rate) in rates {
                settler.observe(slot, name, Some(score(rng.random::<f64>() < rate))).unwrap();
            }
        }
        let decision = settler.decision();
        assert!(decision.settled, "run {run} not settled in 300 scenarios");
        let right = decision
            .pairs
            .iter()
            .all(|pair| pair.relation == rehearse_scoring::sequential::Relation::SecondBetter);
        wrong += i32::from(!right);
    }
    assert!(wrong <= 10, "{wrong} of 200 wrong");
}
