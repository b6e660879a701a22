//! Calibration against reference implementations, and end to end from trial tables.

#![expect(clippy::unwrap_used, reason = "a helper that fails has failed its test")]

mod calibrate;
mod coverage;
mod estimates;
mod judge;
mod reliability;

use std::path::Path;

use serde::de::DeserializeOwned;

/// Reads a fixture; the script that wrote it is named inside.
fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Fails with the case, the value's name and the error when two numbers differ.
#[track_caller]
fn close(case: usize, name: &str, got: f64, expected: f64, tolerance: f64) {
    let error = (got - expected).abs();
    assert!(
        error <= tolerance,
        "case {case}: {name} is {got}, expected {expected}: off by {error:e}"
    );
}
