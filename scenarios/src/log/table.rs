//! The numbers of one episode: states, actions, success, rewards, and every further column.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array2;

use super::column::{Column, ColumnBuilder};
use super::episodes::EpisodeMeta;
use super::error::{LogError, Place};
use super::info::{ACTION, Info, STATE};
use super::parquet_file::ParquetFile;

/// The numbers of one episode of `n` frames.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeTable {
    /// Index of the episode.
    pub episode: usize,
    /// Proprioception, `(n, state channels)`, in the units of the rig; no columns if the log has
    /// none.
    pub state: Array2<f32>,
    /// Actions, `(n, action channels)`, in the units of the rig. Row `i` was decided on frame `i`.
    pub action: Array2<f32>,
    /// Seconds since the start of the episode, `n` of them.
    pub timestamps: Vec<f64>,
    /// Index into [`RobotLog::tasks`](super::RobotLog::tasks) per frame, `n` of them.
    pub task_index: Vec<usize>,
    /// Whether the task is done after each action (`next.success`), where the log says: `n` of
    /// them.
    pub success: Option<Vec<bool>>,
    /// The reward after each action (`next.reward`), where the log says: `n` of them.
    pub reward: Option<Vec<f32>>,
    /// Every further column of numbers or bools, by its name.
    pub columns: BTreeMap<String, Column>,
}

/// Success after each action.
pub(super) const SUCCESS: &str = "next.success";
/// Most values in one column of one episode: half a gigabyte.
const MAX_VALUES: u64 = 1 << 26;

/// Reward after each action.
pub(super) const REWARD: &str = "next.reward";

impl EpisodeTable {
    /// Frames in the episode.
    pub fn frames(&self) -> usize {
        self.action.nrows()
    }
}

/// Reads the rows of one episode.
pub(super) fn read_table(
    file: &ParquetFile,
    info: &Info,
    tasks: usize,
    episode: &EpisodeMeta,
) -> Result<EpisodeTable, LogError> {
    let place = |field: &str| Place::file(file.path()).episode(episode.index).field(field);
    let features: Vec<_> =
        info.features.iter().filter(|feature| feature.dtype.is_numeric()).collect();
    let names: Vec<_> = features.iter().map(|feature| feature.name.as_str()).collect();
    let mut builders: BTreeMap<&str, ColumnBuilder> = features
        .iter()
        .map(|feature| {
            let name = feature.name.as_str();
            (name, ColumnBuilder::new(place(name), feature.width().unwrap_or_default()))
        })
        .collect();
    let width = features.iter().filter_map(|feature| feature.width()).max().unwrap_or_default();
    let values = (episode.length as u64).saturating_mul(width as u64);
    if values > MAX_VALUES {
        return Err(place("length").too_large("a table", MAX_VALUES, values));
    }
    let mut rows = 0;
    for batch in file
        .read(&names, episode.location.rows.clone(), width)
        .map_err(|error| error.of_episode(episode.index))?
    {
        let batch = batch.map_err(|error| error.of_episode(episode.index))?;
        rows += batch.num_rows();
        for (name, builder) in &mut builders {
            let array = batch.column_by_name(name).ok_or_else(|| place(name).missing())?;
            builder.append(array)?;
        }
    }
    if rows != episode.length {
        return Err(place("length").mismatch("rows", episode.length, rows));
    }
    let mut columns = BTreeMap::new();
    for (name, builder) in builders {
        columns.insert(name.to_owned(), builder.finish()?);
    }
    let mut take = |name: &str| columns.remove(name);
    if let Some(column) = take("episode_index") {
        expect_all(&column, |_| episode.index as f64, &place("episode_index"))?;
    }
    if let Some(column) = take("frame_index") {
        expect_all(&column, |frame| frame as f64, &place("frame_index"))?;
    }
    take("index");
    let timestamps = match take("timestamp") {
        Some(column) => finite(column.to_f64(), &place("timestamp"))?.into_iter().collect(),
        None => (0..rows as u64).map(|frame| info.rate.time_of_step(frame).as_secs_f64()).collect(),
    };
    let task_index = match take("task_index") {
        Some(column) => task_indices(&column, tasks, &place("task_index"))?,
        None => vec![0; rows],
    };
    let numbers = |column: Option<Column>, name: &str| match column {
        Some(column) => finite(column.to_f64(), &place(name)).map(|_finite| column.to_f32()),
        None => Ok(Array2::zeros((rows, 0))),
    };
    Ok(EpisodeTable {
        episode: episode.index,
        state: numbers(take(STATE), STATE)?,
        action: numbers(take(ACTION), ACTION)?,
        timestamps,
        task_index,
        success: take(SUCCESS).map(|column| column.to_flags()),
        reward: take(REWARD).map(|column| column.to_f32().column(0).to_vec()),
        columns,
    })
}

fn finite(values: Array2<f64>, place: &Place) -> Result<Array2<f64>, LogError> {
    // As f32 is what is handed on: a finite f64 beyond its range must not become an infinity.
    match values.indexed_iter().find(|&(_, &value)| !(value as f32).is_finite()) {
        None => Ok(values),
        Some(((frame, dimension), &value)) => {
            Err(LogError::NotFinite { place: Box::new(place.clone()), frame, dimension, value })
        }
    }
}

fn expect_all(
    column: &Column,
    expected: impl Fn(usize) -> f64,
    place: &Place,
) -> Result<(), LogError> {
    for ((frame, _), &got) in column.to_f64().indexed_iter() {
        if got != expected(frame) {
            return Err(place.clone().mismatch("value", expected(frame), got));
        }
    }
    Ok(())
}

fn task_indices(column: &Column, tasks: usize, place: &Place) -> Result<Vec<usize>, LogError> {
    column
        .to_f64()
        .iter()
        .map(|&index| {
            let known = index >= 0.0 && index < tasks as f64 && index.fract() == 0.0;
            known.then_some(index as usize).ok_or_else(|| {
                place.clone().invalid(format!("{index} is no task: the log has {tasks}"))
            })
        })
        .collect()
}

/// The table's file of an episode.
pub(super) fn table_path(folder: &Path, episode: &EpisodeMeta) -> std::path::PathBuf {
    folder.join(&episode.location.data)
}
