//! Counting a Parquet file's trials, row groups in parallel, in bounded memory.
//!
//! Only the columns that matter are decoded, policy, task and outcome as dictionary indices, so
//! that a row costs a few table look-ups and no text is compared. Row groups are counted apart and
//! merged in the file's order: sums of partial credits are the same at any number of threads.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use rayon::prelude::*;

use super::columns::{Column, Form};
use super::parquet::{BATCH, as_number, guarded, header, load, visit};
use super::row::{Counter, verdict};
use super::{Limits, Place, Summary, TableError, Tally, Verdict};

/// Row groups per thread between two merges: enough to keep threads busy, few enough to bound
/// what waits to be merged.
const GROUPS_PER_THREAD: usize = 16;

/// Above this many pairs in a batch a table of all pairs costs more than looking them up.
const DENSE: usize = 1 << 14;

/// Counts the trials in the Parquet file at `path` by policy and task.
///
/// Memory grows with the number of policies and tasks and of threads (rayon's), not of rows: one
/// batch of 65,536 rows per thread is decoded at a time. Trials that appear twice are not
/// noticed, for that would need all of them; [`read`](super::read) notices.
///
/// # Errors
/// [`TableError`]; [`TableError::NeedsTrials`] for an aggregated table.
pub fn summarise_parquet(path: &Path, limits: &Limits) -> Result<Summary, TableError> {
    let name = path.display().to_string();
    guarded(&name, || count(path, &name, limits))
}

fn count(path: &Path, name: &str, limits: &Limits) -> Result<Summary, TableError> {
    let metadata = load(&open(path)?, name)?;
    let header = header(&metadata, name)?;
    if header.form == Form::Aggregate {
        return Err(TableError::NeedsTrials { needs: "a summary", file: name.to_owned() });
    }
    let Some(metadata) = with_dictionaries(&metadata) else {
        // Columns of unusual types: slower, row by row.
        let mut sink = Counter::new(name, *limits);
        visit(open(path)?, metadata, &header, name, limits, &mut sink)?;
        return sink.finish();
    };
    let scan = Scan { path, name, metadata: &metadata, limits };
    let groups: Vec<usize> = (0..metadata.metadata().num_row_groups()).collect();
    let starts: Vec<u64> = metadata
        .metadata()
        .row_groups()
        .iter()
        .scan(0, |sum, group| {
            let start = *sum;
            *sum += u64::try_from(group.num_rows()).unwrap_or(0);
            Some(start)
        })
        .collect();
    let mut total = Shard::default();
    for wave in groups.chunks(GROUPS_PER_THREAD * rayon::current_num_threads()) {
        let shards: Vec<Result<Shard, TableError>> =
            wave.par_iter().map(|&group| scan.group(group, starts[group])).collect();
        for shard in shards {
            total.merge(&shard?, &scan)?;
        }
    }
    total.finish(name)
}

fn open(path: &Path) -> Result<File, TableError> {
    File::open(path).map_err(|source| TableError::Io {
        action: "open",
        file: path.display().to_string(),
        source,
    })
}

/// The same file with its names read as dictionaries; none if they are not text.
fn with_dictionaries(metadata: &ArrowReaderMetadata) -> Option<ArrowReaderMetadata> {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let is_text =
        |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let mut fields = Vec::new();
    for field in metadata.schema().fields() {
        let known = [Column::Policy, Column::Task, Column::Outcome]
            .into_iter()
            .any(|c| field.name().trim().eq_ignore_ascii_case(c.name()));
        if !known {
            fields.push(field.clone());
            continue;
        }
        let text = match field.data_type() {
            DataType::Dictionary(_, values) => is_text(values),
            kind => is_text(kind),
        };
        if !text {
            return None;
        }
        let (name, nullable) = (field.name(), field.is_nullable());
        fields.push(Arc::new(Field::new(name, dictionary.clone(), nullable)));
    }
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    ArrowReaderMetadata::try_new(metadata.metadata().clone(), options).ok()
}

struct Scan<'a> {
    path: &'a Path,
    name: &'a str,
    metadata: &'a ArrowReaderMetadata,
    limits: &'a Limits,
}

impl Scan<'_> {
    /// Counts one row group, whose first row is preceded by `before` others.
    fn group(&self, group: usize, before: u64) -> Result<Shard, TableError> {
        let broken = |source| TableError::Parquet { file: self.name.to_owned(), source };
        let wanted = [Column::Policy, Column::Task, Column::Outcome, Column::Success];
        let fields = self.metadata.schema().fields();
        let positions = fields.iter().enumerate().filter_map(|(index, field)| {
            let name = field.name().trim();
            wanted.iter().any(|c| name.eq_ignore_ascii_case(c.name())).then_some(index)
        });
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), positions);
        // Each thread opens the file anew: copies of one handle share their position.
        let file = open(self.path)?;
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_projection(mask)
                .with_row_groups(vec![group])
                .with_batch_size(BATCH)
                .build()
                .map_err(broken)?;
        let mut shard = Shard::default();
        let mut row = before;
        for batch in reader {
            let batch = batch.map_err(|source| broken(ParquetError::from(source)))?;
            self.batch(&batch, row, &mut shard)?;
            row += batch.num_rows() as u64;
        }
        Ok(shard)
    }

    fn batch(&self, batch: &RecordBatch, before: u64, shard: &mut Shard) -> Result<(), TableError> {
        let column = |column: Column| batch_column(batch, column);
        let policy =
            self.names(column(Column::Policy), Column::Policy, before, &mut shard.policies)?;
        let task = self.names(column(Column::Task), Column::Task, before, &mut shard.tasks)?;
        let outcome = column(Column::Outcome).map(Words::of);
        let success = column(Column::Success)
            .map(|array| as_number(array, Column::Success, self.name))
            .transpose()?;
        let scores = success.as_deref().map(AsArray::as_primitive::<Float64Type>);
        let verdict_of = |row: usize| {
            let word = outcome.as_ref().and_then(|words| words.at(row));
            let score = scores.filter(|s| s.is_valid(row)).map(|s| s.value(row));
            verdict(word, score, self.name, before + row as u64 + 1)
        };
        // The usual cases, without a branch per column.
        let plain = |row: usize| -> Option<Verdict> {
            match (&outcome, scores) {
                (Some(words), None) => words.verdict(row),
                (None, Some(scores)) if scores.null_count() == 0 => {
                    Verdict::from_score(scores.value(row))
                }
                (Some(words), Some(scores)) => {
                    let word = words.verdict(row)?;
                    let score = scores.is_valid(row).then(|| scores.value(row));
                    (word.score() == score).then_some(word)
                }
                _ => None,
            }
        };
        let width = task.ids.len();
        let pairs = policy.ids.len() * width;
        let mut dense = vec![Tally::default(); if pairs <= DENSE { pairs } else { 0 }];
        for row in 0..batch.num_rows() {
            let verdict = match plain(row) {
                Some(verdict) => verdict,
                None => verdict_of(row)?,
            };
            let (p, t) = (policy.keys[row] as usize, task.keys[row] as usize);
            if dense.is_empty() {
                shard.tally(policy.ids[p], task.ids[t]).add(verdict);
            } else {
                dense[p * width + t].add(verdict);
            }
        }
        for (cell, tally) in dense.iter().enumerate().filter(|(_, tally)| tally.total() > 0) {
            shard.tally(policy.ids[cell / width], task.ids[cell % width]).merge(tally);
        }
        self.check(shard)
    }

    /// A column of names: the index of each row into its dictionary, and the shard's number for
    /// each entry.
    fn names<'b>(
        &self,
        array: Option<&'b ArrayRef>,
        column: Column,
        before: u64,
        names: &mut Names,
    ) -> Result<Keys<'b>, TableError> {
        let Some(dictionary) = array.and_then(|a| a.as_dictionary_opt::<Int32Type>()) else {
            return Err(TableError::Parquet {
                file: self.name.to_owned(),
                source: ParquetError::General(format!("column `{}` was lost", column.name())),
            });
        };
        let values = dictionary.values().as_string::<i32>();
        let keys = dictionary.keys();
        let blank = |row: usize| TableError::Blank {
            hint: "",
            place: Place::at(self.name, before + row as u64 + 1, column.name()),
        };
        if keys.null_count() > 0 {
            let row = (0..keys.len()).find(|&row| keys.is_null(row)).unwrap_or(0);
            return Err(blank(row));
        }
        let mut ids = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let text = value.unwrap_or("");
            if text.len() > self.limits.text {
                return Err(TableError::TooLarge {
                    what: "bytes",
                    limit: self.limits.text as u64,
                    place: Place::column(self.name, column.name()),
                });
            }
            if text.is_empty()
                && let Some(row) = keys.values().iter().position(|&key| key as usize == index)
            {
                return Err(blank(row));
            }
            ids.push(names.id(text));
        }
        Ok(Keys { keys: keys.values(), ids })
    }

    fn check(&self, shard: &Shard) -> Result<(), TableError> {
        if shard.tallies.len() > self.limits.cells {
            return Err(TableError::TooLarge {
                what: "pairs of policy and task",
                limit: self.limits.cells as u64,
                place: Place::file(self.name),
            });
        }
        Ok(())
    }
}

fn batch_column(batch: &RecordBatch, column: Column) -> Option<&ArrayRef> {
    let schema = batch.schema_ref();
    let index = schema
        .fields()
        .iter()
        .position(|field| field.name().trim().eq_ignore_ascii_case(column.name()))?;
    Some(batch.column(index))
}

struct Keys<'a> {
    keys: &'a [i32],
    ids: Vec<u32>,
}

/// The column `outcome`, each dictionary entry looked up once.
struct Words<'a> {
    array: &'a arrow::array::DictionaryArray<Int32Type>,
    values: &'a StringArray,
    verdicts: Vec<Option<Verdict>>,
}

impl<'a> Words<'a> {
    fn of(array: &'a ArrayRef) -> Self {
        let array = array.as_dictionary::<Int32Type>();
        let values = array.values().as_string::<i32>();
        let verdicts = values.iter().map(|word| word.and_then(Verdict::from_word)).collect();
        Self { array, values, verdicts }
    }

    /// The word in `row`; none if null or blank.
    fn at(&self, row: usize) -> Option<&str> {
        let key = self.array.key(row)?;
        let word = self.values.is_valid(key).then(|| self.values.value(key))?;
        (!word.is_empty()).then_some(word)
    }

    fn verdict(&self, row: usize) -> Option<Verdict> {
        let keys = self.array.keys();
        if keys.is_null(row) {
            return None;
        }
        self.verdicts.get(keys.value(row) as usize).copied().flatten()
    }
}

/// Names by number of first appearance.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    fn id(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.numbers.get(name) {
            return id;
        }
        let id = self.names.len() as u32;
        self.numbers.insert(name.to_owned(), id);
        self.names.push(name.to_owned());
        id
    }
}

/// What one row group holds; also the sum of several.
#[derive(Default)]
struct Shard {
    policies: Names,
    tasks: Names,
    slots: HashMap<(u32, u32), usize>,
    tallies: Vec<((u32, u32), Tally)>,
}

impl Shard {
    fn tally(&mut self, policy: u32, task: u32) -> &mut Tally {
        let key = (policy, task);
        let next = self.tallies.len();
        let slot = *self.slots.entry(key).or_insert(next);
        if slot == next {
            self.tallies.push((key, Tally::default()));
        }
        &mut self.tallies[slot].1
    }

    fn merge(&mut self, other: &Self, scan: &Scan<'_>) -> Result<(), TableError> {
        for ((policy, task), tally) in &other.tallies {
            let policy = self.policies.id(&other.policies.names[*policy as usize]);
            let task = self.tasks.id(&other.tasks.names[*task as usize]);
            self.tally(policy, task).merge(tally);
        }
        scan.check(self)
    }

    fn finish(self, file: &str) -> Result<Summary, TableError> {
        if self.tallies.is_empty() {
            return Err(TableError::Empty { file: file.to_owned() });
        }
        let name = |names: &Names, id: u32| names.names[id as usize].clone();
        let cells: BTreeMap<_, _> = self
            .tallies
            .iter()
            .map(|((p, t), tally)| ((name(&self.policies, *p), name(&self.tasks, *t)), *tally))
            .collect();
        Ok(Summary::from_map(cells))
    }
}
