//! Who beat whom on shared scenarios.

use std::collections::BTreeMap;

use crate::trial::TrialTable;

/// What the trials that meet share: task, scenario and repeat.
type Start<'a> = (&'a str, &'a str, Option<u32>);

/// How often each policy scored higher than each other one on the same task, scenario and repeat:
/// `wins[i][j]` for policies in the order of [`TrialTable::policies`]. Equal scores are left out,
/// for a scenario that both solve or both fail says nothing of who is better; so are void and
/// unsure trials and trials without a scenario.
pub fn wins(table: &TrialTable) -> Vec<Vec<f64>> {
    let policies = table.policies();
    let index: BTreeMap<&str, usize> = policies.iter().enumerate().map(|(i, p)| (*p, i)).collect();
    let mut cells: BTreeMap<Start<'_>, Vec<(usize, f64)>> = BTreeMap::new();
    for trial in table.trials() {
        if let (Some(scenario), Some(score)) = (&trial.scenario, trial.verdict.score()) {
            let cell = cells.entry((&trial.task, scenario, trial.repeat)).or_default();
            cell.push((index[&*trial.policy], score));
        }
    }
    let mut wins = vec![vec![0.0; policies.len()]; policies.len()];
    for cell in cells.values() {
        for (i, a) in cell {
            for (j, b) in cell {
                if a > b {
                    wins[*i][*j] += 1.0;
                }
            }
        }
    }
    wins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{Trial, Verdict};

    #[test]
    fn only_shared_scenarios_with_different_ends_count() {
        let trial = |policy, scenario, verdict| {
            Trial::new(policy, "t", verdict).of_scenario(scenario, None)
        };
        let table = TrialTable::new(
            vec![
                trial("a", "1", Verdict::Success),
                trial("b", "1", Verdict::Failure),
                trial("a", "2", Verdict::Partial(0.2)),
                trial("b", "2", Verdict::Partial(0.4)),
                trial("a", "3", Verdict::Success),
                trial("b", "3", Verdict::Success),
                trial("a", "4", Verdict::Success),
                trial("b", "4", Verdict::Void),
                trial("a", "5", Verdict::Success),
                Trial::new("b", "t", Verdict::Failure),
            ],
            "x",
        )
        .unwrap();
        assert_eq!(wins(&table), [[0.0, 1.0], [1.0, 0.0]]);
    }
}
