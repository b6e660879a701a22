//! How many real trials until the answer is sharp enough.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::neyman::MOST_TRIALS;
use super::{CellState, Objective, allocate};
use crate::error::{CalibrationError, check_level};
use crate::estimate::score_interval;

/// What each policy still needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// The half-width asked for.
    pub half_width: f64,
    /// The confidence level.
    pub level: f64,
    /// The policies, in order of name.
    pub policies: Vec<PolicyBudget>,
}

/// What one policy still needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyBudget {
    /// The policy.
    pub policy: String,
    /// Real scenarios so far.
    pub trials: u64,
    /// Half-width now; none while a task has no real trial.
    pub now: Option<f64>,
    /// Further real trials needed, over all tasks.
    pub further: u64,
    /// The same by task, in order of the cells given.
    pub tasks: Vec<(String, u64)>,
    /// Further real trials needed without the imagined ones.
    pub further_alone: u64,
    /// Share of real trials saved by the imagined ones, of all that are needed.
    pub saved: f64,
}

/// How many further real trials bring each policy's interval to the half-width `half_width`.
///
/// Trials are allocated as by [`allocate`]; the interval is the score interval of
/// [`crate::estimate`] with today's rates and correlations. The number of imagined scenarios
/// without a real result is taken to stay: scenarios that get one are replaced by new ones.
///
/// # Errors
/// [`CalibrationError::Parameter`] for a half-width outside (0, ½) or a level outside (0, 1);
/// [`CalibrationError::OutOfReach`] past ten million trials; and as [`allocate`].
pub fn budget(
    cells: &[CellState],
    half_width: f64,
    level: f64,
) -> Result<Budget, CalibrationError> {
    check_level(level)?;
    if !(half_width > 0.0 && half_width < 0.5) {
        return Err(CalibrationError::Parameter {
            name: "half-width",
            value: half_width,
            expected: "a number between 0 and 0.5, such as 0.05",
        });
    }
    if cells.is_empty() {
        return Err(CalibrationError::Empty { what: "cells to plan trials for" });
    }
    let mut by_policy: BTreeMap<&str, Vec<CellState>> = BTreeMap::new();
    for cell in cells {
        // A plan asks what is needed, not what is at hand.
        let unlimited = CellState { available: None, ..cell.clone() };
        by_policy.entry(&cell.policy).or_default().push(unlimited);
    }
    let policies = by_policy
        .into_iter()
        .map(|(policy, own)| policy_budget(policy, &own, half_width, level))
        .collect::<Result<_, _>>()?;
    Ok(Budget { half_width, level, policies })
}

fn policy_budget(
    policy: &str,
    cells: &[CellState],
    half_width: f64,
    level: f64,
) -> Result<PolicyBudget, CalibrationError> {
    let plan = needed(cells, half_width, level)?;
    let alone: Vec<CellState> = cells.iter().map(CellState::alone).collect();
    let further_alone = needed(&alone, half_width, level)?.iter().sum();
    let further = plan.iter().sum();
    let trials = cells.iter().map(|cell| cell.trials).sum();
    let whole = (trials + further_alone) as f64;
    Ok(PolicyBudget {
        policy: policy.to_owned(),
        trials,
        now: half_width_with(cells, &vec![0; cells.len()], level),
        further,
        tasks: cells.iter().map(|cell| cell.task.clone()).zip(plan).collect(),
        further_alone,
        saved: (1.0 - (trials + further) as f64 / whole).max(0.0),
    })
}

/// The smallest allocation that is sharp enough.
fn needed(cells: &[CellState], target: f64, level: f64) -> Result<Vec<u64>, CalibrationError> {
    let plan = |budget: u64| Ok(allocate(cells, budget, &Objective::EveryPolicy)?.trials);
    let enough = |plan: &[u64]| half_width_with(cells, plan, level).is_some_and(|h| h <= target);
    let mut high = 1;
    let none = plan(0)?;
    if enough(&none) {
        return Ok(none);
    }
    while !enough(&plan(high)?) {
        if high >= MOST_TRIALS {
            return Err(CalibrationError::OutOfReach { half_width: target, limit: MOST_TRIALS });
        }
        high = (high * 2).min(MOST_TRIALS);
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(&plan(middle)?) {
            high = middle;
        } else {
            low = middle;
        }
    }
    plan(high)
}

fn half_width_with(cells: &[CellState], plan: &[u64], level: f64) -> Option<f64> {
    let total: f64 = cells.iter().map(|cell| cell.weight).sum();
    let terms: Vec<_> = cells
        .iter()
        .zip(plan)
        .map(|(cell, further)| {
            let mut term = cell.term(cell.trials + further);
            term.weight /= total;
            term
        })
        .collect();
    terms.iter().all(|term| term.trials > 0.0).then(|| score_interval(&terms, level).width() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(correlation: f64) -> CellState {
        CellState {
            correlation,
            unpaired: 1_000_000_000,
            ..CellState::of_counts("a", "x", 1.0, 20.0, 40).unwrap()
        }
    }

    #[test]
    fn a_coin_needs_its_textbook_number() {
        // Wilson at p = ½ has half-width z / (2 √(n + z²)): 0.05 takes 384.15 − 3.84 = 380.3.
        let answer = budget(&[cell(0.0)], 0.05, 0.95).unwrap();
        let policy = &answer.policies[0];
        assert_eq!(policy.trials + policy.further, 381);
        assert_eq!(policy.further, policy.further_alone);
        assert_eq!(policy.saved, 0.0);
    }

    #[test]
    fn correlation_saves_its_square() {
        let answer = budget(&[cell(0.6)], 0.05, 0.95).unwrap();
        let policy = &answer.policies[0];
        assert!((policy.saved - 0.36).abs() < 0.01, "{}", policy.saved);
        let wide = budget(&[cell(0.6)], 0.2, 0.95).unwrap();
        assert_eq!(wide.policies[0].further, 0);
    }

    #[test]
    fn impossible_wishes_are_refused() {
        for half_width in [0.0, 0.5, -0.1, f64::NAN] {
            assert!(budget(&[cell(0.0)], half_width, 0.95).is_err());
        }
        assert!(matches!(
            budget(&[cell(0.0)], 1e-5, 0.95),
            Err(CalibrationError::OutOfReach { .. })
        ));
        assert!(budget(&[], 0.1, 0.95).is_err());
        assert!(CellState::of_counts("a", "x", 1.0, 3.0, 2).is_err());
        assert!(CellState::of_counts("a", "x", 1.0, f64::NAN, 2).is_err());
    }
}
