//! Trial tables as Parquet.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, Float64Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::ChunkReader;

use super::columns::{Column, Header};
use super::row::{Collector, Row, Sink};
use super::{Limits, Place, Reading, Table, TableError, Trial, TrialTable};

/// The key of the format's number in a Parquet file's metadata.
pub const FORMAT_KEY: &str = "rehearse.format";

/// The format that is written, and the newest that is read.
const FORMAT: u32 = 1;

/// Rows that are decoded or encoded at a time.
pub(super) const BATCH: usize = 65_536;

/// Reads a table of either form; `file` names the source in errors.
///
/// Text columns may be of any string type, dictionaries included; numbers of any numeric type;
/// `success` may be boolean.
///
/// # Errors
/// [`TableError`], with the row and the column.
pub fn read_parquet<R>(source: R, file: &str, limits: &Limits) -> Result<Reading, TableError>
where
    R: ChunkReader + 'static,
{
    guarded(file, || {
        let metadata = load(&source, file)?;
        let rows = metadata.metadata().file_metadata().num_rows();
        if u64::try_from(rows).is_ok_and(|rows| rows > limits.rows) {
            return Err(TableError::TooLarge {
                what: "rows",
                limit: limits.rows,
                place: Place::file(file),
            });
        }
        let header = header(&metadata, file)?;
        let mut sink = Collector::new(file, header.form, *limits);
        visit(source, metadata, &header, file, limits, &mut sink)?;
        sink.finish(header.ignored)
    })
}

/// Runs `decode`, and makes an error of a panic: the decoder of the `parquet` crate has assertions
/// that damaged pages can fail. The panic's own message still goes to standard error.
pub(super) fn guarded<T>(
    file: &str,
    decode: impl FnOnce() -> Result<T, TableError>,
) -> Result<T, TableError> {
    // Nothing that `decode` may leave half-changed outlives it.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(TableError::Parquet {
            file: file.to_owned(),
            source: ParquetError::General(format!("damaged data: {text}")),
        })
    })
}

/// Writes `table`: all columns of its form, null where nothing is known, compressed with
/// Zstandard, the format's number under [`FORMAT_KEY`].
///
/// # Errors
/// [`TableError::Parquet`].
pub fn write_parquet(
    table: &Table,
    target: impl Write + Send,
    file: &str,
) -> Result<(), TableError> {
    let failed = |source| TableError::Parquet { file: file.to_owned(), source };
    let write = || {
        let properties = properties();
        let schema = Arc::new(schema(table));
        let mut writer = ArrowWriter::try_new(target, schema.clone(), Some(properties))?;
        match table {
            Table::Trials(table) => {
                for trials in table.trials().chunks(BATCH) {
                    writer.write(&RecordBatch::try_new(schema.clone(), trial_columns(trials))?)?;
                }
            }
            Table::Aggregate(table) => {
                let cells = table.cells();
                let columns: Vec<ArrayRef> = vec![
                    Arc::new(StringArray::from_iter_values(cells.iter().map(|c| &c.policy))),
                    Arc::new(StringArray::from_iter_values(cells.iter().map(|c| &c.task))),
                    Arc::new(Float64Array::from_iter_values(cells.iter().map(|c| c.rate))),
                    integers(cells.iter().map(|c| c.trials.map(|n| n as i64))),
                ];
                writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
            }
        }
        writer.close()?;
        Ok::<(), ParquetError>(())
    };
    write().map_err(failed)
}

/// A column of one's own beside those that have a meaning here, a value for each trial.
///
/// Readers of trial tables pass over it.
#[derive(Debug, Clone, PartialEq)]
pub enum ExtraColumn {
    /// Yes or no.
    Flag(Vec<Option<bool>>),
    /// Numbers.
    Number(Vec<Option<f64>>),
    /// Words.
    Text(Vec<Option<String>>),
}

/// Writes `table` as [`write_parquet`] does, with further columns behind its own.
///
/// # Errors
/// [`TableError::Parquet`], also if a column has more or fewer values than the table has trials.
pub fn write_parquet_with(
    table: &TrialTable,
    extra: &[(&str, ExtraColumn)],
    target: impl Write + Send,
    file: &str,
) -> Result<(), TableError> {
    let write = || {
        let mut fields = schema_of_trials();
        let mut columns = trial_columns(table.trials());
        for (name, column) in extra {
            let (kind, values): (_, ArrayRef) = match column {
                ExtraColumn::Flag(values) => {
                    (DataType::Boolean, Arc::new(BooleanArray::from(values.clone())))
                }
                ExtraColumn::Number(values) => {
                    (DataType::Float64, Arc::new(Float64Array::from(values.clone())))
                }
                ExtraColumn::Text(values) => {
                    (DataType::Utf8, Arc::new(StringArray::from(values.clone())))
                }
            };
            fields.push(Field::new(*name, kind, true));
            columns.push(values);
        }
        let schema = Arc::new(Schema::new(fields));
        let mut writer = ArrowWriter::try_new(target, schema.clone(), Some(properties()))?;
        let whole = RecordBatch::try_new(schema, columns)?;
        for start in (0..whole.num_rows()).step_by(BATCH) {
            writer.write(&whole.slice(start, BATCH.min(whole.num_rows() - start)))?;
        }
        writer.close()?;
        Ok::<(), ParquetError>(())
    };
    write().map_err(|source| TableError::Parquet { file: file.to_owned(), source })
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(vec![KeyValue::new(
            FORMAT_KEY.to_owned(),
            FORMAT.to_string(),
        )]))
        .build()
}

fn schema_of_trials() -> Vec<Field> {
    let field = |name, kind, nullable| Field::new(name, kind, nullable);
    vec![
        field("policy", DataType::Utf8, false),
        field("task", DataType::Utf8, false),
        field("scenario", DataType::Utf8, true),
        field("repeat", DataType::Int64, true),
        field("outcome", DataType::Utf8, false),
        field("success", DataType::Float64, true),
        field("length", DataType::Int64, true),
        field("reason", DataType::Utf8, true),
    ]
}

fn schema(table: &Table) -> Schema {
    let field = |name, kind, nullable| Field::new(name, kind, nullable);
    match table {
        Table::Trials(_) => Schema::new(schema_of_trials()),
        Table::Aggregate(_) => Schema::new(vec![
            field("policy", DataType::Utf8, false),
            field("task", DataType::Utf8, false),
            field("rate", DataType::Float64, false),
            field("trials", DataType::Int64, true),
        ]),
    }
}

fn trial_columns(trials: &[Trial]) -> Vec<ArrayRef> {
    let optional = |pick: fn(&Trial) -> Option<&str>| -> ArrayRef {
        Arc::new(trials.iter().map(pick).collect::<StringArray>())
    };
    vec![
        Arc::new(StringArray::from_iter_values(trials.iter().map(|t| &*t.policy))),
        Arc::new(StringArray::from_iter_values(trials.iter().map(|t| &*t.task))),
        optional(|t| t.scenario.as_deref()),
        integers(trials.iter().map(|t| t.repeat.map(i64::from))),
        Arc::new(StringArray::from_iter_values(trials.iter().map(|t| t.verdict.as_str()))),
        Arc::new(trials.iter().map(|t| t.verdict.score()).collect::<Float64Array>()),
        integers(trials.iter().map(|t| t.length.map(i64::from))),
        optional(|t| t.reason.as_deref()),
    ]
}

fn integers(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<arrow::array::Int64Array>())
}

/// Reads the footer and checks the format's number.
pub(super) fn load(
    source: &impl ChunkReader,
    file: &str,
) -> Result<ArrowReaderMetadata, TableError> {
    let metadata = ArrowReaderMetadata::load(source, ArrowReaderOptions::default())
        .map_err(|source| TableError::Parquet { file: file.to_owned(), source })?;
    let pairs = metadata.metadata().file_metadata().key_value_metadata();
    let format = pairs.and_then(|all| all.iter().find(|pair| pair.key == FORMAT_KEY));
    if let Some(got) = format.and_then(|pair| pair.value.as_deref())
        && !got.parse::<u32>().is_ok_and(|got| got <= FORMAT)
    {
        return Err(TableError::Format {
            got: got.to_owned(),
            expected: FORMAT,
            file: file.to_owned(),
        });
    }
    Ok(metadata)
}

pub(super) fn header(metadata: &ArrowReaderMetadata, file: &str) -> Result<Header, TableError> {
    Header::parse(metadata.schema().fields().iter().map(|f| f.name().as_str()), file)
}

/// Hands every row to `sink`, a batch in memory at a time.
pub(super) fn visit<R>(
    source: R,
    metadata: ArrowReaderMetadata,
    header: &Header,
    file: &str,
    limits: &Limits,
    sink: &mut impl Sink,
) -> Result<(), TableError>
where
    R: ChunkReader + 'static,
{
    let broken = |source| TableError::Parquet { file: file.to_owned(), source };
    let wanted = Column::ALL.into_iter().filter_map(|c| header.position(c));
    let mask = ProjectionMask::roots(metadata.parquet_schema(), wanted);
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source, metadata)
        .with_projection(mask)
        .with_batch_size(BATCH)
        .build()
        .map_err(broken)?;
    let mut before = 0;
    for batch in reader {
        let batch = batch.map_err(|source| broken(ParquetError::from(source)))?;
        let columns = Columns::of(&batch, file, before, limits)?;
        for index in 0..batch.num_rows() {
            sink.take(before + index as u64 + 1, &columns.row(index)?)?;
        }
        before += batch.num_rows() as u64;
    }
    Ok(())
}

/// The known columns of a batch, as text or as numbers.
struct Columns<'a> {
    texts: [Option<ArrayRef>; Column::ALL.len()],
    numbers: [Option<ArrayRef>; Column::ALL.len()],
    file: &'a str,
    before: u64,
    limits: &'a Limits,
}

impl<'a> Columns<'a> {
    fn of(
        batch: &RecordBatch,
        file: &'a str,
        before: u64,
        limits: &'a Limits,
    ) -> Result<Self, TableError> {
        let mut texts = [const { None }; Column::ALL.len()];
        let mut numbers = [const { None }; Column::ALL.len()];
        let schema = batch.schema();
        for column in Column::ALL {
            let named =
                |field: &Arc<Field>| field.name().trim().eq_ignore_ascii_case(column.name());
            let Some(index) = schema.fields().iter().position(named) else { continue };
            let array = batch.column(index);
            match column {
                Column::Policy
                | Column::Task
                | Column::Outcome
                | Column::Scenario
                | Column::Reason => {
                    texts[column as usize] = Some(as_text(array, column, file)?);
                }
                Column::Success
                | Column::Repeat
                | Column::Length
                | Column::Rate
                | Column::Trials => {
                    numbers[column as usize] = Some(as_number(array, column, file)?);
                }
            }
        }
        Ok(Self { texts, numbers, file, before, limits })
    }

    fn row(&self, index: usize) -> Result<Row<'_>, TableError> {
        Ok(Row {
            policy: self.text(Column::Policy, index)?,
            task: self.text(Column::Task, index)?,
            outcome: self.text(Column::Outcome, index)?,
            success: self.number(Column::Success, index),
            scenario: self.text(Column::Scenario, index)?,
            repeat: self.whole(Column::Repeat, index)?,
            length: self.whole(Column::Length, index)?,
            reason: self.text(Column::Reason, index)?,
            rate: self.number(Column::Rate, index),
            trials: self.whole(Column::Trials, index)?.map(u64::from),
        })
    }

    fn text(&self, column: Column, index: usize) -> Result<Option<&str>, TableError> {
        let Some(array) = &self.texts[column as usize] else { return Ok(None) };
        let array = array.as_string::<i32>();
        if array.is_null(index) {
            return Ok(None);
        }
        let text = array.value(index);
        if text.len() > self.limits.text {
            return Err(TableError::TooLarge {
                what: "bytes",
                limit: self.limits.text as u64,
                place: self.place(column, index),
            });
        }
        Ok((!text.is_empty()).then_some(text))
    }

    fn number(&self, column: Column, index: usize) -> Option<f64> {
        let array = self.numbers[column as usize].as_ref()?.as_primitive::<Float64Type>();
        (!array.is_null(index)).then(|| array.value(index))
    }

    /// A whole number; pandas keeps those as floats where some are missing.
    fn whole(&self, column: Column, index: usize) -> Result<Option<u32>, TableError> {
        let Some(value) = self.number(column, index) else { return Ok(None) };
        if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) {
            return Ok(Some(value as u32));
        }
        Err(TableError::Value {
            got: value.to_string(),
            expected: "a whole number from 0",
            place: self.place(column, index),
        })
    }

    fn place(&self, column: Column, index: usize) -> Place {
        Place::at(self.file, self.before + index as u64 + 1, column.name())
    }
}

fn as_text(array: &ArrayRef, column: Column, file: &str) -> Result<ArrayRef, TableError> {
    let inner = match array.data_type() {
        DataType::Dictionary(_, values) => values,
        other => other,
    };
    let fits = matches!(inner, DataType::Null)
        || matches!(inner, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        // Scenarios are often numbered.
        || (column == Column::Scenario && inner.is_integer());
    convert(array, &DataType::Utf8, fits, "text", column, file)
}

pub(super) fn as_number(
    array: &ArrayRef,
    column: Column,
    file: &str,
) -> Result<ArrayRef, TableError> {
    let kind = array.data_type();
    let fits = matches!(kind, DataType::Null)
        || kind.is_numeric()
        || (column == Column::Success && *kind == DataType::Boolean);
    convert(array, &DataType::Float64, fits, "a number", column, file)
}

fn convert(
    array: &ArrayRef,
    to: &DataType,
    fits: bool,
    expected: &'static str,
    column: Column,
    file: &str,
) -> Result<ArrayRef, TableError> {
    let wrong = || TableError::ColumnType {
        got: array.data_type().to_string(),
        expected,
        place: Place::column(file, column.name()),
    };
    if !fits {
        return Err(wrong());
    }
    if array.data_type() == to {
        return Ok(array.clone());
    }
    cast(array, to).map_err(|source| TableError::Parquet {
        file: file.to_owned(),
        source: ParquetError::from(source),
    })
}
