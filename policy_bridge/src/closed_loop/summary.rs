//! What a run came to, counted.

use std::collections::BTreeMap;
use std::fmt;

use rehearse_scenarios::outcome::{FaultKind, Outcome};

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// One entry for each lane, in order.
    pub lanes: Vec<LaneSummary>,
    /// Trials that were in flight when the run was cancelled: they have no outcome.
    pub abandoned: u64,
}

/// What the trials of one lane came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneSummary {
    /// The policy's name.
    pub policy: String,
    /// Trials that succeeded.
    pub success: u64,
    /// Trials that failed.
    pub failure: u64,
    /// Trials of which the world could not tell.
    pub unsure: u64,
    /// Trials that are void, by who broke.
    pub void: BTreeMap<FaultKind, u64>,
    /// Actions that were executed.
    pub steps: u64,
}

impl LaneSummary {
    pub(super) fn count(&mut self, outcome: &Outcome, steps: usize) {
        match outcome {
            Outcome::Success => self.success += 1,
            Outcome::Failure => self.failure += 1,
            Outcome::Unsure => self.unsure += 1,
            Outcome::Void { fault } => *self.void.entry(fault.kind).or_default() += 1,
        }
        self.steps += steps as u64;
    }

    /// Trials that ended, void ones included.
    pub fn trials(&self) -> u64 {
        self.success + self.failure + self.unsure + self.voids()
    }

    /// Trials that are void.
    pub fn voids(&self) -> u64 {
        self.void.values().sum()
    }
}

/// A table of what happened, one line a policy.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lanes.iter().map(|lane| lane.policy.len()).max().unwrap_or(0).max(6);
        writeln!(
            f,
            "{:width$}  {:>7}  {:>7}  {:>7}  {:>7}  {:>7}  why void",
            "policy", "trials", "success", "failure", "unsure", "void"
        )?;
        for lane in &self.lanes {
            let why: Vec<_> =
                lane.void.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            writeln!(
                f,
                "{:width$}  {:>7}  {:>7}  {:>7}  {:>7}  {:>7}  {}",
                lane.policy,
                lane.trials(),
                lane.success,
                lane.failure,
                lane.unsure,
                lane.voids(),
                if why.is_empty() { "-".to_owned() } else { why.join(", ") }
            )?;
        }
        if self.abandoned > 0 {
            writeln!(f, "{} trials were in flight when the run was stopped", self.abandoned)?;
        }
        Ok(())
    }
}
