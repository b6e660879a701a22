//! The episodes' metadata of a dataset that is being written.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, ListBuilder, StringBuilder};
use arrow::error::ArrowError;
use serde_json::{Value, json};

use super::arrays::{batch, even_lists};
use super::episodes::EPISODES_FOLDER;
use super::error::{LogError, Place};
use super::feature::{Dtype, Feature};
use super::info::Version;
use super::legacy::{EPISODES_LINES, EpisodeLine, STATS_LINES};
use super::stats::Stats;
use super::table_track::TableWriter;
use super::video_track::{FileNumber, TrackSpan};

/// An episode as it was written.
#[derive(Debug)]
pub(super) struct EpisodeRow {
    pub(super) index: usize,
    pub(super) tasks: Vec<String>,
    pub(super) length: usize,
    pub(super) data: FileNumber,
    /// Index of its first frame within the dataset.
    pub(super) from: u64,
    /// One per video feature, in their order.
    pub(super) videos: Vec<TrackSpan>,
    /// By feature.
    pub(super) stats: BTreeMap<String, Stats>,
}

/// Episodes that are held before they are written together.
const ROWS_PER_GROUP: usize = 64;

/// Writes the episodes' metadata as they end.
#[derive(Debug)]
pub(super) struct EpisodeTrack {
    root: PathBuf,
    version: Version,
    features: Vec<Feature>,
    waiting: Vec<EpisodeRow>,
    table: Option<TableWriter>,
}

impl EpisodeTrack {
    pub(super) fn new(root: &Path, version: Version, features: &[Feature]) -> Self {
        let features = features.to_vec();
        Self { root: root.to_owned(), version, features, waiting: Vec::new(), table: None }
    }

    /// Appends an episode.
    pub(super) fn append(&mut self, row: EpisodeRow) -> Result<(), LogError> {
        self.waiting.push(row);
        if self.waiting.len() >= ROWS_PER_GROUP { self.flush() } else { Ok(()) }
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<(), LogError> {
        self.flush()?;
        self.table.map_or(Ok(()), TableWriter::finish)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let rows = std::mem::take(&mut self.waiting);
        if rows.is_empty() {
            return Ok(());
        }
        match self.version {
            Version::V30 => self.flush_table(&rows),
            Version::V21 => self.flush_lines(&rows),
        }
    }

    fn flush_table(&mut self, rows: &[EpisodeRow]) -> Result<(), LogError> {
        let path = self.root.join(EPISODES_FOLDER).join("chunk-000/file-000.parquet");
        let columns = columns(rows, &self.features)
            .and_then(batch)
            .map_err(|e| Place::file(&path).table(e))?;
        let table = match &mut self.table {
            Some(table) => table,
            None => self.table.insert(TableWriter::create(&path, &columns, &[])?),
        };
        table.append(&columns)
    }

    fn flush_lines(&self, rows: &[EpisodeRow]) -> Result<(), LogError> {
        let mut episodes = String::new();
        let mut stats = String::new();
        for row in rows {
            let line = EpisodeLine {
                episode_index: row.index as u64,
                tasks: row.tasks.clone(),
                length: row.length as u64,
            };
            let by_feature: serde_json::Map<String, Value> = self
                .features
                .iter()
                .filter_map(|feature| {
                    Some((feature.name.clone(), row.stats.get(&feature.name)?.to_json(feature)))
                })
                .collect();
            episodes.push_str(&json!(line).to_string());
            stats.push_str(&json!({"episode_index": row.index, "stats": by_feature}).to_string());
            episodes.push('\n');
            stats.push('\n');
        }
        append_text(&self.root.join(EPISODES_LINES), &episodes)?;
        append_text(&self.root.join(STATS_LINES), &stats)
    }
}

fn append_text(path: &Path, text: &str) -> Result<(), LogError> {
    let place = || Place::file(path);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(place().io("create the folder of"))?;
    }
    let mut file: File =
        OpenOptions::new().create(true).append(true).open(path).map_err(place().io("write"))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(place().io("write"))
}

/// The columns of `meta/episodes`.
fn columns(
    rows: &[EpisodeRow],
    features: &[Feature],
) -> Result<Vec<(String, ArrayRef)>, ArrowError> {
    let integers = |value: &dyn Fn(&EpisodeRow) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| value(row) as i64)))
    };
    let mut tasks = ListBuilder::new(StringBuilder::new());
    for row in rows {
        for task in &row.tasks {
            tasks.values().append_value(task);
        }
        tasks.append(true);
    }
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("episode_index".into(), integers(&|row| row.index as u64)),
        ("tasks".into(), Arc::new(tasks.finish())),
        ("length".into(), integers(&|row| row.length as u64)),
        ("data/chunk_index".into(), integers(&|row| row.data.chunk)),
        ("data/file_index".into(), integers(&|row| row.data.file)),
        ("dataset_from_index".into(), integers(&|row| row.from)),
        ("dataset_to_index".into(), integers(&|row| row.from + row.length as u64)),
    ];
    let videos = features.iter().filter(|feature| feature.dtype == Dtype::Video);
    for (track, feature) in videos.enumerate() {
        let span = |row: &EpisodeRow| row.videos.get(track).cloned();
        let number = |row: &EpisodeRow| span(row).map(|span| span.number).unwrap_or_default();
        let secs = |value: &dyn Fn(TrackSpan) -> f64| -> ArrayRef {
            Arc::new(rows.iter().map(|row| span(row).map(value)).collect::<Float64Array>())
        };
        let name = |what: &str| format!("videos/{}/{what}", feature.name);
        columns.push((name("chunk_index"), integers(&|row| number(row).chunk)));
        columns.push((name("file_index"), integers(&|row| number(row).file)));
        columns.push((name("from_timestamp"), secs(&|span| span.from_secs)));
        columns.push((name("to_timestamp"), secs(&|span| span.to_secs)));
    }
    for feature in features {
        let all: Option<Vec<&Stats>> =
            rows.iter().map(|row| row.stats.get(&feature.name)).collect();
        let Some(all) = all else { continue };
        let name = |what: &str| format!("stats/{}/{what}", feature.name);
        let named: Vec<_> = all.iter().map(|stats| stats.named()).collect();
        for (slot, &(what, _)) in named.first().into_iter().flatten().enumerate() {
            let values: Vec<f64> = named.iter().flat_map(|named| named[slot].1.clone()).collect();
            let width = values.len() / rows.len().max(1);
            let mut array: ArrayRef = Arc::new(Float64Array::from(values));
            if feature.is_camera() {
                // (3, 1, 1), as LeRobot keeps statistics of images.
                array = even_lists(even_lists(array, 1)?, 1)?;
            }
            columns.push((name(what), even_lists(array, width)?));
        }
        let counts: ArrayRef =
            Arc::new(Int64Array::from_iter_values(all.iter().map(|stats| stats.count as i64)));
        columns.push((name("count"), even_lists(counts, 1)?));
    }
    for name in ["meta/episodes/chunk_index", "meta/episodes/file_index"] {
        columns.push((name.into(), integers(&|_| 0)));
    }
    Ok(columns)
}
