//! Why a robot log cannot be read or written.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::embodiment::EmbodimentError;
use crate::video::VideoError;

/// Where in a robot log something is: the file, and where they apply the episode and the field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file or folder.
    pub file: PathBuf,
    /// Index of the episode.
    pub episode: Option<usize>,
    /// The field: a key of a JSON file, a column of a table, a feature.
    pub field: Option<String>,
}

impl Place {
    /// A whole file or folder.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), episode: None, field: None }
    }

    /// The same place, narrowed to an episode.
    #[must_use]
    pub fn episode(mut self, episode: usize) -> Self {
        self.episode = Some(episode);
        self
    }

    /// The same place, narrowed to a field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub(super) fn invalid(self, problem: impl Into<String>) -> LogError {
        LogError::Invalid { place: Box::new(self), problem: problem.into() }
    }

    pub(super) fn missing(self) -> LogError {
        LogError::Missing { place: Box::new(self) }
    }

    pub(super) fn mismatch(
        self,
        what: &'static str,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> LogError {
        LogError::Mismatch {
            place: Box::new(self),
            what,
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    pub(super) fn too_large(self, what: &'static str, limit: u64, got: u64) -> LogError {
        LogError::TooLarge { place: Box::new(self), what, limit, got }
    }

    pub(super) fn io(self, action: &'static str) -> impl FnOnce(std::io::Error) -> LogError {
        move |source| LogError::Io { action, place: Box::new(self), source }
    }

    pub(super) fn table(self, source: impl Error + Send + Sync + 'static) -> LogError {
        LogError::Table { place: Box::new(self), source: Box::new(source) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, episode, field } = self;
        if let Some(field) = field {
            write!(f, "`{field}` ")?;
        }
        if let Some(episode) = episode {
            write!(f, "of episode {episode} ")?;
        }
        write!(f, "in {}", file.display())
    }
}

/// Why a robot log cannot be read or written. Names the file, and where they apply the episode
/// and the field; see [`LogError::place`].
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("cannot {action} {place}")]
    Io {
        /// What was tried: `read`, `write`, `rename`.
        action: &'static str,
        /// Where.
        place: Box<Place>,
        /// The reason.
        source: std::io::Error,
    },
    /// A file is no JSON, or lacks a key, or a key has another type than it should.
    #[error("malformed JSON {place}: {source}")]
    Json {
        /// Where.
        place: Box<Place>,
        /// The reason, with line and column.
        source: serde_json::Error,
    },
    /// A CSV file is malformed.
    #[error("malformed CSV {place}: {source}")]
    Csv {
        /// Where.
        place: Box<Place>,
        /// The reason, with the line.
        source: csv::Error,
    },
    /// A Parquet file cannot be read or written: no footer, broken pages, another type.
    #[error("malformed Parquet {place}: {source}")]
    Table {
        /// Where.
        place: Box<Place>,
        /// The reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A video cannot be read or written.
    #[error("{place}: {source}")]
    Video {
        /// Where.
        place: Box<Place>,
        /// The reason.
        source: VideoError,
    },
    /// A value is not what it may be.
    #[error("{problem}, {place}")]
    Invalid {
        /// Where.
        place: Box<Place>,
        /// What is wrong with it.
        problem: String,
    },
    /// Something that must be there is not.
    #[error("missing: {place}")]
    Missing {
        /// What is missing, and where.
        place: Box<Place>,
    },
    /// Two statements about the same thing differ.
    #[error("{what}: expected {expected}, got {got}, {place}")]
    Mismatch {
        /// Where the second statement stands.
        place: Box<Place>,
        /// What is compared.
        what: &'static str,
        /// What the rest of the log says.
        expected: String,
        /// What stands here.
        got: String,
    },
    /// A size that no sane log has, refused before memory is set aside for it.
    #[error("{what} of {got} is above the limit of {limit}, {place}")]
    TooLarge {
        /// Where.
        place: Box<Place>,
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What was stated.
        got: u64,
    },
    /// A state or an action that is NaN or infinite.
    #[error("value {value} at frame {frame}, dimension {dimension} is not finite, {place}")]
    NotFinite {
        /// Where.
        place: Box<Place>,
        /// Frame within the episode, from 0.
        frame: usize,
        /// Dimension, from 0.
        dimension: usize,
        /// The value.
        value: f64,
    },
    /// A path template that cannot be used, or leads out of the dataset's folder.
    #[error("path template {template:?} {problem}, {place}")]
    Template {
        /// Where.
        place: Box<Place>,
        /// The template.
        template: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The facts of the rig contradict themselves.
    #[error("{source}, {place}")]
    Embodiment {
        /// Where.
        place: Box<Place>,
        /// The contradiction.
        source: EmbodimentError,
    },
    /// An episode that the log does not have.
    #[error("there is no episode {episode}: the log has {episodes}, in {}", folder.display())]
    NoEpisode {
        /// The log's folder.
        folder: PathBuf,
        /// What was asked for.
        episode: usize,
        /// Episodes in the log.
        episodes: usize,
    },
    /// A frame that the episode does not have.
    #[error("there is no frame {frame}: the episode has {frames}, {place}")]
    NoFrame {
        /// The episode.
        place: Box<Place>,
        /// What was asked for.
        frame: usize,
        /// Frames in the episode.
        frames: usize,
    },
    /// A camera that the log does not have.
    #[error("there is no camera {camera:?}: the log has {cameras:?}, in {}", folder.display())]
    NoCamera {
        /// The log's folder.
        folder: PathBuf,
        /// What was asked for.
        camera: String,
        /// The cameras of the log.
        cameras: Vec<String>,
    },
}

impl LogError {
    /// The file or folder that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::NoEpisode { folder, .. } | Self::NoCamera { folder, .. } => folder,
            _ => self.place().map_or(Path::new(""), |place| &place.file),
        }
    }

    /// Where the error is; `None` where the fault is the caller's: an episode or a camera that the
    /// log does not have.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Io { place, .. }
            | Self::Json { place, .. }
            | Self::Csv { place, .. }
            | Self::Table { place, .. }
            | Self::Video { place, .. }
            | Self::Invalid { place, .. }
            | Self::Missing { place }
            | Self::Mismatch { place, .. }
            | Self::TooLarge { place, .. }
            | Self::NotFinite { place, .. }
            | Self::Template { place, .. }
            | Self::Embodiment { place, .. }
            | Self::NoFrame { place, .. } => Some(place),
            Self::NoEpisode { .. } | Self::NoCamera { .. } => None,
        }
    }

    /// The same error, with its place narrowed to an episode.
    #[must_use]
    pub(super) fn of_episode(mut self, index: usize) -> Self {
        if let Self::Io { place, .. }
        | Self::Json { place, .. }
        | Self::Csv { place, .. }
        | Self::Table { place, .. }
        | Self::Video { place, .. }
        | Self::Invalid { place, .. }
        | Self::Missing { place }
        | Self::Mismatch { place, .. }
        | Self::TooLarge { place, .. }
        | Self::NotFinite { place, .. }
        | Self::Template { place, .. }
        | Self::Embodiment { place, .. }
        | Self::NoFrame { place, .. } = &mut self
        {
            place.episode = Some(index);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_file_episode_and_field() {
        let place = Place::file("meta/trials.csv").episode(3).field("length");
        assert_eq!(
            place.mismatch("frames", 10, 9).to_string(),
            "frames: expected 10, got 9, `length` of episode 3 in meta/trials.csv"
        );
    }
}
