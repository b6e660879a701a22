//! `rehearse score`, `compare`, `agree`, `calibrate` and `budget`, through the binary.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Run, rehearse};

/// A folder of tables: `real.csv` (policies `full` and `half`, 2 tasks, 20 scenarios),
/// `imagined.csv` (the same and 60 more scenarios) and aggregated ones.
struct Tables {
    folder: tempfile::TempDir,
}

impl Tables {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut real = String::from("policy,task,scenario,outcome\n");
        let mut imagined = real.clone();
        for (policy, share) in [("full", 8), ("half", 4)] {
            for task in ["close", "open"] {
                for i in 0_u32..80 {
                    let truth = i * 7 % 10 < share;
                    let seen = truth || i % 3 == 0;
                    let word = |success: bool| if success { "success" } else { "failure" };
                    if i % 4 == 0 {
                        writeln!(real, "{policy},{task},s{i},{}", word(truth)).unwrap();
                    }
                    writeln!(imagined, "{policy},{task},s{i},{}", word(seen)).unwrap();
                }
            }
        }
        let tables = Self { folder };
        tables.write("real.csv", &real);
        tables.write("imagined.csv", &imagined);
        tables
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command in which every word that names a table here stands for its path.
    fn run(&self, command: &str) -> Run {
        let argument = |word: &str| {
            let path = self.path(word);
            if path.exists() { path.display().to_string() } else { word.to_owned() }
        };
        rehearse(command.split_whitespace().map(argument))
    }

    fn json(&self, command: &str) -> Value {
        let run = self.run(&format!("{command} --format json"));
        assert_eq!(run.code, 0, "{run:?}");
        let json = run.json();
        assert_eq!(json["format"], 1, "{json}");
        assert!(!run.stdout.contains("NaN"), "{run:?}");
        json
    }

    /// The one line of an error.
    fn refused(&self, command: &str) -> String {
        let run = self.run(command);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stdout.is_empty(), "{run:?}");
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        run.stderr
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn codes(json: &Value) -> Vec<&str> {
    let warnings = json["warnings"].as_array().unwrap();
    warnings.iter().map(|warning| warning["code"].as_str().unwrap()).collect()
}

#[test]
fn score_counts_every_outcome_and_ranks() {
    let tables = Tables::new();
    tables.write(
        "odd.csv",
        "policy,task,outcome\na,t,success\na,t,failure\na,t,void\na,t,unsure\nb,t,success\n",
    );
    let json = tables.json("score odd.csv");
    let a = &json["policies"][0];
    assert_eq!((a["name"].as_str(), number(&a["rate"])), (Some("a"), 0.5));
    for (key, count) in [("success", 1), ("failure", 1), ("void", 1), ("unsure", 1)] {
        assert_eq!(a[key], count, "{key}");
    }
    // Wilson's interval of 1 in 2, and both denominators.
    assert!((number(&a["interval"]["low"]) - 0.094_531_2).abs() < 1e-6);
    assert_eq!(a["attempted"]["n"], 4);
    assert_eq!(a["tasks"][0]["task"], "t");
    assert_eq!(codes(&json), ["void_trials", "unsure_trials", "few_trials", "few_trials"]);

    let json = tables.json("score real.csv");
    assert_eq!(json["ranking"][0]["policy"], "full");
    assert_eq!(json["policies"][0]["tasks"].as_array().unwrap().len(), 2);
    let exact = tables.json("score real.csv --interval clopper-pearson");
    let low = |json: &Value| number(&json["policies"][0]["interval"]["low"]);
    assert!(low(&exact) < low(&json));
}

#[test]
fn every_command_prints_every_format_and_keeps_data_on_standard_output() {
    let tables = Tables::new();
    for command in [
        "score real.csv",
        "compare full half --trials real.csv",
        "agree --real real.csv --imagined imagined.csv --resamples 200",
        "calibrate --real real.csv --imagined imagined.csv",
        "budget --real real.csv --imagined imagined.csv --half-width 0.05",
        "budget --real real.csv --imagined imagined.csv --trials 12",
    ] {
        for (format, sign) in [("table", "full"), ("csv", ","), ("markdown", "| "), ("json", "{")] {
            let run = tables.run(&format!("{command} --format {format}"));
            assert_eq!(run.code, 0, "{run:?}");
            assert!(run.stdout.contains(sign) || command.starts_with("agree"), "{run:?}");
            assert!(!run.stdout.contains("NaN"), "{run:?}");
            let again = tables.run(&format!("{command} --format {format}"));
            assert_eq!(run.stdout, again.stdout);
        }
        let quiet = tables.run(&format!("{command} --quiet"));
        assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
    }
    let csv = tables.run("score real.csv --format csv").stdout;
    let columns = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().all(|line| line.split(',').count() == columns), "{csv}");
}

#[test]
fn several_tables_are_scored_as_one_and_duplicates_are_refused() {
    let tables = Tables::new();
    tables.write("more.csv", "policy,task,scenario,outcome\nnew,open,s1,success\n");
    let json = tables.json("score real.csv more.csv");
    assert_eq!(json["policies"].as_array().unwrap().len(), 3);
    assert!(codes(&json).contains(&"uneven_tasks"));
    assert!(tables.refused("score real.csv real.csv").contains("appears twice"));
    tables.write("rates.csv", "policy,task,rate,trials\na,t,0.5,10\n");
    assert!(tables.refused("score real.csv rates.csv").contains("score them apart"));
}

#[test]
fn aggregated_tables_work_as_far_as_their_counts_go() {
    let tables = Tables::new();
    tables.write("rates.csv", "policy,task,rate,trials\na,t,0.9,50\nb,t,0.4,50\nc,t,0.2,50\n");
    tables.write("seen.csv", "policy,task,rate,trials\na,t,0.8,50\nb,t,0.5,50\nc,t,0.1,50\n");
    let json = tables.json("score rates.csv");
    assert_eq!(json["policies"][0]["success"], 45);
    let json = tables.json("compare a b --trials rates.csv");
    assert_eq!(json["verdict"], "a_better");
    assert_eq!(json["paired"], false);
    let json = tables.json("agree --real rates.csv --imagined seen.csv --resamples 500");
    assert_eq!(json["policies"], 3);
    assert_eq!(json["mmrv"]["value"], 0.0);
    let json = tables.json("calibrate --real rates.csv --imagined seen.csv");
    assert!(codes(&json).contains(&"no_pairs"));
    assert_eq!(number(&json["policies"][0]["value"]), 0.9);
    let json = tables.json("budget --real rates.csv --half-width 0.1");
    assert_eq!(json["policies"][0]["saved"], 0.0);

    tables.write("printed.csv", "policy,task,rate,trials\na,t,0.9,\nb,t,0.4,\n");
    let json = tables.json("score printed.csv");
    assert_eq!(codes(&json), ["unknown_trials"]);
    assert_eq!(json["policies"][0]["interval"], Value::Null);
    assert!(tables.refused("compare a b --trials printed.csv").contains("`trials`"));
    tables.write("odd.csv", "policy,task,rate,trials\na,t,0.33,10\n");
    for command in [
        "score odd.csv",
        "compare a b --trials odd.csv",
        "calibrate --real rates.csv --imagined odd.csv",
        "budget --real odd.csv --half-width 0.1",
    ] {
        assert!(tables.refused(command).contains("do not add up"), "{command}");
    }
    // Agreement needs rates only, and partial credits need not add up.
    let json = tables.json("agree --real rates.csv --imagined odd.csv --resamples 200");
    assert!(codes(&json).contains(&"count_mismatch"), "{json}");
}

#[test]
fn compare_pairs_by_scenario_and_gates() {
    let tables = Tables::new();
    let json = tables.json("compare full half --trials real.csv --margin 0.1");
    assert_eq!(
        (json["paired"].as_bool(), json["verdict"].as_str()),
        (Some(true), Some("a_better"))
    );
    assert!(number(&json["tests"][0]["p"]) < 0.05);
    assert_eq!(tables.run("compare full half --trials real.csv --gate").code, 0);
    assert_eq!(tables.run("compare half full --trials real.csv --gate").code, 1);
    // Two tables of one policy each, or one policy of two tables.
    tables.write("one.csv", "policy,task,outcome\nx,t,success\nx,t,success\n");
    tables.write("two.csv", "policy,task,outcome\ny,t,failure\ny,t,success\n");
    let json = tables.json("compare one.csv two.csv");
    assert_eq!(number(&json["difference"]), 0.5);
    let json = tables.json("compare real.csv imagined.csv --policy half");
    assert!(number(&json["difference"]) < 0.0);
    assert!(tables.refused("compare real.csv imagined.csv").contains("`--policy`"));
    assert!(tables.refused("compare real.csv imagined.csv --policy z").contains("full, half"));
    assert!(tables.refused("compare full z --trials real.csv").contains("full, half"));
    assert!(tables.refused("compare full nowhere").contains("`--trials`"));
}

#[test]
fn agree_has_the_documented_fields() {
    let tables = Tables::new();
    let mut rates = [String::new(), String::new()];
    for (side, text) in rates.iter_mut().enumerate() {
        text.push_str("policy,task,rate,trials\n");
        for (i, policy) in ["a", "b", "c", "d", "e"].iter().enumerate() {
            for task in ["t", "u"] {
                let shift = if side == 1 && i == 1 { 12 } else { 0 };
                writeln!(text, "{policy},{task},{},50", (20 * i + shift) as f64 / 100.0).unwrap();
            }
        }
    }
    tables.write("r.csv", &rates[0]);
    tables.write("i.csv", &rates[1]);
    let json = tables
        .json("agree --real r.csv --imagined i.csv --resamples 500 --lineage a=x --lineage b=x");
    for key in ["spearman", "kendall", "mae", "bias"] {
        number(&json[key]);
        number(&json["cells"][key]);
    }
    for key in ["value", "p", "p_floor"] {
        number(&json["pearson"][key]);
    }
    assert!((number(&json["pearson"]["p_floor"]) - 1.0 / 120.0).abs() < 1e-12);
    assert_eq!(json["mmrv"]["convention"], "simpler_env");
    assert!(codes(&json).contains(&"shared_lineage"));
    let json = tables.json("agree --real r.csv --imagined i.csv --resamples 500 --mmrv swapped");
    assert_eq!(json["mmrv"]["convention"], "swapped");
    let run = tables.run("agree --real r.csv --imagined i.csv --lineage nothing");
    assert_eq!(run.code, 2);
}

#[test]
fn calibrate_is_sharper_than_the_real_trials_and_says_how_optimistic_imagination_is() {
    let tables = Tables::new();
    let json = tables.json("calibrate --real real.csv --imagined imagined.csv");
    for policy in json["policies"].as_array().unwrap() {
        let width = |value: &Value| number(&value["high"]) - number(&value["low"]);
        assert!(width(&policy["interval"]) < width(&policy["real"]["interval"]), "{policy}");
        assert!(number(&policy["optimism"]) > 0.0 && number(&policy["saved"]) > 0.0);
    }
    assert_eq!(json["differences"][0]["a"], "full");
    assert!(number(&json["differences"][0]["interval"]["low"]) > 0.0);
    assert_eq!(json["reliability"]["n"], 80);
    let judged = tables.json(
        "calibrate --real real.csv --imagined imagined.csv --judge-successes 95/100 \
         --judge-failures 90/100",
    );
    assert!(number(&judged["policies"][0]["judged"]["sensitivity"]) == 0.95);
    let run = tables.run(
        "calibrate --real real.csv --imagined imagined.csv --judge-successes 50/100 \
         --judge-failures 40/100",
    );
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("say nothing"), "{run:?}");
    let half =
        tables.run("calibrate --real real.csv --imagined imagined.csv --judge-successes 50/100");
    assert_eq!(half.code, 2);
}

#[test]
fn budget_asks_for_fewer_trials_with_imagination_and_names_scenarios() {
    let tables = Tables::new();
    let json = tables.json("budget --real real.csv --imagined imagined.csv --half-width 0.05");
    for policy in json["policies"].as_array().unwrap() {
        assert!(number(&policy["further"]) < number(&policy["further_alone"]), "{policy}");
    }
    let command = "budget --real real.csv --imagined imagined.csv --trials 10 --scenarios";
    let json = tables.json(command);
    let named = json["scenarios"].as_array().unwrap();
    assert_eq!(named.len(), 10);
    let further: u64 =
        json["cells"].as_array().unwrap().iter().map(|c| c["further"].as_u64().unwrap()).sum();
    assert_eq!(further, 10);
    let real = fs::read_to_string(tables.path("real.csv")).unwrap();
    for trial in named {
        let start = format!(
            "{},{},{},",
            trial["policy"].as_str().unwrap(),
            trial["task"].as_str().unwrap(),
            trial["scenario"].as_str().unwrap()
        );
        assert!(!real.contains(&start), "{start} has been run");
    }
    let json = tables.json("budget --real real.csv --trials 10 --aim full,half");
    assert_eq!(json["aim"]["difference"]["a"], "full");
    assert!(
        tables.refused("budget --real real.csv --trials 10 --aim full,z").contains("full, half")
    );
    assert!(tables.refused("budget --real real.csv --half-width 0.7").contains("half-width"));
    assert!(tables.refused("budget --real real.csv --half-width 1e-9").contains("more than"));
    assert_eq!(tables.run("budget --real real.csv").code, 2);
}

#[test]
fn bad_tables_end_in_one_line_that_says_where() {
    let tables = Tables::new();
    for (name, text, needle) in [
        ("empty.csv", "", "no rows"),
        ("header.csv", "policy,task,outcome\n", "no rows"),
        ("nan.csv", "policy,task,success\na,t,NaN\n", "row 1"),
        ("range.csv", "policy,task,success\na,t,1.5\n", "[0, 1]"),
        ("percent.csv", "policy,task,rate\na,t,85\n", "rate in [0, 1]"),
        ("word.csv", "policy,task,outcome\na,t,won\n", "\"won\""),
        ("column.csv", "policy,task,won\na,t,1\n", "no column"),
        ("nothing.csv", "policy,task,rate\na,t,NaN\n", "row 1"),
        (
            "twice.csv",
            "policy,task,scenario,outcome\na,t,s,success\na,t,s,failure\n",
            "appears twice",
        ),
        ("binary.csv", "PAR1\u{1}\u{2}", "Parquet"),
    ] {
        tables.write(name, text);
        for command in [
            format!("score {name}"),
            format!("compare a b --trials {name}"),
            format!("agree --real {name} --imagined real.csv"),
            format!("calibrate --real real.csv --imagined {name}"),
            format!("budget --real {name} --half-width 0.1"),
        ] {
            let line = tables.refused(&command);
            assert!(line.contains(needle), "{command}: {line}");
            assert_eq!(line.lines().count(), 1, "{command}: {line}");
        }
    }
    assert!(tables.refused("score nowhere.csv").contains("nowhere.csv"));
    fs::create_dir(tables.path("folder")).unwrap();
    assert!(tables.refused("score folder").contains("trials.parquet"));
    for level in ["0", "1", "95", "NaN"] {
        let line = tables.refused(&format!("score real.csv --level {level}"));
        assert!(line.contains("level"), "{line}");
    }
}

#[test]
fn poor_but_readable_tables_give_named_warnings() {
    let tables = Tables::new();
    // One policy; it never fails, and nothing is unpaired.
    let one = "policy,task,scenario,outcome\na,t,1,success\na,t,2,success\na,t,3,success\n";
    tables.write("one.csv", one);
    assert_eq!(codes(&tables.json("score one.csv")), ["few_trials"]);
    let json = tables.json("agree --real one.csv --imagined one.csv --resamples 200");
    assert!(codes(&json).contains(&"too_few_policies"));
    assert_eq!(json["pearson"]["value"], Value::Null);
    let json = tables.json("calibrate --real one.csv --imagined one.csv");
    assert_eq!(codes(&json), ["nothing_unpaired", "few_pairs", "constant"]);
    // Every form passes the warnings on: CSV, which has no place for them, beside the data.
    let command = "calibrate --real one.csv --imagined one.csv --format";
    for (format, sign) in [("table", "warning: every"), ("markdown", "(nothing\\_unpaired)")] {
        let run = tables.run(&format!("{command} {format}"));
        assert!(run.stdout.contains(sign), "{run:?}");
    }
    let run = tables.run(&format!("{command} csv"));
    assert!(run.stderr.contains("warning [nothing_unpaired]"), "{run:?}");
    assert!(!run.stdout.contains("warning"), "{run:?}");
    // Constant columns: whatever has no value is null and named.
    tables.write("same.csv", "policy,task,rate,trials\na,t,0.5,20\nb,t,0.5,20\nc,t,0.5,20\n");
    assert_eq!(codes(&tables.json("score same.csv")), ["few_trials"; 3]);
    let json = tables.json("agree --real same.csv --imagined same.csv --resamples 200");
    assert!(codes(&json).contains(&"constant_side"), "{json}");
    assert_eq!(json["pearson"]["value"], Value::Null);
    assert_eq!(number(&json["mmrv"]["value"]), 0.0);
    // Policies on one side only.
    tables.write("other.csv", "policy,task,scenario,outcome\na,t,1,failure\nb,t,1,success\n");
    let json = tables.json("agree --real one.csv --imagined other.csv --resamples 200");
    assert!(codes(&json).contains(&"one_sided_policies"));
    let json = tables.json("calibrate --real one.csv --imagined other.csv");
    assert!(codes(&json).contains(&"policy_on_one_side"));
    tables.write("stranger.csv", "policy,task,scenario,outcome\nz,t,1,failure\n");
    for command in ["agree", "calibrate"] {
        let line = tables.refused(&format!("{command} --real one.csv --imagined stranger.csv"));
        assert!(line.contains('a') && line.contains('z'), "{line}");
    }
}

#[test]
fn a_run_directory_is_read_by_its_table() {
    let tables = Tables::new();
    fs::create_dir(tables.path("run")).unwrap();
    fs::copy(tables.path("imagined.csv"), tables.path("run").join("trials.csv")).unwrap();
    let from_run = tables.json("calibrate --real real.csv --imagined run");
    let from_file = tables.json("calibrate --real real.csv --imagined imagined.csv");
    assert_eq!(from_run, from_file);
    assert!(Path::new(&tables.path("run")).is_dir());
}
