//! Tables in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Place, Summary, TableError, Tally, Verdict};

/// One trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The task's name.
    pub task: Arc<str>,
    /// How it ended.
    pub verdict: Verdict,
    /// Which scenario it started from, where known: what makes trials of two policies a pair.
    pub scenario: Option<Arc<str>>,
    /// Which repeat of the scenario, where known.
    pub repeat: Option<u32>,
    /// Its length in steps, where known.
    pub length: Option<u32>,
    /// Why it ended as it did, where known.
    pub reason: Option<Arc<str>>,
}

impl Trial {
    /// A trial of which nothing more is known.
    pub fn new(policy: &str, task: &str, verdict: Verdict) -> Self {
        Self {
            policy: policy.into(),
            task: task.into(),
            verdict,
            scenario: None,
            repeat: None,
            length: None,
            reason: None,
        }
    }

    /// The same trial, from `scenario`, in its repeat `repeat`.
    #[must_use]
    pub fn of_scenario(mut self, scenario: &str, repeat: Option<u32>) -> Self {
        self.scenario = Some(scenario.into());
        self.repeat = repeat;
        self
    }
}

/// A table with one row per trial; never empty, and no trial in it twice.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialTable {
    trials: Vec<Trial>,
}

impl TrialTable {
    /// A table of `trials`; `file` names their source in errors.
    ///
    /// # Errors
    /// [`TableError::Empty`]; [`TableError::Duplicate`] when two trials of a policy have the same
    /// task, scenario and repeat. Trials without a scenario cannot be told apart and are not
    /// checked.
    pub fn new(trials: Vec<Trial>, file: &str) -> Result<Self, TableError> {
        if trials.is_empty() {
            return Err(TableError::Empty { file: file.to_owned() });
        }
        let mut seen = BTreeMap::new();
        for (index, trial) in trials.iter().enumerate() {
            let Some(scenario) = &trial.scenario else { continue };
            let key = (&trial.policy, &trial.task, scenario, trial.repeat);
            if let Some(first) = seen.insert(key, index as u64 + 1) {
                let Trial { policy, task, repeat, .. } = trial;
                let hint = if repeat.is_none() { "; number its repeats in `repeat`" } else { "" };
                let repeat = repeat.map_or(String::new(), |r| format!("/{r}"));
                return Err(TableError::Duplicate {
                    trial: format!("{task}/{scenario}/{policy}{repeat}"),
                    first,
                    hint,
                    place: Place::row(file, index as u64 + 1),
                });
            }
        }
        Ok(Self { trials })
    }

    /// The trials, in the order of the file.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Names of the policies, in order.
    pub fn policies(&self) -> Vec<&str> {
        names(self.trials.iter().map(|t| &*t.policy))
    }

    /// Names of the tasks, in order.
    pub fn tasks(&self) -> Vec<&str> {
        names(self.trials.iter().map(|t| &*t.task))
    }

    /// The trials counted by policy and task.
    pub fn summary(&self) -> Summary {
        let mut cells: BTreeMap<(&str, &str), Tally> = BTreeMap::new();
        for trial in &self.trials {
            cells.entry((&trial.policy, &trial.task)).or_default().add(trial.verdict);
        }
        Summary::from_map(
            cells
                .into_iter()
                .map(|((p, t), tally)| ((p.to_owned(), t.to_owned()), tally))
                .collect(),
        )
    }

    /// The scores of `policy`'s decided trials, by task, in the order of the file.
    pub fn scores(&self, policy: &str) -> BTreeMap<&str, Vec<f64>> {
        let mut tasks: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for trial in self.trials.iter().filter(|t| &*t.policy == policy) {
            if let Some(score) = trial.verdict.score() {
                tasks.entry(&trial.task).or_default().push(score);
            }
        }
        tasks
    }
}

/// One row of an aggregated table.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The policy's name.
    pub policy: String,
    /// The task's name.
    pub task: String,
    /// Its success rate, or mean credit, in [0, 1].
    pub rate: f64,
    /// How many trials are behind it, where printed.
    pub trials: Option<u64>,
}

impl Cell {
    /// Successes and trials, or none where the number of trials is not known.
    ///
    /// A rate printed to whole percents (or finer) is taken to its nearest count.
    ///
    /// # Errors
    /// [`TableError::CountMismatch`] when no whole number of successes gives the rate to within
    /// half a percent.
    pub fn counts(&self) -> Result<Option<(u64, u64)>, TableError> {
        const HALF_PERCENT: f64 = 0.005 + 1e-9;
        let Some(trials) = self.trials.filter(|&n| n > 0) else { return Ok(None) };
        let product = self.rate * trials as f64;
        let successes = product.round();
        if (successes / trials as f64 - self.rate).abs() > HALF_PERCENT {
            return Err(TableError::CountMismatch {
                policy: self.policy.clone(),
                task: self.task.clone(),
                rate: self.rate,
                trials,
                product,
            });
        }
        Ok(Some((successes as u64, trials)))
    }
}

/// A table of rates; never empty, and no cell in it twice.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateTable {
    cells: Vec<Cell>,
}

impl AggregateTable {
    /// A table of `cells`; `file` names their source in errors.
    ///
    /// # Errors
    /// [`TableError::Empty`]; [`TableError::Duplicate`] when a policy has two rates for a task;
    /// [`TableError::Value`] when a rate is not in [0, 1].
    pub fn new(cells: Vec<Cell>, file: &str) -> Result<Self, TableError> {
        if cells.is_empty() {
            return Err(TableError::Empty { file: file.to_owned() });
        }
        let mut seen = BTreeMap::new();
        for (index, cell) in cells.iter().enumerate() {
            let row = index as u64 + 1;
            if !(0.0..=1.0).contains(&cell.rate) {
                return Err(TableError::Value {
                    got: cell.rate.to_string(),
                    expected: "a rate in [0, 1]",
                    place: Place::at(file, row, "rate"),
                });
            }
            if let Some(first) = seen.insert((&cell.policy, &cell.task), row) {
                return Err(TableError::Duplicate {
                    trial: format!("{}/{}", cell.task, cell.policy),
                    first,
                    hint: "; an aggregated table has one row per policy and task",
                    place: Place::row(file, row),
                });
            }
        }
        Ok(Self { cells })
    }

    /// The rows, in the order of the file.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Names of the policies, in order.
    pub fn policies(&self) -> Vec<&str> {
        names(self.cells.iter().map(|c| &*c.policy))
    }

    /// Names of the tasks, in order.
    pub fn tasks(&self) -> Vec<&str> {
        names(self.cells.iter().map(|c| &*c.task))
    }
}

impl From<&TrialTable> for AggregateTable {
    /// Each cell's mean score over its decided trials; cells without any are left out, so this
    /// table may be empty.
    fn from(table: &TrialTable) -> Self {
        let cells = table
            .summary()
            .cells
            .into_iter()
            .filter(|cell| cell.tally.decided() > 0)
            .map(|cell| Cell {
                rate: cell.tally.credit / cell.tally.decided() as f64,
                trials: Some(cell.tally.decided()),
                policy: cell.policy,
                task: cell.task,
            })
            .collect();
        Self { cells }
    }
}

/// A trial table in either form.
#[derive(Debug, Clone, PartialEq)]
pub enum Table {
    /// One row per trial.
    Trials(TrialTable),
    /// One row per policy and task.
    Aggregate(AggregateTable),
}

impl Table {
    /// The table as rates: itself if aggregated, else each cell's mean.
    pub fn rates(&self) -> AggregateTable {
        match self {
            Self::Trials(table) => table.into(),
            Self::Aggregate(table) => table.clone(),
        }
    }

    /// Names of the policies, in order.
    pub fn policies(&self) -> Vec<&str> {
        match self {
            Self::Trials(table) => table.policies(),
            Self::Aggregate(table) => table.policies(),
        }
    }

    /// Names of the tasks, in order.
    pub fn tasks(&self) -> Vec<&str> {
        match self {
            Self::Trials(table) => table.tasks(),
            Self::Aggregate(table) => table.tasks(),
        }
    }
}

/// A table as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The table.
    pub table: Table,
    /// Columns of the file that mean nothing here, in its order: worth a note, for one of them
    /// may be a known name misspelt.
    pub ignored_columns: Vec<String>,
    /// The file, or what stands for it.
    pub file: String,
}

impl Reading {
    /// The trials, for what cannot be done with rates alone.
    ///
    /// # Errors
    /// [`TableError::NeedsTrials`], naming what `needs` them, if the table is aggregated.
    pub fn into_trials(self, needs: &'static str) -> Result<TrialTable, TableError> {
        match self.table {
            Table::Trials(table) => Ok(table),
            Table::Aggregate(_) => Err(TableError::NeedsTrials { needs, file: self.file }),
        }
    }
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    all.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trial_twice_is_refused_and_located() {
        let trial = || Trial::new("a", "open", Verdict::Success).of_scenario("s", Some(0));
        let other = Trial { repeat: Some(1), ..trial() };
        assert!(TrialTable::new(vec![trial(), other.clone()], "x").is_ok());
        let error = TrialTable::new(vec![trial(), other, trial()], "x.csv").unwrap_err();
        assert_eq!(
            error.to_string(),
            "trial open/s/a/0 appears twice, first in row 1: x.csv, row 3"
        );
    }

    #[test]
    fn counts_forgive_rounding_and_nothing_else() {
        let cell = |rate, trials| Cell { policy: "p".into(), task: "t".into(), rate, trials };
        assert_eq!(cell(0.33, Some(3)).counts().unwrap(), Some((1, 3)));
        assert_eq!(cell(0.52, Some(25)).counts().unwrap(), Some((13, 25)));
        assert_eq!(cell(0.5, None).counts().unwrap(), None);
        assert!(matches!(cell(0.33, Some(10)).counts(), Err(TableError::CountMismatch { .. })));
    }

    #[test]
    fn means_leave_void_trials_out() {
        let trials = vec![
            Trial::new("a", "t", Verdict::Success),
            Trial::new("a", "t", Verdict::Partial(0.5)),
            Trial::new("a", "t", Verdict::Void),
            Trial::new("b", "t", Verdict::Void),
        ];
        let rates = Table::Trials(TrialTable::new(trials, "x").unwrap()).rates();
        assert_eq!(rates.cells().len(), 1);
        assert_eq!((rates.cells()[0].rate, rates.cells()[0].trials), (0.75, Some(2)));
    }
}
