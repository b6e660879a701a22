//! What can be wrong with a trial table, and where.

use std::fmt;
use std::io;

/// Where in a table something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, or what stands for it.
    pub file: String,
    /// The row, counted from 1, the header not counted; none if the whole file is meant.
    pub row: Option<u64>,
    /// The column's name; none if the whole row is meant.
    pub column: Option<&'static str>,
}

impl Place {
    pub(super) fn file(file: &str) -> Self {
        Self { file: file.to_owned(), row: None, column: None }
    }

    pub(super) fn at(file: &str, row: u64, column: &'static str) -> Self {
        Self { file: file.to_owned(), row: Some(row), column: Some(column) }
    }

    pub(super) fn row(file: &str, row: u64) -> Self {
        Self { file: file.to_owned(), row: Some(row), column: None }
    }

    pub(super) fn column(file: &str, column: &'static str) -> Self {
        Self { file: file.to_owned(), row: None, column: Some(column) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(row) = self.row {
            write!(f, ", row {row}")?;
        }
        if let Some(column) = self.column {
            write!(f, ", column `{column}`")?;
        }
        Ok(())
    }
}

/// Why a trial table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file could not be opened, read or written.
    #[error("cannot {action} trial table: {file}")]
    Io {
        /// What was being done: `open`, `read`, `write`.
        action: &'static str,
        /// The file.
        file: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The text is not CSV.
    #[error("not readable as CSV: {place}")]
    Csv {
        /// Where.
        place: Place,
        /// The parser's reason.
        #[source]
        source: csv::Error,
    },
    /// The bytes are not Parquet.
    #[error("not readable as Parquet: {file}")]
    Parquet {
        /// The file.
        file: String,
        /// The reader's reason.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A Parquet column has a type that its meaning does not allow.
    #[error("column has type {got}, expected {expected}: {place}")]
    ColumnType {
        /// The type found.
        got: String,
        /// What would do.
        expected: &'static str,
        /// Where.
        place: Place,
    },
    /// The table was written in a later format.
    #[error("trial table has format {got}, this version reads up to {expected}: {file}")]
    Format {
        /// The format found.
        got: String,
        /// The newest one known.
        expected: u32,
        /// The file.
        file: String,
    },
    /// A needed column is not there.
    #[error("no column {expected}; the columns are {got}: {file}")]
    MissingColumn {
        /// What is needed.
        expected: &'static str,
        /// The columns found.
        got: String,
        /// The file.
        file: String,
    },
    /// Two columns have the same name.
    #[error("column appears twice: {place}")]
    DuplicateColumn {
        /// Where.
        place: Place,
    },
    /// The table has both the columns of a table of trials and of an aggregated one.
    #[error(
        "columns `rate` and `{other}` together: give one row per trial (`outcome` or `success`) \
         or aggregated rows (`rate`, `trials`), not both: {file}"
    )]
    Ambiguous {
        /// The column that does not go with `rate`.
        other: &'static str,
        /// The file.
        file: String,
    },
    /// The other form of the table was wanted.
    #[error("aggregated rates given, but {needs} needs one row per trial: {file}")]
    NeedsTrials {
        /// What needs trials.
        needs: &'static str,
        /// The file.
        file: String,
    },
    /// There is a header and nothing else, or nothing at all.
    #[error("table has no rows: {file}")]
    Empty {
        /// The file.
        file: String,
    },
    /// A needed value is blank.
    #[error("value is missing{hint}: {place}")]
    Blank {
        /// What to do about it, beginning with a comma or semicolon; may be empty.
        hint: &'static str,
        /// Where.
        place: Place,
    },
    /// A value is not of its kind.
    #[error("{got:?} is not {expected}: {place}")]
    Value {
        /// The value.
        got: String,
        /// What would do.
        expected: &'static str,
        /// Where.
        place: Place,
    },
    /// The columns `outcome` and `success` say different things of one trial.
    #[error("outcome is {outcome} but success is {score}: {place}")]
    Contradiction {
        /// The word.
        outcome: &'static str,
        /// The number.
        score: f64,
        /// Where.
        place: Place,
    },
    /// The same trial is there twice.
    #[error("trial {trial} appears twice, first in row {first}{hint}: {place}")]
    Duplicate {
        /// The trial or cell, in words.
        trial: String,
        /// Where it appears first.
        first: u64,
        /// What to do about it; may be empty.
        hint: &'static str,
        /// Where it appears again.
        place: Place,
    },
    /// A rate times its trials is not a whole number of successes, however it was rounded.
    #[error(
        "rate {rate} of {trials} trials is {product:.2} successes, not a whole number: counts of \
         {policy} on {task} do not add up"
    )]
    CountMismatch {
        /// Whose cell.
        policy: String,
        /// Which task.
        task: String,
        /// The rate given.
        rate: f64,
        /// The trials given.
        trials: u64,
        /// Their product.
        product: f64,
    },
    /// The table is larger than [`Limits`](super::Limits) allow.
    #[error("more than {limit} {what}: {place}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
        /// Where the limit was passed.
        place: Place,
    },
    /// The file's name does not say what to write.
    #[error("cannot tell the format from the name, expected .csv or .parquet: {file}")]
    Extension {
        /// The file.
        file: String,
    },
}
