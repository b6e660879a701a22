//! Counts the trials of a table by policy and task, and says how long that took:
//! `cargo run --release -p rehearse-scoring --example summarise -- TABLE [REPEATS]`
//!
//! `tools/compare_duckdb.py` runs it beside DuckDB on the same file and cores.

use std::path::PathBuf;
use std::time::Instant;

use rehearse_scoring::trial::{Limits, summarise};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: summarise TABLE [REPEATS]")?);
    let repeats: u32 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    for _ in 0..repeats {
        let start = Instant::now();
        let summary = summarise(&path, &Limits::default())?;
        let seconds = start.elapsed().as_secs_f64();
        let total = summary.total();
        println!(
            "{{\"seconds\":{seconds},\"cells\":{},\"success\":{},\"failure\":{},\"void\":{},\
             \"unsure\":{}}}",
            summary.cells.len(),
            total.successes,
            total.failures,
            total.void,
            total.unsure
        );
    }
    Ok(())
}
