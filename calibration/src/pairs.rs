//! Real and imagined results of the same scenarios, matched.

use std::collections::BTreeMap;

use rehearse_scoring::trial::{TrialTable, Verdict};

use crate::error::CalibrationError;
use crate::estimate::Sample;
use crate::warning::{CalibrationWarning, Side};

/// The matched results of one policy on one task.
///
/// A scenario is one unit: its result is the mean over its decided repeats.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CellPairs {
    paired: Vec<String>,
    real: Vec<f64>,
    imagined: Vec<f64>,
    unpaired: Vec<String>,
    unpaired_imagined: Vec<f64>,
    real_only: Vec<f64>,
    /// As many zeros as there are real-only results: what was imagined of them.
    nothing: Vec<f64>,
}

impl CellPairs {
    /// Scenarios with a real and an imagined result, in order.
    pub fn paired(&self) -> &[String] {
        &self.paired
    }

    /// Their real results.
    pub fn real(&self) -> &[f64] {
        &self.real
    }

    /// Their imagined results.
    pub fn imagined(&self) -> &[f64] {
        &self.imagined
    }

    /// Scenarios with an imagined result only.
    pub fn unpaired(&self) -> &[String] {
        &self.unpaired
    }

    /// Their imagined results.
    pub fn unpaired_imagined(&self) -> &[f64] {
        &self.unpaired_imagined
    }

    /// Real results that no imagined one answers: of scenarios that were not imagined, or of
    /// trials whose scenario is not known.
    pub fn real_only(&self) -> &[f64] {
        &self.real_only
    }

    /// The pairs as a sample; where there are none, the real results on their own.
    ///
    /// # Errors
    /// [`CalibrationError::Empty`] without any real result.
    pub fn sample(&self) -> Result<Sample<'_>, CalibrationError> {
        if self.paired.is_empty() {
            // Imagined results that nothing compares with are worth nothing.
            return Sample::new(&self.real_only, &self.nothing, &[]);
        }
        Sample::new(&self.real, &self.imagined, &self.unpaired_imagined)
    }
}

/// Matched results by policy and task.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    policies: BTreeMap<String, BTreeMap<String, CellPairs>>,
    warnings: Vec<CalibrationWarning>,
}

impl Pairs {
    /// Matches the trials of two tables by policy, task and scenario.
    ///
    /// Only what is in both tables is kept; the rest is named in [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// [`CalibrationError::NothingShared`] when the tables have no policy with a task in common.
    pub fn new(real: &TrialTable, imagined: &TrialTable) -> Result<Self, CalibrationError> {
        let mut warnings = Vec::new();
        let real_units = Units::of(real, Side::Real, &mut warnings);
        let imagined_units = Units::of(imagined, Side::Imagined, &mut warnings);
        let mut policies = BTreeMap::new();
        for (policy, tasks) in &real_units.0 {
            let Some(imagined_tasks) = imagined_units.0.get(policy) else {
                let (policy, side) = (policy.clone(), Side::Real);
                warnings.push(CalibrationWarning::PolicyOnOneSide { policy, side });
                continue;
            };
            let cells = match_tasks(policy, tasks, imagined_tasks, &mut warnings);
            if !cells.is_empty() {
                policies.insert(policy.clone(), cells);
            }
        }
        for policy in imagined_units.0.keys().filter(|p| !real_units.0.contains_key(*p)) {
            let (policy, side) = (policy.clone(), Side::Imagined);
            warnings.push(CalibrationWarning::PolicyOnOneSide { policy, side });
        }
        if policies.is_empty() {
            return Err(CalibrationError::NothingShared {
                real: real.policies().join(", "),
                imagined: imagined.policies().join(", "),
            });
        }
        Ok(Self { policies, warnings })
    }

    /// The matched results, by policy and task.
    pub fn policies(&self) -> &BTreeMap<String, BTreeMap<String, CellPairs>> {
        &self.policies
    }

    /// What was left out, and why.
    pub fn warnings(&self) -> &[CalibrationWarning] {
        &self.warnings
    }

    /// The results of `policy` on `task`.
    ///
    /// # Errors
    /// [`CalibrationError::Unknown`].
    pub fn cell(&self, policy: &str, task: &str) -> Result<&CellPairs, CalibrationError> {
        let tasks = self.policies.get(policy).ok_or_else(|| CalibrationError::Unknown {
            what: "policy",
            name: policy.to_owned(),
            known: joined(self.policies.keys()),
        })?;
        tasks.get(task).ok_or_else(|| CalibrationError::Unknown {
            what: "task",
            name: task.to_owned(),
            known: joined(tasks.keys()),
        })
    }

    /// Records the real result of a scenario that had an imagined one only.
    ///
    /// # Errors
    /// [`CalibrationError::Unknown`]; [`CalibrationError::NotAwaited`] when the scenario was never
    /// imagined or has its result already; [`CalibrationError::Value`] for a score outside
    /// [0, 1].
    pub fn record(
        &mut self,
        policy: &str,
        task: &str,
        scenario: &str,
        score: f64,
    ) -> Result<(), CalibrationError> {
        crate::error::check_shares("real result", &[score])?;
        self.cell(policy, task)?;
        let cell = self.policies.get_mut(policy).and_then(|tasks| tasks.get_mut(task));
        let found = cell.and_then(|cell| {
            let place = cell.unpaired.iter().position(|s| s == scenario)?;
            Some((cell, place))
        });
        let Some((cell, place)) = found else {
            return Err(CalibrationError::NotAwaited {
                policy: policy.to_owned(),
                task: task.to_owned(),
                scenario: scenario.to_owned(),
            });
        };
        cell.paired.push(cell.unpaired.remove(place));
        cell.imagined.push(cell.unpaired_imagined.remove(place));
        cell.real.push(score);
        Ok(())
    }

    /// Imagined results as predictions, and the real results as outcomes, of every pair in order
    /// of policy, task and scenario.
    pub fn predictions(&self) -> (Vec<f64>, Vec<f64>) {
        let cells = || self.policies.values().flat_map(BTreeMap::values);
        (
            cells().flat_map(|c| c.imagined.iter().copied()).collect(),
            cells().flat_map(|c| c.real.iter().copied()).collect(),
        )
    }
}

/// Results by policy, task and scenario.
struct Units(BTreeMap<String, BTreeMap<String, Unit>>);

#[derive(Default)]
struct Unit {
    /// Sum of scores and number of decided repeats, by scenario.
    scenarios: BTreeMap<String, (f64, f64)>,
    /// Scores of trials whose scenario is not known.
    nameless: Vec<f64>,
}

impl Units {
    fn of(table: &TrialTable, side: Side, warnings: &mut Vec<CalibrationWarning>) -> Self {
        let mut units: BTreeMap<String, BTreeMap<String, Unit>> = BTreeMap::new();
        let (mut void, mut unsure, mut nameless) = (0, 0, 0);
        for trial in table.trials() {
            let score = match trial.verdict {
                Verdict::Success => 1.0,
                Verdict::Failure => 0.0,
                Verdict::Partial(credit) => credit,
                Verdict::Void => {
                    void += 1;
                    continue;
                }
                Verdict::Unsure => {
                    unsure += 1;
                    continue;
                }
            };
            let tasks = units.entry(trial.policy.to_string()).or_default();
            let unit = tasks.entry(trial.task.to_string()).or_default();
            if let Some(scenario) = &trial.scenario {
                let sum = unit.scenarios.entry(scenario.to_string()).or_default();
                *sum = (sum.0 + score, sum.1 + 1.0);
            } else {
                nameless += 1;
                unit.nameless.push(score);
            }
        }
        if void + unsure > 0 {
            warnings.push(CalibrationWarning::LeftOut { side, void, unsure });
        }
        if nameless > 0 {
            warnings.push(CalibrationWarning::NoScenario { side, trials: nameless });
        }
        Self(units)
    }
}

fn match_tasks(
    policy: &str,
    real: &BTreeMap<String, Unit>,
    imagined: &BTreeMap<String, Unit>,
    warnings: &mut Vec<CalibrationWarning>,
) -> BTreeMap<String, CellPairs> {
    let mut cells = BTreeMap::new();
    for (task, unit) in real {
        let (policy, task) = (policy.to_owned(), task.clone());
        let Some(other) = imagined.get(&task) else {
            warnings.push(CalibrationWarning::TaskOnOneSide { policy, task, side: Side::Real });
            continue;
        };
        let cell = match_cell(unit, other);
        if cell.paired.is_empty() {
            let (policy, task) = (policy, task.clone());
            warnings.push(CalibrationWarning::NoPairs { policy, task });
        } else if !cell.real_only.is_empty() {
            let (scenarios, task) = (cell.real_only.len(), task.clone());
            warnings.push(CalibrationWarning::RealUnpaired { policy, task, scenarios });
        }
        cells.insert(task, cell);
    }
    for task in imagined.keys().filter(|task| !real.contains_key(*task)) {
        let (policy, task, side) = (policy.to_owned(), task.clone(), Side::Imagined);
        warnings.push(CalibrationWarning::TaskOnOneSide { policy, task, side });
    }
    cells
}

fn match_cell(real: &Unit, imagined: &Unit) -> CellPairs {
    let mean = |&(sum, count): &(f64, f64)| sum / count;
    let mut cell = CellPairs { real_only: real.nameless.clone(), ..CellPairs::default() };
    for (scenario, score) in &real.scenarios {
        match imagined.scenarios.get(scenario) {
            Some(other) => {
                cell.paired.push(scenario.clone());
                cell.real.push(mean(score));
                cell.imagined.push(mean(other));
            }
            None => cell.real_only.push(mean(score)),
        }
    }
    cell.nothing = vec![0.0; cell.real_only.len()];
    for (scenario, score) in &imagined.scenarios {
        if !real.scenarios.contains_key(scenario) {
            cell.unpaired.push(scenario.clone());
            cell.unpaired_imagined.push(mean(score));
        }
    }
    cell
}

fn joined<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use rehearse_scoring::trial::Trial;

    use super::*;

    fn trial(policy: &str, task: &str, scenario: &str, repeat: u32, verdict: Verdict) -> Trial {
        Trial::new(policy, task, verdict).of_scenario(scenario, Some(repeat))
    }

    fn table(trials: Vec<Trial>) -> TrialTable {
        TrialTable::new(trials, "test").unwrap()
    }

    #[test]
    fn repeats_are_averaged_and_scenarios_matched() {
        use Verdict::{Failure, Success, Void};
        let real = table(vec![
            trial("a", "open", "s1", 0, Success),
            trial("a", "open", "s1", 1, Failure),
            trial("a", "open", "s3", 0, Success),
            trial("a", "open", "s4", 0, Void),
        ]);
        let imagined = table(vec![
            trial("a", "open", "s1", 0, Success),
            trial("a", "open", "s2", 0, Failure),
            trial("a", "open", "s2", 1, Success),
            trial("b", "open", "s1", 0, Success),
        ]);
        let pairs = Pairs::new(&real, &imagined).unwrap();
        let cell = pairs.cell("a", "open").unwrap();
        assert_eq!(cell.paired(), ["s1"]);
        assert_eq!((cell.real(), cell.imagined()), (&[0.5][..], &[1.0][..]));
        assert_eq!(
            (cell.unpaired(), cell.unpaired_imagined()),
            (&["s2".to_owned()][..], &[0.5][..])
        );
        assert_eq!(cell.real_only(), [1.0]);
        let codes: Vec<_> = pairs.warnings().iter().map(CalibrationWarning::code).collect();
        assert_eq!(codes, ["left_out", "real_unpaired", "policy_on_one_side"]);
    }

    #[test]
    fn a_recorded_trial_becomes_a_pair_once() {
        let real = table(vec![trial("a", "open", "s1", 0, Verdict::Success)]);
        let imagined = table(vec![
            trial("a", "open", "s1", 0, Verdict::Success),
            trial("a", "open", "s2", 0, Verdict::Failure),
        ]);
        let mut pairs = Pairs::new(&real, &imagined).unwrap();
        pairs.record("a", "open", "s2", 0.0).unwrap();
        assert_eq!(pairs.cell("a", "open").unwrap().real(), [1.0, 0.0]);
        assert!(matches!(
            pairs.record("a", "open", "s2", 0.0),
            Err(CalibrationError::NotAwaited { .. })
        ));
        assert!(matches!(
            pairs.record("z", "open", "s2", 0.0),
            Err(CalibrationError::Unknown { .. })
        ));
        assert!(matches!(
            pairs.record("a", "open", "s3", f64::NAN),
            Err(CalibrationError::Value { .. })
        ));
    }

    #[test]
    fn tables_without_a_shared_policy_are_refused() {
        let real = table(vec![trial("a", "open", "s", 0, Verdict::Success)]);
        let imagined = table(vec![trial("b", "open", "s", 0, Verdict::Success)]);
        let error = Pairs::new(&real, &imagined).unwrap_err();
        assert_eq!(error.to_string(), "no policy is in both tables: real has a; imagined has b");
        // The same when the shared policy has nothing but void trials.
        let void = table(vec![trial("b", "open", "s", 0, Verdict::Void)]);
        assert!(Pairs::new(&void, &imagined).is_err());
    }
}
