//! Real results of a suite's policies, kept with the run: `real.csv`.

use std::path::Path;

use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::suite::Suite;
use rehearse_scoring::trial::{Table, Trial, TrialTable, Verdict, write_csv};

use super::RunError;
use super::folder::write_whole;

/// Writes the log's results of the suite's policies on its tasks, if there are any.
pub(super) fn keep(folder: &Path, suite: &Suite, log: &RobotLog) -> Result<(), RunError> {
    let trials: Vec<Trial> = log
        .real_results()
        .iter()
        .filter(|row| suite.policies.iter().any(|policy| policy.name == row.policy))
        .filter(|row| suite.tasks.iter().any(|task| task.name == row.task))
        .filter_map(|row| {
            Some(Trial::new(&row.policy, &row.task, Verdict::from_score(row.success)?))
        })
        .collect();
    if trials.is_empty() {
        return Ok(());
    }
    let path = folder.join("real.csv");
    let table = Table::Trials(TrialTable::new(trials, "the log")?);
    let mut text = Vec::new();
    write_csv(&table, &mut text, &path.display().to_string())?;
    write_whole(&path, &text)
}
