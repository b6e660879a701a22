//! Several logs of one rig as one.

use rehearse_scenarios::census::{Census, Relation};
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::log::RobotLog;

use crate::error::{ModelError, Result};
use crate::tokenizer::Layout;
use crate::train::data::episode_patches;
use crate::train::episode::LoggedEpisode;

/// Logs of one rig, with their episodes counted through: those of the second log follow those of
/// the first.
#[derive(Debug)]
pub struct Logs {
    logs: Vec<RobotLog>,
    /// Episodes before each log.
    before: Vec<usize>,
}

impl Logs {
    /// Puts logs together. What the first states of the rig counts; the others must not
    /// contradict it.
    ///
    /// # Errors
    /// [`ModelError::Embodiment`] naming both folders and every field that differs,
    /// [`ModelError::EmptySplit`] if there is no log.
    pub fn new(logs: Vec<RobotLog>) -> Result<Self> {
        let Some(first) = logs.first() else {
            return Err(ModelError::EmptySplit { what: "logs", split: "all".to_owned() });
        };
        let name = |log: &RobotLog| format!("log {}", log.folder().display());
        for other in &logs[1..] {
            let (left, right) = (first.embodiment(), other.embodiment());
            Census::compare(name(first), left, name(other), right, Relation::Same).check()?;
        }
        let before = logs
            .iter()
            .scan(0, |sum, log| {
                let before = *sum;
                *sum += log.episodes().len();
                Some(before)
            })
            .collect();
        Ok(Self { logs, before })
    }

    /// The logs, in order.
    pub fn iter(&self) -> impl Iterator<Item = &RobotLog> {
        self.logs.iter()
    }

    /// The rig, as the first log states it.
    pub fn embodiment(&self) -> &Embodiment {
        self.logs[0].embodiment()
    }

    /// The episodes of a split, numbers only; a log without that split adds none.
    pub(crate) fn of_split(&self, split: &str) -> Result<Vec<LoggedEpisode>> {
        let mut episodes = Vec::new();
        for (log, before) in self.logs.iter().zip(&self.before) {
            let indices = match LoggedEpisode::of_split(log, split) {
                Err(ModelError::EmptySplit { .. }) => Vec::new(),
                indices => indices?,
            };
            for index in indices {
                let episode = LoggedEpisode::read(log, index)?;
                episodes.push(LoggedEpisode { index: before + index, ..episode });
            }
        }
        if episodes.is_empty() {
            return Err(ModelError::EmptySplit { what: "episodes", split: split.to_owned() });
        }
        Ok(episodes)
    }

    /// The patches of every frame of an episode, one after another.
    pub(crate) fn patches(
        &self,
        layout: &Layout,
        episode: usize,
        each: impl FnMut(usize, Vec<f32>) -> Result<()>,
    ) -> Result<()> {
        let place = self.before.partition_point(|&before| before <= episode) - 1;
        episode_patches(&self.logs[place], layout, episode - self.before[place], each)
    }
}
