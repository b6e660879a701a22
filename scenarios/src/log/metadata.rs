//! The dataset-wide metadata of a dataset that is being written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, LargeStringArray};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use super::arrays::batch;
use super::error::{LogError, Place};
use super::feature::{Dtype, Feature};
use super::files::write_whole;
use super::info::{INFO_FILE, Version};
use super::legacy::{TASKS_LINES, TaskLine};
use super::rig::EMBODIMENT_FILE;
use super::stats::Stats;
use super::table_track::TableWriter;
use super::tasks::{TASK_INDEX, TASKS_FILE};
use super::trials::{TRIALS_FILE, TrialRow, write_trials};
use super::writer::LogSettings;
use crate::embodiment::Embodiment;

/// Name of the dataset's statistics in v3.0, within the dataset.
const STATS_FILE: &str = "meta/stats.json";

/// Where a version keeps tables, and where videos.
pub(super) const fn templates(version: Version) -> (&'static str, &'static str) {
    match version {
        Version::V30 => (
            "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        ),
        Version::V21 => (
            "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        ),
    }
}

/// What `info.json` states of a dataset that was written.
pub(super) struct Totals<'a> {
    pub(super) settings: &'a LogSettings,
    pub(super) embodiment: &'a Embodiment,
    pub(super) features: &'a [Feature],
    pub(super) episodes: usize,
    pub(super) frames: u64,
    pub(super) tasks: usize,
}

/// Writes `meta/info.json`.
pub(super) fn write_info(root: &Path, totals: &Totals<'_>) -> Result<(), LogError> {
    let path = root.join(INFO_FILE);
    let text = serde_json::to_string_pretty(&InfoFile(totals))
        .map_err(|source| LogError::Json { place: Box::new(Place::file(&path)), source })?;
    write_whole(&path, text.as_bytes())
}

struct InfoFile<'a>(&'a Totals<'a>);

impl Serialize for InfoFile<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Totals { settings, embodiment, features, episodes, frames, tasks } = *self.0;
        let (data_path, video_path) = templates(settings.version);
        let videos = features.iter().filter(|feature| feature.dtype == Dtype::Video).count();
        let rate = embodiment.rate.as_hz();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("codebase_version", settings.version.as_str())?;
        map.serialize_entry("robot_type", &embodiment.robot)?;
        map.serialize_entry("total_episodes", &episodes)?;
        map.serialize_entry("total_frames", &frames)?;
        map.serialize_entry("total_tasks", &tasks)?;
        if settings.version == Version::V21 {
            let chunks = (episodes as u64).div_ceil(settings.files_per_chunk);
            map.serialize_entry("total_videos", &(episodes * videos))?;
            map.serialize_entry("total_chunks", &chunks)?;
        }
        map.serialize_entry("chunks_size", &settings.files_per_chunk)?;
        if settings.version == Version::V30 {
            map.serialize_entry("data_files_size_in_mb", &settings.data_file_mb)?;
            map.serialize_entry("video_files_size_in_mb", &settings.video_file_mb)?;
        }
        map.serialize_entry("fps", &number(rate))?;
        map.serialize_entry("splits", &json!({"train": format!("0:{episodes}")}))?;
        map.serialize_entry("data_path", data_path)?;
        map.serialize_entry("video_path", &(videos > 0).then_some(video_path))?;
        map.serialize_entry("features", &FeatureFile { features, settings, rate })?;
        map.end()
    }
}

struct FeatureFile<'a> {
    features: &'a [Feature],
    settings: &'a LogSettings,
    rate: f64,
}

impl Serialize for FeatureFile<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { features, settings, rate } = *self;
        let mut map = serializer.serialize_map(Some(features.len()))?;
        for feature in features {
            let Feature { name, dtype, shape, names, codec: _ } = feature;
            let names = (!names.is_empty()).then_some(names);
            let mut value = json!({"dtype": dtype.as_str(), "shape": shape, "names": names});
            if let ([height, width, channels], true) = (shape.as_slice(), feature.is_camera()) {
                value["info"] = json!({
                    "video.height": height,
                    "video.width": width,
                    "video.codec": settings.codec.name(),
                    "video.pix_fmt": "yuv420p",
                    "video.is_depth_map": false,
                    "video.fps": number(rate),
                    "video.channels": channels,
                    "has_audio": false,
                });
            }
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

/// A rate as LeRobot writes it: whole where it is whole.
fn number(rate: f64) -> Value {
    if rate.fract() == 0.0 { json!(rate as u64) } else { json!(rate) }
}

/// Writes the tasks, in the order of their index.
pub(super) fn write_tasks(root: &Path, version: Version, tasks: &[String]) -> Result<(), LogError> {
    match version {
        Version::V21 => {
            let mut lines = String::new();
            for (task_index, task) in (0..).zip(tasks) {
                lines.push_str(&json!(TaskLine { task_index, task: task.clone() }).to_string());
                lines.push('\n');
            }
            write_whole(&root.join(TASKS_LINES), lines.as_bytes())
        }
        Version::V30 => {
            let path = root.join(TASKS_FILE);
            let indices: ArrayRef = Arc::new(Int64Array::from_iter_values(0..tasks.len() as i64));
            let texts: ArrayRef = Arc::new(LargeStringArray::from_iter_values(tasks));
            let rows = batch(vec![(TASK_INDEX.into(), indices), (TASK_TEXT.into(), texts)])
                .map_err(|error| Place::file(&path).table(error))?;
            let mut writer =
                TableWriter::create(&path, &rows, &[("pandas", pandas_metadata().to_string())])?;
            writer.append(&rows)?;
            writer.finish()
        }
    }
}

/// The column of instructions: the index of the pandas frame that LeRobot loads.
const TASK_TEXT: &str = "__index_level_0__";

/// Without this block LeRobot loads the tasks, but every task string silently becomes `0`.
fn pandas_metadata() -> Value {
    json!({
        "index_columns": [TASK_TEXT],
        "column_indexes": [{
            "name": null, "field_name": null, "pandas_type": "unicode", "numpy_type": "object",
            "metadata": {"encoding": "UTF-8"},
        }],
        "columns": [
            {"name": TASK_INDEX, "field_name": TASK_INDEX, "pandas_type": "int64",
             "numpy_type": "int64", "metadata": null},
            {"name": null, "field_name": TASK_TEXT, "pandas_type": "unicode",
             "numpy_type": "object", "metadata": null},
        ],
        "attributes": {},
        "creator": {"library": "rehearse", "version": env!("CARGO_PKG_VERSION")},
        "pandas_version": "2.0.0",
    })
}

/// Writes the statistics over the dataset; v2.1 has them per episode only.
pub(super) fn write_stats(
    root: &Path,
    version: Version,
    features: &[Feature],
    stats: &BTreeMap<String, Stats>,
) -> Result<(), LogError> {
    if version == Version::V21 {
        return Ok(());
    }
    let by_feature: Map<String, Value> = features
        .iter()
        .filter_map(|feature| {
            Some((feature.name.clone(), stats.get(&feature.name)?.to_json(feature)))
        })
        .collect();
    write_json(&root.join(STATS_FILE), &Value::Object(by_feature))
}

/// Writes `meta/embodiment.json`, which keeps what `info.json` has no place for.
pub(super) fn write_embodiment(root: &Path, embodiment: &Embodiment) -> Result<(), LogError> {
    write_json(&root.join(EMBODIMENT_FILE), embodiment)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), LogError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| LogError::Json { place: Box::new(Place::file(path)), source })?;
    write_whole(path, text.as_bytes())
}

/// Writes `meta/trials.csv`, if there is a row.
pub(super) fn write_results(root: &Path, rows: &[TrialRow]) -> Result<(), LogError> {
    if rows.is_empty() {
        return Ok(());
    }
    let path = root.join(TRIALS_FILE);
    let text = write_trials(rows)
        .map_err(|source| LogError::Csv { place: Box::new(Place::file(&path)), source })?;
    write_whole(&path, &text)
}
