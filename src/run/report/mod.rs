//! What a run came to: `report.json` and `report.html`.

mod content;
mod failures;
mod film;
mod page;
mod plots;
mod progress;
mod trust;

pub use content::{
    Beats, Chunks, Cost, PolicyReport, Report, Reproduce, TaskReport, VariationReport,
};
pub use failures::Failures;
pub use page::write;
pub use progress::CriterionReport;
pub use trust::{Draws, JudgeReport, Trust, TrustedPolicy};
