//! Robot logs in and out: LeRobotDataset v2.1 and v3.0.
//!
//! # What this module does
//! - [`RobotLog`] opens a dataset: embodiment, episodes, tasks, real results
//!   (`meta/trials.csv`), and on demand the [`EpisodeTable`] of an episode and any frame of any
//!   camera.
//! - [`check()`] finds every problem of a dataset at once.
//! - [`LogWriter`] writes a dataset, whole or not at all; [`convert()`] rewrites one: another
//!   version, another size of images, a part of the episodes.
//!
//! # What this module does not do
//! It never talks to a hub, keeps no cache on disk, and guesses nothing: what a log does not state
//! stays unstated.
//!
//! # Trust
//! A log may come from anywhere. Path templates cannot leave the folder, claimed sizes are checked
//! before memory is set aside for them, and damaged files are errors, never panics.

mod arrays;
mod check;
mod column;
mod convert;
mod episode_track;
mod episodes;
mod error;
mod feature;
mod files;
mod frames;
mod info;
mod layout;
mod legacy;
mod metadata;
mod parquet_file;
mod partial_folder;
mod rig;
mod robot_log;
mod schema;
mod stats;
mod table;
mod table_track;
mod tasks;
mod thrift;
mod trials;
mod video_track;
mod writer;

pub use check::{Problem, check};
pub use column::Column;
pub use convert::{ConvertOptions, convert};
pub use episodes::EpisodeMeta;
pub use error::{LogError, Place};
pub use feature::{Dtype, Feature};
pub use frames::Frames;
pub use info::{Info, Version};
pub use layout::{PathTemplate, PathValues};
pub use robot_log::RobotLog;
pub use table::EpisodeTable;
pub use trials::TrialRow;
pub use writer::{EpisodeEnd, Frame, LogSettings, LogWriter, LogWritten};
