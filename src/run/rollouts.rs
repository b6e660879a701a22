//! The episodes that a run stored, and which trial each is.

use std::collections::BTreeMap;
use std::path::Path;

use rehearse_scenarios::log::RobotLog;
use serde::{Deserialize, Serialize};

use super::folder::write_whole;
use super::journal::{Entry, Journal};
use super::trust::{Again, read_draws};
use super::{Manifest, RunError};

/// A line of `episodes/meta/rollouts.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rollout {
    /// Index of the episode in the dataset.
    pub(super) episode: usize,
    /// Id of the trial.
    pub(super) trial: String,
}

pub(super) fn write(
    dataset: &Path,
    rollouts: impl Iterator<Item = Rollout>,
) -> Result<(), RunError> {
    let path = dataset.join("meta/rollouts.jsonl");
    let mut text = Vec::new();
    for rollout in rollouts {
        serde_json::to_writer(&mut text, &rollout)
            .map_err(|error| RunError::damaged(&path, error))?;
        text.push(b'\n');
    }
    write_whole(&path, &text)
}

/// Episodes by trial; none if the run stored no episodes.
pub(super) fn read(dataset: &Path) -> Result<BTreeMap<String, usize>, RunError> {
    let path = dataset.join("meta/rollouts.jsonl");
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(&path).map_err(RunError::file("read", &path))?;
    text.lines()
        .map(|line| {
            let Rollout { episode, trial } =
                serde_json::from_str(line).map_err(|error| RunError::damaged(&path, error))?;
            Ok((trial, episode))
        })
        .collect()
}

/// What a run directory holds to be looked at.
#[derive(Debug)]
pub struct Rollouts {
    /// What the run was made of.
    pub manifest: Manifest,
    /// How its trials ended, by id.
    pub entries: BTreeMap<String, Entry>,
    /// Episodes of the dataset, by trial.
    pub episodes: BTreeMap<String, usize>,
    /// Trials that were imagined twice.
    pub draws: BTreeMap<String, Again>,
    /// The dataset.
    pub dataset: RobotLog,
    /// The log that trials started from, where it can be found.
    pub log: Option<RobotLog>,
}

impl Rollouts {
    /// Opens what a run stored.
    ///
    /// # Errors
    /// [`RunError`] if there is no run, or none that has stored its episodes.
    pub fn open(folder: &Path) -> Result<Self, RunError> {
        let manifest = Manifest::read(folder)?;
        let entries = Journal::read(&folder.join("events.jsonl"))?;
        let path = folder.join("episodes");
        let dataset = RobotLog::open(&path)?;
        let episodes = read(&path)?;
        let log = manifest.log.as_ref().and_then(|log| RobotLog::open(&log.folder).ok());
        let draws = read_draws(folder)?;
        Ok(Self { manifest, entries, episodes, draws, dataset, log })
    }

    /// Some trials of each policy and outcome that have an episode, `each` at most.
    pub fn some(&self, each: usize) -> Vec<&Entry> {
        let mut taken: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        self.entries
            .values()
            .filter(|entry| self.episodes.contains_key(&entry.trial))
            .filter(|entry| {
                let count = taken.entry((&entry.policy, &entry.outcome)).or_default();
                *count += 1;
                *count <= each
            })
            .collect()
    }
}
