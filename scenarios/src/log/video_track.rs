//! One camera of a dataset that is being written: its video files, one after the other.

use std::path::Path;

use super::error::{LogError, Place};
use super::info::Version;
use super::layout::{PathTemplate, PathValues};
use super::stats::{PixelCounts, Stats};
use super::writer::LogSettings;
use crate::observation::Image;
use crate::video::{VideoError, VideoSettings, VideoWriter};

/// One camera's video files.
#[derive(Debug)]
pub(super) struct VideoTrack {
    /// The camera's name, and its feature.
    pub(super) camera: String,
    pub(super) feature: String,
    settings: VideoSettings,
    open: Option<OpenVideo>,
    /// Chunk and file of the next file to open.
    next: FileNumber,
    pixels: PixelCounts,
}

#[derive(Debug)]
struct OpenVideo {
    writer: VideoWriter,
    folder: std::path::PathBuf,
    number: FileNumber,
    /// Frames in the file, and how many of them came before the current episode.
    frames: usize,
    before: usize,
    /// Bytes of the largest episode so far, as far as it is known.
    largest: u64,
    /// Bytes when the current episode began.
    bytes_before: u64,
}

/// Chunk and file within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileNumber {
    pub(super) chunk: u64,
    pub(super) file: u64,
}

impl FileNumber {
    /// The number of the file after this one.
    pub(super) const fn next(self, files_per_chunk: u64) -> Self {
        if self.file + 1 >= files_per_chunk {
            Self { chunk: self.chunk + 1, file: 0 }
        } else {
            Self { chunk: self.chunk, file: self.file + 1 }
        }
    }
}

/// Where the episode that has ended lies in this camera's video.
#[derive(Clone, Debug)]
pub(super) struct TrackSpan {
    pub(super) number: FileNumber,
    pub(super) from_secs: f64,
    pub(super) to_secs: f64,
    pub(super) stats: Stats,
}

impl VideoTrack {
    pub(super) fn new(camera: &str, feature: &str, settings: VideoSettings) -> Self {
        Self {
            camera: camera.to_owned(),
            feature: feature.to_owned(),
            settings,
            open: None,
            next: FileNumber::default(),
            pixels: PixelCounts::new(),
        }
    }

    /// Makes ready for an episode: goes on in the open file, or opens the next one.
    pub(super) fn begin(
        &mut self,
        root: &Path,
        template: &PathTemplate,
        settings: &LogSettings,
        episode: usize,
    ) -> Result<(), LogError> {
        self.pixels = PixelCounts::new();
        if let Some(open) = &mut self.open {
            let bytes = bytes_being_written(&open.folder)?;
            open.largest = open.largest.max(bytes - open.bytes_before.min(bytes));
            open.bytes_before = bytes;
            open.before = open.frames;
            if bytes + open.largest >= settings.video_file_mb << 20 {
                self.close()?;
            }
        }
        if self.open.is_some() {
            return Ok(());
        }
        let number = match settings.version {
            Version::V30 => self.next,
            // Not used in the path; the chunk is that of the episode.
            Version::V21 => {
                FileNumber { chunk: episode as u64 / settings.files_per_chunk, file: 0 }
            }
        };
        let values = PathValues {
            chunk: number.chunk,
            file: number.file,
            episode: episode as u64,
            video_key: &self.feature,
        };
        let place = || Place::file(root).episode(episode).field(&self.feature);
        let path = root.join(template.fill(values).map_err(|problem| place().invalid(problem))?);
        let folder = path.parent().unwrap_or(root).to_owned();
        std::fs::create_dir_all(&folder).map_err(place().io("create the folder of"))?;
        let writer = VideoWriter::create(&path, self.settings.clone())
            .map_err(|source| LogError::Video { place: Box::new(place()), source })?;
        self.next = number.next(settings.files_per_chunk);
        self.open = Some(OpenVideo {
            writer,
            folder,
            number,
            frames: 0,
            before: 0,
            largest: 0,
            bytes_before: 0,
        });
        Ok(())
    }

    /// Appends a frame of the current episode.
    pub(super) fn push(&mut self, image: &Image) -> Result<(), VideoError> {
        if let Some(open) = &mut self.open {
            open.writer.push(image)?;
            open.frames += 1;
            self.pixels.add(image);
        }
        Ok(())
    }

    /// Ends the episode; `None` if there was none.
    pub(super) fn end(&mut self, version: Version) -> Result<Option<TrackSpan>, LogError> {
        let Some(open) = &self.open else { return Ok(None) };
        let rate = self.settings.rate.as_hz();
        let span = TrackSpan {
            number: open.number,
            from_secs: open.before as f64 / rate,
            to_secs: open.frames as f64 / rate,
            stats: self.pixels.stats(),
        };
        if version == Version::V21 {
            self.close()?;
        }
        Ok(Some(span))
    }

    /// Finishes the open file, if there is one.
    pub(super) fn close(&mut self) -> Result<(), LogError> {
        if let Some(OpenVideo { writer, folder, .. }) = self.open.take() {
            writer.finish().map_err(|source| LogError::Video {
                place: Box::new(Place::file(folder).field(&self.feature)),
                source,
            })?;
        }
        Ok(())
    }
}

/// Bytes of the one file in a folder that is still being written.
///
/// It has another name until it is finished, and nobody else writes in the folder.
fn bytes_being_written(folder: &Path) -> Result<u64, LogError> {
    let place = || Place::file(folder);
    let mut bytes = 0;
    for file in std::fs::read_dir(folder).map_err(place().io("read"))? {
        let file = file.map_err(place().io("read"))?;
        if file.path().extension().is_some_and(|extension| extension == "partial") {
            bytes += file.metadata().map_err(place().io("read"))?.len();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_chunk_is_followed_by_the_next() {
        let first = FileNumber::default();
        assert_eq!(first.next(2), FileNumber { chunk: 0, file: 1 });
        assert_eq!(first.next(2).next(2), FileNumber { chunk: 1, file: 0 });
        assert_eq!(first.next(1), FileNumber { chunk: 1, file: 0 });
    }
}
