//! Tables as CSV: values only, for other programs.

use super::error::ReportError;
use super::table::{ColumnKind, Table, Value};
use crate::interval::Interval;

/// A header of keys and a line per row; an interval takes the columns `…_low`, `…_high`, `…_level`
/// and `…_method`. What is missing is empty; notes and warnings are left out.
pub(super) fn write(table: &Table) -> Result<String, ReportError> {
    let failed = |source| ReportError::Csv { table: table.title().to_owned(), source };
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let mut header = Vec::new();
    for column in table.columns() {
        match column.kind {
            ColumnKind::Text | ColumnKind::Number => header.push(column.key.clone()),
            ColumnKind::Interval => {
                let ends = ["low", "high", "level", "method"];
                header.extend(ends.map(|end| format!("{}_{end}", column.key)));
            }
        }
    }
    writer.write_record(&header).map_err(failed)?;
    for row in table.rows() {
        let mut record = Vec::with_capacity(header.len());
        for (column, value) in table.columns().iter().zip(row) {
            match (column.kind, value) {
                (ColumnKind::Interval, Value::Interval(interval)) => {
                    let Interval { low, high, level, method } = interval;
                    let numbers = [low, high, level].map(ToString::to_string);
                    record.extend(numbers);
                    record.push(method.to_string());
                }
                (ColumnKind::Interval, _) => {
                    record.extend(std::array::repeat::<_, 4>(String::new()));
                }
                (ColumnKind::Text | ColumnKind::Number, value) => record.push(plain(value)),
            }
        }
        writer.write_record(&record).map_err(failed)?;
    }
    let bytes =
        writer.into_inner().map_err(|error| failed(::csv::Error::from(error.into_error())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Count(count) => count.to_string(),
        Value::Number { value, .. } | Value::Percent(value) => value.to_string(),
        Value::Interval(interval) => interval.to_string(),
        Value::Missing => String::new(),
    }
}
