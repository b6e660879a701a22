//! The one table that every report is made of.

use super::error::ReportError;
use crate::interval::Interval;
use crate::warning::Advice;

/// A titled table with notes and warnings.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    title: String,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    notes: Vec<String>,
    warnings: Vec<Advice>,
}

/// A column: its name for programs, and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name in JSON and CSV; stable.
    pub key: String,
    /// Heading in text and Markdown.
    pub label: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Words, aligned left.
    Text,
    /// Numbers, aligned right.
    Number,
    /// Intervals, aligned right; their level and method are noted below the table.
    Interval,
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Words.
    Text(String),
    /// A count.
    Count(u64),
    /// A finite number, shown with so many decimals.
    Number {
        /// The number.
        value: f64,
        /// Decimals in text and Markdown.
        digits: u8,
    },
    /// A share in [0, 1], shown in percent.
    Percent(f64),
    /// An interval, shown with three decimals.
    Interval(Interval),
    /// Nothing: not measured, or not defined.
    Missing,
}

impl Column {
    /// A column of words.
    pub fn text(key: &str, label: &str) -> Self {
        Self { key: key.into(), label: label.into(), kind: ColumnKind::Text }
    }

    /// A column of numbers.
    pub fn number(key: &str, label: &str) -> Self {
        Self { key: key.into(), label: label.into(), kind: ColumnKind::Number }
    }

    /// A column of intervals.
    pub fn interval(key: &str, label: &str) -> Self {
        Self { key: key.into(), label: label.into(), kind: ColumnKind::Interval }
    }
}

impl Value {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number with `digits` decimals; missing if it is not finite, so that no report holds NaN.
    pub fn number(value: f64, digits: u8) -> Self {
        if value.is_finite() { Self::Number { value, digits } } else { Self::Missing }
    }

    /// A share; missing if it is not finite.
    pub fn percent(share: f64) -> Self {
        if share.is_finite() { Self::Percent(share) } else { Self::Missing }
    }

    /// An interval; missing if there is none or an end is not finite.
    pub fn interval(interval: Option<Interval>) -> Self {
        interval
            .filter(|interval| interval.low.is_finite() && interval.high.is_finite())
            .map_or(Self::Missing, Self::Interval)
    }

    /// A number if there is one.
    pub fn optional(value: Option<f64>, digits: u8) -> Self {
        value.map_or(Self::Missing, |value| Self::number(value, digits))
    }

    /// The cell as people read it; `-` if missing.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Number { value, digits } => {
                let text = format!("{value:.*}", usize::from(*digits));
                // −0.000 would claim a sign that rounding took away.
                if text.trim_start_matches('-').bytes().all(|b| b == b'0' || b == b'.') {
                    text.trim_start_matches('-').to_owned()
                } else {
                    text
                }
            }
            Self::Percent(share) => format!("{:.1} %", 100.0 * share),
            Self::Interval(Interval { low, high, .. }) => format!("[{low:.3}, {high:.3}]"),
            Self::Missing => "-".to_owned(),
        }
    }
}

impl Table {
    /// An empty table.
    pub fn new(title: &str, columns: Vec<Column>) -> Self {
        Self {
            title: title.into(),
            columns,
            rows: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`ReportError::RowLength`] unless it has one value per column.
    pub fn push(&mut self, row: Vec<Value>) -> Result<(), ReportError> {
        if row.len() != self.columns.len() {
            return Err(ReportError::RowLength {
                table: self.title.clone(),
                row: self.rows.len(),
                expected: self.columns.len(),
                got: row.len(),
            });
        }
        self.rows.push(row);
        Ok(())
    }

    /// Adds a note, shown below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds warnings, shown below the notes.
    pub fn warn<W: Into<Advice> + Clone>(&mut self, warnings: &[W]) {
        self.warnings.extend(warnings.iter().cloned().map(W::into));
    }

    /// Its title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Its columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Its rows, each with a value per column.
    pub fn rows(&self) -> &[Vec<Value>] {
        &self.rows
    }

    /// Its warnings.
    pub fn warnings(&self) -> &[Advice] {
        &self.warnings
    }

    /// The notes, after one for each level and method of an interval column.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (place, column) in self.columns.iter().enumerate() {
            let mut made: Vec<String> = Vec::new();
            for row in &self.rows {
                if let Value::Interval(Interval { level, method, .. }) = &row[place] {
                    let percent = (level * 1e4).round() / 1e2;
                    let how = format!("{percent} % {method}");
                    if !made.contains(&how) {
                        made.push(how);
                    }
                }
            }
            if !made.is_empty() {
                notes.push(format!("{}: {}", column.label, made.join(", ")));
            }
        }
        notes.extend(self.notes.iter().cloned());
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_missing() {
        assert_eq!(Value::number(f64::NAN, 2), Value::Missing);
        assert_eq!(Value::percent(f64::INFINITY), Value::Missing);
        assert_eq!(Value::optional(None, 2), Value::Missing);
        assert_eq!(Value::Missing.shown(), "-");
    }

    #[test]
    fn rounding_leaves_no_negative_zero() {
        assert_eq!(Value::number(-0.0004, 3).shown(), "0.000");
        assert_eq!(Value::number(-0.0006, 3).shown(), "-0.001");
    }

    #[test]
    fn a_row_that_does_not_fit_is_refused() {
        let mut table = Table::new("t", vec![Column::text("a", "a")]);
        assert!(matches!(
            table.push(vec![]),
            Err(ReportError::RowLength { expected: 1, got: 0, .. })
        ));
    }
}
