//! Which episode of a run's dataset is which trial.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::folder::write_whole;

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
pub(crate) fn read(dataset: &Path) -> Result<BTreeMap<String, usize>, RunError> {
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
