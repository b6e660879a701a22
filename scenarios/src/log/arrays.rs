//! Arrow arrays from numbers, as LeRobot's tables hold them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float64Array, Int64Array, ListArray,
    RecordBatch,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::Field;
use arrow::error::ArrowError;

use super::column::Column;
use super::feature::Feature;

/// Name of the entries of a list, as pyarrow has it.
const ELEMENT: &str = "element";

/// A batch of named columns, each of which may hold nulls as far as its type goes.
pub(super) fn batch(columns: Vec<(String, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
}

/// A column of a feature: flat for scalars, lists for vectors, lists of lists beyond.
pub(super) fn column_array(feature: &Feature, column: &Column) -> Result<ArrayRef, ArrowError> {
    let values: ArrayRef = match column {
        Column::Float(all) => Arc::new(Float64Array::from_iter_values(all.iter().copied())),
        Column::Integer(all) => Arc::new(Int64Array::from_iter_values(all.iter().copied())),
        Column::Bool(all) => Arc::new(all.iter().map(|&flag| Some(flag)).collect::<BooleanArray>()),
    };
    let Some(kind) = feature.dtype.arrow() else {
        return Err(ArrowError::SchemaError(format!("{} has no column", feature.name)));
    };
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let values = cast_with_options(&values, &kind, &options)?;
    match feature.shape.as_slice() {
        [1] => Ok(values),
        &[width] => {
            let field = Arc::new(Field::new(ELEMENT, values.data_type().clone(), true));
            Ok(Arc::new(FixedSizeListArray::try_new(field, width as i32, values, None)?))
        }
        shape => shape.iter().rev().try_fold(values, |inner, &side| even_lists(inner, side)),
    }
}

/// Lists of `length` entries each.
pub(super) fn even_lists(values: ArrayRef, length: usize) -> Result<ArrayRef, ArrowError> {
    let length = length.max(1);
    let field = Arc::new(Field::new(ELEMENT, values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(length, values.len() / length));
    Ok(Arc::new(ListArray::try_new(field, offsets, values, None)?))
}
