//! The tables of a dataset that is being written, one file after the other.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::error::{LogError, Place};
use super::info::Version;
use super::layout::{PathTemplate, PathValues};
use super::video_track::FileNumber;
use super::writer::LogSettings;

/// The data tables: one row group per episode.
#[derive(Debug, Default)]
pub(super) struct TableTrack {
    open: Option<(TableWriter, FileNumber)>,
    next: FileNumber,
    /// Uncompressed bytes in the open file.
    bytes: u64,
}

impl TableTrack {
    /// Appends an episode's rows; returns the file they went to.
    pub(super) fn append(
        &mut self,
        rows: &RecordBatch,
        root: &Path,
        template: &PathTemplate,
        settings: &LogSettings,
        episode: usize,
    ) -> Result<FileNumber, LogError> {
        let bytes = rows.get_array_memory_size() as u64;
        if self.open.is_some() && self.bytes + bytes >= settings.data_file_mb << 20 {
            self.close()?;
        }
        let (mut writer, number) = match self.open.take() {
            Some(open) => open,
            None => self.begin(rows, root, template, settings, episode)?,
        };
        writer.append(rows)?;
        self.bytes += bytes;
        match settings.version {
            Version::V30 => self.open = Some((writer, number)),
            Version::V21 => writer.finish()?,
        }
        Ok(number)
    }

    /// Starts the next file.
    fn begin(
        &mut self,
        rows: &RecordBatch,
        root: &Path,
        template: &PathTemplate,
        settings: &LogSettings,
        episode: usize,
    ) -> Result<(TableWriter, FileNumber), LogError> {
        let chunk = episode as u64 / settings.files_per_chunk;
        let number = match settings.version {
            Version::V30 => self.next,
            // Not used in the path but for the chunk, which is that of the episode.
            Version::V21 => FileNumber { chunk, file: 0 },
        };
        let FileNumber { chunk, file } = number;
        let values = PathValues { chunk, file, episode: episode as u64, video_key: "" };
        let path = template
            .fill(values)
            .map_err(|problem| Place::file(root).episode(episode).invalid(problem))?;
        self.next = number.next(settings.files_per_chunk);
        self.bytes = 0;
        Ok((TableWriter::create(&root.join(path), rows, &[])?, number))
    }

    /// Finishes the open file, if there is one.
    pub(super) fn close(&mut self) -> Result<(), LogError> {
        self.open.take().map_or(Ok(()), |(writer, _)| writer.finish())
    }
}

/// One Parquet file, compressed with Snappy; one row group per batch.
#[derive(Debug)]
pub(super) struct TableWriter {
    place: Place,
    writer: ArrowWriter<File>,
}

impl TableWriter {
    /// Starts a file with the columns of `like` and some metadata by key.
    pub(super) fn create(
        path: &Path,
        like: &RecordBatch,
        metadata: &[(&str, String)],
    ) -> Result<Self, LogError> {
        let place = Place::file(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(place.clone().io("create the folder of"))?;
        }
        let file = File::create(path).map_err(place.clone().io("create"))?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        // In the Arrow schema, not beside it: pyarrow looks nowhere else when there is one.
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let schema = like.schema().as_ref().clone().with_metadata(metadata.collect());
        let writer = ArrowWriter::try_new(file, Arc::new(schema), Some(properties))
            .map_err(|error| place.clone().table(error))?;
        Ok(Self { place, writer })
    }

    /// Appends a row group.
    pub(super) fn append(&mut self, rows: &RecordBatch) -> Result<(), LogError> {
        let Self { place, writer } = self;
        writer.write(rows).and_then(|()| writer.flush()).map_err(|error| place.clone().table(error))
    }

    /// Writes the footer, to the disk.
    pub(super) fn finish(self) -> Result<(), LogError> {
        let Self { place, writer } = self;
        let file = writer.into_inner().map_err(|error| place.clone().table(error))?;
        file.sync_all().map_err(place.io("write"))
    }
}
