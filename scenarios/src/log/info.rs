//! `meta/info.json`: what a dataset states about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{LogError, Place};
use super::feature::{Dtype, Feature, FeatureList, MAX_FEATURE_WIDTH};
use super::files::read_text;
use super::layout::PathTemplate;
use crate::embodiment::MAX_IMAGE_SIDE;
use crate::time::Rate;

/// The versions of the format that are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Version {
    /// One file per episode; metadata in JSON lines.
    #[serde(rename = "v2.1")]
    V21,
    /// Many episodes per file; metadata in Parquet.
    #[serde(rename = "v3.0")]
    V30,
}

impl Version {
    /// As in `codebase_version`: `v2.1`, `v3.0`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V21 => "v2.1",
            Self::V30 => "v3.0",
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What `meta/info.json` states.
#[derive(Clone, Debug)]
pub struct Info {
    /// Version of the format.
    pub version: Version,
    /// Type of the robot, where stated.
    pub robot_type: Option<String>,
    /// Episodes in the dataset.
    pub total_episodes: usize,
    /// Frames in the dataset.
    pub total_frames: usize,
    /// Tasks in the dataset.
    pub total_tasks: usize,
    /// Files per chunk folder (v3.0), or episodes per chunk folder (v2.1).
    pub chunks_size: u64,
    /// Frames per second of tables and videos.
    pub rate: Rate,
    /// Named ranges of episodes: `train` for all of them, unless somebody split them.
    pub splits: Vec<(String, Range<usize>)>,
    /// Where the tables are.
    pub data_path: PathTemplate,
    /// Where the videos are; stated wherever there is a video feature.
    pub video_path: Option<PathTemplate>,
    /// The features, in the order of the file.
    pub features: Vec<Feature>,
}

/// Name of the file within the dataset.
pub(super) const INFO_FILE: &str = "meta/info.json";
/// The actions' feature.
pub(super) const ACTION: &str = "action";
/// The proprioception's feature.
pub(super) const STATE: &str = "observation.state";

/// The columns that every dataset has.
pub(super) const STANDARD_COLUMNS: [&str; 5] =
    ["timestamp", "frame_index", "episode_index", "index", "task_index"];

#[derive(Deserialize)]
struct RawInfo {
    codebase_version: String,
    robot_type: Option<String>,
    total_episodes: u64,
    total_frames: u64,
    total_tasks: u64,
    #[serde(default = "default_chunks_size")]
    chunks_size: u64,
    fps: f64,
    #[serde(default)]
    splits: BTreeMap<String, String>,
    data_path: String,
    video_path: Option<String>,
    features: FeatureList,
}

const fn default_chunks_size() -> u64 {
    1000
}

impl Info {
    /// Reads and checks `meta/info.json` of the dataset in `folder`.
    ///
    /// # Errors
    /// The first problem, naming file and field.
    pub fn read(folder: &Path) -> Result<Self, LogError> {
        let mut problems = Vec::new();
        let info = Self::read_with(folder, &mut problems)?;
        problems.into_iter().next().map_or(Ok(info), Err)
    }

    /// As [`read`](Self::read), collecting every problem that still leaves something to look at.
    pub(super) fn read_with(folder: &Path, problems: &mut Vec<LogError>) -> Result<Self, LogError> {
        let path = folder.join(INFO_FILE);
        let text = read_text(&path)?;
        let raw: RawInfo = serde_json::from_str(&text)
            .map_err(|source| LogError::Json { place: Box::new(Place::file(&path)), source })?;
        Self::from_raw(raw, &path, problems)
    }

    fn from_raw(raw: RawInfo, path: &Path, problems: &mut Vec<LogError>) -> Result<Self, LogError> {
        let place = |field: &str| Place::file(path).field(field);
        let version = match raw.codebase_version.as_str() {
            "v2.1" => Version::V21,
            "v3.0" => Version::V30,
            other => {
                return Err(place("codebase_version").invalid(format!(
                    "version {other:?} is neither v2.1 nor v3.0, the two that are read"
                )));
            }
        };
        let template = |field: &str, source: &str| {
            PathTemplate::parse(source).map_err(|problem| LogError::Template {
                place: Box::new(place(field)),
                template: source.to_owned(),
                problem,
            })
        };
        // A rate and templates are needed to look any further, so these end the reading.
        let mut fatal = None;
        let mut keep = |error| match fatal {
            None => fatal = Some(error),
            Some(_) => problems.push(error),
        };
        let rate = Rate::from_hz(raw.fps)
            .map_err(|error| keep(place("fps").invalid(error.to_string())))
            .ok();
        let data_path = template("data_path", &raw.data_path).map_err(&mut keep).ok();
        let has_video = raw.features.0.iter().any(|feature| feature.dtype == Dtype::Video);
        let video_path = match raw.video_path.as_deref() {
            None if has_video => {
                keep(place("video_path").missing());
                None
            }
            None => None,
            Some(source) => template("video_path", source).map_err(&mut keep).ok(),
        };
        let (Some(rate), Some(data_path), None) = (rate, data_path, &fatal) else {
            return Err(fatal.unwrap_or_else(|| place("data_path").missing()));
        };
        let info = Self {
            version,
            robot_type: raw.robot_type,
            total_episodes: raw.total_episodes as usize,
            total_frames: raw.total_frames as usize,
            total_tasks: raw.total_tasks as usize,
            chunks_size: raw.chunks_size,
            rate,
            splits: read_splits(&raw.splits, path, problems),
            data_path,
            video_path,
            features: raw.features.0,
        };
        info.check_features(path, problems);
        if info.chunks_size == 0 {
            problems.push(place("chunks_size").invalid("must be at least 1, got 0"));
        }
        Ok(info)
    }

    fn check_features(&self, path: &Path, problems: &mut Vec<LogError>) {
        let mut seen = BTreeSet::new();
        for feature in &self.features {
            let place = Place::file(path).field(format!("features.{}", feature.name));
            if !seen.insert(&feature.name) {
                problems.push(place.invalid("stated twice"));
            } else if feature.name.is_empty() || feature.name.contains(['/', '\\']) {
                problems.push(place.invalid("a feature's name may not be empty or hold a slash"));
            } else if feature.is_camera() {
                let fits = |side| (1..=MAX_IMAGE_SIDE).contains(&side);
                if !feature.image_size().is_some_and(|(height, width)| fits(height) && fits(width))
                {
                    problems.push(place.invalid(format!(
                        "a camera needs a shape of (height, width, 3), each side between 1 and \
                         {MAX_IMAGE_SIDE}, got {:?}",
                        feature.shape
                    )));
                }
            } else if !feature.width().is_some_and(|width| (1..=MAX_FEATURE_WIDTH).contains(&width))
            {
                problems.push(place.invalid(format!(
                    "a frame must hold between 1 and {MAX_FEATURE_WIDTH} values, got the shape {:?}",
                    feature.shape
                )));
            }
        }
        match self.feature(ACTION) {
            None => {
                problems.push(Place::file(path).field(format!("features.{ACTION}")).missing());
            }
            Some(feature) if !feature.dtype.is_numeric() => problems.push(
                Place::file(path)
                    .field(format!("features.{ACTION}"))
                    .invalid(format!("actions must be numbers, got {}", feature.dtype.as_str())),
            ),
            Some(_) => {}
        }
    }

    /// The feature called `name`.
    pub fn feature(&self, name: &str) -> Option<&Feature> {
        self.features.iter().find(|feature| feature.name == name)
    }

    /// The cameras' features, in order.
    pub fn cameras(&self) -> impl Iterator<Item = &Feature> {
        self.features.iter().filter(|feature| feature.is_camera())
    }

    /// The split that holds an episode: the smallest, where splits overlap.
    pub(super) fn split_of(&self, episode: usize) -> Option<&str> {
        self.splits
            .iter()
            .filter(|(_, episodes)| episodes.contains(&episode))
            .min_by_key(|(_, episodes)| episodes.len())
            .map(|(name, _)| name.as_str())
    }
}

fn read_splits(
    raw: &BTreeMap<String, String>,
    path: &Path,
    problems: &mut Vec<LogError>,
) -> Vec<(String, Range<usize>)> {
    let mut splits = Vec::new();
    for (name, range) in raw {
        let parsed = range
            .split_once(':')
            .and_then(|(from, to)| Some(from.trim().parse().ok()?..to.trim().parse().ok()?));
        match parsed {
            Some(range) => splits.push((name.clone(), range)),
            None => problems.push(
                Place::file(path)
                    .field(format!("splits.{name}"))
                    .invalid(format!("a split is a range `from:to`, got {range:?}")),
            ),
        }
    }
    splits
}

/// The path of `INFO_FILE` in a dataset.
pub(super) fn info_path(folder: &Path) -> PathBuf {
    folder.join(INFO_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(edit: impl FnOnce(&mut serde_json::Value)) -> Result<Info, LogError> {
        let mut value = serde_json::json!({
            "codebase_version": "v3.0", "robot_type": "arm", "total_episodes": 4,
            "total_frames": 8, "total_tasks": 1, "chunks_size": 1000, "fps": 10.0,
            "splits": {"train": "0:4", "val": "2:4"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": {
                "observation.images.top": {"dtype": "video", "shape": [4, 6, 3], "names": null},
                "action": {"dtype": "float32", "shape": [2], "names": null}
            }
        });
        edit(&mut value);
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("meta")).unwrap();
        std::fs::write(folder.path().join(INFO_FILE), value.to_string()).unwrap();
        Info::read(folder.path())
    }

    #[test]
    fn a_sound_file_is_read() {
        let info = parse(|_| {}).unwrap();
        assert_eq!(info.version, Version::V30);
        assert_eq!(info.rate.as_hz(), 10.0);
        assert_eq!((info.split_of(1), info.split_of(3)), (Some("train"), Some("val")));
    }

    #[test]
    fn each_broken_field_is_named() {
        let field = |edit: fn(&mut serde_json::Value)| {
            let error = parse(edit).unwrap_err();
            error.place().unwrap().field.clone().unwrap()
        };
        assert_eq!(field(|v| v["fps"] = 0.into()), "fps");
        assert_eq!(field(|v| v["codebase_version"] = "v4.0".into()), "codebase_version");
        assert_eq!(field(|v| v["data_path"] = "../x".into()), "data_path");
        assert_eq!(field(|v| v["video_path"] = "/x".into()), "video_path");
        assert_eq!(field(|v| v["video_path"] = serde_json::Value::Null), "video_path");
        assert_eq!(field(|v| v["splits"]["train"] = "all".into()), "splits.train");
        assert_eq!(field(|v| v["features"]["action"]["shape"] = 0.into_shape()), "features.action");
        assert_eq!(
            field(|v| v["features"]["observation.images.top"]["shape"] = 7.into_shape()),
            "features.observation.images.top"
        );
        assert_eq!(
            field(|v| {
                v["features"].as_object_mut().unwrap().remove("action");
            }),
            "features.action"
        );
    }

    trait IntoShape {
        fn into_shape(self) -> serde_json::Value;
    }

    impl IntoShape for u64 {
        fn into_shape(self) -> serde_json::Value {
            serde_json::json!([self])
        }
    }
}
