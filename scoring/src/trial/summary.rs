//! Trials counted by policy and task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Verdict;

/// How many trials ended how.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Trials that succeeded.
    pub successes: u64,
    /// Trials that failed, without credit.
    pub failures: u64,
    /// Trials with a credit strictly between 0 and 1.
    pub partials: u64,
    /// The sum of all scores: successes and partial credits.
    pub credit: f64,
    /// Trials in which something broke.
    pub void: u64,
    /// Trials that the judge could not tell.
    pub unsure: u64,
}

impl Tally {
    /// Counts one more trial.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Success => {
                self.successes += 1;
                self.credit += 1.0;
            }
            Verdict::Failure => self.failures += 1,
            Verdict::Partial(credit) => {
                self.partials += 1;
                self.credit += credit;
            }
            Verdict::Void => self.void += 1,
            Verdict::Unsure => self.unsure += 1,
        }
    }

    /// Counts what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        let Self { successes, failures, partials, credit, void, unsure } = other;
        self.successes += successes;
        self.failures += failures;
        self.partials += partials;
        self.credit += credit;
        self.void += void;
        self.unsure += unsure;
    }

    /// Trials with a score: the denominator of a rate.
    pub fn decided(&self) -> u64 {
        self.successes + self.failures + self.partials
    }

    /// All trials: the other denominator.
    pub fn total(&self) -> u64 {
        self.decided() + self.void + self.unsure
    }
}

/// The trials of one policy on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellTally {
    /// The policy's name.
    pub policy: String,
    /// The task's name.
    pub task: String,
    /// Its trials, counted.
    pub tally: Tally,
}

/// All trials of a table, counted by policy and task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// One entry per pair that occurs, by policy and then task.
    pub cells: Vec<CellTally>,
}

impl Summary {
    /// From tallies keyed by policy and task.
    pub(super) fn from_map(map: BTreeMap<(String, String), Tally>) -> Self {
        let cells = map
            .into_iter()
            .map(|((policy, task), tally)| CellTally { policy, task, tally })
            .collect();
        Self { cells }
    }

    /// The tally of each policy over all its tasks, by name.
    pub fn by_policy(&self) -> BTreeMap<&str, Tally> {
        let mut map: BTreeMap<&str, Tally> = BTreeMap::new();
        for cell in &self.cells {
            map.entry(&cell.policy).or_default().merge(&cell.tally);
        }
        map
    }

    /// The tally of each task over all policies, by name.
    pub fn by_task(&self) -> BTreeMap<&str, Tally> {
        let mut map: BTreeMap<&str, Tally> = BTreeMap::new();
        for cell in &self.cells {
            map.entry(&cell.task).or_default().merge(&cell.tally);
        }
        map
    }

    /// All trials, counted.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for cell in &self.cells {
            total.merge(&cell.tally);
        }
        total
    }
}
