//! Resampling: the engine behind every bootstrap interval.
//!
//! [`bca`], [`percentile`] and [`basic`] take any statistic of resampled indices. Means and
//! proportions have paths of their own ([`mean_bca`], [`proportion_bca`] and their stratified
//! forms), which draw the same distribution with far less work: the successes in a resample of
//! `n` trials with `s` successes are binomial, so one draw replaces `n`; likewise for the sum of
//! credits in equal steps.
//!
//! Every resample has a stream of its own, keyed by the seed and the resample's number, so a
//! result is the same at any number of threads.
//!
//! Sources: Efron (1987), "Better bootstrap confidence intervals"; Efron and Tibshirani (1993),
//! chapters 12–14; conventions (mid-rank bias correction, multi-sample acceleration, linear
//! quantiles) as in SciPy's `scipy.stats.bootstrap`, so that given the same resamples the same ends
//! follow.

mod alias;
mod error;
mod indices;
mod means;
mod replicates;
mod stream;
mod tuples;

pub use error::BootstrapError;
pub use indices::{basic, bca, percentile, resample};
pub use means::{mean_bca, proportion_bca, stratified_mean_bca, stratified_proportion_bca};
pub use replicates::{Acceleration, Replicates};

pub(crate) use alias::AliasTable;
pub(crate) use indices::jackknife;
pub(crate) use stream::{Stream, replicate};
pub(crate) use tuples::Tuples;
