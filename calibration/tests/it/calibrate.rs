//! From two trial tables to the whole answer.

use rand::Rng as _;
use rehearse_calibration::allocation::{Objective, allocate, budget, states};
use rehearse_calibration::calibrate::{Calibration, Options, calibrate};
use rehearse_calibration::estimate::JudgeCounts;
use rehearse_calibration::pairs::Pairs;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::trial::{Trial, TrialTable, Verdict};

fn verdict(success: bool) -> Verdict {
    if success { Verdict::Success } else { Verdict::Failure }
}

/// Two policies on two tasks, 25 real and 200 imagined scenarios each; imagination is right in
/// four of five scenarios.
fn tables(seed: u64) -> (TrialTable, TrialTable) {
    let mut rng = Seed::root(seed).rng();
    let (mut real, mut imagined) = (Vec::new(), Vec::new());
    for (policy, rate) in [("full", 0.7), ("half", 0.4)] {
        for task in ["close", "open"] {
            for i in 0..200 {
                let truth = rng.random_bool(rate);
                let seen = if rng.random_bool(0.8) { truth } else { rng.random_bool(0.8) };
                let trial =
                    |v| Trial::new(policy, task, verdict(v)).of_scenario(&format!("s{i}"), None);
                imagined.push(trial(seen));
                if i % 8 == 0 {
                    real.push(trial(truth));
                }
            }
        }
    }
    let table = |trials| TrialTable::new(trials, "test").unwrap();
    (table(real), table(imagined))
}

fn answer(options: &Options) -> Calibration {
    let (real, imagined) = tables(3);
    calibrate(&Pairs::new(&real, &imagined).unwrap(), options).unwrap()
}

#[test]
fn corrected_rates_are_sharper_than_real_and_truer_than_imagined_ones() {
    let answer = answer(&Options::default());
    assert_eq!(answer.policies.len(), 2);
    for (policy, truth) in answer.policies.iter().zip([0.7, 0.4]) {
        assert!(policy.interval.contains(truth), "{policy:?}");
        assert!(policy.interval.width() < policy.real.interval.unwrap().width());
        assert!(policy.optimism > 0.0 && policy.saved > 0.2, "{policy:?}");
        assert_eq!(policy.tasks.len(), 2);
        assert_eq!((policy.real.scenarios, policy.imagined.scenarios), (50, 400));
    }
    assert_eq!(answer.differences.len(), 1);
    let difference = &answer.differences[0].difference;
    assert!(difference.interval.low > 0.0 && difference.interval.contains(0.3));
    let reliability = answer.reliability.as_ref().unwrap();
    assert_eq!(reliability.n, 100);
    assert!(answer.warnings.is_empty(), "{:?}", answer.warnings);
}

#[test]
fn the_answer_is_finite_and_repeats_in_bytes() {
    let text = serde_json::to_string(&answer(&Options::default())).unwrap();
    assert_eq!(text, serde_json::to_string(&answer(&Options::default())).unwrap());
    assert!(text.starts_with(r#"{"format":1,"#));
    // JSON has no NaN: a NaN would be null, and every null here is one.
    assert!(!text.contains("null"));
}

#[test]
fn the_answer_does_not_depend_on_the_order_of_rows() {
    let (real, imagined) = tables(3);
    let reversed = |table: &TrialTable| {
        TrialTable::new(table.trials().iter().rev().cloned().collect(), "reversed").unwrap()
    };
    let options = Options::default();
    let forward = calibrate(&Pairs::new(&real, &imagined).unwrap(), &options).unwrap();
    let pairs = Pairs::new(&reversed(&real), &reversed(&imagined)).unwrap();
    assert_eq!(forward, calibrate(&pairs, &options).unwrap());
}

#[test]
fn a_judge_that_errs_widens_the_answer() {
    let judge =
        JudgeCounts { successes: 200, successes_seen: 190, failures: 200, failures_seen: 180 };
    let answer = answer(&Options { judge: Some(judge), ..Options::default() });
    for policy in &answer.policies {
        let judged = policy.judged.unwrap();
        assert_eq!(judged.apparent, policy.value);
        assert!(judged.interval.width() > policy.interval.width());
    }
}

#[test]
fn poor_tables_give_named_warnings_and_no_nan() {
    let trial = |policy, scenario: &str, v| Trial::new(policy, "t", v).of_scenario(scenario, None);
    let table = |trials| TrialTable::new(trials, "test").unwrap();
    // One policy, constant real results, few pairs, no unpaired scenario, void and unsure trials,
    // one policy on either side only.
    let real = table(vec![
        trial("a", "1", Verdict::Success),
        trial("a", "2", Verdict::Success),
        trial("a", "3", Verdict::Void),
        trial("b", "1", Verdict::Unsure),
        trial("c", "1", Verdict::Success),
    ]);
    let imagined = table(vec![
        trial("a", "1", Verdict::Success),
        trial("a", "2", Verdict::Failure),
        trial("d", "1", Verdict::Failure),
    ]);
    let answer = calibrate(&Pairs::new(&real, &imagined).unwrap(), &Options::default()).unwrap();
    let codes: Vec<&str> = answer.warnings.iter().map(|w| w.code()).collect();
    assert_eq!(
        codes,
        [
            "left_out",
            "policy_on_one_side",
            "policy_on_one_side",
            "nothing_unpaired",
            "few_pairs",
            "constant"
        ]
    );
    assert_eq!(answer.policies[0].value, 1.0);
    assert!(!serde_json::to_string(&answer).unwrap().contains("null"));

    // Without scenarios nothing pairs: the real trials stand alone, and it says so.
    let nameless = |v| Trial::new("a", "t", v);
    let real = table(vec![nameless(Verdict::Success), nameless(Verdict::Failure)]);
    let imagined = table(vec![nameless(Verdict::Success); 4]);
    let answer = calibrate(&Pairs::new(&real, &imagined).unwrap(), &Options::default()).unwrap();
    let codes: Vec<&str> = answer.warnings.iter().map(|w| w.code()).collect();
    assert_eq!(codes, ["no_scenario", "no_scenario", "no_pairs"]);
    assert_eq!((answer.policies[0].value, answer.policies[0].saved), (0.5, 0.0));
    assert!(answer.reliability.is_none());
}

#[test]
fn budgets_follow_from_the_same_pairs() {
    let (real, imagined) = tables(3);
    let cells = states(&Pairs::new(&real, &imagined).unwrap()).unwrap();
    assert_eq!(cells.len(), 4);
    let answer = budget(&cells, 0.05, 0.95).unwrap();
    for policy in &answer.policies {
        assert!(policy.further < policy.further_alone && policy.saved > 0.2, "{policy:?}");
        assert_eq!(policy.tasks.iter().map(|(_, n)| n).sum::<u64>(), policy.further);
    }
    // A sharper wish costs more, and what is allocated does what was promised.
    let sharper = budget(&cells, 0.04, 0.95).unwrap();
    assert!(sharper.policies[0].further > answer.policies[0].further);
    let spent = allocate(&cells, 200, &Objective::EveryPolicy).unwrap();
    for policy in &spent.policies {
        assert!(policy.then.unwrap() < policy.now.unwrap());
    }
}
