//! Where trials start: first frames of the log, by task and index.

use std::collections::BTreeMap;
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
            let episodes: Vec<usize> = log
                .episodes()
                .iter()
                .filter(|episode| episode.split.as_ref() == Some(split))
                .filter(|episode| {
                    episode.tasks.contains(&entry.name)
                        || episode.result.as_ref().is_some_and(|row| row.task == entry.name)
                })
                .map(|episode| episode.index)
                .collect();
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
