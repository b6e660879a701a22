//! Where to spend a budget of real trials.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use serde::{Deserialize, Serialize};

use super::CellState;
use crate::error::CalibrationError;

/// The largest budget that can be allocated.
pub(super) const MOST_TRIALS: u64 = 10_000_000;

/// What the further trials are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The smallest sum of the variances of all policies' rates.
    EveryPolicy,
    /// The smallest variance of the policy with the largest.
    WidestPolicy,
    /// The smallest variance of the difference of two policies.
    Difference {
        /// The first policy.
        a: String,
        /// The second policy.
        b: String,
    },
}

/// Where to run how many further real trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// Further trials of each cell, in the order of the cells given.
    pub trials: Vec<u64>,
    /// What they are expected to do, by policy in order of name.
    pub policies: Vec<PolicySpread>,
}

/// How uncertain a policy's rate is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicySpread {
    /// The policy.
    pub policy: String,
    /// Standard error now; none while a task has no real trial.
    pub now: Option<f64>,
    /// Standard error expected after the further trials.
    pub then: Option<f64>,
}

/// Spends `budget` further real trials on `cells`.
///
/// Trials are placed one after the other where they lower the variance most. The variance of a
/// cell falls ever more slowly with its trials, so this is exactly the best allocation in whole
/// trials (for [`Objective::WidestPolicy`], step by step). Cells without a real trial come first.
/// Less than the budget is spent only where cells say that no more trials are available.
///
/// # Errors
/// [`CalibrationError::Empty`] without cells, [`CalibrationError::Value`] for a cell whose numbers
/// are out of range, [`CalibrationError::Unknown`] for a policy without cells,
/// [`CalibrationError::Parameter`] for a budget above ten million.
pub fn allocate(
    cells: &[CellState],
    budget: u64,
    objective: &Objective,
) -> Result<Allocation, CalibrationError> {
    check(cells, budget)?;
    let mut plan = vec![0; cells.len()];
    match objective {
        Objective::EveryPolicy => spend(cells, &mut plan, budget, |_| true),
        Objective::Difference { a, b } => {
            known(cells, a)?;
            known(cells, b)?;
            spend(cells, &mut plan, budget, |cell| cell.policy == *a || cell.policy == *b);
        }
        Objective::WidestPolicy => level(cells, &mut plan, budget),
    }
    let policies = by_policy(cells)
        .into_iter()
        .map(|(policy, members)| PolicySpread {
            policy: policy.to_owned(),
            now: deviation(cells, &members, &vec![0; cells.len()]),
            then: deviation(cells, &members, &plan),
        })
        .collect();
    Ok(Allocation { trials: plan, policies })
}

/// Neyman's (1934) shares of a large budget: in proportion to weight times residual deviation.
///
/// They add up to 1 over all cells, and take no account of the trials that have been run.
///
/// # Errors
/// As [`allocate`].
pub fn neyman_shares(cells: &[CellState]) -> Result<Vec<f64>, CalibrationError> {
    check(cells, 0)?;
    let sizes: Vec<f64> = cells
        .iter()
        .map(|cell| cell.weight * (cell.variance * cell.residual_share(cell.trials)).sqrt())
        .collect();
    let total: f64 = sizes.iter().sum();
    Ok(sizes.into_iter().map(|size| if total > 0.0 { size / total } else { 0.0 }).collect())
}

fn check(cells: &[CellState], budget: u64) -> Result<(), CalibrationError> {
    if cells.is_empty() {
        return Err(CalibrationError::Empty { what: "cells to allocate trials to" });
    }
    if budget > MOST_TRIALS {
        return Err(CalibrationError::Parameter {
            name: "budget",
            value: budget as f64,
            expected: "at most 10000000 trials",
        });
    }
    cells.iter().enumerate().try_for_each(|(index, cell)| cell.check(index))
}

fn known(cells: &[CellState], policy: &str) -> Result<(), CalibrationError> {
    if cells.iter().any(|cell| cell.policy == policy) {
        return Ok(());
    }
    Err(CalibrationError::Unknown {
        what: "policy",
        name: policy.to_owned(),
        known: by_policy(cells).into_keys().collect::<Vec<_>>().join(", "),
    })
}

fn by_policy(cells: &[CellState]) -> BTreeMap<&str, Vec<usize>> {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, cell) in cells.iter().enumerate() {
        members.entry(&cell.policy).or_default().push(index);
    }
    members
}

/// Standard error of a policy; none while a cell has no trial.
fn deviation(cells: &[CellState], members: &[usize], plan: &[u64]) -> Option<f64> {
    let variance = variance(cells, members, plan);
    variance.is_finite().then(|| variance.sqrt())
}

fn variance(cells: &[CellState], members: &[usize], plan: &[u64]) -> f64 {
    members
        .iter()
        .map(|&i| cells[i].weight.powi(2) * cells[i].variance_at(cells[i].trials + plan[i]))
        .sum()
}

/// What the next trial in a cell would do; the first trial of a cell before all others.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Gain {
    first: bool,
    size: f64,
    cell: usize,
}

impl Gain {
    fn of(cells: &[CellState], index: usize, planned: u64) -> Option<Self> {
        let cell = &cells[index];
        if cell.available.is_some_and(|most| planned >= most) {
            return None;
        }
        let n = cell.trials + planned;
        let square = cell.weight * cell.weight;
        Some(if n == 0 {
            Self { first: true, size: square * cell.variance, cell: index }
        } else {
            let size = square * (cell.variance_at(n) - cell.variance_at(n + 1));
            Self { first: false, size, cell: index }
        })
    }
}

impl Eq for Gain {}

impl PartialOrd for Gain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Gain {
    fn cmp(&self, other: &Self) -> Ordering {
        // Equal gains go to the earlier cell.
        self.first
            .cmp(&other.first)
            .then(self.size.total_cmp(&other.size))
            .then(other.cell.cmp(&self.cell))
    }
}

fn spend(cells: &[CellState], plan: &mut [u64], budget: u64, wanted: impl Fn(&CellState) -> bool) {
    let mut heap: BinaryHeap<Gain> = (0..cells.len())
        .filter(|&i| wanted(&cells[i]))
        .filter_map(|i| Gain::of(cells, i, plan[i]))
        .collect();
    for _ in 0..budget {
        let Some(gain) = heap.pop() else { return };
        plan[gain.cell] += 1;
        heap.extend(Gain::of(cells, gain.cell, plan[gain.cell]));
    }
}

/// Always the next trial for the policy with the largest variance.
fn level(cells: &[CellState], plan: &mut [u64], budget: u64) {
    let mut policies: Vec<Vec<usize>> = by_policy(cells).into_values().collect();
    for _ in 0..budget {
        loop {
            let widest = policies
                .iter()
                .enumerate()
                .map(|(index, members)| (variance(cells, members, plan), index))
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            let Some((_, index)) = widest else { return };
            let best = policies[index].iter().filter_map(|&i| Gain::of(cells, i, plan[i])).max();
            if let Some(gain) = best {
                plan[gain.cell] += 1;
                break;
            }
            policies.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell(policy: &str, task: &str, rate: f64, trials: u64) -> CellState {
        CellState {
            policy: policy.into(),
            task: task.into(),
            weight: 0.5,
            trials,
            rate,
            variance: rate * (1.0 - rate),
            correlation: 0.0,
            unpaired: 0,
            available: None,
        }
    }

    #[test]
    fn a_large_budget_is_spent_in_neymans_shares() {
        // Deviations 0.5 and 0.3: shares 5/8 and 3/8.
        let cells = [cell("a", "x", 0.5, 1), cell("a", "y", 0.1, 1)];
        let plan = allocate(&cells, 79_998, &Objective::EveryPolicy).unwrap();
        assert_eq!(plan.trials.iter().sum::<u64>(), 79_998);
        assert!(plan.trials[0].abs_diff(49_999) <= 1, "{:?}", plan.trials);
        let shares = neyman_shares(&cells).unwrap();
        assert!((shares[0] - 0.625).abs() < 1e-12);
    }

    #[test]
    fn what_the_world_model_foretells_needs_fewer_trials() {
        let foretold = CellState { correlation: 0.9, unpaired: 100_000, ..cell("a", "y", 0.5, 5) };
        let cells = [cell("a", "x", 0.5, 5), foretold];
        let plan = allocate(&cells, 100, &Objective::EveryPolicy).unwrap();
        // √(1 − 0.81) = 0.436: 110 trials in the ratio 1 : 0.436.
        assert!(plan.trials[0].abs_diff(72) <= 1, "{:?}", plan.trials);
    }

    #[test]
    fn unseen_cells_come_first_and_limits_hold() {
        let mut cells = [cell("a", "x", 0.5, 0), cell("a", "y", 0.5, 30), cell("b", "x", 0.5, 0)];
        cells[2].available = Some(1);
        let plan = allocate(&cells, 2, &Objective::EveryPolicy).unwrap();
        assert_eq!(plan.trials, [1, 0, 1]);
        assert_eq!(plan.policies[0].now, None);
        assert!(plan.policies[0].then.is_some());
        let plan = allocate(&cells, 10, &Objective::EveryPolicy).unwrap();
        assert_eq!(plan.trials[2], 1);
        let only = Objective::Difference { a: "b".into(), b: "b".into() };
        assert_eq!(allocate(&cells, 10, &only).unwrap().trials, [0, 0, 1]);
    }

    #[test]
    fn the_widest_policy_is_served_first() {
        let cells = [cell("a", "x", 0.5, 10), cell("b", "x", 0.5, 40)];
        let plan = allocate(&cells, 30, &Objective::WidestPolicy).unwrap();
        assert_eq!(plan.trials, [30, 0]);
        let plan = allocate(&cells, 50, &Objective::WidestPolicy).unwrap();
        assert_eq!(plan.trials, [40, 10]);
    }

    #[test]
    fn bad_requests_are_refused() {
        let cells = [cell("a", "x", 0.5, 10)];
        let objective = Objective::EveryPolicy;
        assert!(matches!(allocate(&[], 1, &objective), Err(CalibrationError::Empty { .. })));
        assert!(allocate(&cells, u64::MAX, &objective).is_err());
        let unknown = Objective::Difference { a: "a".into(), b: "z".into() };
        assert!(matches!(allocate(&cells, 1, &unknown), Err(CalibrationError::Unknown { .. })));
        for bad in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            let cells = [CellState { variance: bad, ..cells[0].clone() }];
            assert!(allocate(&cells, 1, &objective).is_err(), "variance {bad}");
        }
    }

    proptest! {
        #[test]
        fn no_swap_of_a_trial_helps(sizes in prop::collection::vec(
            (0.02..0.25_f64, 1_u64..20, 0.0..0.99_f64, 0_u64..200), 2..6), budget in 1_u64..60)
        {
            let cells: Vec<CellState> = sizes.iter().map(|&(variance, trials, correlation, unpaired)|
                CellState { variance, correlation, unpaired, ..cell("a", "x", 0.5, trials) }).collect();
            let plan = allocate(&cells, budget, &Objective::EveryPolicy).unwrap().trials;
            prop_assert_eq!(plan.iter().sum::<u64>(), budget);
            let members: Vec<usize> = (0..cells.len()).collect();
            let best = variance(&cells, &members, &plan);
            for from in 0..cells.len() {
                for to in 0..cells.len() {
                    let mut other = plan.clone();
                    if plan[from] > 0 && from != to {
                        other[from] -= 1;
                        other[to] += 1;
                        prop_assert!(variance(&cells, &members, &other) >= best * (1.0 - 1e-12));
                    }
                }
            }
        }
    }
}
