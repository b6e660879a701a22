//! The journal of a run: `events.jsonl`, a line as each trial ends.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RunError;
use super::trust::Evidence;

/// How one trial ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The trial's stable id.
    pub trial: String,
    /// Name of the policy.
    pub policy: String,
    /// Name of the task.
    pub task: String,
    /// Id of the scenario within the suite.
    pub scenario: String,
    /// Repeat, from 0.
    pub repeat: u32,
    /// `success`, `failure`, `unsure` or `void`.
    pub outcome: String,
    /// What broke, in a trial that is void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a judge over zenoh said of it last, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// Control steps that were executed.
    pub length: u32,
    /// Highest belief of the world that the task is done, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<f32>,
    /// How far the hand travelled, along its path, where the rig states its place; in the rig's
    /// unit, metres if it states none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub travel: Option<f32>,
    /// Episode of the suite's log whose first frame the trial started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<usize>,
    /// The world's chunks: control steps, and the expert that made them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<(u32, Option<u32>)>,
    /// How far the trial came, in [0, 1], where its task has a rubric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// The rubric's criteria that it reached, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reached: Vec<String>,
    /// What speaks for and against the rollout, in a learned world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

impl Entry {
    /// The line that says it, without its end.
    pub(super) fn line(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal and returns what it holds, by trial. A torn last line, of a process that
    /// was killed while it wrote, is cut off.
    pub(super) fn open(path: &Path) -> Result<(Self, BTreeMap<String, Entry>), RunError> {
        let mut entries = BTreeMap::new();
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(RunError::file("open", path))?;
        let whole = read_entries(&file, path, &mut entries)?;
        file.set_len(whole).map_err(RunError::file("cut", path))?;
        Ok((Self { path: path.to_owned(), file }, entries))
    }

    /// Reads a journal that nobody writes to.
    pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Entry>, RunError> {
        let file = File::open(path).map_err(RunError::file("open", path))?;
        let mut entries = BTreeMap::new();
        read_entries(&file, path, &mut entries)?;
        Ok(entries)
    }

    /// Adds a line; it is with the operating system when this returns.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), RunError> {
        let mut line = entry.line().map_err(|error| RunError::damaged(&self.path, error))?;
        line.push(b'\n');
        // One write, so that a line is there whole or as the last one.
        self.file.write_all(&line).map_err(RunError::file("write", &self.path))
    }
}

/// Reads all whole lines, and returns how many bytes they have.
fn read_entries(
    file: &File,
    path: &Path,
    entries: &mut BTreeMap<String, Entry>,
) -> Result<u64, RunError> {
    let mut reader = BufReader::new(file);
    let (mut whole, mut number, mut line) = (0, 0_u64, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(RunError::file("read", path))?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Ok(whole);
        }
        number += 1;
        let entry: Entry = serde_json::from_slice(&line)
            .map_err(|error| RunError::damaged(path, format!("line {number}: {error}")))?;
        if let Some(twice) = entries.insert(entry.trial.clone(), entry) {
            let message = format!("line {number}: trial {} ended twice", twice.trial);
            return Err(RunError::damaged(path, message));
        }
        whole += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(trial: &str) -> Entry {
        Entry {
            trial: trial.into(),
            policy: "p".into(),
            task: "t".into(),
            scenario: "t.0.plain".into(),
            repeat: 0,
            outcome: "success".into(),
            reason: None,
            remark: None,
            length: 7,
            peak: Some(0.9),
            travel: None,
            start: None,
            chunks: vec![],
            progress: None,
            reached: vec![],
            evidence: None,
        }
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_rest_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (mut journal, none) = Journal::open(&path).unwrap();
        assert!(none.is_empty());
        journal.add(&entry("a")).unwrap();
        journal.add(&entry("b")).unwrap();
        drop(journal);
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(br#"{"trial":"c","pol"#);
        std::fs::write(&path, torn).unwrap();
        let (mut journal, entries) = Journal::open(&path).unwrap();
        assert_eq!(entries.keys().collect::<Vec<_>>(), ["a", "b"]);
        journal.add(&entry("c")).unwrap();
        let (_, entries) = Journal::open(&path).unwrap();
        assert_eq!(entries.len(), 3);
    }

    #[test]
    fn a_trial_that_ended_twice_and_a_line_that_is_none_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.add(&entry("a")).unwrap();
        journal.add(&entry("a")).unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert!(error.to_string().ends_with("line 2: trial a ended twice"), "{error}");
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(matches!(Journal::open(&path), Err(RunError::Damaged { .. })));
    }
}
