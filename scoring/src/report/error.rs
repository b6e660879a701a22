//! Why a table could not be made or serialised.

/// Why a table could not be made or serialised.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A row that does not fit the columns.
    #[error("row {row} of table {table:?} has {got} values for {expected} columns")]
    RowLength {
        /// Title of the table.
        table: String,
        /// The row, from 0.
        row: usize,
        /// Columns of the table.
        expected: usize,
        /// Values of the row.
        got: usize,
    },
    /// JSON that could not be written.
    #[error("table {table:?} cannot be written as JSON")]
    Json {
        /// Title of the table.
        table: String,
        /// What the writer said.
        #[source]
        source: serde_json::Error,
    },
    /// CSV that could not be written.
    #[error("table {table:?} cannot be written as CSV")]
    Csv {
        /// Title of the table.
        table: String,
        /// What the writer said.
        #[source]
        source: ::csv::Error,
    },
}
