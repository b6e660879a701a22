//! The `agree` report: its shape, its refusals and its warnings.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::agreement::{
    AgreeOptions, Agreement, AgreementError, MmrvConvention, Pairs, agree,
};
use rehearse_scoring::trial::{AggregateTable, Cell, Table, Trial, TrialTable, Verdict};
use rehearse_scoring::warning::Warning;
use serde_json::Value;

/// (policy, task, rate) rows with `trials` each.
fn table(rows: &[(&str, &str, f64)], trials: Option<u64>) -> Table {
    let cells = rows.iter().map(|&(policy, task, rate)| Cell {
        policy: policy.into(),
        task: task.into(),
        rate,
        trials,
    });
    Table::Aggregate(AggregateTable::new(cells.collect(), "test").unwrap())
}

/// One task, policies named by number.
fn one_task(rates: &[f64], trials: Option<u64>) -> Table {
    let names: Vec<String> = (0..rates.len()).map(|index| format!("p{index:02}")).collect();
    let rows: Vec<_> = names.iter().zip(rates).map(|(name, &rate)| (&**name, "t", rate)).collect();
    table(&rows, trials)
}

fn options() -> AgreeOptions {
    AgreeOptions { resamples: 500, permutations: 999, ..AgreeOptions::new(Seed::root(11)) }
}

fn report(real: &Table, imagined: &Table) -> Agreement {
    agree(&Pairs::new(real, imagined).unwrap(), &options()).unwrap()
}

fn codes(report: &Agreement) -> Vec<&str> {
    report.warnings.iter().map(Warning::code).collect()
}

const REAL: [f64; 8] = [0.1, 0.25, 0.3, 0.45, 0.5, 0.7, 0.8, 0.9];
const IMAGINED: [f64; 8] = [0.2, 0.2, 0.5, 0.4, 0.7, 0.6, 0.9, 0.8];

#[test]
fn the_json_has_the_stated_shape() {
    let report = report(&one_task(&REAL, Some(40)), &one_task(&IMAGINED, Some(200)));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["format"], 1);
    assert_eq!(json["policies"], 8);
    for part in [&json, &json["cells"]] {
        for key in ["value", "p", "p_floor"] {
            assert!(part["pearson"][key].is_f64(), "pearson.{key} of {part}");
        }
        assert!(part["mmrv"]["value"].is_f64());
        assert_eq!(part["mmrv"]["convention"], "simpler_env");
        for interval in [&part["pearson"]["interval"], &part["mmrv"]["interval"]] {
            let low = interval["low"].as_f64().unwrap();
            let high = interval["high"].as_f64().unwrap();
            assert!(low < high && interval["level"] == 0.95 && interval["method"].is_string());
        }
        for key in ["spearman", "kendall", "mae", "bias"] {
            assert!(part[key].is_f64(), "{key} of {part}");
        }
    }
    assert_eq!(json["cells"]["cells"], 8);
    assert_eq!(json["pearson"]["interval"]["method"], "fisher_z");
    assert_eq!(json["mmrv"]["interval"]["method"], "trial_posterior");
    assert_eq!(json["pearson"]["p_floor"].as_f64().unwrap(), 1.0 / 40_320.0);
    assert!(json.get("trial_agreement").is_none());
    for warning in json["warnings"].as_array().unwrap() {
        assert!(warning["code"].is_string() && warning["message"].is_string());
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_any_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let report = report(&one_task(&REAL, Some(40)), &one_task(&IMAGINED, Some(200)));
            serde_json::to_string(&report).unwrap()
        })
    };
    assert_eq!(run(1), run(4));
}

#[test]
fn two_policies_have_no_correlation() {
    let report = report(&one_task(&[0.2, 0.8], Some(20)), &one_task(&[0.3, 0.9], Some(20)));
    assert_eq!((report.pearson.value, report.spearman, report.kendall), (None, None, None));
    assert_eq!((report.pearson.interval, report.pearson.p), (None, None));
    assert!((report.bias - 0.1).abs() < 1e-12);
    assert!(codes(&report).contains(&"too_few_policies"));
}

#[test]
fn one_policy_has_an_error_and_a_bias_only() {
    let report = report(&one_task(&[0.2], None), &one_task(&[0.5], None));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["pearson"]["value"], Value::Null);
    assert!((report.mae - 0.3).abs() < 1e-12);
    assert!(!json.to_string().contains("NaN"));
}

#[test]
fn three_policies_have_a_value_without_an_interval() {
    let report = report(&one_task(&REAL[..3], Some(9)), &one_task(&IMAGINED[..3], Some(9)));
    assert!(report.pearson.value.is_some());
    assert_eq!(report.pearson.interval, None);
    for code in ["too_few_policies", "permutation_floor"] {
        assert!(codes(&report).contains(&code), "{code} is missing");
    }
}

#[test]
fn a_constant_side_is_named() {
    let report = report(&one_task(&REAL, Some(9)), &one_task(&[0.5; 8], Some(9)));
    assert_eq!(report.pearson.value, None);
    assert!(report.mmrv.value > 0.0);
    assert!(codes(&report).contains(&"constant_side"));
}

#[test]
fn simpsons_reversal_is_named() {
    let rows = |rates: [f64; 6]| {
        let names = ["a", "b", "c", "a", "b", "c"];
        let tasks = ["hard", "hard", "hard", "easy", "easy", "easy"];
        let rows: Vec<_> = (0..6).map(|i| (names[i], tasks[i], rates[i])).collect();
        table(&rows, Some(50))
    };
    let report =
        report(&rows([0.1, 0.15, 0.2, 0.8, 0.85, 0.9]), &rows([0.2, 0.15, 0.1, 0.9, 0.85, 0.8]));
    assert!(report.cells.pearson.value.unwrap() > 0.9);
    let within = report.checks.tasks.unwrap().within.unwrap();
    assert!((within + 1.0).abs() < 1e-9);
    assert!(codes(&report).contains(&"simpson_reversal"));
    // Within tasks the order is reversed, which the permutation test of cells sees.
    assert!(report.cells.pearson.p.unwrap() > 0.9);
}

#[test]
fn checkpoints_of_one_lineage_leave_no_interval() {
    let pairs = Pairs::new(&one_task(&REAL, Some(40)), &one_task(&IMAGINED, Some(40))).unwrap();
    let lineages: BTreeMap<String, String> =
        pairs.policies().iter().map(|policy| (policy.clone(), "one run".to_owned())).collect();
    let report = agree(&pairs, &AgreeOptions { lineages, ..options() }).unwrap();
    assert!((report.checks.effective_policies - 1.0).abs() < 1e-12);
    assert!(report.pearson.value.is_some() && report.pearson.interval.is_none());
    assert!(codes(&report).contains(&"shared_lineage"));
}

#[test]
fn an_outlier_and_a_bias_are_named() {
    let real = [0.10, 0.12, 0.11, 0.13, 0.9];
    let imagined = [0.35, 0.31, 0.34, 0.30, 0.95];
    let report = report(&one_task(&real, Some(100)), &one_task(&imagined, Some(100)));
    for code in ["leverage", "bias", "bootstrap_support"] {
        assert!(codes(&report).contains(&code), "{code} is missing from {:?}", codes(&report));
    }
    assert_eq!(report.checks.leverage.unwrap().policy, "p04");
}

#[test]
fn rates_without_trials_carry_no_noise_and_say_so() {
    let report = report(&one_task(&REAL, None), &one_task(&IMAGINED, None));
    assert!(report.intervals.iter().all(|interval| interval.over == "policies"));
    assert_eq!(codes(&report).iter().filter(|&&code| code == "unknown_trials").count(), 2);
}

#[test]
fn trials_that_pair_are_compared_one_by_one() {
    let side = |fails: &[usize]| {
        let mut trials = Vec::new();
        for policy in ["a", "b", "c"] {
            for scenario in 0..10_usize {
                let verdict =
                    if fails.contains(&scenario) { Verdict::Failure } else { Verdict::Success };
                let id = scenario.to_string();
                trials.push(Trial::new(policy, "t", verdict).of_scenario(&id, Some(0)));
            }
        }
        Table::Trials(TrialTable::new(trials, "test").unwrap())
    };
    let report = report(&side(&[0, 1, 2]), &side(&[0, 1, 3]));
    let paired = report.trial_agreement.clone().unwrap();
    assert_eq!((paired.pairs, paired.value), (30, 0.8));
    assert_eq!((paired.confusion.real_only, paired.confusion.imagined_only), (3, 3));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["trial_agreement"]["pairs"], 30);
}

#[test]
fn options_out_of_range_are_refused() {
    let pairs = Pairs::new(&one_task(&REAL, Some(9)), &one_task(&IMAGINED, Some(9))).unwrap();
    let level = agree(&pairs, &AgreeOptions { level: 1.0, ..options() });
    assert!(matches!(level, Err(AgreementError::Level { .. })));
    let resamples = agree(&pairs, &AgreeOptions { resamples: 10, ..options() });
    assert!(matches!(resamples, Err(AgreementError::Bootstrap(_))), "{resamples:?}");
    let error = Pairs::new(&one_task(&[0.5], Some(0)), &one_task(&[0.5], Some(9))).unwrap_err();
    assert!(matches!(error, AgreementError::NoTrials { .. }));
}

#[test]
fn the_convention_is_the_one_asked_for() {
    let pairs = Pairs::new(&one_task(&REAL, Some(9)), &one_task(&IMAGINED, Some(9))).unwrap();
    for convention in MmrvConvention::ALL {
        let report = agree(&pairs, &AgreeOptions { convention, ..options() }).unwrap();
        assert_eq!(report.mmrv.convention, convention);
        let listed = report.checks.mmrv.iter().find(|entry| entry.convention == convention);
        assert_eq!(listed.unwrap().value, report.mmrv.value);
    }
}

fn tables() -> impl Strategy<Value = (Table, Table)> {
    let cell = (0_u8..5, 0_u8..3, 0_u32..=10, 0_u32..=10, prop::option::of(1_u64..30));
    prop::collection::btree_map(
        (0_u8..5, 0_u8..3),
        cell.prop_map(|(_, _, real, imagined, trials)| (real, imagined, trials)),
        1..15,
    )
    .prop_map(|cells| {
        let side = |pick: fn(&(u32, u32, Option<u64>)) -> u32| {
            let cells = cells.iter().map(|((policy, task), values)| Cell {
                policy: format!("p{policy}"),
                task: format!("t{task}"),
                rate: f64::from(pick(values)) / 10.0,
                trials: values.2,
            });
            Table::Aggregate(AggregateTable::new(cells.collect(), "test").unwrap())
        };
        (side(|values| values.0), side(|values| values.1))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_table_makes_a_report_panic_or_hold_nan((real, imagined) in tables()) {
        let pairs = Pairs::new(&real, &imagined).unwrap();
        let options = AgreeOptions { resamples: 100, permutations: 99, ..options() };
        let report = agree(&pairs, &options).unwrap();
        // serde_json writes NaN and infinities as null: numbers that are always there must be.
        let json = serde_json::to_value(&report).unwrap();
        for number in [&json["mae"], &json["bias"], &json["mmrv"]["value"], &json["cells"]["mae"]] {
            prop_assert!(number.is_number(), "{}", json);
        }
        prop_assert!(report.pearson.value.is_none_or(|r| (-1.0..=1.0).contains(&r)));
        prop_assert!(report.pearson.p.is_none_or(|p| p >= report.pearson.p_floor - 1e-12));
        for interval in &report.intervals {
            prop_assert!(interval.interval.low <= interval.interval.high);
        }
    }

    #[test]
    fn swapping_the_tables_mirrors_the_report((real, imagined) in tables()) {
        let options = AgreeOptions { resamples: 100, permutations: 99, ..options() };
        let forward = agree(&Pairs::new(&real, &imagined).unwrap(), &options).unwrap();
        let back = agree(&Pairs::new(&imagined, &real).unwrap(), &options).unwrap();
        prop_assert!((forward.bias + back.bias).abs() < 1e-12);
        prop_assert!((forward.mae - back.mae).abs() < 1e-12);
        let (Some(one), Some(two)) = (forward.pearson.value, back.pearson.value) else {
            return Ok(());
        };
        prop_assert!((one - two).abs() < 1e-9);
        let swapped = back.checks.mmrv.iter().find(|entry| {
            entry.convention == MmrvConvention::Swapped
        });
        prop_assert!((forward.mmrv.value - swapped.unwrap().value).abs() < 1e-12);
    }
}
