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
        let mut scenarios = vec![];
        for (task, entry) in self.tasks.iter().enumerate() {
            let starts = entry.starts.first..entry.starts.first + u64::from(entry.starts.count);
            for start in starts {
                let variations = std::iter::once((None, "plain")).chain(
                    self.variations
                        .iter()
                        .enumerate()
                        .map(|(index, variation)| (Some(index), variation.label())),
                );
                scenarios.extend(variations.map(|(variation, variation_label)| Scenario {
                    task,
                    task_name: entry.name.clone(),
                    start,
                    variation,
                    variation_label,
                }));
            }
        }
        scenarios
    }

    /// All trials: scenarios × repeats × policies, so that policies meet a scenario side by side.
    pub fn trials(&self) -> Vec<Trial> {
        let root = Seed::root(self.seed).child(&self.name);
        let mut trials = vec![];
        for scenario in self.scenarios() {
            let name = scenario.to_string();
            let seed = root.child("scenario").child(&name);
            let horizon = self.tasks[scenario.task].horizon.unwrap_or(self.horizon);
            for repeat in 0..self.repeats {
                for (policy, entry) in self.policies.iter().enumerate() {
                    trials.push(Trial {
                        id: TrialId(format!("{}/{name}/{}/{repeat}", self.name, entry.name)),
                        scenario: scenario.clone(),
                        policy,
                        repeat,
                        horizon,
                        variation_seed: seed.child("variation"),
                        world_seed: seed.child("world").index(u64::from(repeat)),
                        policy_seed: seed
                            .child("policy")
                            .child(&entry.name)
                            .index(u64::from(repeat)),
                    });
                }
            }
        }
        trials
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
        let trials = suite.trials();
        let ids: BTreeSet<_> = trials.iter().map(|trial| trial.id.clone()).collect();
        assert_eq!(trials.len(), 3 * 2 * 2 * 2);
        assert_eq!(trials.len() as u64, suite.trial_count());
        assert_eq!(ids.len(), trials.len());
        assert_eq!(trials[0].id.as_str(), "s/t.3.plain/a/0");
        assert!(trials.iter().filter(|trial| trial.scenario.task == 1).all(|t| t.horizon == 5));
    }

    #[test]
    fn policies_meet_the_same_world_noise_but_draw_their_own() {
        let trials = suite(&["a", "b"]).trials();
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
            let trials = suite.trials();
            let found = trials.iter().find(|trial| trial.id.as_str() == "s/u.0.blur/b/1").cloned();
            let trial = found.unwrap();
            (trial.world_seed, trial.policy_seed, trial.variation_seed)
        };
        assert_eq!(find(&suite(&["a", "b"])), find(&suite(&["b", "c", "d"])));
    }
}
