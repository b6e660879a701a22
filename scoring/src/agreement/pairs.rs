//! Real and imagined results, matched by policy and task.

use std::collections::{BTreeMap, BTreeSet};

use super::error::AgreementError;
use super::trials::Confusion;
use crate::trial::{Table, Trial, TrialTable, Verdict};
use crate::warning::{Side, Warning};

/// What one side knows of a policy on a task.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    /// Mean score, in [0, 1].
    pub(super) rate: f64,
    /// What could have come out instead.
    pub(super) noise: Noise,
}

/// The sampling noise of a measured rate.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Noise {
    /// The number of trials is not known.
    Unknown,
    /// So many trials, each a success or not.
    Trials(u64),
    /// The scores themselves: partial credit.
    Scores(Vec<f64>),
}

/// A policy on a task, measured on both sides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PairedCell {
    /// Index of the policy's name.
    pub(super) policy: usize,
    /// Index of the task's name.
    pub(super) task: usize,
    /// On the robot.
    pub(super) real: Measured,
    /// In imagination.
    pub(super) imagined: Measured,
}

impl PairedCell {
    /// What `side` measured.
    pub(super) const fn of(&self, side: Side) -> &Measured {
        match side {
            Side::Real => &self.real,
            Side::Imagined => &self.imagined,
        }
    }
}

/// Real and imagined results of the policies and tasks that both tables hold.
///
/// A policy's rate is the mean of its tasks' rates, each task counting the same. What only one
/// table holds is left out and named in [`warnings`](Self::warnings).
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    policies: Vec<String>,
    tasks: Vec<String>,
    /// By policy, then task; every policy has one at least.
    cells: Vec<PairedCell>,
    confusion: Confusion,
    warnings: Vec<Warning>,
}

impl Pairs {
    /// Matches two tables.
    ///
    /// Trials pair one by one where both tables name their scenarios (and repeats) alike; a partial
    /// credit then counts as a failure.
    ///
    /// # Errors
    /// [`AgreementError::Empty`], [`AgreementError::NoTrials`] and
    /// [`AgreementError::NothingShared`].
    pub fn new(real: &Table, imagined: &Table) -> Result<Self, AgreementError> {
        let mut warnings = Vec::new();
        let mut real_cells = measure(real, Side::Real, &mut warnings)?;
        let mut imagined_cells = measure(imagined, Side::Imagined, &mut warnings)?;
        let shared: BTreeSet<Key> =
            real_cells.keys().filter(|key| imagined_cells.contains_key(*key)).cloned().collect();
        if shared.is_empty() {
            let first = |cells: &Cells| cells.keys().next().map(name_of).unwrap_or_default();
            return Err(AgreementError::NothingShared {
                real: first(&real_cells),
                imagined: first(&imagined_cells),
            });
        }
        warn_one_sided(Side::Real, &real_cells, &shared, &mut warnings);
        warn_one_sided(Side::Imagined, &imagined_cells, &shared, &mut warnings);

        let policies = distinct(shared.iter().map(|(policy, _)| policy));
        let tasks = distinct(shared.iter().map(|(_, task)| task));
        let mut cells = Vec::with_capacity(shared.len());
        for key in &shared {
            let found = (
                real_cells.remove(key),
                imagined_cells.remove(key),
                policies.binary_search(&key.0),
                tasks.binary_search(&key.1),
            );
            if let (Some(real), Some(imagined), Ok(policy), Ok(task)) = found {
                cells.push(PairedCell { policy, task, real, imagined });
            }
        }
        let confusion = match (real, imagined) {
            (Table::Trials(real), Table::Trials(imagined)) => confusion(real, imagined),
            _ => Confusion::default(),
        };
        let pairs = Self { policies, tasks, cells, confusion, warnings };
        Ok(pairs.with_own_warnings())
    }

    /// Names of the policies on both sides, sorted.
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// Names of the tasks on both sides, sorted.
    pub fn tasks(&self) -> &[String] {
        &self.tasks
    }

    /// What was left out, and what is uneven.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// One rate per policy on one side, in the order of [`policies`](Self::policies).
    pub fn policy_rates(&self, side: Side) -> Vec<f64> {
        let rates: Vec<f64> = self.cell_rates(side);
        let mut means = vec![0.0; self.policies.len()];
        self.average_by_policy(&rates, &mut means);
        means
    }

    /// One rate per cell on one side, by policy and then task.
    pub fn cell_rates(&self, side: Side) -> Vec<f64> {
        self.cells.iter().map(|cell| cell.of(side).rate).collect()
    }

    /// Index of each cell's task in [`tasks`](Self::tasks), by policy and then task.
    pub fn cell_tasks(&self) -> Vec<usize> {
        self.cells.iter().map(|cell| cell.task).collect()
    }

    pub(super) fn cells(&self) -> &[PairedCell] {
        &self.cells
    }

    pub(super) const fn confusion(&self) -> Confusion {
        self.confusion
    }

    /// Averages rates of cells into `means`, one per policy.
    pub(super) fn average_by_policy(&self, rates: &[f64], means: &mut [f64]) {
        let mut start = 0;
        for run in self.cells.chunk_by(|a, b| a.policy == b.policy) {
            let end = start + run.len();
            means[run[0].policy] = rates[start..end].iter().sum::<f64>() / run.len() as f64;
            start = end;
        }
    }

    fn with_own_warnings(mut self) -> Self {
        let fewest = self
            .cells
            .chunk_by(|a, b| a.policy == b.policy)
            .min_by_key(|run| run.len())
            .map(|run| (run[0].policy, run.len()));
        if let Some((policy, tasks)) = fewest.filter(|&(_, tasks)| tasks < self.tasks.len()) {
            let policy = self.policies[policy].clone();
            self.warnings.push(Warning::UnevenTasks { policy, tasks, all: self.tasks.len() });
        }
        for side in [Side::Real, Side::Imagined] {
            let unknown =
                self.cells.iter().filter(|cell| cell.of(side).noise == Noise::Unknown).count();
            if unknown > 0 {
                self.warnings.push(Warning::UnknownTrials { side, cells: unknown });
            }
        }
        self
    }
}

/// Policy and task.
type Key = (String, String);
type Cells = BTreeMap<Key, Measured>;

fn measure(
    table: &Table,
    side: Side,
    warnings: &mut Vec<Warning>,
) -> Result<Cells, AgreementError> {
    let mut cells = Cells::new();
    match table {
        Table::Trials(table) => {
            for (policy, tally) in table.summary().by_policy() {
                let (trials, policy) = (tally.total(), format!("{policy} ({side})"));
                if tally.void > 0 {
                    let (policy, void) = (policy.clone(), tally.void);
                    warnings.push(Warning::VoidTrials { policy, void, trials });
                }
                if tally.unsure > 0 {
                    let unsure = tally.unsure;
                    warnings.push(Warning::UnsureTrials { policy, unsure, trials });
                }
            }
            for policy in table.policies() {
                for (task, scores) in table.scores(policy) {
                    cells.insert((policy.to_owned(), task.to_owned()), Measured::of(scores));
                }
            }
        }
        Table::Aggregate(table) => {
            let odd: Vec<_> = table.cells().iter().filter(|cell| cell.counts().is_err()).collect();
            if let Some(cell) = odd.first() {
                let (cells, rate) = (odd.len(), cell.rate);
                let example = format!("{} on {}: {rate}", cell.policy, cell.task);
                warnings.push(Warning::CountMismatch { side, cells, example });
            }
            for cell in table.cells() {
                let (policy, task) = (cell.policy.clone(), cell.task.clone());
                if cell.trials == Some(0) {
                    return Err(AgreementError::NoTrials { side, policy, task });
                }
                let noise = cell.trials.map_or(Noise::Unknown, Noise::Trials);
                cells.insert((policy, task), Measured { rate: cell.rate, noise });
            }
        }
    }
    if cells.is_empty() { Err(AgreementError::Empty { side }) } else { Ok(cells) }
}

impl Measured {
    /// From the scores of one trial at least.
    fn of(scores: Vec<f64>) -> Self {
        let rate = scores.iter().sum::<f64>() / scores.len() as f64;
        let whole = scores.iter().all(|&score| score == 0.0 || score == 1.0);
        let noise = if whole { Noise::Trials(scores.len() as u64) } else { Noise::Scores(scores) };
        Self { rate, noise }
    }
}

fn warn_one_sided(side: Side, cells: &Cells, shared: &BTreeSet<Key>, warnings: &mut Vec<Warning>) {
    let kept: BTreeSet<&str> = shared.iter().map(|(policy, _)| policy.as_str()).collect();
    let all: BTreeSet<&str> = cells.keys().map(|(policy, _)| policy.as_str()).collect();
    let policies: Vec<String> = all.difference(&kept).map(|&policy| policy.to_owned()).collect();
    if !policies.is_empty() {
        warnings.push(Warning::OneSidedPolicies { side, policies });
    }
    let mut left_out =
        cells.keys().filter(|key| kept.contains(key.0.as_str()) && !shared.contains(*key));
    if let Some(example) = left_out.next().map(name_of) {
        let cells = 1 + left_out.count();
        warnings.push(Warning::OneSidedCells { side, cells, example });
    }
}

/// Pairs of decided trials with the same policy, task, scenario and repeat.
fn confusion(real: &TrialTable, imagined: &TrialTable) -> Confusion {
    let key = |trial: &Trial| {
        let scenario = trial.scenario.clone()?;
        let success = succeeded(trial.verdict)?;
        Some(((trial.policy.clone(), trial.task.clone(), scenario, trial.repeat), success))
    };
    let real: BTreeMap<_, bool> = real.trials().iter().filter_map(key).collect();
    let mut confusion = Confusion::default();
    for (key, imagined) in imagined.trials().iter().filter_map(key) {
        if let Some(&real) = real.get(&key) {
            confusion.add(real, imagined);
        }
    }
    confusion
}

const fn succeeded(verdict: Verdict) -> Option<bool> {
    match verdict {
        Verdict::Success => Some(true),
        Verdict::Failure | Verdict::Partial(_) => Some(false),
        Verdict::Void | Verdict::Unsure => None,
    }
}

fn name_of((policy, task): &Key) -> String {
    format!("{policy} on {task:?}")
}

fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trials(rows: &[(&str, &str, Verdict, Option<&str>)]) -> Table {
        let trials = rows.iter().map(|&(policy, task, verdict, scenario)| {
            let trial = Trial::new(policy, task, verdict);
            match scenario {
                Some(scenario) => trial.of_scenario(scenario, Some(0)),
                None => trial,
            }
        });
        Table::Trials(TrialTable::new(trials.collect(), "test").unwrap())
    }

    #[test]
    fn what_only_one_side_holds_is_left_out_and_named() {
        use Verdict::{Failure, Partial, Success, Void};
        let real = trials(&[
            ("a", "open", Success, None),
            ("a", "open", Failure, None),
            ("a", "close", Partial(0.5), None),
            ("b", "open", Void, None),
        ]);
        let imagined = trials(&[("a", "open", Success, None), ("c", "open", Success, None)]);
        let pairs = Pairs::new(&real, &imagined).unwrap();
        assert_eq!(pairs.policies(), ["a"]);
        assert_eq!(pairs.tasks(), ["open"]);
        assert_eq!(pairs.policy_rates(Side::Real), [0.5]);
        let codes: Vec<&str> = pairs.warnings().iter().map(Warning::code).collect();
        assert_eq!(codes, ["void_trials", "one_sided_cells", "one_sided_policies"]);
    }

    #[test]
    fn tasks_count_the_same_however_many_trials_they_have() {
        use Verdict::{Failure, Success};
        let rows = [
            ("a", "open", Success, None),
            ("a", "open", Success, None),
            ("a", "open", Success, None),
            ("a", "close", Failure, None),
        ];
        let pairs = Pairs::new(&trials(&rows), &trials(&rows)).unwrap();
        assert_eq!(pairs.policy_rates(Side::Real), [0.5]);
        assert_eq!(pairs.cell_rates(Side::Imagined), [0.0, 1.0]);
    }

    #[test]
    fn trials_pair_by_scenario() {
        use Verdict::{Failure, Success, Unsure};
        let real = trials(&[
            ("a", "open", Success, Some("1")),
            ("a", "open", Failure, Some("2")),
            ("a", "open", Success, Some("3")),
            ("a", "open", Success, None),
        ]);
        let imagined = trials(&[
            ("a", "open", Success, Some("1")),
            ("a", "open", Success, Some("2")),
            ("a", "open", Unsure, Some("3")),
            ("a", "open", Success, None),
        ]);
        let confusion = Pairs::new(&real, &imagined).unwrap().confusion();
        assert_eq!(confusion, Confusion { both: 1, imagined_only: 1, ..Confusion::default() });
    }

    #[test]
    fn tables_without_a_common_cell_are_refused() {
        let real = trials(&[("a", "open", Verdict::Success, None)]);
        let imagined = trials(&[("a", "close", Verdict::Success, None)]);
        let error = Pairs::new(&real, &imagined).unwrap_err();
        assert!(error.to_string().contains("a on \"open\""), "{error}");
        let void = trials(&[("a", "open", Verdict::Void, None)]);
        assert_eq!(Pairs::new(&real, &void), Err(AgreementError::Empty { side: Side::Imagined }));
    }
}
