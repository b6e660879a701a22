//! How far trials come, where there are rubrics.

use std::collections::BTreeMap;

use rehearse_scenarios::seed::Seed;
use rehearse_scoring::rate::{DEFAULT_RESAMPLES, Rate};
use serde::Serialize;

use super::super::RunError;
use super::super::journal::Entry;
use super::content::{LEVEL, made};
use crate::judge::Rubric;

/// How often a policy reached a criterion.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CriterionReport {
    /// The task.
    pub task: String,
    /// The criterion's name.
    pub criterion: String,
    /// Decided trials of the task.
    pub trials: u64,
    /// Those that reached it. A trial may succeed without.
    pub reached: u64,
}

/// The mean progress of a policy's decided trials, with its interval; none without a rubric.
pub(super) fn mean(
    policy: &str,
    entries: &BTreeMap<String, Entry>,
) -> Result<Option<Rate>, RunError> {
    let progress: Vec<f64> = decided(policy, entries).filter_map(|entry| entry.progress).collect();
    if progress.is_empty() {
        return Ok(None);
    }
    let seed = Seed::root(0).child("progress");
    Rate::of_scores(&progress, LEVEL, DEFAULT_RESAMPLES, seed).map(Some).map_err(made("progress"))
}

/// How often a policy reached each criterion of each task, in the same order for all policies.
pub(super) fn criteria(
    policy: &str,
    rubrics: &BTreeMap<String, Rubric>,
    entries: &BTreeMap<String, Entry>,
) -> Vec<CriterionReport> {
    let decided: Vec<&Entry> = decided(policy, entries).collect();
    let named = rubrics.iter().flat_map(|(task, rubric)| {
        rubric.criteria.iter().map(move |criterion| (task, &criterion.name))
    });
    named
        .map(|(task, criterion)| {
            let of_task = || decided.iter().filter(|entry| entry.task == *task);
            let reached = of_task().filter(|entry| entry.reached.contains(criterion)).count();
            CriterionReport {
                task: task.clone(),
                criterion: criterion.clone(),
                trials: of_task().count() as u64,
                reached: reached as u64,
            }
        })
        .collect()
}

fn decided<'a>(
    policy: &'a str,
    entries: &'a BTreeMap<String, Entry>,
) -> impl Iterator<Item = &'a Entry> {
    entries
        .values()
        .filter(move |entry| entry.policy == policy)
        .filter(|entry| matches!(entry.outcome.as_str(), "success" | "failure"))
}
