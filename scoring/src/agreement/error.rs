//! Why two tables could not be compared.

use crate::bootstrap::BootstrapError;
use crate::warning::Side;

/// Why two tables, or two columns, could not be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AgreementError {
    /// Columns of different length.
    #[error("{imagined} imagined values for {real} real ones")]
    Length {
        /// Real values.
        real: usize,
        /// Imagined values.
        imagined: usize,
    },
    /// Too few values for the statistic.
    #[error("{statistic} needs at least {needed} pairs, got {got}")]
    TooFew {
        /// The statistic.
        statistic: &'static str,
        /// Smallest number it takes.
        needed: usize,
        /// Pairs given.
        got: usize,
    },
    /// A value that is not a finite number.
    #[error("{side} value {index} is {value}, not a finite number")]
    NotFinite {
        /// Which column.
        side: Side,
        /// Its place, from 0.
        index: usize,
        /// What it is.
        value: f64,
    },
    /// A column without variation, so that no correlation exists.
    #[error("every {side} value is {value}, so that no correlation exists")]
    Constant {
        /// Which column.
        side: Side,
        /// Its one value.
        value: f64,
    },
    /// A table without rows.
    #[error("the {side} table has no policy with a counted trial")]
    Empty {
        /// Which table.
        side: Side,
    },
    /// A cell without trials.
    #[error("the {side} table gives {policy} on {task:?} no trial")]
    NoTrials {
        /// Which table.
        side: Side,
        /// The policy.
        policy: String,
        /// The task.
        task: String,
    },
    /// No policy × task cell in both tables.
    #[error(
        "no policy and task are in both tables (real: {real}; imagined: {imagined}); check the \
         spelling of policies and tasks"
    )]
    NothingShared {
        /// The first real cell.
        real: String,
        /// The first imagined cell.
        imagined: String,
    },
    /// Rates whose differences are chance for a good part, so that resampling their trials says
    /// nothing about the truth behind them.
    #[error(
        "only {:.0} % of the variance between {side} rates is more than chance ({:.0} % needed); \
         run more {side} trials", 100.0 * reliability, 100.0 * needed
    )]
    TrialNoise {
        /// The side.
        side: Side,
        /// Share of the variance between its rates that trials do not explain, in [0, 1].
        reliability: f64,
        /// Share that is needed.
        needed: f64,
    },
    /// A confidence level outside (0, 1).
    #[error("a confidence level must be between 0 and 1, got {got}")]
    Level {
        /// What was given.
        got: f64,
    },
    /// No interval by resampling.
    #[error("no interval by resampling")]
    Bootstrap(#[from] BootstrapError),
}
