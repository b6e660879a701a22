//! Real results of a suite's policies, kept with the run: `real.csv`.

use std::path::Path;

use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::suite::Suite;
use rehearse_scoring::trial::{Limits, Table, Trial, TrialTable, Verdict, read, write_csv};

use super::folder::write_whole;
use super::{Plan, RunError};

/// Writes the real results of the plan's policies on its tasks, if there are any: those of the
/// suite's table, else those of the log.
pub(super) fn keep(folder: &Path, plan: &Plan, log: Option<&RobotLog>) -> Result<(), RunError> {
    let trials = match &plan.suite.real {
        Some(real) => of_table(&plan.folder.join(real), &plan.suite)?,
        None => log.map(|log| of_log(log, &plan.suite)).unwrap_or_default(),
    };
    if trials.is_empty() {
        return Ok(());
    }
    let path = folder.join("real.csv");
    let table = Table::Trials(TrialTable::new(trials, "the real results")?);
    let mut text = Vec::new();
    write_csv(&table, &mut text, &path.display().to_string())?;
    write_whole(&path, &text)
}

fn is_asked_for(suite: &Suite, policy: &str, task: &str) -> bool {
    suite.policies.iter().any(|entry| entry.name == policy)
        && suite.tasks.iter().any(|entry| entry.name == task)
}

fn of_table(path: &Path, suite: &Suite) -> Result<Vec<Trial>, RunError> {
    match read(path, &Limits::default())?.table {
        Table::Trials(table) => Ok(table
            .trials()
            .iter()
            .filter(|trial| is_asked_for(suite, &trial.policy, &trial.task))
            .cloned()
            .collect()),
        Table::Aggregate(_) => Err(RunError::NotSupported {
            what: format!("real results by rates, as in {},", path.display()),
            advice: "state a table with a row per trial, or give it to `rehearse report --real`",
        }),
    }
}

fn of_log(log: &RobotLog, suite: &Suite) -> Vec<Trial> {
    log.real_results()
        .iter()
        .filter(|row| is_asked_for(suite, &row.policy, &row.task))
        .filter_map(|row| {
            Some(Trial::new(&row.policy, &row.task, Verdict::from_score(row.success)?))
        })
        .collect()
}
