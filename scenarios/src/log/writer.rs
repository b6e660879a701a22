//! Writes a dataset.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::ArrayRef;
use ndarray::Array2;
use rayon::prelude::*;

use super::arrays::{batch, column_array};
use super::column::Column;
use super::episode_track::{EpisodeRow, EpisodeTrack};
use super::error::{LogError, Place};
use super::feature::{CAMERA_PREFIX, Feature};
use super::info::{ACTION, STANDARD_COLUMNS, STATE, Version};
use super::layout::PathTemplate;
use super::metadata::{self, Totals, templates};
use super::partial_folder::PartialFolder;
use super::schema::{check_features, features};
use super::stats::Stats;
use super::table::{REWARD, SUCCESS};
use super::table_track::TableTrack;
use super::trials::TrialRow;
use super::video_track::VideoTrack;
use crate::embodiment::{Camera, Embodiment};
use crate::observation::Image;
use crate::video::{Codec, VideoSettings};

/// How a dataset is written.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// Version of the format. Default: v3.0.
    pub version: Version,
    /// How the videos are compressed. Default: AV1.
    pub codec: Codec,
    /// Quality of the videos: see [`VideoSettings::crf`]. Default:
    /// [`VideoSettings::CLEAR_CRF`].
    pub crf: u8,
    /// Frames from one key frame to the next: see [`VideoSettings::gop`]. Default: 2.
    pub gop: u32,
    /// Size at which v3.0 begins the next table file, in MiB before compression. Default: 100.
    pub data_file_mb: u64,
    /// Size at which v3.0 begins the next video file, in MiB. Default: 200.
    pub video_file_mb: u64,
    /// Files per chunk folder (v3.0), or episodes per chunk folder (v2.1). Default: 1000.
    pub files_per_chunk: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            version: Version::V30,
            codec: Codec::Av1,
            crf: VideoSettings::CLEAR_CRF,
            gop: 2,
            data_file_mb: 100,
            video_file_mb: 200,
            files_per_chunk: 1000,
        }
    }
}

/// One frame: what the robot showed, and what it did then.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Images by camera name; exactly the cameras of the embodiment.
    pub images: &'a BTreeMap<String, Image>,
    /// Proprioception, one value per channel.
    pub state: &'a [f32],
    /// The action decided on this frame, one value per channel.
    pub action: &'a [f32],
}

/// What is known of an episode once it has ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EpisodeEnd {
    /// Whether the task is done after each action: one per frame, given exactly if the feature
    /// `next.success` was declared.
    pub success: Option<Vec<bool>>,
    /// The reward after each action: one per frame, given exactly if the feature `next.reward`
    /// was declared.
    pub reward: Option<Vec<f32>>,
    /// The further declared columns, by name; each with a row per frame.
    pub columns: BTreeMap<String, Column>,
    /// What the policy reached, for `meta/trials.csv`; `episode` and `length` are filled in.
    pub result: Option<TrialRow>,
}

/// What a [`LogWriter`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogWritten {
    /// Episodes in the dataset.
    pub episodes: usize,
    /// Frames in the dataset.
    pub frames: u64,
}

/// Writes a LeRobotDataset.
///
/// The folder appears under its name when [`finish`](Self::finish) succeeds. Until then everything
/// is in a hidden folder beside it, `.NAME.….partial`; dropped before that, nothing is left of it,
/// and a killed process leaves the hidden folder only.
///
/// ```no_run
/// # use std::{collections::BTreeMap, path::Path};
/// # use rehearse_scenarios::{embodiment::Embodiment, log::*, observation::Image};
/// # fn record(rig: &Embodiment, images: BTreeMap<String, Image>) -> Result<(), LogError> {
/// let mut writer = LogWriter::create(Path::new("logs"), rig, &[], LogSettings::default())?;
/// writer.begin_episode("open the drawer")?;
/// writer.push(&Frame { images: &images, state: &[0.0; 4], action: &[0.0; 4] })?;
/// writer.end_episode(EpisodeEnd::default())?;
/// writer.finish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LogWriter {
    folder: PathBuf,
    partial: PartialFolder,
    settings: LogSettings,
    embodiment: Embodiment,
    features: Vec<Feature>,
    data_path: PathTemplate,
    video_path: PathTemplate,
    tasks: Vec<String>,
    results: Vec<TrialRow>,
    stats: BTreeMap<String, Stats>,
    cameras: Vec<VideoTrack>,
    tables: TableTrack,
    metadata: EpisodeTrack,
    open: Option<OpenEpisode>,
    episodes: usize,
    frames: u64,
}

/// The numbers of the episode that is being written.
#[derive(Debug, Default)]
struct OpenEpisode {
    task: usize,
    task_index: Vec<i64>,
    state: Vec<f64>,
    action: Vec<f64>,
}

impl LogWriter {
    /// Starts a dataset in `folder`, which must not exist yet or be empty.
    ///
    /// `further` declares columns beside state and action, such as `next.success`
    /// ([`Dtype::Bool`](super::Dtype::Bool)) and `next.reward` ([`Dtype::Float32`](super::Dtype::Float32)).
    ///
    /// # Errors
    /// [`LogError`] if the folder is there already or cannot be written, the embodiment contradicts
    /// itself, or a feature cannot be a column.
    pub fn create(
        folder: &Path,
        embodiment: &Embodiment,
        further: &[Feature],
        settings: LogSettings,
    ) -> Result<Self, LogError> {
        let place = || Place::file(folder);
        embodiment
            .validate()
            .map_err(|source| LogError::Embodiment { place: Box::new(place()), source })?;
        if settings.files_per_chunk == 0 {
            return Err(place().field("files_per_chunk").invalid("must be at least 1, got 0"));
        }
        let mut cameras = Vec::new();
        for Camera { name, height, width } in &embodiment.cameras {
            let video = VideoSettings {
                codec: settings.codec.clone(),
                crf: settings.crf,
                gop: settings.gop,
                ..VideoSettings::new(*height, *width, embodiment.rate)
            };
            cameras.push(VideoTrack::new(name, &format!("{CAMERA_PREFIX}{name}"), video));
        }
        let features = features(embodiment, further);
        check_features(&features, further, folder)?;
        let (data_path, video_path) = templates(settings.version);
        let template = |source| PathTemplate::parse(source).map_err(|what| place().invalid(what));
        let (data_path, video_path) = (template(data_path)?, template(video_path)?);
        let partial = PartialFolder::create(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            metadata: EpisodeTrack::new(partial.path(), settings.version, &features),
            partial,
            settings,
            embodiment: embodiment.clone(),
            features,
            data_path,
            video_path,
            tasks: Vec::new(),
            results: Vec::new(),
            stats: BTreeMap::new(),
            cameras,
            tables: TableTrack::default(),
            open: None,
            episodes: 0,
            frames: 0,
        })
    }

    /// Begins an episode with its instruction.
    ///
    /// # Errors
    /// [`LogError`] if an episode is open, or a video cannot be started.
    pub fn begin_episode(&mut self, instruction: &str) -> Result<(), LogError> {
        if self.open.is_some() {
            return Err(self.place().invalid("the episode is open already"));
        }
        let Self { partial, video_path, settings, cameras, episodes, .. } = self;
        for camera in cameras {
            camera.begin(partial.path(), video_path, settings, *episodes)?;
        }
        let task = self.task(instruction);
        self.open = Some(OpenEpisode { task, ..OpenEpisode::default() });
        Ok(())
    }

    /// Gives another instruction, from the next frame on.
    ///
    /// # Errors
    /// [`LogError`] if no episode is open.
    pub fn set_instruction(&mut self, instruction: &str) -> Result<(), LogError> {
        let task = self.task(instruction);
        match &mut self.open {
            Some(open) => {
                open.task = task;
                Ok(())
            }
            None => Err(self.place().invalid("no episode is open")),
        }
    }

    /// Appends a frame to the open episode.
    ///
    /// # Errors
    /// [`LogError`] if no episode is open, a camera is missing or unknown, a value is not finite, a
    /// length or an image's size is not the embodiment's, or a video cannot be written.
    pub fn push(&mut self, frame: &Frame<'_>) -> Result<(), LogError> {
        let place = self.place();
        let Some(open) = &mut self.open else {
            return Err(place.invalid("no episode is open"));
        };
        let number = open.task_index.len();
        let Embodiment { proprioception, actions, .. } = &self.embodiment;
        for (field, values, channels, all) in [
            (STATE, frame.state, proprioception, &mut open.state),
            (ACTION, frame.action, actions, &mut open.action),
        ] {
            let place = || place.clone().field(field);
            if values.len() != channels.len() {
                return Err(place().mismatch("channels", channels.len(), values.len()));
            }
            if let Some((dimension, &value)) =
                values.iter().enumerate().find(|(_, value)| !value.is_finite())
            {
                let (place, value) = (Box::new(place()), f64::from(value));
                return Err(LogError::NotFinite { place, frame: number, dimension, value });
            }
            all.extend(values.iter().map(|&value| f64::from(value)));
        }
        if let Some(unknown) =
            frame.images.keys().find(|name| self.embodiment.camera(name).is_none())
        {
            return Err(place.invalid(format!("camera {unknown:?} is not of this rig")));
        }
        // Cameras are encoded side by side.
        self.cameras.par_iter_mut().try_for_each(|camera| {
            let place = || place.clone().field(&camera.feature);
            let image = frame.images.get(&camera.camera).ok_or_else(|| place().missing())?;
            let place = place();
            camera.push(image).map_err(|source| LogError::Video { place: Box::new(place), source })
        })?;
        open.task_index.push(open.task as i64);
        Ok(())
    }

    /// Ends the open episode.
    ///
    /// # Errors
    /// [`LogError`] if no episode is open, it has no frames, a column is missing, unknown or of
    /// another length, or a file cannot be written.
    pub fn end_episode(&mut self, end: EpisodeEnd) -> Result<(), LogError> {
        let place = self.place();
        let Some(open) = self.open.take() else {
            return Err(place.invalid("no episode is open"));
        };
        let length = open.task_index.len();
        if length == 0 {
            return Err(place.field("length").invalid("the episode has no frames"));
        }
        let EpisodeEnd { success, reward, mut columns, result } = end;
        let column = |flags: Vec<bool>| shaped(flags, 1).map(Column::Bool);
        if let Some(success) = success {
            columns
                .insert(SUCCESS.to_owned(), column(success).map_err(|e| place.clone().table(e))?);
        }
        if let Some(reward) = reward {
            let reward = reward.into_iter().map(f64::from).collect();
            let reward = shaped(reward, 1).map_err(|e| place.clone().table(e))?;
            columns.insert(REWARD.to_owned(), Column::Float(reward));
        }
        let mut tasks = Vec::new();
        for &task in &open.task_index {
            let task = &self.tasks[task as usize];
            if !tasks.contains(task) {
                tasks.push(task.clone());
            }
        }
        self.add_own_columns(open, length, &mut columns).map_err(|e| place.clone().table(e))?;

        let mut arrays: Vec<(String, ArrayRef)> = Vec::new();
        let mut stats = BTreeMap::new();
        for feature in self.features.iter().filter(|feature| !feature.is_camera()) {
            let place = || place.clone().field(&feature.name);
            let column = columns.remove(&feature.name).ok_or_else(|| place().missing())?;
            let width = feature.width().unwrap_or_default();
            if (column.frames(), column.width()) != (length, width) {
                return Err(place().mismatch(
                    "frames and values per frame",
                    format!("{length}×{width}"),
                    format!("{}×{}", column.frames(), column.width()),
                ));
            }
            let array = column_array(feature, &column).map_err(|error| place().table(error))?;
            arrays.push((feature.name.clone(), array));
            stats.insert(feature.name.clone(), Stats::of(&column.to_f64()));
        }
        if let Some(unknown) = columns.keys().next() {
            return Err(place.field(unknown).invalid("the column was not declared"));
        }
        let rows = batch(arrays).map_err(|error| place.clone().table(error))?;
        let index = self.episodes;
        let Self { partial, data_path, settings, tables, .. } = self;
        let data = tables.append(&rows, partial.path(), data_path, settings, index)?;
        let mut videos = Vec::new();
        for camera in &mut self.cameras {
            if let Some(span) = camera.end(self.settings.version)? {
                stats.insert(camera.feature.clone(), span.stats.clone());
                videos.push(span);
            }
        }
        for (feature, stats) in &stats {
            match self.stats.get_mut(feature) {
                Some(all) => all.merge(stats),
                None => drop(self.stats.insert(feature.clone(), stats.clone())),
            }
        }
        let from = self.frames;
        self.metadata.append(EpisodeRow { index, tasks, length, data, from, videos, stats })?;
        if let Some(result) = result {
            self.results.push(TrialRow { episode: index, length: Some(length), ..result });
        }
        self.episodes += 1;
        self.frames += length as u64;
        Ok(())
    }

    /// Writes what is left, and gives the folder its name.
    ///
    /// # Errors
    /// [`LogError`] if an episode is open, there is none at all, or a file cannot be written.
    pub fn finish(mut self) -> Result<LogWritten, LogError> {
        if self.open.is_some() {
            return Err(self.place().invalid("the episode has not ended"));
        }
        if self.episodes == 0 {
            return Err(Place::file(&self.folder).invalid("a dataset needs an episode at least"));
        }
        for camera in &mut self.cameras {
            camera.close()?;
        }
        self.tables.close()?;
        let Self { folder, partial, settings, embodiment, features, tasks, .. } = self;
        let root = partial.path();
        self.metadata.finish()?;
        metadata::write_tasks(root, settings.version, &tasks)?;
        metadata::write_stats(root, settings.version, &features, &self.stats)?;
        metadata::write_results(root, &self.results)?;
        metadata::write_embodiment(root, &embodiment)?;
        let totals = Totals {
            settings: &settings,
            embodiment: &embodiment,
            features: &features,
            episodes: self.episodes,
            frames: self.frames,
            tasks: tasks.len(),
        };
        metadata::write_info(root, &totals)?;
        partial.rename(&folder)?;
        Ok(LogWritten { episodes: self.episodes, frames: self.frames })
    }

    /// The place of the episode that is being written.
    fn place(&self) -> Place {
        Place::file(&self.folder).episode(self.episodes)
    }

    /// The index of a task, which is added if it is new.
    fn task(&mut self, instruction: &str) -> usize {
        self.tasks.iter().position(|task| task == instruction).unwrap_or_else(|| {
            self.tasks.push(instruction.to_owned());
            self.tasks.len() - 1
        })
    }

    /// State, action and the columns that every dataset has.
    fn add_own_columns(
        &self,
        open: OpenEpisode,
        length: usize,
        columns: &mut BTreeMap<String, Column>,
    ) -> Result<(), ndarray::ShapeError> {
        let OpenEpisode { task: _, task_index, state, action } = open;
        let Embodiment { rate, proprioception, actions, .. } = &self.embodiment;
        let frames = || 0..length as i64;
        let times = frames().map(|frame| f64::from((frame as f64 / rate.as_hz()) as f32)).collect();
        let mut add = |name: &str, column| columns.insert(name.to_owned(), column);
        if !proprioception.is_empty() {
            add(STATE, Column::Float(shaped(state, proprioception.len())?));
        }
        add(ACTION, Column::Float(shaped(action, actions.len())?));
        let [timestamp, frame_index, episode_index, index, task] = STANDARD_COLUMNS;
        add(timestamp, Column::Float(shaped(times, 1)?));
        add(frame_index, Column::Integer(shaped(frames().collect(), 1)?));
        add(episode_index, Column::Integer(Array2::from_elem((length, 1), self.episodes as i64)));
        let first = self.frames as i64;
        add(index, Column::Integer(shaped(frames().map(|frame| first + frame).collect(), 1)?));
        add(task, Column::Integer(shaped(task_index, 1)?));
        Ok(())
    }
}

fn shaped<T>(values: Vec<T>, width: usize) -> Result<Array2<T>, ndarray::ShapeError> {
    Array2::from_shape_vec((values.len() / width.max(1), width), values)
}
