//! Trials: the cells of a suite, with stable ids and their seeds.

use std::fmt;

use crate::seed::Seed;

use super::{Scenario, Suite};

/// The stable id of a trial: `suite/scenario/policy/repeat`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrialId(String);

/// One trial: a policy meets a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The stable id.
    pub id: TrialId,
    /// What the policy meets.
    pub scenario: Scenario,
    /// Index of the policy in the suite.
    pub policy: usize,
    /// Repeat, from 0.
    pub repeat: u32,
    /// Control steps after which the trial ends without success.
    pub horizon: u32,
    /// Seed of the start's variation: the same for all policies and repeats.
    pub variation_seed: Seed,
    /// Seed of the world's noise: the same for all policies (common random numbers).
    pub world_seed: Seed,
    /// Seed of the policy's own draws.
    pub policy_seed: Seed,
}

impl TrialId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Suite {
    /// All scenarios, task by task, start by start, the plain start before its variations.
    pub fn scenarios(&self) -> Vec<Scenario> {
        let each = self.policies.len() as u64 * u64::from(self.repeats);
        let count = self.trial_count().checked_div(each).unwrap_or(0);
        (0..count).filter_map(|index| self.scenario(index)).collect()
    }

    /// The scenario at a place in their order; none past the last.
    fn scenario(&self, index: u64) -> Option<Scenario> {
        let versions = self.variations.len() as u64 + 1;
        let mut left = index;
        for (task, entry) in self.tasks.iter().enumerate() {
            let held = u64::from(entry.starts.count) * versions;
            if left < held {
                let variation = (left % versions).checked_sub(1).map(|index| index as usize);
                return Some(Scenario {
                    task,
                    task_name: entry.name.clone(),
                    start: entry.starts.first + left / versions,
                    variation,
                    variation_label: variation
                        .map_or("plain", |index| self.variations[index].label()),
                });
            }
            left -= held;
        }
        None
    }

    /// All trials: scenarios × repeats × policies, so that policies meet a scenario side by side.
    pub fn trials(&self) -> impl Iterator<Item = Trial> {
        (0..self.trial_count()).filter_map(|number| self.trial(number))
    }

    /// The trial at a place in their order; none past the last.
    pub fn trial(&self, number: u64) -> Option<Trial> {
        let (policies, repeats) = (self.policies.len() as u64, u64::from(self.repeats));
        let meeting = number.checked_div(policies)?;
        let scenario = self.scenario(meeting.checked_div(repeats)?)?;
        let (policy, repeat) = ((number % policies) as usize, (meeting % repeats) as u32);
        let (name, entry) = (scenario.to_string(), &self.policies[policy]);
        let seed = Seed::root(self.seed).child(&self.name).child("scenario").child(&name);
        Some(Trial {
            id: TrialId(format!("{}/{name}/{}/{repeat}", self.name, entry.name)),
            policy,
            repeat,
            horizon: self.tasks[scenario.task].horizon.unwrap_or(self.horizon),
            variation_seed: seed.child("variation"),
            world_seed: seed.child("world").index(u64::from(repeat)),
            policy_seed: seed.child("policy").child(&entry.name).index(u64::from(repeat)),
            scenario,
        })
    }

    /// The trial of an id; none if it is no trial of this suite.
    pub fn find(&self, id: &str) -> Option<Trial> {
        let mut words = id.rsplitn(3, '/');
        let repeat: u64 = words.next()?.parse().ok()?;
        if repeat >= u64::from(self.repeats) {
            return None;
        }
        let policy = words.next()?;
        let scenario = words.next()?.strip_prefix(&self.name)?.strip_prefix('/')?;
        let policy = self.policies.iter().position(|entry| entry.name == policy)? as u64;
        let versions = self.variations.len() as u64 + 1;
        let mut before = 0;
        for task in &self.tasks {
            let place = scenario.strip_prefix(&task.name).and_then(|rest| rest.strip_prefix('.'));
            let place = place.and_then(|place| {
                let (start, label) = place.split_once('.')?;
                let start = start.parse::<u64>().ok()?.checked_sub(task.starts.first)?;
                if start >= u64::from(task.starts.count) {
                    return None;
                }
                let version = self.variations.iter().position(|v| v.label() == label);
                let version = version.map_or(0, |index| index as u64 + 1);
                Some(before + start * versions + version)
            });
            // Names may look like each other's beginnings; ids are not.
            let meeting = place.map(|place| place * u64::from(self.repeats) + repeat);
            let found = meeting.and_then(|m| self.trial(m * self.policies.len() as u64 + policy));
            if let Some(found) = found.filter(|trial| trial.id.as_str() == id) {
                return Some(found);
            }
            before += u64::from(task.starts.count) * versions;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn suite(policies: &[&str]) -> Suite {
        let policies = policies
            .iter()
            .map(|name| format!("[[policy]]\nname = \"{name}\"\nzenoh = \"{name}\"\n"))
            .collect::<Vec<_>>()
            .concat();
        let text = format!(
            "name = \"s\"\nworld = {{ kind = \"zenoh\", name = \"w\" }}\nhorizon = 10\n\
             repeats = 2\n{policies}\n\
             [[task]]\nname = \"t\"\ninstruction = \"do\"\nstarts = {{ first = 3, count = 2 }}\n\
             [[task]]\nname = \"u\"\ninstruction = \"do\"\nstarts = {{ count = 1 }}\nhorizon = 5\n\
             [[variation]]\nkind = \"blur\"\nsigma_px = [0.5, 1.0]\n"
        );
        Suite::parse(&text, "s.toml".as_ref()).unwrap()
    }

    #[test]
    fn a_suite_expands_to_every_cell_once() {
        let suite = suite(&["a", "b"]);
        let trials = suite.trials().collect::<Vec<_>>();
        let ids: BTreeSet<_> = trials.iter().map(|trial| trial.id.clone()).collect();
        assert_eq!(trials.len(), 3 * 2 * 2 * 2);
        assert_eq!(trials.len() as u64, suite.trial_count());
        assert_eq!(ids.len(), trials.len());
        assert_eq!(trials[0].id.as_str(), "s/t.3.plain/a/0");
        assert!(trials.iter().filter(|trial| trial.scenario.task == 1).all(|t| t.horizon == 5));
    }

    #[test]
    fn a_trial_is_found_by_its_id_and_by_its_place() {
        let suite = suite(&["a", "b"]);
        for (number, trial) in suite.trials().enumerate() {
            assert_eq!(suite.trial(number as u64).as_ref(), Some(&trial));
            assert_eq!(suite.find(trial.id.as_str()), Some(trial));
        }
        assert_eq!(suite.trial(suite.trial_count()), None);
        for id in [
            "",
            "s/t.3.plain/a",
            "s/t.3.plain/a/2",
            "s/t.5.plain/a/0",
            "s/t.03.plain/a/0",
            "s/t.3.haze/a/0",
            "s/t.3.plain/c/0",
            "r/t.3.plain/a/0",
            "s/v.3.plain/a/0",
        ] {
            assert_eq!(suite.find(id), None, "{id}");
        }
    }

    #[test]
    fn policies_meet_the_same_world_noise_but_draw_their_own() {
        let trials = suite(&["a", "b"]).trials().collect::<Vec<_>>();
        let (a, b) = (&trials[0], &trials[1]);
        assert_eq!(a.scenario, b.scenario);
        assert_eq!((a.world_seed, a.variation_seed), (b.world_seed, b.variation_seed));
        assert_ne!(a.policy_seed, b.policy_seed);
        let repeat = &trials[2];
        assert_eq!(repeat.repeat, 1);
        assert_ne!(a.world_seed, repeat.world_seed);
        assert_eq!(a.variation_seed, repeat.variation_seed);
    }

    #[test]
    fn another_policy_in_the_suite_moves_no_seed() {
        let find = |suite: &Suite| {
            let trial = suite.trials().find(|trial| trial.id.as_str() == "s/u.0.blur/b/1").unwrap();
            (trial.world_seed, trial.policy_seed, trial.variation_seed)
        };
        assert_eq!(find(&suite(&["a", "b"])), find(&suite(&["b", "c", "d"])));
    }
}
