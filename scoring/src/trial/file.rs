//! Trial tables by path.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use super::csv::{read_csv, summarise_csv, write_csv};
use super::parquet::{read_parquet, write_parquet};
use super::stream::summarise_parquet;
use super::{Limits, Reading, Summary, Table, TableError};

/// Reads the table at `path`: Parquet if it begins as Parquet does, else CSV, whatever its name.
///
/// # Errors
/// [`TableError`], with the row and the column.
pub fn read(path: &Path, limits: &Limits) -> Result<Reading, TableError> {
    let name = path.display().to_string();
    let file = open(path)?;
    if is_parquet(path)? {
        read_parquet(file, &name, limits)
    } else {
        read_csv(BufReader::new(file), &name, limits)
    }
}

/// Counts the trials of the per-trial table at `path` by policy and task, in memory that does not
/// grow with the number of trials.
///
/// # Errors
/// [`TableError`]; [`TableError::NeedsTrials`] for an aggregated table.
pub fn summarise(path: &Path, limits: &Limits) -> Result<Summary, TableError> {
    if is_parquet(path)? {
        summarise_parquet(path, limits)
    } else {
        summarise_csv(BufReader::new(open(path)?), &path.display().to_string(), limits)
    }
}

/// Writes `table` to `path`, as CSV or Parquet by its extension (`.csv`, `.parquet`).
///
/// The file appears whole or not at all: it is written beside its place and then renamed.
///
/// # Errors
/// [`TableError::Extension`], [`TableError::Io`], [`TableError::Csv`], [`TableError::Parquet`].
pub fn write(table: &Table, path: &Path) -> Result<(), TableError> {
    let name = path.display().to_string();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    if !matches!(extension.as_str(), "csv" | "parquet") {
        return Err(TableError::Extension { file: name });
    }
    let failed =
        |source| TableError::Io { action: "write", file: path.display().to_string(), source };
    let partial = path.with_extension(format!("{extension}.partial"));
    let result = (|| {
        let mut target = BufWriter::new(File::create(&partial).map_err(failed)?);
        match extension.as_str() {
            "csv" => write_csv(table, &mut target, &name)?,
            _ => write_parquet(table, &mut target, &name)?,
        }
        target.flush().map_err(failed)?;
        target.get_ref().sync_all().map_err(failed)?;
        fs::rename(&partial, path).map_err(failed)
    })();
    if result.is_err() {
        // Nothing half-written stays behind; the error that matters is the first one.
        drop(fs::remove_file(&partial));
    }
    result
}

fn open(path: &Path) -> Result<File, TableError> {
    File::open(path).map_err(|source| TableError::Io {
        action: "open",
        file: path.display().to_string(),
        source,
    })
}

fn is_parquet(path: &Path) -> Result<bool, TableError> {
    let mut magic = [0; 4];
    match open(path)?.read_exact(&mut magic) {
        Ok(()) => Ok(&magic == b"PAR1"),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(source) => {
            Err(TableError::Io { action: "read", file: path.display().to_string(), source })
        }
    }
}
