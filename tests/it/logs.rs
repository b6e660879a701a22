//! `rehearse logs`, through the binary.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{rehearse, shipped_log};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// A copy of the shipped log to damage.
fn damaged(damage: impl FnOnce(&Path)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    copy(&shipped_log(), &log);
    damage(&log);
    (folder, log)
}

fn logs(command: &str, log: &Path, rest: &[&str]) -> crate::support::Run {
    let mut arguments = vec!["logs", command, log.to_str().unwrap()];
    arguments.extend(rest);
    rehearse(arguments)
}

#[test]
fn inspect_says_what_is_in_the_shipped_log() {
    let run = logs("inspect", &shipped_log(), &["--format", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let found = run.json();
    assert_eq!(found["format"], 1);
    assert_eq!(found["episodes"], 2);
    assert_eq!(found["frames"], 89);
    assert_eq!(found["fps"], 5.0);
    assert_eq!(
        found["cameras"][0],
        json!({"name": "exterior_1", "height": 192, "width": 320, "codec": "av1"})
    );
    assert_eq!(found["state"], json!(["x", "y", "z", "roll", "pitch", "yaw", "gripper"]));
    assert_eq!(found["action"].as_array().unwrap().len(), 7);
    let trials: u64 = found["success"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["trials"].as_u64().unwrap())
        .sum();
    assert_eq!(trials, 2);
    let table = logs("inspect", &shipped_log(), &[]);
    assert!(table.stdout.contains("exterior_1 192×320, av1"), "{}", table.stdout);
}

#[test]
fn the_shipped_log_has_no_problem() {
    let run = logs("check", &shipped_log(), &[]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn check_finds_every_problem_at_once() {
    let (_folder, log) = damaged(|log| {
        let video = log.join("videos/observation.images.wrist/chunk-000/file-000.mp4");
        let bytes = fs::read(&video).unwrap();
        fs::write(&video, &bytes[..bytes.len() / 2]).unwrap();
        let table = log.join("data/chunk-000/file-000.parquet");
        let bytes = fs::read(&table).unwrap();
        fs::write(&table, &bytes[..bytes.len() - 8]).unwrap();
    });
    let run = logs("check", &log, &[]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("file-000.mp4"), "{run:?}");
    assert!(run.stdout.contains("file-000.parquet"), "{run:?}");
    let machine = logs("check", &log, &["--format", "json"]);
    assert!(machine.json()["problems"].as_array().unwrap().len() >= 2, "{machine:?}");
}

#[test]
fn a_folder_that_is_no_log_is_one_clear_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["inspect", "view"] {
        let run = logs(command, folder.path(), &[]);
        assert_eq!(run.code, 2, "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains("info.json"), "{run:?}");
    }
}

#[test]
fn convert_takes_a_part_and_resizes_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("small");
    let run = logs(
        "convert",
        &shipped_log(),
        &[out.to_str().unwrap(), "--size", "48x64", "--split", "val", "--codec", "h264"],
    );
    assert_eq!(run.code, 0, "{run:?}");
    let found = logs("inspect", &out, &["--format", "json"]).json();
    assert_eq!((&found["episodes"], &found["frames"]), (&json!(1), &json!(33)));
    assert_eq!(
        found["cameras"][2],
        json!({"name": "wrist", "height": 48, "width": 64, "codec": "h264"})
    );
    assert_eq!(logs("check", &out, &[]).code, 0);
}

#[test]
fn view_writes_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("episode.rrd");
    let run = logs("view", &shipped_log(), &["--episode", "1", "--save", file.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{run:?}");
    let bytes = fs::read(&file).unwrap();
    assert_eq!(&bytes[..3], b"RRF", "a recording begins with its magic bytes");
    assert!(bytes.len() > 100_000, "33 frames of three cameras take more than {}", bytes.len());
    let missing = logs("view", &shipped_log(), &["--episode", "9"]);
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.stderr.contains("episode 9"), "{missing:?}");
}
