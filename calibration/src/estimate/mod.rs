//! Real success rates from few real trials and many imagined ones.
//!
//! The real trials alone decide what is true; the imagined ones only make the estimate steadier.
//! Prediction-powered inference (PPI++: Angelopoulos, Duchi and Zrnic 2023, arXiv:2311.01453)
//! takes the mean over many imagined trials and corrects it by what the pairs of real and
//! imagined trials of the same scenario show to be wrong with it:
//!
//! ```text
//! estimate = λ · mean(imagined, unpaired scenarios) + mean(real − λ · imagined, paired scenarios)
//! ```
//!
//! λ = 0 is the classical mean of the real trials; the power-tuned λ makes the variance smallest.
//! The estimate is unbiased for every fixed λ however wrong the world model is, **provided that
//! the paired scenarios are a random sample of the same scenarios as the unpaired ones**: a lab
//! that runs the easy half on the robot and imagines the hard half gets a wrong answer.
//!
//! # Which interval
//! | [`Method`] | for | promise |
//! |---|---|---|
//! | [`Score`](Method::Score) | rates and scores in [0, 1] | about its level on average over true rates, from n = 10 on; the default |
//! | [`Student`](Method::Student) | any scale, roughly normal residuals | exact for a normal linear relation at any n ≥ 3; not for rates below n ≈ 100 |
//! | [`Clt`](Method::Clt) | large n | as published and as in `ppi_py`; too short for rates below n ≈ 100 |
//!
//! `docs/coverage-calibration.md` has the measured coverage of each.
//!
//! [`JudgeCounts`] corrects a rate for a judge that errs, and [`difference`] compares two
//! policies.

mod difference;
mod judge;
mod mean;
mod moments;
mod sample;
mod score;
mod stratified;

pub use difference::{Difference, Influence, difference};
pub use judge::{JudgeCorrected, JudgeCounts};
pub use mean::{Estimate, Method, Tuning, ppi_mean};
pub use sample::Sample;
pub use stratified::{Stratified, Stratum, StratumTuning, stratified};

pub(crate) use mean::CORNER_WEIGHT;
pub(crate) use moments::{Moments, mean_variance};
pub(crate) use score::{ScoreTerm, score_interval};
