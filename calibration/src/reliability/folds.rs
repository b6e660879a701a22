//! Which trials a fit may not see.

use std::collections::BTreeMap;

use rand::seq::SliceRandom as _;
use rehearse_scenarios::seed::Seed;

use crate::error::CalibrationError;

/// A partition of trials into folds of nearly equal size; the same for the same seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    of: Vec<usize>,
    count: usize,
}

impl Folds {
    /// Deals `trials` trials into `count` folds.
    ///
    /// # Errors
    /// [`CalibrationError::Parameter`] unless there are 2 to `trials` folds.
    pub fn new(trials: usize, count: usize, seed: Seed) -> Result<Self, CalibrationError> {
        check(count, trials)?;
        let mut order: Vec<usize> = (0..trials).collect();
        order.shuffle(&mut seed.rng());
        let mut of = vec![0; trials];
        for (place, trial) in order.into_iter().enumerate() {
            of[trial] = place % count;
        }
        Ok(Self { of, count })
    }

    /// Deals whole groups, so that trials of one group (a scenario, an operator, a day) are never
    /// on both sides of a fit. `groups[i]` is the group of trial i.
    ///
    /// # Errors
    /// [`CalibrationError::Parameter`] unless there are 2 folds or more and as many groups.
    pub fn of_groups(groups: &[&str], count: usize, seed: Seed) -> Result<Self, CalibrationError> {
        let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (trial, group) in groups.iter().enumerate() {
            members.entry(group).or_default().push(trial);
        }
        let by_group = Self::new(members.len(), count, seed)?;
        let mut of = vec![0; groups.len()];
        for (fold, trials) in by_group.of.into_iter().zip(members.into_values()) {
            for trial in trials {
                of[trial] = fold;
            }
        }
        Ok(Self { of, count })
    }

    /// How many folds there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The fold of each trial, from 0.
    pub fn of_trials(&self) -> &[usize] {
        &self.of
    }
}

fn check(count: usize, trials: usize) -> Result<(), CalibrationError> {
    if (2..=trials).contains(&count) {
        Ok(())
    } else {
        Err(CalibrationError::Parameter {
            name: "number of folds",
            value: count as f64,
            expected: "from 2 to the number of trials, or groups of them",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_even_and_repeatable() {
        let folds = Folds::new(23, 5, Seed::root(3)).unwrap();
        assert_eq!(folds, Folds::new(23, 5, Seed::root(3)).unwrap());
        assert_ne!(folds, Folds::new(23, 5, Seed::root(4)).unwrap());
        let mut sizes = [0; 5];
        for &fold in folds.of_trials() {
            sizes[fold] += 1;
        }
        sizes.sort_unstable();
        assert_eq!(sizes, [4, 4, 5, 5, 5]);
    }

    #[test]
    fn groups_stay_whole() {
        let groups = ["a", "b", "a", "c", "b", "c", "d"];
        let folds = Folds::of_groups(&groups, 2, Seed::root(1)).unwrap();
        for (i, a) in groups.iter().enumerate() {
            for (j, b) in groups.iter().enumerate() {
                assert!(a != b || folds.of_trials()[i] == folds.of_trials()[j]);
            }
        }
        assert!(Folds::of_groups(&groups, 5, Seed::root(1)).is_err());
        assert!(Folds::new(10, 1, Seed::root(1)).is_err());
    }
}
