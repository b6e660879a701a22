//! `rehearse run`, `merge` and `report`, through the binary, with policies in processes of their
//! own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rehearse::policy_bridge::zenoh::{Connection, open};
use zenoh::Wait as _;

use crate::place::Place;
use crate::support::{Run, rehearse, root};

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(name, bytes)| (path.join(name), bytes)));
        } else {
            found.push((PathBuf::from(path.file_name().unwrap()), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    for (name, _) in &mut found {
        *name = PathBuf::from(name.file_name().unwrap());
    }
    found
}

#[test]
fn a_run_that_is_killed_five_times_ends_in_the_bytes_of_one_that_was_not() {
    let place = Place::new(150);
    let whole = place.run("suite.toml", "whole", &[]);
    assert_eq!(whole.code, 0, "{whole:?}");
    let journal = Path::new(&place.path("cut")).join("events.jsonl");
    for kill in 1..=5 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rehearse"))
            .args(place.arguments("suite.toml", "cut", &["--resume"]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // At a moment that the system's scheduler makes random, some way into the run.
        while child.try_wait().unwrap().is_none() {
            let lines = fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
            if lines > kill * 90 {
                child.kill().unwrap();
            }
        }
    }
    let resumed = place.run("suite.toml", "cut", &["--resume"]);
    assert_eq!(resumed.code, 0, "{resumed:?}");
    assert_eq!(fs::read_to_string(&journal).unwrap().lines().count(), 600);
    assert!(place.table("cut") == place.table("whole"), "the tables differ");
    let episodes = |out: &str| files(&Path::new(&place.path(out)).join("episodes"));
    assert!(episodes("cut") == episodes("whole"), "the episodes differ");
}

#[test]
fn four_shards_merged_are_the_whole_and_other_parts_are_refused() {
    let place = Place::new(8);
    assert_eq!(place.run("suite.toml", "whole", &[]).code, 0);
    let parts: Vec<String> = (1..=4).map(|part| place.path(&format!("part-{part}"))).collect();
    for part in 1..=4 {
        let shard = format!("{part}/4");
        let run = place.run("suite.toml", &format!("part-{part}"), &["--shard", &shard]);
        assert_eq!(run.code, 0, "{run:?}");
    }
    let merge = |out: &str, parts: &[&String]| {
        let mut arguments = vec!["merge".to_owned(), place.path(out)];
        arguments.extend(parts.iter().map(|part| (*part).clone()));
        rehearse(arguments)
    };
    let [one, two, three, four] = parts.as_slice() else { panic!() };
    let merged = merge("merged", &[three, one, four, two]);
    assert_eq!(merged.code, 0, "{merged:?}");
    assert!(place.table("merged") == place.table("whole"));
    let episodes = |out: &str| files(&Path::new(&place.path(out)).join("episodes"));
    assert!(episodes("merged") == episodes("whole"));
    let whole = place.path("whole");
    for (parts, why) in [
        (vec![one, two, three], "missing: 4/4"),
        (vec![one, two, three, four, two], "part 2/4 is also"),
        (vec![one, &whole], "is part"),
    ] {
        let refused = merge("refused", &parts);
        assert_eq!(refused.code, 8, "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
        assert!(!Path::new(&place.path("refused")).exists());
    }
}

#[test]
fn what_cannot_be_run_is_one_clear_line_with_a_code_of_its_own() {
    let place = Place::new(1);
    let expect = |run: Run, code: i32, says: &str| {
        assert_eq!(run.code, code, "{run:?}");
        let error = run.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(error.contains(says), "{run:?}");
    };
    place.suite("task.toml", 1, "still", "fly");
    expect(place.run("task.toml", "a", &[]), 3, "no episode of task \"fly\"");
    place.suite("policy.toml", 1, "nobody", "towel");
    expect(place.run("policy.toml", "b", &["--patience", "1"]), 4, "\"nobody\" within 1.0 s");
    assert_eq!(place.run("suite.toml", "c", &[]).code, 0);
    expect(place.run("suite.toml", "c", &[]), 5, "--resume");
    place.suite("other.toml", 2, "still", "towel");
    expect(place.run("other.toml", "c", &["--resume"]), 5, "another suite");
    let lock = fs::File::open(Path::new(&place.path("c")).join("lock")).unwrap();
    lock.lock().unwrap();
    expect(place.run("suite.toml", "c", &["--resume"]), 6, "another process");
    drop(lock);
    assert_eq!(place.run("suite.toml", "c", &["--resume"]).code, 0);
    let dry = place.run("suite.toml", "d", &["--dry-run"]);
    assert_eq!((dry.code, dry.stdout.lines().count()), (0, 4), "{dry:?}");
    assert_eq!(dry.stdout.lines().next(), Some("small/towel.0.plain/again/0"));
    assert!(dry.stderr.contains("32 control steps at most"), "{dry:?}");
    assert!(!Path::new(&place.path("d")).exists());
}

#[test]
fn real_trials_are_kept_with_the_scenarios_they_started_from() {
    let place = Place::new(2);
    let suite = fs::read_to_string(place.path("suite.toml")).unwrap();
    fs::write(place.path("paired.toml"), format!("real = \"real.csv\"\n{suite}")).unwrap();
    let scenario = "towel.0.plain";
    let table = format!(
        "policy,task,scenario,repeat,outcome\nagain,towel,{scenario},0,failure\n\
         again,towel,{scenario},1,success\nstill,towel,{scenario},0,failure\n\
         still,towel,{scenario},1,failure\nother,towel,{scenario},0,success\n"
    );
    fs::write(place.path("real.csv"), table).unwrap();
    let run = place.run("paired.toml", "run", &[]);
    assert_eq!(run.code, 0, "{run:?}");
    let kept = fs::read_to_string(Path::new(&place.path("run")).join("real.csv")).unwrap();
    assert_eq!(kept.lines().count(), 5, "a policy of no concern is left out: {kept}");
    let report = rehearse(["report", &place.path("run"), "--format", "json"]).json();
    assert_eq!(report["agreement"]["trial_agreement"]["pairs"], 4, "{}", report["agreement"]);
}

#[test]
fn a_report_holds_what_the_run_came_to() {
    let place = Place::new(3);
    assert_eq!(place.run("suite.toml", "run", &[]).code, 0);
    let real = place.path("real.csv");
    fs::write(&real, "policy,task,rate,trials\nagain,towel,0.5,10\nstill,towel,0,10\n").unwrap();
    let run = rehearse(["report", &place.path("run"), "--real", &real, "--format", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let report = run.json();
    assert_eq!(report["format"], 1);
    assert_eq!(report["policies"].as_array().unwrap().len(), 2);
    assert_eq!(report["policies"][0]["failure"], 6);
    let even = report["ranking"][0]["beats_next"].as_f64().unwrap();
    assert!((even - 0.5).abs() < 1e-9, "{even}");
    assert_eq!(report["agreement"]["policies"], 2);
    assert_eq!(report["variations"][0]["variation"], "lighting");
    assert_eq!(report["variations"][0]["drop"], 0.0);
    assert_eq!(report["cost"]["steps"], 96);
    assert!(!report["warnings"].as_array().unwrap().is_empty());
    let folder = PathBuf::from(place.path("run"));
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.matches("<svg").count() >= 3, "rates, scatter and drops are drawn");
    assert!(page.contains("data:image/jpeg;base64,"), "failures are shown");
    let viewed = rehearse(["view", &place.path("run"), "--each", "1"]);
    assert_eq!(viewed.code, 0, "{viewed:?}");
    assert_eq!(&fs::read(folder.join("rollouts.rrd")).unwrap()[..3], b"RRF");
    let unknown = rehearse(["view", &place.path("run"), "--trial", "none"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(!page.contains("src=\"http") && !page.contains("<script"), "it needs no other file");
}

#[test]
fn what_a_run_does_is_told_to_whoever_listens() {
    let place = Place::new(3);
    let listen = vec!["tcp/127.0.0.1:0".to_owned()];
    let session = open(&Connection { listen, ..Connection::default() }).unwrap();
    let here = session.info().locators().wait()[0].to_string();
    let (told, heard) = sync_channel(64);
    let _listener = session
        .declare_subscriber("rehearse/v1/run/small/events")
        .callback(move |sample| told.send(sample.payload().to_bytes().into_owned()).unwrap())
        .wait()
        .unwrap();
    let run = place.run("suite.toml", "run", &["--connect", &here]);
    assert_eq!(run.code, 0, "{run:?}");
    let journal = fs::read(Path::new(&place.path("run")).join("events.jsonl")).unwrap();
    let lines: Vec<&[u8]> = journal.strip_suffix(b"\n").unwrap().split(|&b| b == b'\n').collect();
    assert_eq!(lines.len(), 12);
    for line in lines {
        let event = heard.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(String::from_utf8_lossy(&event), String::from_utf8_lossy(line));
    }
    assert!(heard.try_recv().is_err(), "no event is told twice");
}

#[test]
fn a_run_stops_when_its_ranking_is_settled() {
    let place = Place::new(200);
    let until = ["--stop-when", "settled", "--margin", "0.3"];
    let run = place.run("suite.toml", "run", &until);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("the ranking is settled"), "{run:?}");
    let run = rehearse(["report", &place.path("run"), "--format", "json"]);
    let report = run.json();
    assert_eq!(report["settled"]["settled"], true);
    assert_eq!(report["settled"]["pairs"][0]["relation"], "equivalent");
    let ended = report["trials"][1].as_u64().unwrap();
    assert!(ended < 800, "{ended} of 800 trials were run");
    // It is over: to go on with it runs nothing.
    let again = place.run("suite.toml", "run", &["--resume", "--stop-when", "settled"]);
    assert_eq!(again.code, 0, "{again:?}");
    let after = rehearse(["report", &place.path("run"), "--format", "json"]).json();
    assert_eq!(after["trials"][1], ended);
}

/// The shipped checkpoint, on the log that it was trained on, where that is at hand.
#[test]
fn a_learned_world_gives_evidence_of_its_fidelity() {
    let logs = root().join("../shared/logs/metaworld");
    if !logs.exists() {
        return;
    }
    let checkpoint = root().join("examples/metaworld/metaworld.safetensors");
    let mut place = Place::empty();
    let text = format!(
        "name = \"learned\"\nworld = {{ kind = \"learned\", checkpoint = {checkpoint:?} }}\n\
         logs = {logs:?}\nhorizon = 16\njudge = {{ success = 0.9, failure = 0.1, frames = 2 }}\n\
         trust = {{ draws = 1.0, error = 0.001 }}\n\
         [[policy]]\nname = \"still\"\nzenoh = \"still\"\n\
         [[task]]\nname = \"drawer-open-v3\"\ninstruction = \"open the drawer\"\n\
         starts = {{ split = \"test\", count = 2 }}\n"
    );
    fs::write(place.folder.path().join("suite.toml"), text).unwrap();
    let (logs, endpoint) = (logs.display().to_string(), place.endpoint.clone());
    let still = ["constant", "--action", "0,0,0,0", "--log", &logs, "--name", "still"];
    place.serve(&[&still[..], &["--listen", &endpoint]].concat());
    let run = place.run("suite.toml", "run", &[]);
    assert_eq!(run.code, 0, "{run:?}");
    let report = rehearse(["report", &place.path("run"), "--format", "json"]).json();
    let trust = &report["trust"];
    // No error is as small as that, so every trial is outside for its depth.
    assert_eq!(trust["policies"][0]["outside"], 2, "{trust}");
    assert_eq!(trust["outside"]["depth"], 2, "{trust}");
    assert_eq!(trust["draws"]["trials"], 2, "{trust}");
    assert!(trust["policies"][0]["start_distance"].as_f64().unwrap() > 0.0);
    assert!(trust["policies"][0]["action_distance"].as_f64().unwrap() > 0.0);
    assert_eq!(trust["judge"]["same_rule"], false);
    assert!(trust["judge"]["corrected"][0]["value"].is_number());
}

#[test]
fn a_planner_is_a_policy_of_a_suite_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let example = root().join("examples/metaworld");
    let checkpoint = example.join("metaworld.safetensors");
    let planner = format!(
        "checkpoint = {checkpoint:?}\nexecute = 4\n\
         bounds = [[-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]]\n\
         [search]\nblocks = 2\nblock_steps = 4\niterations = 1\n\
         optimizer = {{ kind = \"cem\", candidates = 4, elites = 2 }}\n\
         [[objective]]\nkind = \"success\"\nweight = 1.0\n"
    );
    let suite = format!(
        "name = \"plans\"\nworld = {{ kind = \"learned\", checkpoint = {checkpoint:?} }}\n\
         logs = {:?}\nhorizon = 8\n\
         [[policy]]\nname = \"thinker\"\nplanner = \"planner.toml\"\n\
         [[task]]\nname = \"drawer-open-v3\"\ninstruction = \"open the drawer\"\n\
         starts = {{ split = \"eval\", count = 1 }}\n",
        example.join("starts")
    );
    fs::write(path("suite.toml"), suite).unwrap();
    let run_it = |out: &str| {
        let arguments = ["run", &path("suite.toml").display().to_string(), "--out"];
        rehearse(arguments.into_iter().chain([path(out).to_str().unwrap()]))
    };
    fs::write(path("planner.toml"), &planner).unwrap();
    for out in ["once", "again"] {
        let run = run_it(out);
        assert_eq!(run.code, 0, "{run:?}");
    }
    let table = |out: &str| fs::read(path(out).join("trials.parquet")).unwrap();
    assert_eq!(table("once"), table("again"));
    let report = rehearse(["report", path("once").to_str().unwrap(), "--format", "json"]).json();
    let warnings = report["warnings"].as_array().unwrap();
    let shared = warnings.iter().find(|warning| warning["code"] == "shared_weights").unwrap();
    assert!(shared["message"].as_str().unwrap().starts_with("thinker plans with the weights"));

    fs::write(path("planner.toml"), planner.replace("candidates = 4", "candidates = 0")).unwrap();
    let run = run_it("refused");
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("thinker"), "{run:?}");
}
