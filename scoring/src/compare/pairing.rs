//! Which trials of two policies belong together.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::trial::{Trial, TrialTable};

use super::{CompareError, Paired};

/// Two trials of the same scenario and repeat.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The task.
    pub task: String,
    /// The scenario.
    pub scenario: String,
    /// The repeat, where numbered.
    pub repeat: Option<u32>,
    /// Score of A in [0, 1].
    pub a: f64,
    /// Score of B in [0, 1].
    pub b: f64,
}

/// The trials of two policies, paired where they share task, scenario and repeat.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pairing {
    /// Pairs of which both trials were decided, by task, scenario and repeat.
    pub pairs: Vec<Pair>,
    /// Pairs left out because a trial of theirs was void or unsure.
    pub undecided: u64,
    /// Trials of A without a partner.
    pub unmatched_a: u64,
    /// Trials of B without a partner.
    pub unmatched_b: u64,
}

impl Pairing {
    /// The pairs as counts; none if any of them has partial credit.
    pub fn counts(&self) -> Option<Paired> {
        let mut counts = Paired::default();
        for pair in &self.pairs {
            let whole = |score: f64| match score {
                1.0 => Some(true),
                0.0 => Some(false),
                _ => None,
            };
            counts.add(whole(pair.a)?, whole(pair.b)?);
        }
        Some(counts)
    }

    /// The pairs' scores, A first.
    pub fn scores(&self) -> Vec<(f64, f64)> {
        self.pairs.iter().map(|pair| (pair.a, pair.b)).collect()
    }
}

/// What the trials of a pair share: task, scenario and repeat.
type Start<'a> = (&'a str, &'a str, Option<u32>);

/// Pairs the trials of policies `a` and `b`; trials without a scenario never pair.
///
/// # Errors
/// [`CompareError::UnknownPolicy`], [`CompareError::Same`].
pub fn pair(table: &TrialTable, a: &str, b: &str) -> Result<Pairing, CompareError> {
    let known = table.policies();
    for policy in [a, b] {
        if !known.contains(&policy) {
            return Err(CompareError::UnknownPolicy {
                policy: policy.to_owned(),
                known: known.join(", "),
            });
        }
    }
    if a == b {
        return Err(CompareError::Same { policy: a.to_owned() });
    }
    let mut cells: BTreeMap<Start<'_>, [Option<&Trial>; 2]> = BTreeMap::new();
    let mut pairing = Pairing { pairs: Vec::new(), undecided: 0, unmatched_a: 0, unmatched_b: 0 };
    for trial in table.trials() {
        let side = usize::from(*trial.policy == *b);
        if side == 0 && *trial.policy != *a {
            continue;
        }
        match &trial.scenario {
            Some(scenario) => {
                cells.entry((&trial.task, scenario, trial.repeat)).or_default()[side] = Some(trial);
            }
            None if side == 0 => pairing.unmatched_a += 1,
            None => pairing.unmatched_b += 1,
        }
    }
    for ((task, scenario, repeat), sides) in cells {
        match sides {
            [Some(a), Some(b)] => match (a.verdict.score(), b.verdict.score()) {
                (Some(a), Some(b)) => pairing.pairs.push(Pair {
                    task: task.to_owned(),
                    scenario: scenario.to_owned(),
                    repeat,
                    a,
                    b,
                }),
                _ => pairing.undecided += 1,
            },
            [Some(_), None] => pairing.unmatched_a += 1,
            [None, Some(_)] => pairing.unmatched_b += 1,
            [None, None] => {}
        }
    }
    Ok(pairing)
}
