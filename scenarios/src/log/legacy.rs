//! The metadata of v2.1: JSON lines, and one table and one video per camera for each episode.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::episodes::{EpisodeMeta, Location, MAX_EPISODES, MAX_FRAMES, VideoSpan, fill};
use super::error::{LogError, Place};
use super::feature::Dtype;
use super::files::read_text;
use super::info::Info;
use super::layout::PathValues;
use super::tasks::in_order;

/// Name of the tasks' file within the dataset.
pub(super) const TASKS_LINES: &str = "meta/tasks.jsonl";
/// Name of the episodes' file within the dataset.
pub(super) const EPISODES_LINES: &str = "meta/episodes.jsonl";
/// Name of the file of the episodes' statistics within the dataset.
pub(super) const STATS_LINES: &str = "meta/episodes_stats.jsonl";

/// A line of `meta/tasks.jsonl`.
#[derive(Serialize, Deserialize)]
pub(super) struct TaskLine {
    pub(super) task_index: i64,
    pub(super) task: String,
}

/// A line of `meta/episodes.jsonl`.
#[derive(Serialize, Deserialize)]
pub(super) struct EpisodeLine {
    pub(super) episode_index: u64,
    pub(super) tasks: Vec<String>,
    pub(super) length: u64,
}

/// Reads `meta/tasks.jsonl`.
pub(super) fn read_tasks(folder: &Path) -> Result<Vec<String>, LogError> {
    let path = folder.join(TASKS_LINES);
    let lines: Vec<TaskLine> = read_lines(&path)?;
    let tasks: BTreeMap<_, _> =
        lines.into_iter().map(|line| (line.task_index, line.task)).collect();
    in_order(tasks, &Place::file(&path).field("task_index"))
}

/// Reads `meta/episodes.jsonl`, in order. Faulty episodes go to `problems`.
pub(super) fn read_episodes(
    folder: &Path,
    info: &Info,
    problems: &mut Vec<LogError>,
) -> Result<Vec<EpisodeMeta>, LogError> {
    let path = folder.join(EPISODES_LINES);
    let mut lines: Vec<EpisodeLine> = read_lines(&path)?;
    lines.sort_by_key(|line| line.episode_index);
    let mut episodes = Vec::new();
    for (expected, line) in (0..).zip(lines) {
        let EpisodeLine { episode_index, tasks, length } = line;
        let index = episode_index as usize;
        let place = Place::file(&path).episode(index);
        if episode_index != expected {
            problems.push(place.field("episode_index").mismatch("index", expected, episode_index));
            break;
        }
        if length == 0 {
            problems.push(place.field("length").invalid("the episode has no frames"));
            continue;
        }
        if length > MAX_FRAMES as u64 || index > MAX_EPISODES {
            problems.push(place.field("length").too_large("an episode", MAX_FRAMES as u64, length));
            continue;
        }
        let Some(location) = locate(folder, info, episode_index, length, problems) else {
            continue;
        };
        let length = length as usize;
        episodes.push(EpisodeMeta { index, tasks, length, split: None, result: None, location });
    }
    Ok(episodes)
}

/// Where an episode of a v2.1 dataset is.
pub(super) fn locate(
    folder: &Path,
    info: &Info,
    episode: u64,
    length: u64,
    problems: &mut Vec<LogError>,
) -> Option<Location> {
    let chunk = episode / info.chunks_size.max(1);
    let values = PathValues { chunk, file: 0, episode, video_key: "" };
    let data = fill(&info.data_path, values, folder, "data_path", problems)?;
    let mut videos = Vec::new();
    for feature in info.features.iter().filter(|feature| feature.dtype == Dtype::Video) {
        let values = PathValues { video_key: &feature.name, ..values };
        let file = fill(info.video_path.as_ref()?, values, folder, "video_path", problems)?;
        videos.push(VideoSpan { file, from_secs: 0.0, to_secs: None });
    }
    Some(Location { data, rows: 0..length, videos })
}

fn read_lines<T: DeserializeOwned>(path: &PathBuf) -> Result<Vec<T>, LogError> {
    let text = read_text(path)?;
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|source| {
                let place = Box::new(Place::file(path).field(format!("line {number}")));
                LogError::Json { place, source }
            })
        })
        .collect()
}
