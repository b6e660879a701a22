//! Whether imagination obeys actions: episodes that begin alike and go on otherwise.
//!
//! A model that plays back what usually happens imagines the same whatever is done. Episodes from
//! one start under several courses of action show it: does each imagined one resemble its own
//! recording most, and do imagined ones differ from each other as the recordings do?

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::metrics::psnr;
use crate::model::WorldModel;
use crate::replay::{Replay, Truth};
use crate::statistics::position_channels;

/// First frames are the same scene from this PSNR on, in dB: what compression leaves, and less
/// than objects that stand elsewhere.
const ALIKE: f64 = 35.0;

/// How far imagination tells courses of action from each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counterfactual {
    /// Starts that several episodes share.
    pub starts: usize,
    /// Episodes from these starts.
    pub episodes: usize,
    /// Part of these whose imagined frames are nearest to their own recording, among the
    /// recordings from their start.
    pub told: f64,
    /// What guessing would come to.
    pub chance: f64,
    /// How wrong the imagined differences between two episodes' pictures are: their squared error
    /// over the squared difference. 0 is right, 1 no better than saying that nothing differs.
    pub picture_error: f64,
    /// The same of the hand's position.
    pub hand_error: f64,
}

/// One episode as points, recorded and imagined: each `frames × values`.
struct Course {
    picture: [Vec<f32>; 2],
    hand: [Vec<f32>; 2],
}

/// Compares the episodes that share a start; nothing where none do.
///
/// # Errors
/// A tensor error.
pub(crate) fn counterfactual(
    model: &WorldModel,
    truths: &[Truth],
    replays: &[Replay],
) -> Result<Option<Counterfactual>> {
    let groups = groups(truths);
    let (mut episodes, mut told) = (0, 0);
    let (mut picture, mut hand) = ([0.0; 2], [0.0; 2]);
    for group in &groups {
        let frames = group.iter().map(|&index| truths[index].episode.frames - 1).min().unwrap_or(0);
        let courses = group
            .iter()
            .map(|&index| Course::new(model, &truths[index], &replays[index], frames))
            .collect::<Result<Vec<_>>>()?;
        for (place, course) in courses.iter().enumerate() {
            let apart = |other: &Course| square(&course.picture[1], &other.picture[0]);
            let own = apart(course);
            let nearest =
                courses.iter().enumerate().all(|(at, other)| at == place || apart(other) > own);
            told += usize::from(nearest);
            for other in &courses[place + 1..] {
                add_difference(&mut picture, [&course.picture, &other.picture]);
                add_difference(&mut hand, [&course.hand, &other.hand]);
            }
        }
        episodes += courses.len();
    }
    let share = |[error, whole]: [f64; 2]| if whole > 0.0 { error / whole } else { 0.0 };
    Ok((episodes > 0).then(|| Counterfactual {
        starts: groups.len(),
        episodes,
        told: told as f64 / episodes as f64,
        chance: groups.len() as f64 / episodes as f64,
        picture_error: share(picture),
        hand_error: share(hand),
    }))
}

/// Episodes of one task that begin alike, two at least.
fn groups(truths: &[Truth]) -> Vec<Vec<usize>> {
    let mut groups = Vec::<Vec<usize>>::new();
    for (index, truth) in truths.iter().enumerate() {
        let alike = |group: &&mut Vec<usize>| begin_alike(&truths[group[0]], truth);
        match groups.iter_mut().find(alike) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

fn begin_alike(a: &Truth, b: &Truth) -> bool {
    let unit = |truth: &Truth| {
        truth.patches[0].iter().map(|&value| f32::from(value) / 255.0).collect::<Vec<_>>()
    };
    a.episode.task == b.episode.task
        && a.state(0) == b.state(0)
        && psnr(&unit(a), &unit(b)) >= ALIKE
}

impl Course {
    fn new(model: &WorldModel, truth: &Truth, replay: &Replay, frames: usize) -> Result<Self> {
        // In the scale of the picture.
        let picture = |latents: &candle_core::Tensor, from: usize| -> Result<Vec<f32>> {
            let some = latents.narrow(0, from, frames)?;
            Ok(some.broadcast_mul(model.tokenizer.scale())?.flatten_all()?.to_vec1()?)
        };
        let channels = model.embodiment.proprioception.len();
        let places = position_channels(&model.embodiment);
        let hand = |states: &[f32]| {
            let steps = states.chunks_exact(channels).take(frames);
            steps.flat_map(|state| places.iter().map(|&place| state[place])).collect::<Vec<_>>()
        };
        Ok(Self {
            picture: [picture(&truth.latents, 1)?, picture(&replay.latents, 0)?],
            hand: [hand(&truth.episode.states[channels..]), hand(&replay.states)],
        })
    }
}

fn square(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

/// Adds the squared error of the imagined difference of two courses, and their squared difference.
fn add_difference([error, whole]: &mut [f64; 2], [a, b]: [&[Vec<f32>; 2]; 2]) {
    let [recorded, imagined] =
        [0, 1].map(|which| a[which].iter().zip(&b[which]).map(|(a, b)| a - b).collect::<Vec<_>>());
    *error += square(&recorded, &imagined);
    *whole += recorded.iter().map(|d| f64::from(*d).powi(2)).sum::<f64>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_that_are_half_as_large_are_a_quarter_wrong() {
        let mut sums = [0.0; 2];
        let a = [vec![1.0, 0.0], vec![0.5, 0.0]];
        let b = [vec![0.0, 0.0], vec![0.0, 0.0]];
        add_difference(&mut sums, [&a, &b]);
        assert_eq!(sums, [0.25, 1.0]);
    }
}
