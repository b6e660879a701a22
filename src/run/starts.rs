//! Where trials start: first frames of the log, by task and index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::suite::Suite;

use super::RunError;

/// The first observations of a suite's starts; none for a task whose world makes its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Starts(BTreeMap<(usize, u64), Start>);

/// One start.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The episode of the log that it is the first frame of.
    pub(super) episode: usize,
    /// Its first observation.
    pub(super) observation: Arc<Observation>,
}

impl Starts {
    /// Reads the first frame of every start that the suite takes from its log.
    pub(super) fn read(suite: &Suite, log: &RobotLog) -> Result<Self, RunError> {
        let mut starts = BTreeMap::new();
        for (task, entry) in suite.tasks.iter().enumerate() {
            let Some(split) = &entry.starts.split else { continue };
            let of_split = || log.episodes().iter().filter(|e| e.split.as_ref() == Some(split));
            let names = [&entry.name, &entry.instruction];
            let episodes: Vec<usize> = of_split()
                .filter(|episode| {
                    let result = episode.result.as_ref().map(|row| &row.task);
                    names.iter().any(|&name| episode.tasks.contains(name) || result == Some(name))
                })
                .map(|episode| episode.index)
                .collect();
            if episodes.is_empty() {
                let there: BTreeSet<&str> = of_split()
                    .flat_map(|episode| {
                        let result = episode.result.iter().map(|row| row.task.as_str());
                        result.chain(episode.tasks.iter().map(String::as_str))
                    })
                    .filter(|task| !task.is_empty())
                    .collect();
                let there: Vec<&str> = there.into_iter().collect();
                return Err(RunError::UnknownTask {
                    task: entry.name.clone(),
                    split: split.clone(),
                    there: if there.is_empty() { "none".to_owned() } else { there.join(", ") },
                });
            }
            for index in entry.starts.first..entry.starts.first + u64::from(entry.starts.count) {
                let episode = usize::try_from(index)
                    .ok()
                    .and_then(|index| episodes.get(index).copied())
                    .ok_or_else(|| RunError::TooFewStarts {
                        task: entry.name.clone(),
                        split: split.clone(),
                        wanted: index,
                        found: episodes.len(),
                    })?;
                let observation = Arc::new(log.observation(episode, 0)?);
                starts.insert((task, index), Start { episode, observation });
            }
        }
        Ok(Self(starts))
    }

    /// The start `index` of a task.
    pub(super) fn get(&self, task: usize, index: u64) -> Option<&Start> {
        self.0.get(&(task, index))
    }

    /// Episodes of the log that trials start in, in order.
    pub(super) fn episodes(&self) -> Vec<usize> {
        let mut episodes: Vec<usize> = self.0.values().map(|start| start.episode).collect();
        episodes.sort_unstable();
        episodes.dedup();
        episodes
    }
}
