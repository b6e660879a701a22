//! The binary under test, and the data that ships with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a run of the binary left.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("the program was not killed"),
            stdout: String::from_utf8(output.stdout).expect("output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("output is UTF-8"),
        }
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// Runs `rehearse` with `arguments` in the repository's root.
pub fn rehearse<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(arguments: I) -> Run {
    Run::of(
        Command::new(env!("CARGO_BIN_EXE_rehearse"))
            .args(arguments)
            .current_dir(root())
            .output()
            .expect("the binary starts"),
    )
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The log that ships with the project.
pub fn shipped_log() -> PathBuf {
    root().join("examples/logs/droid")
}
