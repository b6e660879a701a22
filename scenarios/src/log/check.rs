//! Every problem of a dataset at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::episodes::{EPISODES_FOLDER, EpisodeMeta, VideoSpan};
use super::error::{LogError, Place};
use super::feature::{Dtype, Feature};
use super::robot_log::RobotLog;
use super::table::{EpisodeTable, table_path};

/// A problem of a dataset, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file or folder.
    pub file: PathBuf,
    /// Index of the episode, where the problem is one episode's.
    pub episode: Option<usize>,
    /// The field: a key of a JSON file, a column of a table, a feature.
    pub field: Option<String>,
    /// What is wrong, with its place and its cause.
    pub message: String,
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        let Place { file, episode, field } =
            error.place().cloned().unwrap_or_else(|| Place::file(error.path()));
        Self { file, episode, field, message: error.to_string() }
    }
}

/// How far a stated time may lie from frame ÷ rate, as a share of a frame. Times are f32 in the
/// tables.
const TIME_TOLERANCE_FRAMES: f64 = 0.1;
/// How far the span of a video may be from the episode's length, in frames.
const SPAN_TOLERANCE_FRAMES: f64 = 0.5;

/// Looks for every problem of the dataset in `folder`, and returns all of them in order; none if it
/// is sound.
///
/// Reads all metadata and all tables, opens all videos, and decodes the first and the last frame of
/// every episode and camera. A file that cannot be opened at all is one problem, told of the first
/// episode in it.
pub fn check(folder: &Path) -> Vec<Problem> {
    let mut errors = Vec::new();
    match RobotLog::open_with(folder, &mut errors) {
        Err(error) => errors.insert(0, error),
        Ok(log) => {
            let mut broken = BTreeSet::new();
            check_tables(&log, &mut broken, &mut errors);
            for (video, feature) in video_features(&log).enumerate() {
                check_videos(&log, feature, video, &mut broken, &mut errors);
            }
            let of_episodes: Vec<Vec<LogError>> = log
                .episodes()
                .par_iter()
                .map(|episode| check_episode(&log, episode, &broken))
                .collect();
            errors.extend(of_episodes.into_iter().flatten());
        }
    }
    errors.into_iter().map(Problem::from).collect()
}

fn video_features(log: &RobotLog) -> impl Iterator<Item = &Feature> {
    log.info().features.iter().filter(|feature| feature.dtype == Dtype::Video)
}

/// Tables that cannot be opened, or have more or fewer rows than the episodes in them have frames.
fn check_tables(log: &RobotLog, broken: &mut BTreeSet<PathBuf>, errors: &mut Vec<LogError>) {
    let mut files: BTreeMap<PathBuf, (usize, u64)> = BTreeMap::new();
    for episode in log.episodes() {
        let (_, rows) =
            files.entry(table_path(log.folder(), episode)).or_insert((episode.index, 0));
        *rows += episode.length as u64;
    }
    for (path, (first, expected)) in files {
        match log.table_file(&path) {
            Ok(file) if file.rows() == expected => {}
            Ok(file) => errors.push(Place::file(path).mismatch("rows", expected, file.rows())),
            Err(error) => {
                errors.push(error.of_episode(first));
                broken.insert(path);
            }
        }
    }
}

/// Videos of a camera that cannot be opened, or have more or fewer frames than the episodes in them.
fn check_videos(
    log: &RobotLog,
    feature: &Feature,
    video: usize,
    broken: &mut BTreeSet<PathBuf>,
    errors: &mut Vec<LogError>,
) {
    let mut files: BTreeMap<&Path, (&EpisodeMeta, usize)> = BTreeMap::new();
    for episode in log.episodes() {
        if let Some(span) = episode.location.videos.get(video) {
            files.entry(&span.file).or_insert((episode, 0)).1 += episode.length;
        }
    }
    for (file, (first, expected)) in files {
        let path = log.folder().join(file);
        match log.open_video(first, feature, video) {
            Ok(reader) if reader.frame_count() == expected => {}
            Ok(reader) => {
                let place = Place::file(path).field(&feature.name);
                errors.push(place.mismatch("frames", expected, reader.frame_count()));
            }
            Err(error) => {
                errors.push(error);
                broken.insert(path);
            }
        }
    }
}

fn check_episode(
    log: &RobotLog,
    episode: &EpisodeMeta,
    broken: &BTreeSet<PathBuf>,
) -> Vec<LogError> {
    let mut errors = Vec::new();
    let table = table_path(log.folder(), episode);
    let table_is_sound = !broken.contains(&table);
    if table_is_sound {
        match log.table(episode.index) {
            Ok(numbers) => check_times(log, &numbers, &table, &mut errors),
            Err(error) => errors.push(error),
        }
    }
    let mut video = 0;
    for feature in log.info().cameras() {
        if feature.dtype == Dtype::Video {
            let Some(span) = episode.location.videos.get(video) else { continue };
            video += 1;
            check_span(log, episode, feature, span, &mut errors);
            if broken.contains(&log.folder().join(&span.file)) {
                continue;
            }
        } else if !table_is_sound {
            continue;
        }
        for frame in BTreeSet::from([0, episode.length - 1]) {
            if let Err(error) = log.frame(episode.index, &feature.name, frame) {
                errors.push(error);
            }
        }
    }
    errors
}

/// Times that are not those of the frames.
fn check_times(log: &RobotLog, table: &EpisodeTable, path: &Path, errors: &mut Vec<LogError>) {
    let rate = log.info().rate.as_hz();
    let off = |(frame, secs): (usize, &f64)| {
        ((secs * rate - frame as f64).abs() > TIME_TOLERANCE_FRAMES).then_some((frame, *secs))
    };
    if let Some((frame, secs)) = table.timestamps.iter().enumerate().find_map(off) {
        let place = Place::file(path).episode(table.episode).field("timestamp");
        errors.push(place.mismatch("seconds", frame as f64 / rate, secs));
    }
}

/// A span of a video that is not as long as the episode.
fn check_span(
    log: &RobotLog,
    episode: &EpisodeMeta,
    feature: &Feature,
    span: &VideoSpan,
    errors: &mut Vec<LogError>,
) {
    let Some(to_secs) = span.to_secs else { return };
    let frames = (to_secs - span.from_secs) * log.info().rate.as_hz();
    if (frames - episode.length as f64).abs() > SPAN_TOLERANCE_FRAMES {
        let place = Place::file(log.folder().join(EPISODES_FOLDER))
            .episode(episode.index)
            .field(format!("videos/{}/to_timestamp", feature.name));
        errors.push(place.mismatch("frames", episode.length, format!("{frames:.1}")));
    }
}
