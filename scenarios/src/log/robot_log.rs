//! A robot log on disk: metadata in memory, tables and videos on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::episodes::{self, EpisodeMeta};
use super::error::{LogError, Place};
use super::info::{Info, Version, info_path};
use super::legacy;
use super::parquet_file::ParquetFile;
use super::rig::read_embodiment;
use super::table::{EpisodeTable, read_table, table_path};
use super::tasks::read_tasks;
use super::trials::{TRIALS_FILE, TrialRow, read_trials};
use crate::embodiment::Embodiment;
use crate::video::VideoReader;

/// An open robot log: a LeRobotDataset, v2.1 or v3.0.
///
/// Metadata is in memory; tables and videos are read when asked for. It may be shared between
/// threads.
///
/// ```no_run
/// use std::path::Path;
/// use rehearse_scenarios::log::RobotLog;
///
/// let log = RobotLog::open(Path::new("logs"))?;
/// for episode in log.episodes() {
///     let table = log.table(episode.index)?;
///     println!("{}: {} frames", episode.instruction(), table.frames());
/// }
/// # Ok::<(), rehearse_scenarios::log::LogError>(())
/// ```
#[derive(Debug)]
pub struct RobotLog {
    folder: PathBuf,
    info: Info,
    embodiment: Embodiment,
    tasks: Vec<String>,
    episodes: Vec<EpisodeMeta>,
    results: Vec<TrialRow>,
    tables: OpenFiles<ParquetFile>,
    videos: OpenFiles<VideoReader>,
}

/// Files that were opened before, so that the next episode need not parse them again.
type OpenFiles<T> = Mutex<BTreeMap<PathBuf, T>>;

/// Most files of each kind that are kept open.
const MAX_OPEN_FILES: usize = 64;

impl RobotLog {
    /// Opens the dataset in `folder` and checks its metadata, but not its tables and videos: see
    /// [`check`](super::check()).
    ///
    /// # Errors
    /// The first problem, as a [`LogError`] that names file, episode and field.
    pub fn open(folder: &Path) -> Result<Self, LogError> {
        let mut problems = Vec::new();
        let log = Self::open_with(folder, &mut problems)?;
        problems.into_iter().next().map_or(Ok(log), Err)
    }

    /// As [`open`](Self::open), collecting every problem that still leaves something to look at.
    pub(super) fn open_with(folder: &Path, problems: &mut Vec<LogError>) -> Result<Self, LogError> {
        let info = Info::read_with(folder, problems)?;
        let (tasks, episodes) = match info.version {
            Version::V30 => (read_tasks(folder), episodes::read_episodes(folder, &info, problems)),
            Version::V21 => {
                (legacy::read_tasks(folder), legacy::read_episodes(folder, &info, problems))
            }
        };
        let tasks = tasks.unwrap_or_else(|error| {
            problems.push(error);
            Vec::new()
        });
        let mut episodes = episodes.unwrap_or_else(|error| {
            problems.push(error);
            Vec::new()
        });
        let results = read_trials(folder, problems);
        let embodiment = read_embodiment(folder, &info, problems);
        join_results(folder, &info, &results, &mut episodes, problems);
        let log = Self {
            folder: folder.to_owned(),
            info,
            embodiment,
            tasks,
            episodes,
            results,
            tables: Mutex::default(),
            videos: Mutex::default(),
        };
        log.compare_totals(problems);
        Ok(log)
    }

    /// What `info.json` says and what is there.
    fn compare_totals(&self, problems: &mut Vec<LogError>) {
        let Self { folder, info, tasks, episodes, .. } = self;
        let frames: usize = episodes.iter().map(|episode| episode.length).sum();
        for (field, stated, got) in [
            ("total_episodes", info.total_episodes, episodes.len()),
            ("total_frames", info.total_frames, frames),
            ("total_tasks", info.total_tasks, tasks.len()),
        ] {
            if stated != got {
                problems.push(
                    Place::file(info_path(folder)).field(field).mismatch("count", got, stated),
                );
            }
        }
        let tasks: BTreeSet<&String> = tasks.iter().collect();
        for episode in episodes {
            if let Some(task) = episode.tasks.iter().find(|task| !tasks.contains(task)) {
                let place = Place::file(folder.join("meta")).episode(episode.index).field("tasks");
                problems.push(place.invalid(format!("{task:?} is no task of the dataset")));
            }
        }
    }

    /// The dataset's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `info.json` states.
    pub const fn info(&self) -> &Info {
        &self.info
    }

    /// The facts of the rig: from `meta/embodiment.json` where it is there, else from `info.json`,
    /// which knows neither units nor bounds.
    pub const fn embodiment(&self) -> &Embodiment {
        &self.embodiment
    }

    /// The episodes; `episodes()[i].index == i`.
    pub fn episodes(&self) -> &[EpisodeMeta] {
        &self.episodes
    }

    /// The instructions, by task index.
    pub fn tasks(&self) -> &[String] {
        &self.tasks
    }

    /// Frames in all episodes.
    pub const fn frames_in_all(&self) -> usize {
        self.info.total_frames
    }

    /// What policies reached on the real robot (`meta/trials.csv`), in the order of episodes; empty
    /// if the log does not say.
    pub fn real_results(&self) -> &[TrialRow] {
        &self.results
    }

    /// The episode of an index.
    ///
    /// # Errors
    /// [`LogError::NoEpisode`].
    pub fn episode(&self, index: usize) -> Result<&EpisodeMeta, LogError> {
        let found = self.episodes.binary_search_by_key(&index, |episode| episode.index);
        found.ok().and_then(|at| self.episodes.get(at)).ok_or_else(|| LogError::NoEpisode {
            folder: self.folder.clone(),
            episode: index,
            episodes: self.episodes.len(),
        })
    }

    /// Reads the numbers of one episode.
    ///
    /// # Errors
    /// [`LogError`] if there is no such episode, its rows are damaged or not as many as stated, a
    /// column is missing or has another shape, or a state or an action is not finite.
    pub fn table(&self, episode: usize) -> Result<EpisodeTable, LogError> {
        let episode = self.episode(episode)?;
        let path = table_path(&self.folder, episode);
        let file = cached(&self.tables, &path, || {
            ParquetFile::open(&path).map_err(|error| error.of_episode(episode.index))
        })?;
        read_table(&file, &self.info, self.tasks.len(), episode)
    }

    pub(super) fn table_file(&self, path: &Path) -> Result<ParquetFile, LogError> {
        cached(&self.tables, path, || ParquetFile::open(path))
    }

    pub(super) fn video_file(
        &self,
        path: &Path,
        open: impl FnOnce() -> Result<VideoReader, LogError>,
    ) -> Result<VideoReader, LogError> {
        cached(&self.videos, path, open)
    }
}

/// The file at `path`, opened at most once while it is among the last ones.
fn cached<T: Clone>(
    files: &OpenFiles<T>,
    path: &Path,
    open: impl FnOnce() -> Result<T, LogError>,
) -> Result<T, LogError> {
    // A thread that panicked while it held the lock left a whole map behind.
    let lock = || files.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = lock().get(path) {
        return Ok(file.clone());
    }
    let file = open()?;
    let mut files = lock();
    if files.len() >= MAX_OPEN_FILES {
        files.pop_first();
    }
    files.insert(path.to_owned(), file.clone());
    Ok(file)
}

/// Gives each episode its split and its real result.
fn join_results(
    folder: &Path,
    info: &Info,
    results: &[TrialRow],
    episodes: &mut [EpisodeMeta],
    problems: &mut Vec<LogError>,
) {
    for episode in episodes.iter_mut() {
        episode.split = info.split_of(episode.index).map(str::to_owned);
    }
    for row in results {
        let place = Place::file(folder.join(TRIALS_FILE)).episode(row.episode);
        let found = episodes.binary_search_by_key(&row.episode, |episode| episode.index);
        let Some(episode) = found.ok().and_then(|at| episodes.get_mut(at)) else {
            problems.push(place.field("episode_index").invalid("the log has no such episode"));
            continue;
        };
        if let Some(length) = row.length
            && length != episode.length
        {
            problems.push(place.field("length").mismatch("frames", episode.length, length));
        }
        if row.split.is_some() {
            episode.split.clone_from(&row.split);
        }
        episode.result = Some(row.clone());
    }
}
