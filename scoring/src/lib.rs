//! Outcomes into numbers with uncertainty: rates, comparisons, rankings, agreement, video metrics,
//! reports.
//!
//! # What this crate does
//! - [`trial`]: reads and writes trial tables (CSV, Parquet; one row per trial, or aggregated),
//!   and summarises Parquet files of any size in bounded memory.
//! - [`rate`]: a success rate with its n and its interval; void and unsure trials counted apart.
//! - [`compare`]: is A better than B: paired, unpaired, equivalent within a margin, and how many
//!   trials would settle it.
//! - [`sequential`]: the same question asked after every trial, without paying for the peeking.
//! - [`multiple`]: many questions at once (Holm, Benjamini–Hochberg).
//! - [`ranking`]: rank intervals, probability of superiority, Bradley–Terry, letter displays.
//! - [`bootstrap`]: the resampling engine that the others share.
//! - [`agreement`]: imagined against real: correlations, MMRV, and the checks on them.
//! - [`video`]: PSNR, SSIM and the other distances between predicted and true frames.
//! - [`report`] and [`warning`]: tables as terminal text, JSON, CSV and Markdown, and what a
//!   reader should be told beside them.
//!
//! # What this crate does not do
//! It never runs a policy or a world, never decides what to run next (that is `calibration`'s
//! allocation), and never turns an imagined rate into a real one (that is `calibration` too).
//!
//! # Example
//! ```
//! use rehearse_scoring::rate::{Rate, RateMethod};
//!
//! let rate = Rate::of_counts(18, 25, RateMethod::Wilson, 0.95)?;
//! assert_eq!(format!("{:.2} [{:.2}, {:.2}]", rate.value, rate.interval.low, rate.interval.high),
//!            "0.72 [0.52, 0.86]");
//! # Ok::<(), rehearse_scoring::rate::RateError>(())
//! ```

pub mod agreement;
pub mod bootstrap;
pub mod compare;
pub mod interval;
pub mod multiple;
pub mod power;
pub mod ranking;
pub mod rate;
pub mod report;
pub mod sequential;
pub mod special;
pub mod trial;
pub mod video;
pub mod warning;
