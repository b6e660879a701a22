//! What a run came to: `report.json` and `report.html`.

mod content;
mod film;
mod page;
mod plots;

pub use content::{
    Beats, Chunks, Cost, PolicyReport, Report, Reproduce, TaskReport, Trust, VariationReport,
};
pub use page::write;
