//! `rehearse fidelity`, on the shipped checkpoint and courses of action from one start.

use std::ffi::OsStr;

use crate::support::{rehearse, root};

/// The expert's actions, the same backwards, and none, each from one start of two tasks.
#[test]
fn the_shipped_model_obeys_actions() {
    let example = root().join("examples/metaworld");
    let (checkpoint, courses) = (example.join("metaworld.safetensors"), example.join("courses"));
    let strips = tempfile::tempdir().unwrap();
    let run = rehearse([
        "fidelity".as_ref(),
        checkpoint.as_os_str(),
        "--logs".as_ref(),
        courses.as_os_str(),
        "--filmstrips".as_ref(),
        strips.path().as_os_str(),
        "--format".as_ref(),
        "json".as_ref(),
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    let found = &run.json()["counterfactual"];
    assert_eq!((found["starts"].as_u64(), found["episodes"].as_u64()), (Some(2), Some(6)));
    // Which recording each imagined episode belongs to, and how far the courses differ.
    assert_eq!(found["told"], 1.0, "{found}");
    assert!(found["hand_error"].as_f64().unwrap() < 0.1, "{found}");
    assert!(found["picture_error"].as_f64().unwrap() < 0.6, "{found}");
    assert_eq!(strips.path().read_dir().unwrap().count(), 6);
}

/// Networks of random weights: what is measured with them means nothing, but it is measured.
#[test]
fn lpips_and_fvd_are_measured_where_there_are_weights() {
    let example = root().join("examples/metaworld");
    let (checkpoint, courses) = (example.join("metaworld.safetensors"), example.join("courses"));
    let fixtures = root().join("world_model/tests/fixtures");
    let (alexnet, i3d) = (fixtures.join("lpips.safetensors"), fixtures.join("i3d.safetensors"));
    let fidelity = |rest: &[&OsStr]| {
        let logs = [checkpoint.as_os_str(), "--logs".as_ref(), courses.as_os_str()];
        let few = ["--episodes".as_ref(), "1".as_ref()];
        rehearse(["fidelity".as_ref()].iter().chain(&logs).chain(&few).chain(rest))
    };
    let weights = [OsStr::new("--lpips"), alexnet.as_os_str(), "--fvd".as_ref(), i3d.as_os_str()];
    let run = fidelity(&[&weights[..], &["--format".as_ref(), "json".as_ref()]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    let report = run.json();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["fvd"].as_f64() > Some(0.0)).count(), 7, "{report}");
    for row in rows.iter().filter(|row| row["frames"] != 0) {
        assert!(row["lpips"].as_f64().is_some_and(|value| value > 0.0 && value < 5.0), "{row}");
    }
    assert!(report["networks"]["clips"].as_u64().unwrap() >= 2, "{report}");

    let table = fidelity(&weights[..2]).stdout;
    let header = table.lines().nth(1).unwrap();
    assert!(header.contains("LPIPS") && !header.contains("FVD"), "{table}");
    assert!(table.contains("note: FVD: not computed"), "{table}");

    let swapped = fidelity(&["--lpips".as_ref(), i3d.as_os_str()]);
    assert_ne!(swapped.code, 0);
    assert!(swapped.stderr.contains("features.0.weight"), "{}", swapped.stderr);
    assert_eq!(swapped.stderr.trim_end().lines().count(), 1, "{}", swapped.stderr);
}
