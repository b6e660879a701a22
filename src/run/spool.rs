//! Episodes that wait for the dataset: one file each, until the run ends.
//!
//! A dataset on disk is whole or not there, so the episodes of a run that may be killed are kept
//! here first. A file is a line of JSON, then the JPEG images that it gives the lengths of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use jpeg_encoder::{ColorType, Encoder};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::observation::{Image, Observation};
use serde::{Deserialize, Serialize};

use super::RunError;

/// JPEG quality of waiting images, out of 100: the dataset's own compression hides it.
const QUALITY: u8 = 95;

/// Bytes of pixels from which compressing them is shared among cores.
const WORTH_SHARING: usize = 1 << 20;

/// One episode on its way into the dataset: a frame for each executed action.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) instruction: String,
    pub(super) frames: Vec<WaitingFrame>,
    /// The belief after each action that the task is done, where there is one.
    pub(super) belief: Vec<Option<f32>>,
}

/// What was seen, and what was done then.
#[derive(Clone, Debug)]
pub(super) struct WaitingFrame {
    pub(super) images: BTreeMap<String, Image>,
    pub(super) state: Vec<f32>,
    pub(super) action: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    instruction: String,
    belief: Vec<Option<f32>>,
    frames: Vec<HeaderFrame>,
}

#[derive(Serialize, Deserialize)]
struct HeaderFrame {
    state: Vec<f32>,
    action: Vec<f32>,
    /// Camera and bytes of its JPEG, in the order in which they follow.
    images: Vec<(String, usize)>,
}

/// The folder that episodes wait in.
#[derive(Clone, Debug)]
pub(super) struct Spool(PathBuf);

impl Spool {
    pub(super) fn open(folder: PathBuf) -> Result<Self, RunError> {
        std::fs::create_dir_all(&folder).map_err(RunError::file("create", &folder))?;
        Ok(Self(folder))
    }

    /// Takes the episode of a trial from another folder, if it has one there.
    pub(super) fn copy(&self, trial: &str, from: &Self) -> Result<(), RunError> {
        let (source, target) = (from.path(trial), self.path(trial));
        match std::fs::copy(&source, &target) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(RunError::file("copy", &source)(error))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    pub(super) fn path(&self, trial: &str) -> PathBuf {
        self.0.join(format!("{}.episode", blake3::hash(trial.as_bytes()).to_hex()))
    }

    /// Keeps an episode. An episode without any action has nothing to keep.
    pub(super) fn put(&self, trial: &str, episode: &Episode) -> Result<(), RunError> {
        let path = self.path(trial);
        let mut images = vec![];
        let mut frames = vec![];
        let seen = &episode.observations[..episode.observations.len().min(episode.actions.len())];
        let jpegs = |observation: &Observation| observation.images.values().map(compress).collect();
        let pixels: usize = seen
            .iter()
            .flat_map(|observation| observation.images.values())
            .map(|image| image.pixels().len())
            .sum();
        // The world waits meanwhile, so all cores help, where there is enough to do.
        let compressed: Result<Vec<Vec<Vec<u8>>>, String> = if pixels < WORTH_SHARING {
            seen.iter().map(jpegs).collect()
        } else {
            seen.par_iter().map(jpegs).collect()
        };
        let compressed = compressed.map_err(|message| RunError::damaged(&path, message))?;
        for ((observation, action), jpegs) in seen.iter().zip(&episode.actions).zip(compressed) {
            let mut lengths = vec![];
            for (camera, jpeg) in observation.images.keys().zip(jpegs) {
                lengths.push((camera.clone(), jpeg.len()));
                images.extend(jpeg);
            }
            frames.push(HeaderFrame {
                state: observation.proprioception.clone(),
                action: action.clone(),
                images: lengths,
            });
        }
        if frames.is_empty() {
            return Ok(());
        }
        let belief = episode.success.clone();
        let header = Header { instruction: episode.instruction.clone(), belief, frames };
        let mut bytes =
            serde_json::to_vec(&header).map_err(|error| RunError::damaged(&path, error))?;
        bytes.push(b'\n');
        bytes.extend(images);
        let partial = path.with_extension("partial");
        std::fs::write(&partial, bytes).map_err(RunError::file("write", &partial))?;
        std::fs::rename(&partial, &path).map_err(RunError::file("write", &path))
    }

    /// The episode of a trial, if it has one.
    pub(super) fn get(&self, trial: &str) -> Result<Option<Waiting>, RunError> {
        let path = self.path(trial);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(RunError::file("read", &path)(error)),
        };
        parse(&bytes, &path).map(Some)
    }

    /// Removes the folder with all that waits in it.
    pub(super) fn remove(self) -> Result<(), RunError> {
        std::fs::remove_dir_all(&self.0).map_err(RunError::file("remove", &self.0))
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<Waiting, RunError> {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (line, mut images) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let Header { instruction, belief, frames } =
        serde_json::from_slice(line).map_err(|error| RunError::damaged(path, error))?;
    let frames = frames
        .into_iter()
        .map(|HeaderFrame { state, action, images: lengths }| {
            let images = lengths
                .into_iter()
                .map(|(camera, length)| {
                    let (jpeg, rest) = images
                        .split_at_checked(length)
                        .ok_or_else(|| RunError::damaged(path, "it ends within an image"))?;
                    images = rest;
                    let image = expand(jpeg).map_err(|message| RunError::damaged(path, message))?;
                    Ok((camera, image))
                })
                .collect::<Result<_, RunError>>()?;
            Ok(WaitingFrame { images, state, action })
        })
        .collect::<Result<_, RunError>>()?;
    Ok(Waiting { instruction, frames, belief })
}

fn compress(image: &Image) -> Result<Vec<u8>, String> {
    let side = |pixels: u32| u16::try_from(pixels).map_err(|error| error.to_string());
    let (width, height) = (side(image.width())?, side(image.height())?);
    let mut bytes = vec![];
    Encoder::new(&mut bytes, QUALITY)
        .encode(image.pixels(), width, height, ColorType::Rgb)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn expand(jpeg: &[u8]) -> Result<Image, String> {
    let image = image::load_from_memory_with_format(jpeg, ImageFormat::Jpeg)
        .map_err(|error| error.to_string())?
        .into_rgb8();
    let (width, height) = image.dimensions();
    Image::from_rgb(height, width, image.into_raw()).map_err(|error| error.to_string())
}
