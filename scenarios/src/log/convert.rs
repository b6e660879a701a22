//! Rewrites a dataset: another version, size of images, codec, or a part of the episodes.

use std::collections::BTreeMap;
use std::path::Path;

use image::imageops::FilterType;
use image::{ImageBuffer, Rgb};
use rayon::prelude::*;

use super::episodes::EpisodeMeta;
use super::error::{LogError, Place};
use super::feature::Feature;
use super::info::{ACTION, STANDARD_COLUMNS, STATE};
use super::robot_log::RobotLog;
use super::table::EpisodeTable;
use super::writer::{EpisodeEnd, Frame, LogSettings, LogWriter, LogWritten};
use crate::embodiment::{Camera, Embodiment};
use crate::observation::Image;

/// What to change on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConvertOptions {
    /// How to write.
    pub settings: LogSettings,
    /// Height and width of all images, in pixels; as they are, if absent. Aspect ratios are not
    /// kept.
    pub resize: Option<(u32, u32)>,
    /// Keep the episodes of this split only.
    pub split: Option<String>,
    /// Keep the episodes of this task only: by its name in `meta/trials.csv`, or by an instruction.
    pub task: Option<String>,
    /// Keep the episodes of these indices only; all, if empty.
    pub episodes: Vec<usize>,
}

/// Frames that are held while a video is rewritten.
const FRAMES_AT_ONCE: usize = 64;

/// Rewrites the dataset in `input` as a new one in `output`.
///
/// States, actions, tasks, results and every further column of numbers come through unchanged;
/// images are decoded and encoded again. Features that are neither numbers, bools nor cameras
/// (such as `string`) are left out. `each` hears after every episode how many frames are done, of
/// how many.
///
/// # Errors
/// [`LogError`] if the input is at fault, no episode is kept, or the output cannot be written.
pub fn convert(
    input: &Path,
    output: &Path,
    options: &ConvertOptions,
    each: &mut dyn FnMut(usize, usize),
) -> Result<LogWritten, LogError> {
    let log = RobotLog::open(input)?;
    let kept: Vec<&EpisodeMeta> =
        log.episodes().iter().filter(|episode| options.keeps(episode)).collect();
    if kept.is_empty() {
        let ConvertOptions { split, task, .. } = options;
        return Err(Place::file(input).invalid(format!(
            "no episode that is asked for is of split {:?} and task {:?}",
            split.as_deref().unwrap_or("any"),
            task.as_deref().unwrap_or("any"),
        )));
    }
    let rig = options.resized(log.embodiment());
    let further: Vec<Feature> = further_features(&log);
    let mut writer = LogWriter::create(output, &rig, &further, options.settings.clone())?;
    let frames = kept.iter().map(|episode| episode.length).sum();
    let mut done = 0;
    for episode in kept {
        copy_episode(&log, episode, &rig, &mut writer)?;
        done += episode.length;
        each(done, frames);
    }
    writer.finish()
}

impl ConvertOptions {
    fn keeps(&self, episode: &EpisodeMeta) -> bool {
        let Self { settings: _, resize: _, split, task, episodes } = self;
        let of_index = episodes.is_empty() || episodes.contains(&episode.index);
        let of_split = split.is_none() || episode.split == *split;
        let of_task = task.as_ref().is_none_or(|task| {
            episode.tasks.contains(task)
                || episode.result.as_ref().is_some_and(|result| result.task == *task)
        });
        of_index && of_split && of_task
    }

    fn resized(&self, rig: &Embodiment) -> Embodiment {
        let mut rig = rig.clone();
        if let Some((height, width)) = self.resize {
            for camera in &mut rig.cameras {
                (camera.height, camera.width) = (height, width);
            }
        }
        rig
    }
}

/// The columns beside state, action, and those that every dataset has.
fn further_features(log: &RobotLog) -> Vec<Feature> {
    let own = |name: &str| name == STATE || name == ACTION || STANDARD_COLUMNS.contains(&name);
    log.info()
        .features
        .iter()
        .filter(|feature| feature.dtype.is_numeric() && !own(&feature.name))
        .cloned()
        .collect()
}

fn copy_episode(
    log: &RobotLog,
    episode: &EpisodeMeta,
    rig: &Embodiment,
    writer: &mut LogWriter,
) -> Result<(), LogError> {
    let table = log.table(episode.index)?;
    let EpisodeTable { state, action, task_index, .. } = &table;
    let instruction = |frame: usize| {
        let task = task_index.get(frame).and_then(|&task| log.tasks().get(task));
        task.map_or(episode.instruction(), String::as_str)
    };
    writer.begin_episode(instruction(0))?;
    let mut streams = rig
        .cameras
        .iter()
        .map(|camera| Ok((camera, log.frames(episode.index, &camera.name, 0..episode.length)?)))
        .collect::<Result<Vec<_>, LogError>>()?;
    for start in (0..episode.length).step_by(FRAMES_AT_ONCE) {
        let frames = start..episode.length.min(start + FRAMES_AT_ONCE);
        // By camera; each is resized on all cores.
        let mut images = Vec::new();
        for (camera, stream) in &mut streams {
            let decoded = stream.by_ref().take(frames.len()).collect::<Result<Vec<_>, _>>()?;
            let resized: Vec<Image> =
                decoded.into_par_iter().map(|image| resize(&image, camera)).collect();
            images.push((camera.name.as_str(), resized.into_iter()));
        }
        for frame in frames {
            let images: BTreeMap<String, Image> = images
                .iter_mut()
                .filter_map(|(camera, images)| Some(((*camera).to_owned(), images.next()?)))
                .collect();
            writer.set_instruction(instruction(frame))?;
            writer.push(&Frame {
                images: &images,
                state: &state.row(frame).to_vec(),
                action: &action.row(frame).to_vec(),
            })?;
        }
    }
    let EpisodeTable { success, reward, columns, .. } = table;
    writer.end_episode(EpisodeEnd { success, reward, columns, result: episode.result.clone() })
}

fn resize(image: &Image, camera: &Camera) -> Image {
    let (height, width) = (camera.height, camera.width);
    if (image.height(), image.width()) == (height, width) {
        return image.clone();
    }
    // Both conversions hold by the type of `Image`; were one to fail, the writer would refuse the
    // image for its size.
    let Some(picture) =
        ImageBuffer::<Rgb<u8>, _>::from_raw(image.width(), image.height(), image.pixels().to_vec())
    else {
        return image.clone();
    };
    let resized = image::imageops::resize(&picture, width, height, FilterType::Triangle);
    Image::from_rgb(height, width, resized.into_raw()).unwrap_or_else(|_size| image.clone())
}
