//! Robot logs: read as pyarrow reads them, written and converted without loss, and every damage
//! told.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may")]

mod damage;
mod mutation;
mod reading;
mod writing;

use std::path::{Path, PathBuf};

/// A dataset that is committed with the tests.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs").join(name)
}

/// A copy of a dataset, to be damaged.
fn copy_of(source: &Path) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let target = parent.path().join("log");
    copy(source, &target);
    (parent, target)
}

fn copy(source: &Path, target: &Path) {
    std::fs::create_dir_all(target).unwrap();
    for entry in std::fs::read_dir(source).unwrap() {
        let entry = entry.unwrap().path();
        let to = target.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            std::fs::write(&to, std::fs::read(&entry).unwrap()).unwrap();
        }
    }
}
