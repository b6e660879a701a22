//! A judge against a labelled log: `judge.json`.

use std::collections::BTreeMap;
use std::path::Path;

use rehearse_calibration::reliability::{Binning, Predictions, Reliability, reliability};
use rehearse_policy_bridge::closed_loop::SuccessRule;
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::suite::JudgeEntry;
use rehearse_world_model::judged::JudgedEpisode;
use rehearse_world_model::metrics::roc_auc;
use serde::{Deserialize, Serialize};

use super::{JudgeError, OutcomeCheck};

/// Confidence level of every interval.
const LEVEL: f64 = 0.95;
/// Bins of the reliability diagram.
const BINS: usize = 10;

/// What a judge is worth, as `judge.json` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeCheck {
    /// Version of this form.
    pub format: u32,
    /// The judge, as a run's manifest names its world.
    pub judge: String,
    /// The log's split.
    pub split: String,
    /// When the judge counts as sure; a run that asks for something else errs differently.
    pub rule: JudgeEntry,
    /// Verdicts on single real frames.
    pub frames: FrameCheck,
    /// Verdicts on whole episodes, from their real frames: the judge's errors alone.
    pub real: OutcomeCheck,
    /// Verdicts on whole episodes, from the frames that the world imagines when it is given their
    /// first frame and their actions: the errors of world and judge together. None for a judge
    /// without a world.
    pub imagined: Option<OutcomeCheck>,
    /// The same, task by task.
    pub tasks: Vec<TaskCheck>,
}

/// Verdicts on single frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameCheck {
    /// Frames whose label is known.
    pub frames: u64,
    /// Area under the ROC curve; none unless there are both labels.
    pub auc: Option<f64>,
    /// `confusion[truth][verdict]`, at the rule's `success`.
    pub confusion: [[u64; 2]; 2],
    /// Whether the probabilities mean what they say; none without any label.
    pub reliability: Option<Reliability>,
}

/// A judge on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskCheck {
    /// The task.
    pub task: String,
    /// Area under the ROC curve on its real frames.
    pub auc: Option<f64>,
    /// `confusion[truth][verdict]` on its real frames.
    pub confusion: [[u64; 2]; 2],
    /// Its episodes, from real frames.
    pub real: OutcomeCheck,
    /// Its episodes, from imagined frames.
    pub imagined: Option<OutcomeCheck>,
}

/// The belief of a judge that cannot tell: half of its votes.
const TORN: f32 = 0.5;

/// The rule of a judge's entry, as the closed loop takes it.
///
/// Who is asked over zenoh may be torn, which is neither success nor failure.
pub fn rule_of(entry: &JudgeEntry) -> SuccessRule {
    let votes = entry.zenoh.is_some();
    let threshold = if votes { entry.success.max(TORN.next_up()) } else { entry.success };
    SuccessRule {
        threshold,
        steps: entry.frames,
        unsure_from: entry.failure.or(votes.then_some(TORN)).filter(|open| *open < threshold),
        after: 0,
    }
}

/// Counts what a judge said of episodes against what the log knows of them.
///
/// # Errors
/// [`JudgeError::NoLabels`] if the log knows nothing of these episodes.
pub fn check(
    judge: String,
    split: &str,
    rule: &JudgeEntry,
    episodes: &[JudgedEpisode],
) -> Result<JudgeCheck, JudgeError> {
    let all: Vec<&JudgedEpisode> = episodes.iter().collect();
    let frames = frames_of(&all, rule)?;
    let (real, imagined) = outcomes_of(&all, rule)?;
    if frames.frames == 0 && real.episodes == 0 {
        return Err(JudgeError::NoLabels { split: split.to_owned() });
    }
    let mut of_task: BTreeMap<&str, Vec<&JudgedEpisode>> = BTreeMap::new();
    for episode in episodes {
        of_task.entry(&episode.task).or_default().push(episode);
    }
    let tasks = of_task
        .into_iter()
        .map(|(task, episodes)| {
            let FrameCheck { auc, confusion, .. } = frames_of(&episodes, rule)?;
            let (real, imagined) = outcomes_of(&episodes, rule)?;
            Ok(TaskCheck { task: task.to_owned(), auc, confusion, real, imagined })
        })
        .collect::<Result<_, JudgeError>>()?;
    let (split, rule) = (split.to_owned(), JudgeEntry { check: None, ..rule.clone() });
    Ok(JudgeCheck { format: JudgeCheck::FORMAT, judge, split, rule, frames, real, imagined, tasks })
}

impl JudgeCheck {
    /// Version of the form that is written.
    pub const FORMAT: u32 = 1;

    /// Reads a `judge.json`.
    ///
    /// # Errors
    /// [`JudgeError::File`].
    pub fn read(path: &Path) -> Result<Self, JudgeError> {
        let failed = |message: String| JudgeError::File { path: path.to_owned(), message };
        let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let check: Self =
            serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
        if check.format == Self::FORMAT {
            Ok(check)
        } else {
            Err(failed(format!("format {} is unknown; this is {}", check.format, Self::FORMAT)))
        }
    }

    /// Verdicts under the conditions of a run: on imagined frames where they were measured.
    pub fn outcomes(&self) -> &OutcomeCheck {
        self.imagined.as_ref().unwrap_or(&self.real)
    }
}

fn frames_of(episodes: &[&JudgedEpisode], rule: &JudgeEntry) -> Result<FrameCheck, JudgeError> {
    let (scores, labels): (Vec<f32>, Vec<bool>) = episodes
        .iter()
        .flat_map(|episode| episode.real.iter().zip(&episode.labels))
        .filter_map(|(&score, label)| Some((score, (*label)?)))
        .unzip();
    let mut confusion = [[0; 2]; 2];
    for (&score, &label) in scores.iter().zip(&labels) {
        confusion[usize::from(label)][usize::from(score >= rule.success)] += 1;
    }
    let reliability = if scores.is_empty() {
        None
    } else {
        let predicted: Vec<f64> = scores.iter().map(|&score| f64::from(score)).collect();
        let observed: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label))).collect();
        let predictions = Predictions::new(&predicted, &observed)?;
        Some(reliability(&predictions, Binning::EqualWidth(BINS), LEVEL, Seed::root(0))?)
    };
    let auc = roc_auc(&scores, &labels);
    Ok(FrameCheck { frames: scores.len() as u64, auc, confusion, reliability })
}

fn outcomes_of(
    episodes: &[&JudgedEpisode],
    rule: &JudgeEntry,
) -> Result<(OutcomeCheck, Option<OutcomeCheck>), JudgeError> {
    let rule = rule_of(rule);
    let known = || episodes.iter().filter_map(|episode| Some((episode.outcome?, *episode)));
    let of = |beliefs: &[f32]| rule.outcome(beliefs.iter().copied().map(Some));
    // A run judges what follows an action, so the first frame has no say.
    let real =
        known().map(|(outcome, episode)| (outcome, of(episode.real.get(1..).unwrap_or_default())));
    let imagined = known()
        .filter(|(_, episode)| !episode.imagined.is_empty())
        .map(|(outcome, episode)| (outcome, of(&episode.imagined)));
    let imagined = OutcomeCheck::of(imagined)?;
    Ok((OutcomeCheck::of(real)?, (imagined.episodes > 0).then_some(imagined)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode(outcome: bool, real: [f32; 3], imagined: [f32; 2]) -> JudgedEpisode {
        JudgedEpisode {
            episode: 0,
            task: "open".into(),
            outcome: Some(outcome),
            labels: vec![Some(false), Some(false), Some(outcome)],
            real: real.to_vec(),
            imagined: imagined.to_vec(),
        }
    }

    #[test]
    fn a_judge_is_counted_frame_by_frame_and_episode_by_episode() {
        let episodes = [
            episode(true, [0.0, 0.1, 0.9], [0.1, 0.3]),
            episode(false, [0.0, 0.2, 0.1], [0.9, 0.9]),
            // The first frame has no say in the outcome.
            episode(false, [0.8, 0.1, 0.1], [0.1, 0.1]),
        ];
        let rule = JudgeEntry { failure: Some(0.3), ..JudgeEntry::default() };
        let check = check("judge".into(), "test", &rule, &episodes).unwrap();
        assert_eq!(check.frames.confusion, [[7, 1], [0, 1]]);
        assert_eq!(check.frames.auc, Some(1.0));
        assert_eq!((check.real.of_successes.success, check.real.of_failures.failure), (1, 2));
        let imagined = check.imagined.unwrap();
        assert_eq!((imagined.of_successes.unsure, imagined.of_failures.success), (1, 1));
        assert_eq!(check.outcomes(), &imagined);
        assert_eq!(check.tasks.len(), 1);
    }

    #[test]
    fn a_judge_that_votes_needs_more_than_half() {
        let rule = rule_of(&JudgeEntry { zenoh: Some("vlm".into()), ..JudgeEntry::default() });
        let outcome = |belief: f32| rule.outcome([Some(belief)]).as_str();
        assert_eq!([0.4, 0.5, 0.6].map(outcome), ["failure", "unsure", "success"]);
        let own = rule_of(&JudgeEntry::default());
        assert_eq!(own.outcome([Some(0.5)]).as_str(), "success");
    }

    #[test]
    fn a_log_without_labels_checks_nothing() {
        let mut dumb = episode(true, [0.0; 3], [0.0; 2]);
        (dumb.outcome, dumb.labels) = (None, vec![None; 3]);
        let error = check("judge".into(), "test", &JudgeEntry::default(), &[dumb]).unwrap_err();
        assert!(matches!(error, JudgeError::NoLabels { .. }));
    }
}
