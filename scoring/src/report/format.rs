//! The forms of a table, and the choice among them.

use super::error::ReportError;
use super::table::Table;
use super::{csv, json, markdown, terminal};

/// A form of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned text; readable without colour too.
    Terminal {
        /// Whether to add ANSI colours.
        colour: bool,
    },
    /// One JSON object.
    Json,
    /// Values only, at full precision; an interval takes four columns.
    Csv,
    /// A GitHub-flavoured table.
    Markdown,
}

/// The table as text, ending with a line break.
///
/// # Errors
/// [`ReportError::Json`] and [`ReportError::Csv`], which no table of this crate causes.
pub fn render(table: &Table, format: Format) -> Result<String, ReportError> {
    match format {
        Format::Terminal { colour } => Ok(terminal::write(table, colour)),
        Format::Json => json::write(table),
        Format::Csv => csv::write(table),
        Format::Markdown => Ok(markdown::write(table)),
    }
}
