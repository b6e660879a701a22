//! The tasks of a dataset: instructions, addressed by index.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::error::{LogError, Place};
use super::parquet_file::ParquetFile;

/// Name of the file in v3.0, within the dataset.
pub(super) const TASKS_FILE: &str = "meta/tasks.parquet";
/// Column of the index.
pub(super) const TASK_INDEX: &str = "task_index";

/// Reads `meta/tasks.parquet`: task index and instruction (pandas keeps it as the frame's index).
pub(super) fn read_tasks(folder: &Path) -> Result<Vec<String>, LogError> {
    let path = folder.join(TASKS_FILE);
    let file = ParquetFile::open(&path)?;
    let place = || Place::file(&path);
    let is_text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8);
    let fields = file.schema().fields();
    let text = ["__index_level_0__", "task"]
        .iter()
        .find_map(|name| fields.iter().find(|field| field.name() == name))
        .or_else(|| fields.iter().find(|field| is_text(field.data_type())))
        .ok_or_else(|| place().field("task").missing())?;
    if !is_text(text.data_type()) {
        return Err(place().field(text.name()).invalid("the instructions are no text"));
    }
    let text = text.name().clone();
    let mut tasks = BTreeMap::new();
    for batch in file.read(&[TASK_INDEX, &text], 0..file.rows(), 1)? {
        let batch = batch?;
        let column =
            |name: &str| batch.column_by_name(name).ok_or_else(|| place().field(name).missing());
        let indices = integers(column(TASK_INDEX)?, &place().field(TASK_INDEX))?;
        let texts = strings(column(&text)?, &place().field(&text))?;
        for (index, text) in indices.into_iter().zip(texts) {
            if tasks.insert(index, text).is_some() {
                return Err(place().field(TASK_INDEX).invalid(format!("{index} stands twice")));
            }
        }
    }
    in_order(tasks, &place().field(TASK_INDEX))
}

/// Tasks by index, which must run from 0 without a gap.
pub(super) fn in_order(
    tasks: BTreeMap<i64, String>,
    place: &Place,
) -> Result<Vec<String>, LogError> {
    for (expected, &got) in (0..).zip(tasks.keys()) {
        if expected != got {
            return Err(place.clone().mismatch("task index", expected, got));
        }
    }
    Ok(tasks.into_values().collect())
}

/// A column of whole numbers without nulls.
pub(super) fn integers(array: &ArrayRef, place: &Place) -> Result<Vec<i64>, LogError> {
    if array.null_count() > 0 {
        return Err(place.clone().invalid("has empty cells"));
    }
    if !array.data_type().is_integer() {
        let kind = array.data_type();
        return Err(place.clone().invalid(format!("must hold whole numbers, holds {kind}")));
    }
    let array = cast(array, &DataType::Int64).map_err(|error| place.clone().table(error))?;
    if array.null_count() > 0 {
        return Err(place.clone().invalid("holds numbers beyond 63 bits"));
    }
    Ok(array.as_primitive_opt::<Int64Type>().map(|a| a.values().to_vec()).unwrap_or_default())
}

/// A column of text without nulls.
pub(super) fn strings(array: &ArrayRef, place: &Place) -> Result<Vec<String>, LogError> {
    if array.null_count() > 0 {
        return Err(place.clone().invalid("has empty cells"));
    }
    let array = cast(array, &DataType::LargeUtf8).map_err(|error| place.clone().table(error))?;
    let texts = array.as_string_opt::<i64>().ok_or_else(|| place.clone().invalid("is no text"))?;
    Ok(texts.iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}
