//! The episodes of a dataset: what each is, and in which rows and seconds of which files it lies.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;

use super::column::ColumnBuilder;
use super::error::{LogError, Place};
use super::feature::Dtype;
use super::info::Info;
use super::layout::{PathTemplate, PathValues};
use super::parquet_file::ParquetFile;
use super::tasks::{integers, strings};
use super::trials::TrialRow;

/// One episode of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeMeta {
    /// Index within the dataset, from 0.
    pub index: usize,
    /// The instructions given in it, usually one.
    pub tasks: Vec<String>,
    /// Frames, each with its action.
    pub length: usize,
    /// The split, from `meta/trials.csv` or else from `info.json`.
    pub split: Option<String>,
    /// What the policy that acted in it reached, where `meta/trials.csv` says.
    pub result: Option<TrialRow>,
    pub(super) location: Location,
}

impl EpisodeMeta {
    /// The first instruction; empty if there is none.
    pub fn instruction(&self) -> &str {
        self.tasks.first().map_or("", String::as_str)
    }
}

/// Where an episode is. Paths are relative to the dataset's folder.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Location {
    /// The table's file.
    pub(super) data: PathBuf,
    /// The episode's rows within that file.
    pub(super) rows: Range<u64>,
    /// One span per video feature, in their order.
    pub(super) videos: Vec<VideoSpan>,
}

/// Where an episode is in one camera's video. Each camera has its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VideoSpan {
    pub(super) file: PathBuf,
    /// Seconds from the start of the file to the episode's first frame.
    pub(super) from_secs: f64,
    /// Seconds from the start of the file to the end of the episode's last frame, where stated.
    pub(super) to_secs: Option<f64>,
}

/// Folder of the episodes' tables in v3.0, within the dataset.
pub(super) const EPISODES_FOLDER: &str = "meta/episodes";
/// Most episodes that are read.
pub(super) const MAX_EPISODES: usize = 10_000_000;
/// Most frames of one episode.
pub(super) const MAX_FRAMES: usize = 10_000_000;

/// A row of `meta/episodes`, as it stands.
struct Row {
    place: Place,
    index: usize,
    length: usize,
    tasks: Vec<String>,
    data: (u64, u64),
    from: u64,
    to: u64,
    videos: Vec<VideoSpan>,
}

/// Reads the episodes of a v3.0 dataset, in order. Faulty ones go to `problems`.
pub(super) fn read_episodes(
    folder: &Path,
    info: &Info,
    problems: &mut Vec<LogError>,
) -> Result<Vec<EpisodeMeta>, LogError> {
    let mut rows = Vec::new();
    let mut seen = BTreeSet::new();
    let files = list_files(&folder.join(EPISODES_FOLDER))?;
    if files.is_empty() && info.total_episodes > 0 {
        return Err(Place::file(folder.join(EPISODES_FOLDER)).missing());
    }
    for path in files {
        let file = ParquetFile::open(&path)?;
        if file.rows() > (MAX_EPISODES - rows.len().min(MAX_EPISODES)) as u64 {
            let place = Place::file(&path);
            return Err(place.too_large("a number of episodes", MAX_EPISODES as u64, file.rows()));
        }
        read_rows(&file, info, &mut rows, &mut seen, problems)?;
    }
    rows.sort_by_key(|row| row.index);
    for pair in rows.windows(2) {
        if pair[0].index == pair[1].index {
            problems.push(pair[1].place.clone().field("episode_index").invalid("stands twice"));
        }
    }
    rows.dedup_by_key(|row| row.index);
    if let Some(gap) =
        (0..).zip(&seen).find_map(|(expected, &got)| (expected != got).then_some(expected))
    {
        let place = Place::file(folder.join(EPISODES_FOLDER)).episode(gap).field("episode_index");
        problems.push(place.missing());
    }
    // The index of a file's first row: episodes state their rows within the whole dataset.
    let mut first_rows = BTreeMap::new();
    for Row { data, from, .. } in &rows {
        first_rows
            .entry(*data)
            .and_modify(|first: &mut u64| *first = *from.min(first))
            .or_insert(*from);
    }
    let mut episodes = Vec::with_capacity(rows.len());
    let mut end = 0;
    for Row { place, index, length, tasks, data, from, to, videos } in rows {
        if from < end {
            problems.push(place.clone().field("dataset_from_index").mismatch(
                "first row",
                end,
                from,
            ));
        }
        end = to;
        let first_row = first_rows.get(&data).copied().unwrap_or(from);
        let values =
            PathValues { chunk: data.0, file: data.1, episode: index as u64, video_key: "" };
        let Some(data) = fill(&info.data_path, values, folder, "data_path", problems) else {
            continue;
        };
        let location = Location { data, rows: from - first_row..to - first_row, videos };
        episodes.push(EpisodeMeta { index, tasks, length, split: None, result: None, location });
    }
    Ok(episodes)
}

/// A template filled, or its problem kept.
pub(super) fn fill(
    template: &PathTemplate,
    values: PathValues<'_>,
    folder: &Path,
    field: &str,
    problems: &mut Vec<LogError>,
) -> Option<PathBuf> {
    template
        .fill(values)
        .map_err(|problem| {
            problems.push(LogError::Template {
                place: Box::new(Place::file(super::info::info_path(folder)).field(field)),
                template: template.as_str().to_owned(),
                problem,
            });
        })
        .ok()
}

/// The Parquet files of a folder and its sub-folders, in order of their names.
fn list_files(folder: &Path) -> Result<Vec<PathBuf>, LogError> {
    let place = || Place::file(folder);
    let mut files = Vec::new();
    let chunks = std::fs::read_dir(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => place().missing(),
        _ => place().io("read")(error),
    })?;
    for chunk in chunks {
        let chunk = chunk.map_err(place().io("read"))?.path();
        if !chunk.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&chunk).map_err(Place::file(&chunk).io("read"))? {
            let file = file.map_err(Place::file(&chunk).io("read"))?.path();
            if file.extension().is_some_and(|extension| extension == "parquet") {
                files.push(file);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn read_rows(
    file: &ParquetFile,
    info: &Info,
    rows: &mut Vec<Row>,
    seen: &mut BTreeSet<usize>,
    problems: &mut Vec<LogError>,
) -> Result<(), LogError> {
    let keys: Vec<_> = info
        .features
        .iter()
        .filter(|feature| feature.dtype == Dtype::Video)
        .map(|feature| feature.name.as_str())
        .collect();
    let video_column = |key: &str, what: &str| format!("videos/{key}/{what}");
    let mut columns: Vec<String> = [
        "episode_index",
        "tasks",
        "length",
        "data/chunk_index",
        "data/file_index",
        "dataset_from_index",
        "dataset_to_index",
    ]
    .map(str::to_owned)
    .into();
    for key in &keys {
        for what in ["chunk_index", "file_index", "from_timestamp", "to_timestamp"] {
            columns.push(video_column(key, what));
        }
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let folder = file.path().ancestors().nth(4).unwrap_or(Path::new(""));
    for batch in file.read(&columns, 0..file.rows(), 1)? {
        let batch = Cells { batch: batch?, path: file.path() };
        let indices = batch.integers("episode_index")?;
        let lengths = batch.integers("length")?;
        let tasks = batch.texts("tasks")?;
        let data = batch.pairs("data/chunk_index", "data/file_index")?;
        let ranges = batch.pairs("dataset_from_index", "dataset_to_index")?;
        let mut videos = Vec::new();
        for key in &keys {
            let files =
                batch.pairs(&video_column(key, "chunk_index"), &video_column(key, "file_index"))?;
            let from = batch.floats(&video_column(key, "from_timestamp"))?;
            let to = batch.floats(&video_column(key, "to_timestamp"))?;
            videos.push((*key, files, from, to));
        }
        for (row, (&index, tasks)) in indices.iter().zip(tasks).enumerate() {
            let Some(index) = count(index, MAX_EPISODES) else {
                let place = Place::file(file.path()).field("episode_index");
                problems.push(place.invalid(format!("{index} is no episode index")));
                continue;
            };
            seen.insert(index);
            let place = Place::file(file.path()).episode(index);
            let Some(length) = count(lengths[row], MAX_FRAMES) else {
                problems.push(
                    place
                        .field("length")
                        .invalid(format!("{} is no number of frames", lengths[row])),
                );
                continue;
            };
            if length == 0 {
                problems.push(place.field("length").invalid("the episode has no frames"));
                continue;
            }
            let (Some(data), Some((from, to))) = (indices_of(data[row]), indices_of(ranges[row]))
            else {
                problems.push(place.invalid("a file index or a row index is negative"));
                continue;
            };
            if from.checked_add(length as u64) != Some(to) {
                problems.push(place.field("length").mismatch(
                    "frames",
                    format!("{} (dataset_to_index - dataset_from_index)", to.abs_diff(from)),
                    length,
                ));
                continue;
            }
            let spans: Option<Vec<_>> = videos
                .iter()
                .map(|(key, files, from, to)| {
                    let (from_secs, to_secs) = (from[row], to[row]);
                    let place = || place.clone().field(video_column(key, "from_timestamp"));
                    let Some((chunk, file)) = indices_of(files[row]) else {
                        problems.push(place().invalid("a file index of the video is negative"));
                        return None;
                    };
                    if !(from_secs >= 0.0 && from_secs.is_finite() && to_secs > from_secs) {
                        problems.push(place().invalid(format!(
                            "{from_secs} s to {to_secs} s is no span of a video"
                        )));
                        return None;
                    }
                    let template = info.video_path.as_ref()?;
                    let episode = index as u64;
                    let values = PathValues { chunk, file, episode, video_key: key };
                    let file = fill(template, values, folder, "video_path", problems)?;
                    Some(VideoSpan { file, from_secs, to_secs: Some(to_secs) })
                })
                .collect();
            let Some(videos) = spans else { continue };
            rows.push(Row { place, index, length, tasks, data, from, to, videos });
        }
    }
    Ok(())
}

fn count(value: i64, limit: usize) -> Option<usize> {
    usize::try_from(value).ok().filter(|&value| value <= limit)
}

fn indices_of((first, second): (i64, i64)) -> Option<(u64, u64)> {
    Some((u64::try_from(first).ok()?, u64::try_from(second).ok()?))
}

/// Typed access to the columns of a batch.
struct Cells<'a> {
    batch: RecordBatch,
    path: &'a Path,
}

impl Cells<'_> {
    fn place(&self, name: &str) -> Place {
        Place::file(self.path).field(name)
    }

    fn column(&self, name: &str) -> Result<&arrow::array::ArrayRef, LogError> {
        self.batch.column_by_name(name).ok_or_else(|| self.place(name).missing())
    }

    fn integers(&self, name: &str) -> Result<Vec<i64>, LogError> {
        integers(self.column(name)?, &self.place(name))
    }

    fn pairs(&self, first: &str, second: &str) -> Result<Vec<(i64, i64)>, LogError> {
        Ok(self.integers(first)?.into_iter().zip(self.integers(second)?).collect())
    }

    fn floats(&self, name: &str) -> Result<Vec<f64>, LogError> {
        let mut builder = ColumnBuilder::new(self.place(name), 1);
        builder.append(self.column(name)?)?;
        Ok(builder.finish()?.to_f64().into_iter().collect())
    }

    /// A column of lists of text.
    fn texts(&self, name: &str) -> Result<Vec<Vec<String>>, LogError> {
        let column = self.column(name)?;
        let malformed = || self.place(name).invalid("must hold lists of text");
        if column.null_count() > 0 || !matches!(column.data_type(), DataType::List(_)) {
            return Err(malformed());
        }
        let lists = column.as_list_opt::<i32>().ok_or_else(malformed)?;
        (0..lists.len()).map(|row| strings(&lists.value(row), &self.place(name))).collect()
    }
}
