//! How far imagined results agree with real ones.
//!
//! [`agree`] answers with one [`Agreement`]: Pearson, Spearman, Kendall's τ-b, MMRV, bias and mean
//! absolute error over policies and over policy × task cells, each with what bounds it, and the
//! checks that most published correlations leave out: drop-one leverage, the permutation floor
//! 1/k!, the support of a bootstrap over k policies, granularity, Simpson's reversal between
//! tasks, and lineages shared by policies.
//!
//! ```
//! use rehearse_scenarios::seed::Seed;
//! use rehearse_scoring::agreement::{AgreeOptions, Pairs, agree};
//! use rehearse_scoring::trial::{AggregateTable, Cell, Table};
//!
//! // Real and automated rates of six policies (AutoEval, arXiv:2503.24278, "Open Drawer").
//! let table = |rates: [f64; 6]| {
//!     let names = ["OpenVLA", "Open-pi0", "Octo", "SuSIE-LL", "SuSIE", "MiniVLA"];
//!     let cells = names.iter().zip(rates).map(|(name, rate)| Cell {
//!         policy: name.to_string(),
//!         task: "open the drawer".into(),
//!         rate,
//!         trials: Some(50),
//!     });
//!     AggregateTable::new(cells.collect(), "example").map(Table::Aggregate)
//! };
//! let real = table([0.80, 0.48, 0.00, 0.00, 0.04, 0.64])?;
//! let imagined = table([0.80, 0.58, 0.02, 0.00, 0.02, 0.66])?;
//! let pairs = Pairs::new(&real, &imagined)?;
//! let report = agree(&pairs, &AgreeOptions::new(Seed::root(7)))?;
//! assert_eq!(format!("{:.3}", report.pearson.value.unwrap_or(0.0)), "0.994");
//! assert_eq!(format!("{:.3}", report.mmrv.value), "0.007");
//! assert!((report.pearson.p_floor - 1.0 / 720.0).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checks;
mod correlation;
mod error;
mod mmrv;
mod options;
mod pairs;
mod permutation;
mod posterior;
mod reliability;
mod report;
mod resampling;
mod summary;
mod trials;

pub use checks::{
    Checks, ConventionValue, Granularity, Leverage, TaskCheck, bootstrap_support,
    effective_policies, leverage, within_tasks,
};
pub use correlation::{kendall, pearson, pearson_simpler_env, ranks, spearman};
pub use error::AgreementError;
pub use mmrv::{MmrvConvention, mmrv};
pub use options::AgreeOptions;
pub use pairs::Pairs;
pub use permutation::{Permutation, permutation_floor, permutation_p};
pub use reliability::{MIN_RELIABILITY, Reliability, reliability};
pub use report::{Agreement, CellAgreement, MmrvReport, OtherInterval, PearsonReport, agree};
pub use resampling::{Resampled, Statistic, Units, fisher_z, over_policies, over_trials};
pub use summary::{bias, mean_absolute_error};
pub use trials::{Confusion, TrialAgreement};
