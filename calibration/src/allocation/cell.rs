//! What is known of a cell, and what a further trial there would tell.

use serde::{Deserialize, Serialize};

use crate::error::{CalibrationError, check_shares};
use crate::estimate::{CORNER_WEIGHT, Moments, ScoreTerm};
use crate::pairs::Pairs;

/// Pairs from which a cell's own correlation is believed; below, that of the policy.
const OWN_PAIRS: usize = 25;

/// One policy on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellState {
    /// The policy.
    pub policy: String,
    /// The task.
    pub task: String,
    /// The task's share in the policy's rate; shares of a policy add up to 1.
    pub weight: f64,
    /// Real scenarios so far.
    pub trials: u64,
    /// The estimated rate.
    pub rate: f64,
    /// Estimated variance of one real result; greater than 0.
    pub variance: f64,
    /// Estimated correlation of real and imagined results of a scenario, from 0 to 1.
    pub correlation: f64,
    /// Imagined scenarios without a real result.
    pub unpaired: u64,
    /// Real trials that can still be run here; none for any number.
    pub available: Option<u64>,
}

impl CellState {
    /// A cell known by its real results alone: `credit` (successes, or the sum of partial credits)
    /// in `trials`.
    ///
    /// # Errors
    /// [`CalibrationError::Parameter`] for a credit that is negative, not finite, or more than
    /// the trials.
    pub fn of_counts(
        policy: &str,
        task: &str,
        weight: f64,
        credit: f64,
        trials: u64,
    ) -> Result<Self, CalibrationError> {
        let n = trials as f64;
        if !(credit >= 0.0 && credit <= n) {
            return Err(CalibrationError::Parameter {
                name: "number of successes",
                value: credit,
                expected: "from 0 to the number of trials",
            });
        }
        let smooth = (credit + 2.0 * CORNER_WEIGHT) / (n + 4.0 * CORNER_WEIGHT);
        Ok(Self {
            policy: policy.to_owned(),
            task: task.to_owned(),
            weight,
            trials,
            rate: if trials == 0 { 0.5 } else { credit / n },
            variance: smooth * (1.0 - smooth),
            correlation: 0.0,
            unpaired: 0,
            available: None,
        })
    }

    /// The share of a real result's variance that stays after the imagined ones, with `trials`
    /// real scenarios.
    pub fn residual_share(&self, trials: u64) -> f64 {
        let (n, unpaired) = (trials as f64, self.unpaired as f64);
        if unpaired == 0.0 {
            return 1.0;
        }
        // Power-tuned PPI: σ² (1 − ρ² N / (n + N)) / n.
        1.0 - self.correlation * self.correlation * unpaired / (n + unpaired)
    }

    /// Variance of the cell's estimate with `trials` real scenarios; infinite without any.
    pub fn variance_at(&self, trials: u64) -> f64 {
        self.variance * self.residual_share(trials) / trials as f64
    }

    /// The cell as a stratum of its policy's interval, with `trials` real scenarios.
    pub(super) fn term(&self, trials: u64) -> ScoreTerm {
        let binary = (self.rate * (1.0 - self.rate)).max(self.variance);
        let dispersion = self.variance / binary;
        ScoreTerm {
            weight: self.weight,
            rate: self.rate,
            trials: trials as f64 / (self.residual_share(trials) * dispersion),
        }
    }

    /// The same cell without its imagined trials.
    pub(super) fn alone(&self) -> Self {
        Self { correlation: 0.0, unpaired: 0, ..self.clone() }
    }

    pub(super) fn check(&self, index: usize) -> Result<(), CalibrationError> {
        check_shares("rate of cell", &[self.rate])?;
        check_shares("correlation of cell", &[self.correlation])?;
        for (what, value) in [("weight of cell", self.weight), ("variance of cell", self.variance)]
        {
            if !(value > 0.0 && value.is_finite()) {
                let expected = "a positive number";
                return Err(CalibrationError::Value { what, index, value, expected });
            }
        }
        Ok(())
    }
}

/// The cells of `pairs`, each task of a policy with the same weight.
///
/// Correlations are those of the score method (see [`crate::estimate`]); a cell with fewer than 25
/// pairs takes the one of its policy, within tasks.
///
/// # Errors
/// As [`Sample::new`](crate::estimate::Sample::new).
pub fn states(pairs: &Pairs) -> Result<Vec<CellState>, CalibrationError> {
    let mut states = Vec::new();
    for (policy, cells) in pairs.policies() {
        let total: usize = cells.values().map(|cell| cell.paired().len()).sum();
        let (mut real, mut imagined, mut both) = (0.0, 0.0, 0.0);
        for cell in cells.values().filter(|cell| !cell.paired().is_empty()) {
            let share = cell.paired().len() as f64 / total as f64;
            let m = Moments::smoothed(&cell.sample()?, CORNER_WEIGHT * share);
            real += m.n * m.var_real;
            imagined += m.n * m.var_imagined;
            both += m.n * m.covariance;
        }
        let pooled =
            if total > 0 { (both / (real * imagined).sqrt()).clamp(0.0, 1.0) } else { 0.0 };
        for (task, cell) in cells {
            let sample = cell.sample()?;
            let m = Moments::smoothed(&sample, CORNER_WEIGHT);
            let paired = cell.paired().len();
            let correlation = match paired {
                0 => 0.0,
                n if n < OWN_PAIRS => pooled,
                _ => m.correlation().max(0.0),
            };
            states.push(CellState {
                policy: policy.clone(),
                task: task.clone(),
                weight: 1.0 / cells.len() as f64,
                trials: sample.real().len() as u64,
                rate: Moments::of(&sample).real,
                variance: m.var_real,
                correlation,
                unpaired: cell.unpaired().len() as u64,
                available: None,
            });
        }
    }
    Ok(states)
}
