//! Tables as JSON.

use serde::ser::{Serialize, SerializeMap as _, SerializeStruct as _, Serializer};

use super::error::ReportError;
use super::table::{Table, Value};

/// Two-space indented, ending with a line break.
pub(super) fn write(table: &Table) -> Result<String, ReportError> {
    let text = serde_json::to_string_pretty(table)
        .map_err(|source| ReportError::Json { table: table.title().to_owned(), source })?;
    Ok(text + "\n")
}

/// `{"title", "rows": [{key: value, …}], "notes", "warnings"}`.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<Row<'_>> = self.rows().iter().map(|row| Row { table: self, row }).collect();
        let mut fields = serializer.serialize_struct("Table", 4)?;
        fields.serialize_field("title", self.title())?;
        fields.serialize_field("rows", &rows)?;
        fields.serialize_field("notes", &self.notes())?;
        fields.serialize_field("warnings", self.warnings())?;
        fields.end()
    }
}

struct Row<'a> {
    table: &'a Table,
    row: &'a [Value],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.row.len()))?;
        for (column, value) in self.table.columns().iter().zip(self.row) {
            map.serialize_entry(&column.key, value)?;
        }
        map.end()
    }
}

/// Full precision; what is missing is `null`.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Number { value, .. } | Self::Percent(value) => serializer.serialize_f64(*value),
            Self::Interval(interval) => interval.serialize(serializer),
            Self::Missing => serializer.serialize_none(),
        }
    }
}
