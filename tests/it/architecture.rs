//! The crates and their dependencies are those of ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::support::root;

/// Crate → the crates of this workspace that it may depend on, dev-dependencies included.
const ALLOWED: [(&str, &[&str]); 7] = [
    ("rehearse-scenarios", &[]),
    ("rehearse-world-model", &["rehearse-scenarios"]),
    ("rehearse-policy-bridge", &["rehearse-scenarios"]),
    ("rehearse-scoring", &["rehearse-scenarios"]),
    ("rehearse-planner", &["rehearse-scenarios", "rehearse-world-model"]),
    ("rehearse-calibration", &["rehearse-scenarios", "rehearse-scoring"]),
    (
        "rehearse",
        &[
            "rehearse-calibration",
            "rehearse-planner",
            "rehearse-policy-bridge",
            "rehearse-scenarios",
            "rehearse-scoring",
            "rehearse-world-model",
        ],
    ),
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--offline")
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo speaks UTF-8")
}

#[test]
fn the_dependency_graph_is_exactly_the_allowed_one() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let found: BTreeMap<&str, BTreeSet<&str>> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let ours = package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|dependency| dependency["name"].as_str())
                .filter(|name| name.starts_with("rehearse"))
                .collect();
            (package["name"].as_str().unwrap(), ours)
        })
        .collect();
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, ours)| (*name, ours.iter().copied().collect())).collect();
    assert_eq!(found, allowed);
}

#[test]
fn nothing_heavy_lies_below_scoring() {
    for package in ["rehearse-scenarios", "rehearse-scoring", "rehearse-calibration"] {
        let tree = cargo(&["tree", "-p", package, "-e", "normal", "--prefix", "none"]);
        for line in tree.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            let heavy = ["candle", "zenoh", "tokio", "rerun", "cudarc"]
                .iter()
                .any(|heavy| name == *heavy || name.starts_with(&format!("{heavy}-")));
            assert!(!heavy, "{package} depends on {line}");
        }
    }
}

#[test]
fn every_crate_is_named_in_the_architecture() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (name, _) in ALLOWED {
        assert!(text.contains(&format!("`{name}`")), "ARCHITECTURE.md does not name {name}");
    }
}
