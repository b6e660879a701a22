//! Columns of numbers: from Arrow arrays of any numeric or bool type, flat or in lists.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, FixedSizeListArray,
    GenericListArray, OffsetSizeTrait,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use ndarray::Array2;

use super::error::{LogError, Place};

/// A numeric column, `(frames, values per frame)`.
///
/// Every type of the file fits one of these without loss: floats up to 64 bits, integers up to
/// 63 bits and a sign, bools.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Floats of any width.
    Float(Array2<f64>),
    /// Integers of any width.
    Integer(Array2<i64>),
    /// Bools.
    Bool(Array2<bool>),
}

impl Column {
    /// Frames in the column.
    pub fn frames(&self) -> usize {
        match self {
            Self::Float(values) => values.nrows(),
            Self::Integer(values) => values.nrows(),
            Self::Bool(values) => values.nrows(),
        }
    }

    /// Values per frame.
    pub fn width(&self) -> usize {
        match self {
            Self::Float(values) => values.ncols(),
            Self::Integer(values) => values.ncols(),
            Self::Bool(values) => values.ncols(),
        }
    }

    /// The values as f64, `(frames, values per frame)`; bools are 0 and 1.
    pub fn to_f64(&self) -> Array2<f64> {
        match self {
            Self::Float(values) => values.clone(),
            Self::Integer(values) => values.mapv(|value| value as f64),
            Self::Bool(values) => values.mapv(|value| f64::from(u8::from(value))),
        }
    }

    /// The values as f32, `(frames, values per frame)`, rounded to the nearest where they are wider.
    pub fn to_f32(&self) -> Array2<f32> {
        match self {
            Self::Float(values) => values.mapv(|value| value as f32),
            Self::Integer(values) => values.mapv(|value| value as f32),
            Self::Bool(values) => values.mapv(|value| f32::from(u8::from(value))),
        }
    }

    /// The first value of each frame as a bool: `true` where it is not zero.
    pub(super) fn to_flags(&self) -> Vec<bool> {
        self.to_f64().column(0).iter().map(|&value| value != 0.0).collect()
    }
}

/// Collects a column from batches.
pub(super) struct ColumnBuilder {
    place: Place,
    width: usize,
    values: Values,
}

enum Values {
    Empty,
    Float(Vec<f64>),
    Integer(Vec<i64>),
    Bool(Vec<bool>),
}

/// What a column's values become.
#[derive(Clone, Copy)]
enum Kind {
    Float,
    Integer,
    Bool,
}

impl ColumnBuilder {
    /// A column of `width` values per row; `place` names it in errors.
    pub(super) fn new(place: Place, width: usize) -> Self {
        Self { place, width, values: Values::Empty }
    }

    /// Appends the rows of a batch.
    pub(super) fn append(&mut self, array: &ArrayRef) -> Result<(), LogError> {
        let Self { place, width, values } = self;
        if array.is_empty() {
            return Ok(());
        }
        let (leaf, got) = flatten(array, place)?;
        if got != *width {
            return Err(place.clone().mismatch("values per frame", *width, got));
        }
        let kind = match leaf.data_type() {
            DataType::Boolean => Kind::Bool,
            kind if kind.is_integer() => Kind::Integer,
            kind if kind.is_floating() => Kind::Float,
            other => {
                return Err(place
                    .clone()
                    .invalid(format!("{other} is neither a number nor a bool")));
            }
        };
        if matches!(values, Values::Empty) {
            *values = match kind {
                Kind::Float => Values::Float(Vec::new()),
                Kind::Integer => Values::Integer(Vec::new()),
                Kind::Bool => Values::Bool(Vec::new()),
            };
        }
        match (kind, values) {
            (Kind::Float, Values::Float(all)) => {
                let leaf = cast(&leaf, &DataType::Float64, place)?;
                all.extend_from_slice(primitive::<Float64Type>(&leaf));
            }
            (Kind::Integer, Values::Integer(all)) => {
                let leaf = cast(&leaf, &DataType::Int64, place)?;
                all.extend_from_slice(primitive::<Int64Type>(&leaf));
            }
            (Kind::Bool, Values::Bool(all)) => {
                let flags: Option<&BooleanArray> = leaf.as_boolean_opt();
                all.extend(flags.into_iter().flat_map(|flags| flags.values().iter()));
            }
            _ => return Err(place.clone().invalid("the column's type changes within the file")),
        }
        Ok(())
    }

    /// The column.
    pub(super) fn finish(self) -> Result<Column, LogError> {
        let Self { place, width, values } = self;
        let shaped = match values {
            Values::Empty => Array2::from_shape_vec((0, width), Vec::new()).map(Column::Float),
            Values::Float(all) => shape(width, all).map(Column::Float),
            Values::Integer(all) => shape(width, all).map(Column::Integer),
            Values::Bool(all) => shape(width, all).map(Column::Bool),
        };
        shaped.map_err(|error| place.table(error))
    }
}

fn shape<T>(width: usize, all: Vec<T>) -> Result<Array2<T>, ndarray::ShapeError> {
    Array2::from_shape_vec((all.len() / width.max(1), width), all)
}

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> &[T::Native] {
    array.as_primitive_opt::<T>().map_or(&[], |array| array.values())
}

fn cast(array: &ArrayRef, to: &DataType, place: &Place) -> Result<ArrayRef, LogError> {
    // Not `safe`: an unsigned value past 2^63 is an error, not a null.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|error| place.clone().table(error))
}

/// The innermost values of lists of lists, and how many of them each row has.
///
/// Every row must have as many, and nothing may be null.
fn flatten(array: &ArrayRef, place: &Place) -> Result<(ArrayRef, usize), LogError> {
    if array.null_count() > 0 {
        let row = (0..array.len()).find(|&row| array.is_null(row)).unwrap_or_default();
        return Err(place.clone().invalid(format!("row {row} of a batch is null")));
    }
    let (child, length) = match array.data_type() {
        DataType::List(_) => even_list::<i32>(array.as_list_opt(), place)?,
        DataType::LargeList(_) => even_list::<i64>(array.as_list_opt(), place)?,
        DataType::FixedSizeList(_, length) => {
            let length = (*length).unsigned_abs() as usize;
            let list: Option<&FixedSizeListArray> = array.as_fixed_size_list_opt();
            let list = list.ok_or_else(|| place.clone().invalid("is no list"))?;
            let from = list.value_offset(0).unsigned_abs() as usize;
            (list.values().slice(from, length * list.len()), length)
        }
        _ => return Ok((Arc::clone(array), 1)),
    };
    if child.is_empty() {
        return Ok((child, 0));
    }
    let (leaf, inner) = flatten(&child, place)?;
    Ok((leaf, length * inner))
}

fn even_list<O: OffsetSizeTrait>(
    list: Option<&GenericListArray<O>>,
    place: &Place,
) -> Result<(ArrayRef, usize), LogError> {
    let list = list.ok_or_else(|| place.clone().invalid("is no list"))?;
    let offsets = list.value_offsets();
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
        return Ok((list.values().slice(0, 0), 0));
    };
    let lengths = || offsets.windows(2).map(|pair| (pair[1] - pair[0]).as_usize());
    let length = lengths().next().unwrap_or_default();
    if let Some(other) = lengths().find(|&other| other != length) {
        return Err(place.clone().mismatch("values per frame", length, other));
    }
    Ok((list.values().slice(first.as_usize(), (*last - *first).as_usize()), length))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Int64Array, ListArray, UInt64Array};
    use arrow::datatypes::{Float32Type, UInt8Type};
    use ndarray::array;

    use super::*;

    fn column(width: usize, arrays: &[ArrayRef]) -> Result<Column, LogError> {
        let mut builder = ColumnBuilder::new(Place::file("x").field("f"), width);
        for array in arrays {
            builder.append(array)?;
        }
        builder.finish()
    }

    fn rows(rows: &[&[f32]]) -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(
            rows.iter().map(|row| Some(row.iter().map(|&value| Some(value)).collect::<Vec<_>>())),
        ))
    }

    #[test]
    fn lists_become_rows_across_batches_and_slices() {
        let first = rows(&[&[1.0, 2.0], &[3.0, 4.0], &[5.0, 6.0]]).slice(1, 2);
        let got = column(2, &[first, rows(&[&[7.0, 8.0]])]).unwrap();
        assert_eq!(got, Column::Float(array![[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]));
        assert_eq!(got.to_f32(), array![[3.0_f32, 4.0], [5.0, 6.0], [7.0, 8.0]]);
    }

    #[test]
    fn integers_and_bools_keep_their_kind() {
        let bytes = ListArray::from_iter_primitive::<UInt8Type, _, _>([Some([Some(9), Some(8)])]);
        assert_eq!(column(2, &[Arc::new(bytes)]).unwrap(), Column::Integer(array![[9, 8]]));
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
        let flags = column(1, &[flags]).unwrap();
        assert_eq!(flags, Column::Bool(array![[true], [false]]));
        assert_eq!(flags.to_flags(), [true, false]);
    }

    #[test]
    fn ragged_rows_nulls_and_overflow_are_errors() {
        assert!(column(2, &[rows(&[&[1.0, 2.0], &[3.0]])]).is_err());
        assert!(column(3, &[rows(&[&[1.0, 2.0]])]).is_err());
        let hole: ArrayRef = Arc::new(Float32Array::from(vec![Some(1.0), None]));
        assert!(column(1, &[hole]).is_err());
        let huge: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert!(column(1, &[huge]).is_err());
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let float: ArrayRef = Arc::new(Float32Array::from(vec![1.0]));
        assert!(column(1, &[whole, float]).is_err());
    }
}
