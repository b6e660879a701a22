//! What training draws from: episodes, their partition, and the token cache.

use std::collections::BTreeMap;

use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::seed::Seed;

use crate::config::ModelConfig;
use crate::error::{ModelError, Result};
use crate::partition::{BASE_CHUNK, Chunk, Motion, partition};
use crate::statistics::motion_channels;
use crate::tokenizer::Layout;
use crate::train::cache::TokenCache;
use crate::train::config::TrainConfig;
use crate::train::episode::LoggedEpisode;
use crate::train::logs::Logs;

/// First frames show one start up to this root mean square difference of their latents, which have
/// deviation 1. Recordings of one start agree to the bit, or nearly; where compression was heavy
/// they do not, and pass for several.
const SAME_START: f32 = 0.1;

/// The train split of a log, with a part held back for validation.
#[derive(Debug)]
pub struct Dataset {
    /// The rig.
    pub embodiment: Embodiment,
    /// Episodes that are learnt from.
    pub train: Vec<LoggedEpisode>,
    /// Episodes held back.
    pub validation: Vec<LoggedEpisode>,
    /// Latents of all their frames.
    pub cache: TokenCache,
}

/// The episodes of the train split, without pictures; those shorter than one base chunk and its
/// start are left out.
pub(crate) fn split_episodes(logs: &Logs, config: &TrainConfig) -> Result<Vec<LoggedEpisode>> {
    let name = &config.splits.train;
    let mut episodes = logs.of_split(name)?;
    episodes.retain(|episode| episode.frames > BASE_CHUNK);
    if episodes.is_empty() {
        return Err(ModelError::EmptySplit { what: "episodes of 9 frames", split: name.clone() });
    }
    Ok(episodes)
}

impl Dataset {
    /// Holds a part of the episodes back. Episodes that begin from one start stay together, or
    /// validation would ask for scenes that were learnt.
    ///
    /// # Errors
    /// As [`TokenCache::read`].
    pub(crate) fn new(
        embodiment: Embodiment,
        episodes: Vec<LoggedEpisode>,
        cache: TokenCache,
        part: f64,
        seed: Seed,
    ) -> Result<Self> {
        let held = (part * episodes.len() as f64).round() as usize;
        let mut starts = starts(&episodes, &cache)?;
        // A draw per start, so that a longer log keeps the choice for the old ones.
        starts.sort_by_key(|start| {
            seed.child("validation").index(episodes[start[0]].index as u64).to_u64()
        });
        let mut back = vec![false; episodes.len()];
        let mut count = 0;
        for start in starts {
            if count + start.len() <= held {
                count += start.len();
                for place in start {
                    back[place] = true;
                }
            }
        }
        let mut back = back.into_iter();
        let (validation, train) =
            episodes.into_iter().partition(|_| back.next().unwrap_or_default());
        Ok(Self { embodiment, train, validation, cache })
    }
}

/// Places of the episodes that begin alike, start by start.
fn starts(episodes: &[LoggedEpisode], cache: &TokenCache) -> Result<Vec<Vec<usize>>> {
    let mut starts = Vec::<(Vec<f32>, Vec<usize>)>::new();
    let mut of_task = BTreeMap::<&str, Vec<usize>>::new();
    for (place, episode) in episodes.iter().enumerate() {
        let mut first = Vec::new();
        cache.read(episode.index, 0..1, &mut first)?;
        let seen = of_task.entry(&episode.task).or_default();
        match seen.iter().find(|&&start| begin_alike(&starts[start].0, &first)) {
            Some(&start) => starts[start].1.push(place),
            None => {
                seen.push(starts.len());
                starts.push((first, vec![place]));
            }
        }
    }
    Ok(starts.into_iter().map(|(_, places)| places).collect())
}

/// Whether latents of two first frames show one start.
fn begin_alike(a: &[f32], b: &[f32]) -> bool {
    let square: f32 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    square <= SAME_START.powi(2) * a.len() as f32
}

/// The patches of every frame of an episode, one after another.
pub(crate) fn episode_patches(
    log: &RobotLog,
    layout: &Layout,
    episode: usize,
    mut each: impl FnMut(usize, Vec<f32>) -> Result<()>,
) -> Result<()> {
    let failed = |error| ModelError::Log(Box::new(error));
    let length = log.episode(episode).map_err(failed)?.length;
    let mut streams = layout
        .cameras()
        .iter()
        .map(|camera| log.frames(episode, &camera.name, 0..length).map_err(failed))
        .collect::<Result<Vec<_>>>()?;
    for frame in 0..length {
        let images = streams
            .iter_mut()
            .map(|stream| {
                stream
                    .next()
                    .ok_or_else(|| ModelError::size("a video", length, frame))?
                    .map_err(failed)
            })
            .collect::<Result<Vec<_>>>()?;
        each(frame, layout.patches_of_images(&images.iter().collect::<Vec<_>>())?)?;
    }
    Ok(())
}

/// The partition of an episode into chunks of imagined frames: chunk starts count frames after
/// the first, so a chunk that starts at 0 is imagined from frame 0.
///
/// # Errors
/// As [`partition`].
pub fn episode_chunks(
    config: &ModelConfig,
    embodiment: &Embodiment,
    middle: &[f32],
    episode: &LoggedEpisode,
) -> Result<Vec<Chunk>> {
    let (states, actions) = (embodiment.proprioception.len(), embodiment.actions.len());
    let motion = motion_channels(embodiment);
    let positions = episode
        .states
        .chunks_exact(states)
        .skip(1)
        .flat_map(|state| motion.iter().map(|&channel| state[channel]))
        .collect::<Vec<_>>();
    let grippers = embodiment.gripper_actions();
    let gripper = episode
        .actions
        .chunks_exact(actions)
        .take(episode.frames - 1)
        .map(|action| gripper_bits(&grippers, middle, action))
        .collect::<Vec<_>>();
    let dimensions = motion.len();
    partition(
        Motion { positions: &positions, dimensions, gripper: &gripper },
        config.partition.alpha,
    )
}

/// The state of the grippers that an action asks for, a bit each.
pub(crate) fn gripper_bits(grippers: &[usize], middle: &[f32], action: &[f32]) -> u64 {
    grippers.iter().enumerate().fold(0, |bits, (bit, &channel)| {
        bits | (u64::from(action[channel] > middle[channel]) << (bit % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Episodes of nine frames whose latents, two patches of two coefficients, are all `firsts`.
    fn dataset(firsts: &[f32], part: f64) -> (tempfile::TempDir, Dataset) {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = TokenCache::create(folder.path(), "tokens", "", 2, 2).unwrap();
        let episodes = firsts.iter().enumerate().map(|(index, &first)| {
            writer.add(index, &[first; 9 * 4]).unwrap();
            LoggedEpisode {
                index,
                instruction: String::new(),
                task: "reach".to_owned(),
                policy: None,
                outcome: None,
                frames: 9,
                states: Vec::new(),
                actions: Vec::new(),
                success: Vec::new(),
            }
        });
        let episodes = episodes.collect();
        let rig = rehearse_scenarios::testing::sample_rig();
        let cache = writer.finish().unwrap();
        let data = Dataset::new(rig, episodes, cache, part, Seed::root(3)).unwrap();
        (folder, data)
    }

    #[test]
    fn episodes_from_one_start_are_held_back_together() {
        // Four starts, three episodes of each, out of order; what compression leaves beside.
        let firsts = (0..12).map(|e| (e % 4) as f32 + 0.01 * (e / 4) as f32).collect::<Vec<_>>();
        let (_folder, data) = dataset(&firsts, 0.5);
        let starts = |episodes: &[LoggedEpisode]| {
            episodes.iter().map(|e| e.index % 4).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!((data.train.len(), data.validation.len()), (6, 6));
        assert!(starts(&data.train).is_disjoint(&starts(&data.validation)));
        assert!(data.train.is_sorted_by_key(|episode| episode.index));
        // A part too small for any start holds none back.
        let (_folder, data) = dataset(&firsts, 0.1);
        assert!(data.validation.is_empty());
    }
}
