//! Writes episodes as they end, in their order.

use std::collections::BTreeMap;
use std::path::Path;

use rehearse_policy_bridge::closed_loop::{Event, Observer, ObserverError, SuccessRule, Trial};
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::log::{
    Dtype, EpisodeEnd, Feature, Frame, LogError, LogSettings, LogWriter, LogWritten, TrialRow,
};
use rehearse_scenarios::outcome::Outcome;

use crate::cli::Progress;

/// The id of the episode that is the `number`-th of a recording.
pub(super) fn episode_id(number: u64, policy: &str) -> String {
    format!("record/{number:06}/{policy}/0")
}

/// Which split an episode is of.
pub(super) struct Splits {
    /// The split of all starts but those held out.
    pub(super) all: Option<String>,
    /// Every n-th start is of this split.
    pub(super) held_out: Option<(u64, String)>,
}

impl Splits {
    fn of(&self, start: u64) -> Option<String> {
        match &self.held_out {
            Some((every, split)) if start % every == every - 1 => Some(split.clone()),
            _ => self.all.clone(),
        }
    }
}

/// Writes episodes in the order of their trials, whichever ends first.
pub(super) struct Recorder<'a> {
    folder: &'a Path,
    rig: Embodiment,
    settings: LogSettings,
    policies: &'a [String],
    success: SuccessRule,
    splits: Splits,
    /// Made for the first episode, which tells whether the world knows success.
    writer: Option<(LogWriter, bool)>,
    /// Episodes that ended before one that comes before them.
    early: BTreeMap<String, (Trial, Episode)>,
    next: u64,
    progress: Progress,
}

impl<'a> Recorder<'a> {
    /// A recorder that has written nothing yet.
    pub(super) fn new(
        folder: &'a Path,
        rig: Embodiment,
        settings: LogSettings,
        policies: &'a [String],
        success: SuccessRule,
        splits: Splits,
        progress: Progress,
    ) -> Self {
        Self {
            folder,
            rig,
            settings,
            policies,
            success,
            splits,
            writer: None,
            early: BTreeMap::new(),
            next: 0,
            progress,
        }
    }

    /// Closes the dataset; `None` if there was nothing to write.
    pub(super) fn finish(self) -> Result<Option<LogWritten>, LogError> {
        self.progress.finish();
        self.writer.map(|(writer, _)| writer.finish()).transpose()
    }

    /// The policy of the next episode: they take turns.
    fn turn(&self) -> &'a str {
        &self.policies[(self.next % self.policies.len() as u64) as usize]
    }

    fn write(&mut self, policy: &str, trial: &Trial, episode: &Episode) -> Result<(), LogError> {
        let (writer, knows) = match &mut self.writer {
            Some(made) => made,
            none => {
                let knows = episode.success.iter().any(Option::is_some);
                let success = Feature::vector("next.success", Dtype::Bool, 1);
                let further = if knows { vec![success] } else { vec![] };
                let settings = self.settings.clone();
                let writer = LogWriter::create(self.folder, &self.rig, &further, settings)?;
                none.insert((writer, knows))
            }
        };
        writer.begin_episode(&episode.instruction)?;
        for (observation, action) in episode.observations.iter().zip(&episode.actions) {
            let (images, state) = (&observation.images, &observation.proprioception);
            writer.push(&Frame { images, state, action })?;
        }
        let threshold = self.success.threshold;
        let done = |belief: &Option<f32>| belief.is_some_and(|belief| belief >= threshold);
        let result = match episode.outcome {
            Outcome::Success => Some(1.0),
            Outcome::Failure => Some(0.0),
            Outcome::Unsure | Outcome::Void { .. } => None,
        };
        writer.end_episode(EpisodeEnd {
            success: knows.then(|| episode.success.iter().map(done).collect()),
            result: result.map(|success| TrialRow {
                episode: 0,
                task: trial.task.to_string(),
                policy: policy.to_owned(),
                success,
                length: None,
                split: self.splits.of(trial.index),
            }),
            ..EpisodeEnd::default()
        })
    }
}

impl Observer for Recorder<'_> {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        let Event::Ended { trial, episode, .. } = event else { return Ok(()) };
        self.progress.advance(1);
        self.early.insert(episode.id.clone(), (trial, episode));
        loop {
            let policy = self.turn();
            let Some((trial, episode)) = self.early.remove(&episode_id(self.next, policy)) else {
                return Ok(());
            };
            self.next += 1;
            let void = matches!(episode.outcome, Outcome::Void { .. });
            if !void && !episode.is_empty() {
                self.write(policy, &trial, &episode)?;
            }
        }
    }
}
