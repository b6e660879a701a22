//! Stopping a run when its ranking is settled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rehearse_scoring::sequential::{Decision, SequentialError, SettleOptions, Settler};
use rehearse_scoring::trial::Verdict;
use serde::Serialize;

use super::folder::write_whole;
use super::journal::Entry;
use super::{Plan, RunError};

/// `settled.json` of a run that stopped because its ranking was settled.
#[derive(Clone, Debug, Serialize)]
struct Settled<'a> {
    format: u32,
    /// Probability with which the ranking is right.
    level: f64,
    /// Policies closer than this need not be told apart.
    margin: Option<f64>,
    /// What is known of each pair.
    #[serde(flatten)]
    decision: &'a Decision,
}

/// Follows a run, trial by trial, in the order of its plan.
#[derive(Debug)]
pub(super) struct Follow {
    settler: Settler,
    options: SettleOptions,
    /// Place of each trial's meeting among those on plain starts.
    slots: BTreeMap<String, u64>,
}

impl Follow {
    /// Follows the trials on starts as they are: those that the ranking is made of.
    pub(super) fn new(plan: &Plan, options: SettleOptions) -> Result<Self, SequentialError> {
        let names = plan.suite.policies.iter().map(|policy| policy.name.as_str());
        let mut slots = BTreeMap::new();
        let mut meetings = BTreeMap::new();
        for trial in plan.trials().filter(|trial| trial.scenario.variation.is_none()) {
            let next = meetings.len() as u64;
            let meeting = (trial.scenario.task, trial.scenario.start, trial.repeat);
            let slot = *meetings.entry(meeting).or_insert(next);
            slots.insert(trial.id.as_str().to_owned(), slot);
        }
        Ok(Self { settler: Settler::new(names, options)?, options, slots })
    }

    /// Takes the end of a trial. Whether the ranking is settled with it.
    pub(super) fn sees_settled(&mut self, entry: &Entry) -> Result<bool, SequentialError> {
        let Some(&slot) = self.slots.get(&entry.trial) else { return Ok(false) };
        let score = Verdict::from_word(&entry.outcome).and_then(Verdict::score);
        self.settler.observe(slot, &entry.policy, score)?;
        Ok(self.settler.decision().settled)
    }

    /// Writes what was settled.
    pub(super) fn write(&self, folder: &Path) -> Result<(), RunError> {
        let path = path(folder);
        let SettleOptions { level, margin } = self.options;
        let decision = &self.settler.decision();
        let text = serde_json::to_vec_pretty(&Settled { format: 1, level, margin, decision })
            .map_err(|error| RunError::damaged(&path, error))?;
        write_whole(&path, &text)
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("settled.json")
}

/// What a run that stopped early has settled; none if it did not.
pub(super) fn read(folder: &Path) -> Result<Option<serde_json::Value>, RunError> {
    let path = path(folder);
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read(&path).map_err(RunError::file("read", &path))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| RunError::damaged(&path, error))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rehearse_scenarios::suite::Suite;

    use super::*;
    use crate::run::Shard;

    fn plan() -> Plan {
        let text = "name = \"s\"\nworld = { kind = \"zenoh\", name = \"w\" }\nhorizon = 1\n\
                    [[policy]]\nname = \"good\"\n zenoh = \"a\"\n\
                    [[policy]]\nname = \"bad\"\n zenoh = \"b\"\n\
                    [[task]]\nname = \"t\"\ninstruction = \"do\"\nstarts = { count = 20 }\n\
                    [[task]]\nname = \"u\"\ninstruction = \"do\"\nstarts = { count = 20 }\n\
                    [[variation]]\nkind = \"blur\"\nsigma_px = [0.5, 1.0]\n";
        let suite = Suite::parse(text, "s.toml".as_ref()).unwrap();
        Plan::expand(suite, PathBuf::new(), String::new(), Shard::WHOLE)
    }

    #[test]
    fn a_mixed_plan_has_the_same_trials_side_by_side_and_mixes_tasks() {
        let (plain, mixed) = (plan(), plan().mixed());
        let ids = |plan: &Plan| {
            let mut ids: Vec<_> = plan.trials().map(|t| t.id.as_str().to_owned()).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&plain), ids(&mixed));
        let trials = mixed.trials().collect::<Vec<_>>();
        for pair in trials.chunks(2) {
            assert_eq!((&pair[0].scenario, pair[0].policy), (&pair[1].scenario, 0));
        }
        let first = trials[..40].iter().filter(|trial| trial.scenario.task == 0).count();
        assert!((8..=32).contains(&first), "{first} of 40 are of the first task");
    }

    #[test]
    fn a_run_is_settled_by_its_plain_trials_in_the_order_of_the_plan() {
        let plan = plan().mixed();
        let mut follow = Follow::new(&plan, SettleOptions::default()).unwrap();
        let mut met = 0;
        let settled = plan.trials().position(|trial| {
            let good = trial.policy == 0;
            let entry = Entry {
                trial: trial.id.as_str().to_owned(),
                policy: plan.suite.policies[trial.policy].name.clone(),
                task: trial.scenario.task_name.clone(),
                scenario: trial.scenario.to_string(),
                repeat: 0,
                outcome: if good { "success" } else { "failure" }.to_owned(),
                reason: None,
                remark: None,
                length: 1,
                peak: None,
                travel: None,
                start: None,
                chunks: vec![],
                progress: None,
                reached: vec![],
                evidence: None,
            };
            met += usize::from(trial.scenario.variation.is_none());
            follow.sees_settled(&entry).unwrap()
        });
        assert!(settled.is_some());
        // Eight pairs settle it, as in the example of the settler.
        assert_eq!(met, 16);
    }
}
