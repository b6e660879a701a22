//! One table type, and pure serialisers of it.
//!
//! [`render`] turns a [`Table`] into text for a terminal, JSON, CSV or Markdown. Nothing here
//! prints, reads the environment or asks whether there is a terminal: whoever calls decides about
//! colour (and honours `NO_COLOR`).
//!
//! ```
//! use rehearse_scoring::report::{Column, Format, Table, Value, render};
//!
//! let mut table = Table::new("rates", vec![
//!     Column::text("policy", "policy"),
//!     Column::number("n", "n"),
//!     Column::number("rate", "success"),
//! ]);
//! table.push(vec![Value::text("octo"), Value::Count(50), Value::percent(0.48)])?;
//! assert_eq!(render(&table, Format::Csv)?, "policy,n,rate\nocto,50,0.48\n");
//! # Ok::<(), rehearse_scoring::report::ReportError>(())
//! ```

mod csv;
mod error;
mod format;
mod json;
mod markdown;
mod table;
mod terminal;

pub use error::ReportError;
pub use format::{Format, render};
pub use table::{Column, ColumnKind, Table, Value};
