//! The journal of a run: `events.jsonl`, a line as each trial ends.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RunError;
use super::trust::Evidence;

/// Bytes that are read at once where one line is wanted.
const LINE: usize = 1 << 10;

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

/// The open journal. It knows where each trial's line is, and reads the line when it is asked for:
/// a run of many trials does not grow with what it has done.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    lines: BTreeMap<Key, u64>,
    /// Bytes of whole lines.
    length: u64,
}

/// What stands for a trial's id: no two of a run's are ever alike.
type Key = u128;

fn key(trial: &str) -> Key {
    let hash = *blake3::hash(trial.as_bytes()).as_bytes();
    hash.first_chunk().map_or(0, |bytes| Key::from_le_bytes(*bytes))
}

impl Journal {
    /// Opens the journal. A torn last line, of a process that was killed while it wrote, is cut
    /// off.
    pub(super) fn open(path: &Path) -> Result<Self, RunError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(RunError::file("open", path))?;
        let mut lines = BTreeMap::new();
        let length =
            read_entries(&file, path, |entry, at| lines.insert(key(&entry.trial), at).is_none())?;
        file.set_len(length).map_err(RunError::file("cut", path))?;
        Ok(Self { path: path.to_owned(), file, lines, length })
    }

    /// Reads a journal that nobody writes to, by trial.
    pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Entry>, RunError> {
        let file = File::open(path).map_err(RunError::file("open", path))?;
        let mut entries = BTreeMap::new();
        read_entries(&file, path, |entry, _| entries.insert(entry.trial.clone(), entry).is_none())?;
        Ok(entries)
    }

    /// Number of trials that have ended.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether a trial has ended.
    pub(super) fn has(&self, trial: &str) -> bool {
        self.lines.contains_key(&key(trial))
    }

    /// How a trial ended, if it has.
    pub(super) fn entry(&self, trial: &str) -> Result<Option<Entry>, RunError> {
        let mut lines = self.lines()?;
        self.lines.get(&key(trial)).map(|&at| lines.at(at)).transpose()
    }

    /// How the trials ended so far, in the order of their ids.
    pub(super) fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Result<Entry, RunError>>, RunError> {
        let mut order = Vec::with_capacity(self.lines.len());
        read_entries(&self.file, &self.path, |entry, at| {
            order.push((entry.trial, at));
            true
        })?;
        order.sort_unstable();
        let mut lines = self.lines()?;
        Ok(order.into_iter().map(move |(_, at)| lines.at(at)))
    }

    /// Adds a line; it is with the operating system when this returns.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), RunError> {
        let mut line = entry.line().map_err(|error| RunError::damaged(&self.path, error))?;
        line.push(b'\n');
        // One write, so that a line is there whole or as the last one.
        self.file.write_all(&line).map_err(RunError::file("write", &self.path))?;
        self.lines.insert(key(&entry.trial), self.length);
        self.length += line.len() as u64;
        Ok(())
    }

    fn lines(&self) -> Result<Lines<'_>, RunError> {
        // A place of its own in the file: the journal's is where it writes.
        let file = File::open(&self.path).map_err(RunError::file("open", &self.path))?;
        Ok(Lines { path: &self.path, reader: BufReader::with_capacity(LINE, file), line: vec![] })
    }
}

/// Lines of a journal by their place in it.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    line: Vec<u8>,
}

impl Lines<'_> {
    fn at(&mut self, place: u64) -> Result<Entry, RunError> {
        self.line.clear();
        self.reader
            .seek(SeekFrom::Start(place))
            .and_then(|_| self.reader.read_until(b'\n', &mut self.line))
            .map_err(RunError::file("read", self.path))?;
        serde_json::from_slice(&self.line).map_err(|error| RunError::damaged(self.path, error))
    }
}

/// Gives `each` all whole lines from the beginning, with their places; it says whether a trial is
/// new. Returns how many bytes they have.
fn read_entries(
    mut file: &File,
    path: &Path,
    mut each: impl FnMut(Entry, u64) -> bool,
) -> Result<u64, RunError> {
    file.rewind().map_err(RunError::file("read", path))?;
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
        let trial = entry.trial.clone();
        if !each(entry, whole) {
            let message = format!("line {number}: trial {trial} ended twice");
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
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.len(), 0);
        journal.add(&entry("b")).unwrap();
        journal.add(&entry("a")).unwrap();
        drop(journal);
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(br#"{"trial":"c","pol"#);
        std::fs::write(&path, torn).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.len(), 2);
        assert!(journal.has("a") && !journal.has("c"));
        journal.add(&entry("c")).unwrap();
        assert_eq!(Journal::open(&path).unwrap().len(), 3);
    }

    #[test]
    fn trials_are_read_by_their_ids_and_in_the_order_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("events.jsonl")).unwrap();
        for trial in ["b", "c", "a"] {
            journal.add(&entry(trial)).unwrap();
        }
        assert_eq!(journal.entry("c").unwrap(), Some(entry("c")));
        assert_eq!(journal.entry("d").unwrap(), None);
        let ids = |journal: &Journal| {
            let entries = journal.entries().unwrap();
            entries.map(|entry| entry.unwrap().trial).collect::<Vec<_>>()
        };
        assert_eq!(ids(&journal), ["a", "b", "c"]);
        // Reading moves no line that comes after it.
        journal.add(&entry("aa")).unwrap();
        assert_eq!(ids(&journal), ["a", "aa", "b", "c"]);
    }

    #[test]
    fn a_trial_that_ended_twice_and_a_line_that_is_none_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        journal.add(&entry("a")).unwrap();
        journal.add(&entry("a")).unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert!(error.to_string().ends_with("line 2: trial a ended twice"), "{error}");
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(matches!(Journal::open(&path), Err(RunError::Damaged { .. })));
    }
}
