//! Trial tables: one row per trial, or aggregated, as CSV or Parquet.
//!
//! | form | columns |
//! |---|---|
//! | per trial | `policy`, `task`, and `outcome` (`success`, `failure`, `void`, `unsure`) or `success` (0, 1, or partial credit in [0, 1]) or both; where known `scenario`, `repeat`, `length`, `reason` |
//! | aggregated | `policy`, `task`, `rate` in [0, 1], and `trials`, which may be empty |
//!
//! Columns are found by name, in any order and case; others are ignored, and named. A table that
//! is read whole ([`read`]) is checked for trials that appear twice; a summary
//! ([`summarise`]) streams, in memory that grows with the number of policies and tasks and not
//! with the number of trials.
//!
//! ```
//! use rehearse_scoring::trial::{Limits, Table, read_csv};
//!
//! let csv = "policy,task,outcome\nfull,open the drawer,success\nfull,open the drawer,void\n";
//! let reading = read_csv(csv.as_bytes(), "example", &Limits::default())?;
//! let Table::Trials(table) = reading.table else { unreachable!() };
//! let cell = &table.summary().cells[0];
//! assert_eq!((cell.tally.successes, cell.tally.void), (1, 1));
//! # Ok::<(), rehearse_scoring::trial::TableError>(())
//! ```

mod columns;
mod csv;
mod error;
mod file;
mod limits;
mod parquet;
mod row;
mod stream;
mod summary;
mod table;
mod verdict;

pub use csv::{read_csv, write_csv};
pub use error::{Place, TableError};
pub use file::{read, summarise, write};
pub use limits::Limits;
pub use parquet::{ExtraColumn, FORMAT_KEY, read_parquet, write_parquet, write_parquet_with};
pub use stream::summarise_parquet;
pub use summary::{CellTally, Summary, Tally};
pub use table::{AggregateTable, Cell, Reading, Table, Trial, TrialTable};
pub use verdict::Verdict;
