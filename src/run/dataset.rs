//! The dataset of a run's episodes, written at its end from those that wait.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ndarray::Array2;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::log::{
    Column, Dtype, EpisodeEnd, Feature, Frame, LogSettings, LogWriter, TrialRow,
};
use rehearse_scenarios::video::Codec;
use rehearse_scoring::trial::Verdict;

use super::RunError;
use super::journal::Entry;
use super::rollouts::{self, Rollout};
use super::spool::{Spool, Waiting};

/// The column of the dataset that holds the world's belief after each action.
pub const BELIEF: &str = "next.success_belief";

/// A dataset that is being written. It comes to be with its first episode.
pub(super) struct Dataset<'a> {
    folder: PathBuf,
    rig: &'a Embodiment,
    spool: &'a Spool,
    writer: Option<LogWriter>,
    rollouts: Vec<Rollout>,
}

impl<'a> Dataset<'a> {
    /// Begins in `folder`, of which nothing is kept.
    pub(super) fn new(
        folder: PathBuf,
        rig: &'a Embodiment,
        spool: &'a Spool,
    ) -> Result<Self, RunError> {
        if folder.exists() {
            // Left by a process that was killed between the dataset and the table.
            std::fs::remove_dir_all(&folder).map_err(RunError::file("remove", &folder))?;
        }
        Ok(Self { folder, rig, spool, writer: None, rollouts: vec![] })
    }

    /// Adds the episode of a trial, if one waits.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), RunError> {
        let Some(Waiting { instruction, frames, belief }) = self.spool.get(&entry.trial)? else {
            return Ok(());
        };
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let settings = LogSettings { codec: Codec::H264, ..LogSettings::default() };
                let column = Feature::vector(BELIEF, Dtype::Float32, 1);
                none.insert(LogWriter::create(&self.folder, self.rig, &[column], settings)?)
            }
        };
        writer.begin_episode(&instruction)?;
        for frame in &frames {
            let (images, state, action) = (&frame.images, &frame.state, &frame.action);
            writer.push(&Frame { images, state, action })?;
        }
        // NaN is what a column of numbers has for "not stated".
        let column = Column::Float(Array2::from_shape_fn((frames.len(), 1), |(step, _)| {
            f64::from(belief.get(step).copied().flatten().unwrap_or(f32::NAN))
        }));
        let score = Verdict::from_word(&entry.outcome).and_then(Verdict::score);
        writer.end_episode(EpisodeEnd {
            columns: BTreeMap::from([(BELIEF.to_owned(), column)]),
            result: score.map(|success| TrialRow {
                episode: 0, // the writer knows
                task: entry.task.clone(),
                policy: entry.policy.clone(),
                success,
                length: None,
                split: Some("imagined".to_owned()),
            }),
            ..EpisodeEnd::default()
        })?;
        let episode = self.rollouts.len();
        self.rollouts.push(Rollout { episode, trial: entry.trial.clone() });
        Ok(())
    }

    /// Closes the dataset, if any episode is in it.
    pub(super) fn finish(self) -> Result<(), RunError> {
        let Some(writer) = self.writer else { return Ok(()) };
        writer.finish()?;
        // The dataset knows policies and tasks, not trials.
        rollouts::write(&self.folder, self.rollouts.into_iter())
    }
}
