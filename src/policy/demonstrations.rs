//! What a policy learns from: frames in memory, and what was done in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use ndarray::{Array2, ArrayView2, s};
use rand::Rng as _;
use rand_distr::{Distribution as _, StandardNormal};
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::log::{RobotLog, TrialRow};
use rehearse_scenarios::seed::Seed;
use rehearse_world_model::tokenizer::Layout;
use rehearse_world_model::train::LoggedEpisode;

use super::cloned::{pixels_of, whole_images};
use super::config::CloneConfig;
use super::error::{PolicyError, Result};
use super::normalisation::Normalisation;

/// Pixel values that stand for -1 and 1.
const HALF: f32 = 127.5;

/// Episodes that a recipe asks for, with their images at the recipe's size.
#[derive(Debug)]
pub struct Demonstrations {
    /// The rig.
    pub embodiment: Embodiment,
    /// Units of inputs and outputs.
    pub normalisation: Normalisation,
    /// The instructions, each once.
    pub instructions: Vec<String>,
    episodes: Vec<Episode>,
    side: usize,
    cameras: usize,
}

#[derive(Debug)]
struct Episode {
    instruction: usize,
    /// Frames × cameras × side × side × 3.
    pixels: Vec<u8>,
    states: Array2<f32>,
    /// Mapped to [-1, 1].
    actions: Array2<f32>,
}

/// One batch, in the units of the network.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub patches: Tensor,
    pub state: Tensor,
    /// Index of each sample's instruction.
    pub instruction: Tensor,
    pub actions: Tensor,
    /// 1 where the episode still ran, 0 after its end; `(batch, chunk, 1)`.
    pub counts: Tensor,
}

impl Demonstrations {
    /// Reads the episodes of a recipe. With a `cache` folder, images are decoded once for all
    /// recipes of one size; `digest` names the log there.
    ///
    /// # Errors
    /// [`PolicyError::NoEpisodes`] if there are none, and whatever a damaged log gives.
    pub fn read(
        log: &RobotLog,
        config: &CloneConfig,
        cache: Option<&Path>,
        digest: &str,
        mut each: impl FnMut(usize, usize),
    ) -> Result<Self> {
        let chosen = choose(log, config)?;
        let embodiment = log.embodiment().clone();
        let layout = whole_images(config, &embodiment)?;
        let folder = cache.map(|cache| cache.join(format!("{}-{}", &digest[..16], config.image)));
        if let Some(folder) = &folder {
            fs::create_dir_all(folder).map_err(PolicyError::io("make the cache", folder))?;
        }
        let mut instructions: Vec<String> = vec![];
        let mut episodes = vec![];
        for (done, &index) in chosen.iter().enumerate() {
            let LoggedEpisode { instruction, frames, states, actions, .. } =
                LoggedEpisode::read(log, index)?;
            let known = instructions.iter().position(|known| *known == instruction);
            let instruction = known.unwrap_or_else(|| {
                instructions.push(instruction);
                instructions.len() - 1
            });
            let pixels = match &folder {
                Some(folder) => cached(&folder.join(format!("{index:06}.rgb")), || {
                    decode(log, &layout, index, frames)
                })?,
                None => decode(log, &layout, index, frames)?,
            };
            let table = |values: Vec<f32>, columns: usize| {
                Array2::from_shape_vec((frames, columns), values).map_err(candle_core::Error::wrap)
            };
            let states = table(states, embodiment.proprioception.len())?;
            let actions = table(actions, embodiment.actions.len())?;
            episodes.push(Episode { instruction, pixels, states, actions });
            each(done + 1, chosen.len());
        }
        let normalisation = measure(&episodes, &embodiment)?;
        for episode in &mut episodes {
            for ((_, channel), value) in episode.actions.indexed_iter_mut() {
                *value = normalisation.action(channel, *value);
            }
        }
        let (side, cameras) = (config.image, embodiment.cameras.len());
        Ok(Self { embodiment, normalisation, instructions, episodes, side, cameras })
    }

    /// Number of episodes.
    pub fn episodes(&self) -> usize {
        self.episodes.len()
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.episodes.iter().map(|episode| episode.states.nrows()).sum()
    }

    /// A batch drawn from `seed`: frames drawn evenly, images shifted, proprioception blurred.
    pub(super) fn draw(&self, config: &CloneConfig, seed: Seed) -> Result<Batch> {
        let mut rng = seed.rng();
        let frames = self.frames();
        let (mut patches, mut state, mut instruction) = (vec![], vec![], vec![]);
        let (mut actions, mut counts): (Vec<f32>, Vec<f32>) = (vec![], vec![]);
        for _ in 0..config.batch {
            let (episode, frame) = self.at(rng.random_range(0..frames));
            let most = config.shift as i32;
            let shift = [rng.random_range(-most..=most), rng.random_range(-most..=most)];
            patches.extend(self.patches(config, episode, frame, shift));
            let seen = episode.states.row(frame).to_vec();
            for value in self.normalisation.state(&seen) {
                let blur: f64 = StandardNormal.sample(&mut rng);
                state.push(value + (config.state_noise * blur) as f32);
            }
            instruction.push(episode.instruction as u32);
            let last = episode.actions.nrows() - 1;
            for step in frame..frame + config.chunk {
                actions.extend(episode.actions.row(step.min(last)));
                counts.push(f32::from(u8::from(step <= last)));
            }
        }
        let (batch, side) = (config.batch, self.side / config.patch);
        let device = &Device::Cpu;
        let tokens = self.cameras * side * side;
        let values = config.patch * config.patch * 3;
        let states = self.embodiment.proprioception.len();
        let channels = self.embodiment.actions.len();
        Ok(Batch {
            patches: Tensor::from_vec(patches, (batch, tokens, values), device)?,
            state: Tensor::from_vec(state, (batch, states), device)?,
            instruction: Tensor::from_vec(instruction, batch, device)?,
            actions: Tensor::from_vec(actions, (batch, config.chunk, channels), device)?,
            counts: Tensor::from_vec(counts, (batch, config.chunk, 1), device)?,
        })
    }

    fn at(&self, mut frame: usize) -> (&Episode, usize) {
        for episode in &self.episodes {
            let frames = episode.states.nrows();
            if frame < frames {
                return (episode, frame);
            }
            frame -= frames;
        }
        // Not reached: frames are counted over the same episodes.
        (&self.episodes[0], 0)
    }

    fn patches(
        &self,
        config: &CloneConfig,
        episode: &Episode,
        frame: usize,
        shift: [i32; 2],
    ) -> Vec<f32> {
        let values = self.cameras * self.side * self.side * 3;
        patches_of(&episode.pixels[frame * values..(frame + 1) * values], config, shift)
    }
}

/// The patches of one frame, view by view, row by row, column by column, pixels in [-1, 1]. What a
/// shift brings into view repeats the border.
pub(super) fn patches_of(pixels: &[u8], config: &CloneConfig, shift: [i32; 2]) -> Vec<f32> {
    let (side, patch) = (config.image, config.patch);
    if config.blind {
        return vec![0.0; pixels.len()];
    }
    let within = |at: usize, by: i32| at.saturating_add_signed(by as isize).min(side - 1);
    let mut patches = Vec::with_capacity(pixels.len());
    for view in pixels.chunks_exact(side * side * 3) {
        for top in (0..side).step_by(patch) {
            for left in (0..side).step_by(patch) {
                for row in top..top + patch {
                    let row = within(row, shift[0]) * side;
                    for column in left..left + patch {
                        let at = (row + within(column, shift[1])) * 3;
                        let rgb = &view[at..at + 3];
                        patches.extend(rgb.iter().map(|&value| f32::from(value) / HALF - 1.0));
                    }
                }
            }
        }
    }
    patches
}

/// Indices of the episodes that a recipe asks for.
fn choose(log: &RobotLog, config: &CloneConfig) -> Result<Vec<usize>> {
    let data = &config.data;
    let mut by_task: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for episode in log.episodes() {
        let result = episode.result.as_ref();
        let task = result.map(|row| row.task.as_str()).filter(|task| !task.is_empty());
        let task = task.unwrap_or(episode.instruction());
        let listed = |list: &[String], word: Option<&str>| {
            list.is_empty() || word.is_some_and(|word| list.iter().any(|listed| listed == word))
        };
        if episode.split.as_ref() == Some(&data.split)
            && episode.length > 0
            && listed(&data.tasks, Some(task))
            && listed(&data.behaviours, result.map(|row| row.policy.as_str()))
            && (!data.successes || result.is_some_and(TrialRow::is_success))
        {
            by_task.entry(task).or_default().push(episode.index);
        }
    }
    let seed = Seed::root(config.seed).child("episodes");
    let mut chosen = vec![];
    for episodes in by_task.values_mut() {
        episodes.sort_by_key(|&episode| seed.index(episode as u64).to_u64());
        episodes.truncate(data.episodes.unwrap_or(usize::MAX));
        chosen.extend_from_slice(episodes);
    }
    chosen.sort_unstable();
    if chosen.is_empty() {
        let list = |what: &str, list: &[String]| match list {
            [] => format!("any {what}"),
            words => format!("{what} {}", words.join(", ")),
        };
        let successes = if data.successes { ", successes only" } else { "" };
        return Err(PolicyError::NoEpisodes {
            split: data.split.clone(),
            wanted: format!(
                "{} and {}{successes}",
                list("task", &data.tasks),
                list("behaviour", &data.behaviours)
            ),
        });
    }
    Ok(chosen)
}

fn measure(episodes: &[Episode], rig: &Embodiment) -> Result<Normalisation> {
    let stack = |views: Vec<ArrayView2<'_, f32>>| {
        ndarray::concatenate(ndarray::Axis(0), &views).map_err(candle_core::Error::wrap)
    };
    let states = stack(episodes.iter().map(|episode| episode.states.slice(s![.., ..])).collect())?;
    let actions = stack(episodes.iter().map(|episode| episode.actions.view()).collect())?;
    Ok(Normalisation::of(states.view(), actions.view(), &rig.actions))
}

fn decode(log: &RobotLog, layout: &Layout, episode: usize, frames: usize) -> Result<Vec<u8>> {
    let mut streams = layout
        .cameras()
        .iter()
        .map(|camera| log.frames(episode, &camera.name, 0..frames))
        .collect::<Result<Vec<_>, _>>()?;
    let mut pixels = vec![];
    for _ in 0..frames {
        let images =
            streams.iter_mut().filter_map(Iterator::next).collect::<Result<Vec<_>, _>>()?;
        pixels.extend(pixels_of(layout, &images.iter().collect::<Vec<_>>())?);
    }
    Ok(pixels)
}

/// The bytes at `path`, made and kept there if they are not there in full.
fn cached(path: &PathBuf, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    if let Ok(bytes) = fs::read(path) {
        return Ok(bytes);
    }
    let bytes = make()?;
    // Moved into place whole, so that a reader never finds a part.
    let part = path.with_extension(format!("part{}", std::process::id()));
    fs::write(&part, &bytes)
        .and_then(|()| fs::rename(&part, path))
        .map_err(PolicyError::io("write the cache", path))?;
    Ok(bytes)
}
