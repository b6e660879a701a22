//! A sample of trials imagined a second time, with other noise.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rehearse_policy_bridge::closed_loop::{SuccessRule, Trial};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::interface::{Start, Step, TrialHandle, World as _};
use rehearse_scenarios::outcome::Outcome;
use rehearse_world_model::metrics::psnr;
use rehearse_world_model::model::WorldModel;
use rehearse_world_model::routing::Routing;
use rehearse_world_model::statistics::position_channels;
use rehearse_world_model::world::LearnedWorld;
use serde::{Deserialize, Serialize};

use super::super::folder::write_whole;
use super::super::spool::Waiting;
use super::super::{RunError, trust::neighbours::quantile};

/// A trial imagined a second time: the same start, the same actions, other noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// The trial.
    pub trial: String,
    /// How it ended this time.
    pub outcome: String,
    /// Distance between the hand in the two draws, in the median over the steps, in metres.
    pub distance: f32,
    /// How alike the pictures of the two draws are, in the median over the steps, in decibels.
    pub psnr: f32,
}

/// What is to be imagined again.
pub(in super::super) struct Job {
    /// The trial, with its start.
    pub trial: Trial,
    /// What the first draw came to.
    pub first: Waiting,
    /// Actions of each chunk that were executed at once.
    pub execute: usize,
    /// Steps to go on for by the last action: a first draw that ended at its success leaves the
    /// other no time to come to it a little later.
    pub beyond: usize,
}

impl Job {
    /// The actions to execute, step by step.
    fn actions(&self) -> impl Iterator<Item = &Vec<f32>> {
        let done = self.first.frames.iter().map(|frame| &frame.action);
        done.chain(
            self.first
                .frames
                .last()
                .into_iter()
                .flat_map(|frame| std::iter::repeat_n(&frame.action, self.beyond)),
        )
    }
}

/// Imagines trials again, all at once.
///
/// # Errors
/// [`RunError::Draws`] if the model fails.
pub(in super::super) fn draw_again(
    model: &Arc<WorldModel>,
    rule: SuccessRule,
    jobs: &[Job],
) -> Result<Vec<Again>, RunError> {
    let mut world = LearnedWorld::new(Arc::clone(model), Routing::default());
    let handle = |place: usize| TrialHandle(place as u64);
    let starts: Vec<Start> = jobs
        .iter()
        .enumerate()
        .map(|(place, job)| Start {
            trial: handle(place),
            task: Arc::clone(&job.trial.task),
            index: job.trial.index,
            instruction: Arc::clone(&job.trial.instruction),
            observation: job.trial.observation.clone(),
            seed: job.trial.world_seed.child("again"),
        })
        .collect();
    let mut steps: Vec<Result<Vec<Step>, ()>> = world
        .reset(&starts)
        .map_err(|source| RunError::Draws { source })?
        .into_iter()
        .map(|opened| opened.map(|_| vec![]).map_err(drop))
        .collect();
    loop {
        let mut requests = vec![];
        for (place, (job, done)) in jobs.iter().zip(&steps).enumerate() {
            let Ok(done) = done else { continue };
            let mut left = job.actions().skip(done.len()).peekable();
            let width = left.peek().map_or(0, |action| action.len());
            let rows = left.take(job.execute.max(1)).flatten();
            if let Ok(chunk) = ActionChunk::from_values(width, rows.copied().collect()) {
                requests.push((handle(place), chunk));
            }
        }
        if requests.is_empty() {
            break;
        }
        let advances = world.step(&requests).map_err(|source| RunError::Draws { source })?;
        for ((trial, _), advance) in requests.iter().zip(advances) {
            let place = trial.0 as usize;
            match (advance, &mut steps[place]) {
                (Ok(advance), Ok(done)) => done.extend(advance.steps),
                (_, broken) => *broken = Err(()),
            }
        }
    }
    let places = position_channels(&model.embodiment);
    Ok(jobs.iter().zip(&steps).map(|(job, steps)| compare(job, steps, rule, &places)).collect())
}

fn compare(job: &Job, steps: &Result<Vec<Step>, ()>, rule: SuccessRule, places: &[usize]) -> Again {
    let trial = job.trial.id.clone();
    let Ok(steps) = steps else {
        return Again { trial, outcome: "void".to_owned(), distance: f32::MAX, psnr: 0.0 };
    };
    let outcome = rule.outcome(steps.iter().map(|step| step.success));
    let (mut distances, mut likenesses) = (vec![], vec![]);
    // The first draw was kept as what each action was decided on: from the second frame on.
    for (first, second) in job.first.frames.iter().skip(1).zip(steps) {
        let apart = |&place: &usize| {
            let here = first.state.get(place).zip(second.observation.proprioception.get(place));
            here.map_or(0.0, |(a, b)| (a - b) * (a - b))
        };
        distances.push(places.iter().map(apart).sum::<f32>().sqrt());
        let unit = |pixels: &[u8]| pixels.iter().map(|&v| f32::from(v) / 255.0).collect::<Vec<_>>();
        for (camera, image) in &first.images {
            if let Some(other) = second.observation.images.get(camera)
                && other.pixels().len() == image.pixels().len()
            {
                likenesses.push(psnr(&unit(image.pixels()), &unit(other.pixels())) as f32);
            }
        }
    }
    Again {
        trial,
        outcome: Outcome::as_str(&outcome).to_owned(),
        distance: quantile(distances, 0.5).unwrap_or(0.0),
        psnr: quantile(likenesses, 0.5).unwrap_or(0.0).min(99.0),
    }
}

fn path(folder: &Path) -> std::path::PathBuf {
    folder.join("draws.jsonl")
}

/// The second draws of a run directory, by trial.
pub(in super::super) fn read(folder: &Path) -> Result<BTreeMap<String, Again>, RunError> {
    let path = path(folder);
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(&path).map_err(RunError::file("read", &path))?;
    text.lines()
        .map(|line| {
            let again: Again =
                serde_json::from_str(line).map_err(|error| RunError::damaged(&path, error))?;
            Ok((again.trial.clone(), again))
        })
        .collect()
}

/// Writes the second draws of a run directory, in the order of the trials' ids.
pub(in super::super) fn write(
    folder: &Path,
    draws: &BTreeMap<String, Again>,
) -> Result<(), RunError> {
    let path = path(folder);
    let mut text = Vec::new();
    for again in draws.values() {
        serde_json::to_writer(&mut text, again).map_err(|error| RunError::damaged(&path, error))?;
        text.push(b'\n');
    }
    write_whole(&path, &text)
}

#[cfg(test)]
mod tests {
    use rehearse_scenarios::observation::Observation;
    use rehearse_scenarios::seed::Seed;
    use rehearse_scenarios::time::SimTime;

    use super::super::super::spool::WaitingFrame;
    use super::*;

    /// A first draw of two steps, in which the hand was at 0 and then at 0.1.
    fn job(beyond: usize) -> Job {
        let trial = Trial {
            id: "t".to_owned(),
            task: Arc::from("open"),
            index: 0,
            instruction: Arc::from("open"),
            observation: None,
            world_seed: Seed::root(0),
            policy_seed: Seed::root(0),
            horizon: 2,
        };
        let frame = |state: f32, action: f32| WaitingFrame {
            images: BTreeMap::new(),
            state: vec![state],
            action: vec![action],
        };
        let frames = vec![frame(0.0, 0.5), frame(0.1, -0.5)];
        let first = Waiting { instruction: "open".to_owned(), frames, belief: vec![] };
        Job { trial, first, execute: 2, beyond }
    }

    fn step(place: f32, belief: f32) -> Step {
        let observation = Observation {
            images: BTreeMap::new(),
            proprioception: vec![place],
            instruction: Arc::from("open"),
            time: SimTime::ZERO,
        };
        Step { observation, success: Some(belief) }
    }

    #[test]
    fn the_last_action_goes_on_for_the_steps_beyond() {
        let actions =
            |beyond: usize| job(beyond).actions().map(|action| action[0]).collect::<Vec<_>>();
        assert_eq!(actions(0), [0.5, -0.5]);
        assert_eq!(actions(3), [0.5, -0.5, -0.5, -0.5, -0.5]);
    }

    #[test]
    fn a_success_that_comes_in_the_steps_beyond_is_the_same_outcome() {
        let steps = [(0.13, 0.1), (0.2, 0.2), (9.0, 0.3), (9.0, 0.7)];
        let steps = |count: usize| {
            Ok(steps[..count].iter().map(|&(place, belief)| step(place, belief)).collect())
        };
        let again =
            |beyond: usize| compare(&job(beyond), &steps(2 + beyond), SuccessRule::default(), &[0]);
        assert_eq!((again(0).outcome.as_str(), again(1).outcome.as_str()), ("failure", "failure"));
        assert_eq!(again(2).outcome, "success");
        // Only the step that both draws know is compared: 0.13 against 0.1.
        for beyond in 0..3 {
            assert!((again(beyond).distance - 0.03).abs() < 1e-6, "{:?}", again(beyond));
        }
    }
}
