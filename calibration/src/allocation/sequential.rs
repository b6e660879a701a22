//! One batch of real trials after the other.

use rand::seq::index::sample;
use rehearse_scenarios::seed::Seed;
use serde::{Deserialize, Serialize};

use super::{Objective, allocate, states};
use crate::error::CalibrationError;
use crate::pairs::Pairs;

/// A real trial to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The policy.
    pub policy: String,
    /// The task.
    pub task: String,
    /// The scenario: one that was imagined and has no real result.
    pub scenario: String,
}

/// The next `size` real trials, from all results so far.
///
/// Cells are chosen by [`allocate`]; scenarios within a cell are drawn at random, for the estimate
/// stands on the paired scenarios being a random sample. Record the results with
/// [`Pairs::record`] and ask again. Fewer than `size` come back when the imagined scenarios run
/// out. The same pairs and seed give the same batch.
///
/// # Errors
/// As [`allocate`].
pub fn next_batch(
    pairs: &Pairs,
    size: u64,
    objective: &Objective,
    seed: Seed,
) -> Result<Vec<Assignment>, CalibrationError> {
    let mut cells = states(pairs)?;
    for cell in &mut cells {
        cell.available = Some(cell.unpaired);
    }
    let plan = allocate(&cells, size, objective)?;
    let mut batch = Vec::new();
    for (cell, &count) in cells.iter().zip(&plan.trials) {
        let open = pairs.cell(&cell.policy, &cell.task)?.unpaired();
        let mut rng = seed.child(&cell.policy).child(&cell.task).index(cell.trials).rng();
        for index in sample(&mut rng, open.len(), (count as usize).min(open.len())) {
            batch.push(Assignment {
                policy: cell.policy.clone(),
                task: cell.task.clone(),
                scenario: open[index].clone(),
            });
        }
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use rehearse_scoring::trial::{Trial, TrialTable, Verdict};

    use super::*;

    fn pairs() -> Pairs {
        let verdict = |success: bool| if success { Verdict::Success } else { Verdict::Failure };
        let mut real = Vec::new();
        let mut imagined = Vec::new();
        for task in ["mixed", "sure"] {
            for i in 0..60_u32 {
                let success = task == "sure" || i % 2 == 0;
                let trial = |v| Trial::new("a", task, v).of_scenario(&format!("s{i}"), None);
                imagined.push(trial(verdict(i % 3 == 0)));
                if i < 12 {
                    real.push(trial(verdict(success)));
                }
            }
        }
        let table = |trials| TrialTable::new(trials, "test").unwrap();
        Pairs::new(&table(real), &table(imagined)).unwrap()
    }

    #[test]
    fn batches_go_where_results_are_uncertain_until_scenarios_run_out() {
        let mut pairs = pairs();
        let first = next_batch(&pairs, 10, &Objective::EveryPolicy, Seed::root(1)).unwrap();
        assert_eq!(first.len(), 10);
        assert!(first.iter().filter(|a| a.task == "mixed").count() >= 8, "{first:?}");
        assert_eq!(first, next_batch(&pairs, 10, &Objective::EveryPolicy, Seed::root(1)).unwrap());
        let mut total = 0;
        loop {
            let batch = next_batch(&pairs, 25, &Objective::EveryPolicy, Seed::root(1)).unwrap();
            if batch.is_empty() {
                break;
            }
            for Assignment { policy, task, scenario } in &batch {
                pairs.record(policy, task, scenario, 1.0).unwrap();
            }
            total += batch.len();
        }
        assert_eq!(total, 2 * 48);
    }
}
