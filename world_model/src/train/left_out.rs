//! The judge taught anew without one task, or one policy, at a time: what it then says of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::metrics::roc_auc;
use crate::train::data::Dataset;
use crate::train::episode::LoggedEpisode;
use crate::train::judge_stage::{JudgeObjective, Scored, labels, seen};
use crate::train::predicted::Predicted;
use crate::train::progress::Progress;
use crate::train::run::{Job, Opened, imagine_for_judge, model_of, weigh};
use crate::train::stage::Session;

/// Groups of fewer held-back episodes say too little.
const LEAST: usize = 8;

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The episodes of a task.
    Task,
    /// The episodes of a policy.
    Policy,
}

/// The judge on the held-back episodes of one task or policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// What was left out.
    pub group: Group,
    /// Its name.
    pub name: String,
    /// Held-back episodes that both judges are asked about.
    pub episodes: usize,
    /// The judge that was taught on all episodes.
    pub taught: Verdicts,
    /// The judge that was taught without these.
    pub untaught: Verdicts,
}

/// How right a judge is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdicts {
    /// ROC-AUC over real frames, where there are both kinds.
    pub auc: Option<f64>,
    /// ROC-AUC over imagined frames, by what is seen in them alone.
    pub auc_imagined: Option<f64>,
    /// Part of the imagined episodes whose outcome is judged right, by what is seen and what the
    /// state model foresees. The state model is not taught anew.
    pub outcomes: f64,
}

/// Teaches the judge of a training that is at its end anew without each task and each policy in
/// turn. The results of earlier calls in the folder are taken up.
///
/// # Errors
/// [`ModelError::Checkpoint`] if the training in the folder is not at its end; as
/// [`train`](crate::train::train).
pub fn left_out(job: Job<'_>, progress: &mut dyn Progress) -> Result<Vec<LeftOut>> {
    let Opened { config, mut session, data, fingerprint, .. } =
        Opened::new(Job { resume: true, ..job }, progress)?;
    if !session.is_finished("judge") {
        return Err(ModelError::Checkpoint {
            path: session.folder.clone(),
            reason: "the training there is not at its end".to_owned(),
        });
    }
    let model = model_of(&config, &data, &session, &[])?;
    let predicted = Predicted::new(&model, &data, &session.folder)?;
    let imagined = imagine_for_judge(&config, &data, &predicted, &mut session, &fingerprint)?;
    let mix = imagined.as_ref().map(|imagined| (imagined, config.judge_imagined));
    let batch = config.judge.batch;
    let mut rest = session.variables.tensors();
    rest.retain(|name, _| !name.starts_with("judge."));
    let mut found = Vec::new();
    for ((group, name), episodes) in groups(&data) {
        let inside = |episode: &LoggedEpisode| group.name(episode) == Some(&name);
        let outside = |episode: &LoggedEpisode| !inside(episode);
        let place = session.folder.join("left-out").join(found.len().to_string());
        std::fs::create_dir_all(&place).map_err(ModelError::io("make a folder", &place))?;
        let label = format!("without {group:?} {name}");
        let mut anew = Session::open(
            &place,
            &session.device,
            session.seed.child(&label),
            format!("{fingerprint} {label}"),
            session.save_every,
            true,
            &mut *session.progress,
        )?;
        if anew.variables.tensors().is_empty() {
            anew.variables.assign(&rest)?;
        }
        let untaught = model_of(&config, &data, &anew, &["judge."])?;
        let lesson = JudgeObjective::new(&untaught, &data, mix, batch, &outside);
        if !lesson.has_both_outcomes() {
            continue;
        }
        anew.progress.note(&format!("teaching the judge {label}"));
        anew.run("judge", &config.judge, &["judge."], &lesson)?;
        let everyone = |_: &LoggedEpisode| true;
        let whole = JudgeObjective::new(&model, &data, mix, batch, &everyone);
        let asked = |model| JudgeObjective::new(model, &data, mix, batch, &inside);
        found.push(LeftOut {
            group,
            name: name.clone(),
            episodes,
            taught: Verdicts::of(&asked(&model), &whole.held_back(true)?)?,
            untaught: Verdicts::of(&asked(&untaught), &lesson.held_back(true)?)?,
        });
    }
    Ok(found)
}

impl Group {
    fn name(self, episode: &LoggedEpisode) -> Option<&String> {
        match self {
            Self::Task => Some(&episode.task),
            Self::Policy => episode.policy.as_ref(),
        }
    }
}

impl Verdicts {
    /// Of the frames that `asked` holds back, as weighed by frames that the judge may learn from.
    fn of(asked: &JudgeObjective<'_>, known: &[Scored]) -> Result<Self> {
        let (real, imagined) = (asked.held_back(false)?, asked.held_back(true)?);
        Ok(Self {
            auc: roc_auc(&seen(&real), &labels(&real)),
            auc_imagined: roc_auc(&seen(&imagined), &labels(&imagined)),
            outcomes: outcomes(&imagined, &weigh(known)),
        })
    }
}

/// Part of the episodes whose outcome is right: an episode succeeds, in truth or judgement, where
/// any of its frames does.
fn outcomes(scored: &[Scored], weights: &[f32]) -> f64 {
    let mut episodes = BTreeMap::<usize, [bool; 2]>::new();
    for Scored { episode, scores, done } in scored {
        let odds = scores.iter().chain(&[1.0]).zip(weights).map(|(x, w)| x * w).sum::<f32>();
        let [truth, judged] = episodes.entry(*episode).or_default();
        *truth |= done;
        *judged |= odds > 0.0;
    }
    let right = episodes.values().filter(|[truth, judged]| truth == judged).count();
    right as f64 / episodes.len().max(1) as f64
}

/// Tasks and policies with their held-back episodes, if there are enough to ask about and others
/// to learn from.
fn groups(data: &Dataset) -> Vec<((Group, String), usize)> {
    let mut counts = BTreeMap::<(Group, String), usize>::new();
    for episode in &data.validation {
        for group in [Group::Task, Group::Policy] {
            if let Some(name) = group.name(episode) {
                *counts.entry((group, name.clone())).or_default() += 1;
            }
        }
    }
    counts.into_iter().filter(|(_, count)| (LEAST..data.validation.len()).contains(count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_counts_by_its_best_frame() {
        let frame =
            |episode, seen, foreseen, done| Scored { episode, scores: [seen, foreseen], done };
        // The first fails, and is judged to; the second succeeds late, and is judged to; the
        // third fails, and its one good frame is foreseen.
        let scored = [
            frame(0, -1.0, 0.5, false),
            frame(0, 0.2, 0.0, false),
            frame(1, -3.0, 0.0, false),
            frame(1, 2.0, 0.0, true),
            frame(2, -1.0, -1.0, false),
            frame(2, 0.0, 2.0, false),
        ];
        assert_eq!(outcomes(&scored, &[1.0, 1.0, -1.0]), 2.0 / 3.0);
        // Without what is foreseen, all are right.
        assert_eq!(outcomes(&scored, &[1.0, 0.0, -1.0]), 1.0);
    }
}
