//! What training draws from: episodes, their partition, and the token cache.

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

/// The episodes of the train split, without pictures.
pub(crate) struct Split {
    pub train: Vec<LoggedEpisode>,
    pub validation: Vec<LoggedEpisode>,
}

impl Split {
    /// Reads the split's tables; episodes shorter than one base chunk and its start are left out.
    pub fn read(logs: &Logs, config: &TrainConfig, seed: Seed) -> Result<Self> {
        let name = &config.splits.train;
        let mut episodes = logs.of_split(name)?;
        episodes.retain(|episode| episode.frames > BASE_CHUNK);
        if episodes.is_empty() {
            return Err(ModelError::EmptySplit {
                what: "episodes of 9 frames",
                split: name.clone(),
            });
        }
        // Held back by a draw per episode, so that a longer log keeps the choice for the old ones.
        let held = (config.splits.validation * episodes.len() as f64).round() as usize;
        let draw =
            |episode: &LoggedEpisode| seed.child("validation").index(episode.index as u64).to_u64();
        episodes.sort_by_key(draw);
        let mut train = episodes.split_off(held);
        let mut validation = episodes;
        train.sort_by_key(|episode| episode.index);
        validation.sort_by_key(|episode| episode.index);
        Ok(Self { train, validation })
    }

    pub fn episodes(&self) -> impl Iterator<Item = &LoggedEpisode> {
        self.train.iter().chain(&self.validation)
    }
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
