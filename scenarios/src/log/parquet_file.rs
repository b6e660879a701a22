//! One Parquet file: some rows of some columns, in batches, in bounded memory.

use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use super::error::{LogError, Place};
use super::thrift;

/// Most rows in a batch, and about how many values where rows are wide.
const BATCH_ROWS: usize = 1024;
const BATCH_VALUES: usize = 1 << 20;

/// An open Parquet file: its footer, not its data. Clones share the footer.
#[derive(Clone, Debug)]
pub(super) struct ParquetFile {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    /// Reads the footer.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let place = || Place::file(path);
        let mut file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => place().missing(),
            _ => place().io("read")(error),
        })?;
        thrift::check_footer(&mut file, path)?;
        // The Arrow schema that some writers embed is not needed, and one thing less to trust.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = guarded(path, || {
            ArrowReaderMetadata::load(&file, options).map_err(|error| place().table(error))
        })?;
        let this = Self { path: path.to_owned(), metadata };
        let counted: i64 = this.metadata.metadata().row_groups().iter().fold(0, |rows, group| {
            if group.num_rows() < 0 { i64::MIN } else { rows.saturating_add(group.num_rows()) }
        });
        let stated = this.metadata.metadata().file_metadata().num_rows();
        if counted != stated || stated < 0 {
            return Err(place().mismatch("rows of the row groups", stated, counted));
        }
        Ok(this)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Rows in the file, as its footer states.
    pub(super) fn rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().unsigned_abs()
    }

    /// The columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// Streams `rows` of `columns`, which come in the order of the file. `width` is that of the
    /// widest column, in values per row.
    pub(super) fn read(
        &self,
        columns: &[&str],
        rows: Range<u64>,
        width: usize,
    ) -> Result<Batches, LogError> {
        let place = || Place::file(&self.path);
        if rows.end > self.rows() || rows.start > rows.end {
            return Err(place().mismatch("rows", format!("at least {}", rows.end), self.rows()));
        }
        let schema = self.metadata.schema();
        let roots = columns
            .iter()
            .map(|column| {
                schema.index_of(column).map_err(|_absent| place().field(*column).missing())
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (groups, first_row) = self.groups_of(&rows);
        let mut file = File::open(&self.path).map_err(place().io("read"))?;
        thrift::check_pages(&mut file, &self.path, self.metadata.metadata(), &groups, &roots)?;
        let reader = guarded(&self.path, || {
            let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots);
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_projection(mask)
                .with_row_groups(groups)
                .with_batch_size((BATCH_VALUES / width.max(1)).clamp(1, BATCH_ROWS))
                .with_offset((rows.start - first_row) as usize)
                .with_limit((rows.end - rows.start) as usize)
                .build()
                .map_err(|error| place().table(error))
        })?;
        Ok(Batches { path: self.path.clone(), reader: Some(reader) })
    }

    /// The row groups that hold `rows`, and the first row of the first of them.
    fn groups_of(&self, rows: &Range<u64>) -> (Vec<usize>, u64) {
        let mut groups = Vec::new();
        let mut first_row = rows.start;
        let mut from = 0;
        for (index, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let to = from + group.num_rows().unsigned_abs();
            if from < rows.end && to > rows.start {
                if groups.is_empty() {
                    first_row = from;
                }
                groups.push(index);
            }
            from = to;
        }
        (groups, first_row)
    }
}

/// Batches of rows. Ends after the first error.
pub(super) struct Batches {
    path: PathBuf,
    reader: Option<ParquetRecordBatchReader>,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let batch = guarded(&self.path, || {
            reader.next().transpose().map_err(|error| Place::file(&self.path).table(error))
        });
        if batch.is_err() {
            self.reader = None;
        }
        batch.transpose()
    }
}

/// Runs the Parquet decoder. On damaged pages it may panic, which is an error like any other here.
fn guarded<T>(path: &Path, decode: impl FnOnce() -> Result<T, LogError>) -> Result<T, LogError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_panic| {
        Err(Place::file(path).invalid("the pages are damaged: the decoder gave up on them"))
    })
}
