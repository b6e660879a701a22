//! What a reader should be told beside a corrected estimate, and what to do about it.

use std::fmt;

use rehearse_scoring::warning::Advice;
pub use rehearse_scoring::warning::Side;
use serde::Serialize;

/// A warning; serialises as its `code` and `message`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(into = "Advice")]
pub enum CalibrationWarning {
    /// A policy is in one table only, and left out.
    PolicyOnOneSide {
        /// The policy.
        policy: String,
        /// The table that has it.
        side: Side,
    },
    /// A policy has a task in one table only, and the task is left out.
    TaskOnOneSide {
        /// The policy.
        policy: String,
        /// The task.
        task: String,
        /// The table that has it.
        side: Side,
    },
    /// Trials without a scenario cannot be paired.
    NoScenario {
        /// The table.
        side: Side,
        /// Such trials.
        trials: usize,
    },
    /// Real trials of scenarios that were not imagined do not enter a corrected estimate.
    RealUnpaired {
        /// The policy.
        policy: String,
        /// The task.
        task: String,
        /// Such scenarios.
        scenarios: usize,
    },
    /// Void and unsure trials are left out of both tables.
    LeftOut {
        /// The table.
        side: Side,
        /// Void trials.
        void: usize,
        /// Unsure trials.
        unsure: usize,
    },
    /// No scenario of a policy on a task is in both tables: the real trials stand alone.
    NoPairs {
        /// The policy.
        policy: String,
        /// The task.
        task: String,
    },
    /// Every imagined scenario has a real result: imagination adds nothing.
    NothingUnpaired {
        /// The policy.
        policy: String,
    },
    /// So few pairs that the gain of the imagined trials is uncertain.
    FewPairs {
        /// The policy.
        policy: String,
        /// Its pairs.
        pairs: usize,
    },
    /// Real results on one side of an average never vary.
    Constant {
        /// The policy.
        policy: String,
        /// The side that does not vary.
        side: Side,
    },
    /// Imagined and real results of the same scenarios hardly correlate.
    WeakCorrelation {
        /// The policy.
        policy: String,
        /// The correlation within tasks.
        correlation: f64,
    },
    /// Policies were averaged over different tasks.
    UnequalTasks {
        /// The first policy.
        a: String,
        /// The second policy.
        b: String,
    },
    /// A correction for the judge led outside [0, 1].
    JudgeCut {
        /// The policy.
        policy: String,
    },
}

impl CalibrationWarning {
    /// A stable name.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PolicyOnOneSide { .. } => "policy_on_one_side",
            Self::TaskOnOneSide { .. } => "task_on_one_side",
            Self::NoScenario { .. } => "no_scenario",
            Self::RealUnpaired { .. } => "real_unpaired",
            Self::LeftOut { .. } => "left_out",
            Self::NoPairs { .. } => "no_pairs",
            Self::NothingUnpaired { .. } => "nothing_unpaired",
            Self::FewPairs { .. } => "few_pairs",
            Self::Constant { .. } => "constant",
            Self::WeakCorrelation { .. } => "weak_correlation",
            Self::UnequalTasks { .. } => "unequal_tasks",
            Self::JudgeCut { .. } => "judge_cut",
        }
    }
}

impl fmt::Display for CalibrationWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PolicyOnOneSide { policy, side } => write!(
                f,
                "{policy} is in the {side} table only and was left out; run it on the other side \
                 too, or check that both tables spell its name alike"
            ),
            Self::TaskOnOneSide { policy, task, side } => write!(
                f,
                "{policy} has {side} trials only on {task}, which was left out of its estimate"
            ),
            Self::NoScenario { side, trials } => write!(
                f,
                "{trials} {side} trials have no scenario and cannot be paired; fill in the column \
                 `scenario` with the start that both sides share"
            ),
            Self::RealUnpaired { policy, task, scenarios } => write!(
                f,
                "{scenarios} real scenarios of {policy} on {task} were not imagined and were left \
                 out; imagine them too"
            ),
            Self::LeftOut { side, void, unsure } => write!(
                f,
                "{void} void and {unsure} unsure {side} trials were left out; if they are not a \
                 random part, the rest is not either"
            ),
            Self::NoPairs { policy, task } => write!(
                f,
                "no scenario of {policy} on {task} was both run and imagined: its real trials \
                 stand alone; imagine the scenarios that were run"
            ),
            Self::NothingUnpaired { policy } => write!(
                f,
                "every imagined scenario of {policy} has a real result, so that imagination adds \
                 nothing; imagine more scenarios"
            ),
            Self::FewPairs { policy, pairs } => write!(
                f,
                "{policy} has only {pairs} pairs: the interval is valid on average, but the gain \
                 from imagined trials is a guess; run at least 10"
            ),
            Self::Constant { policy, side } => write!(
                f,
                "all {side} results of the pairs of {policy} are equal, so that they show no \
                 correlation to use; run scenarios of mixed difficulty"
            ),
            Self::WeakCorrelation { policy, correlation } => write!(
                f,
                "real and imagined results of {policy} hardly follow one another within tasks \
                 (correlation {correlation:.2}); the imagined trials save few real ones"
            ),
            Self::UnequalTasks { a, b } => write!(
                f,
                "{a} and {b} have not been run on the same tasks: their difference is over the \
                 tasks that they share"
            ),
            Self::JudgeCut { policy } => write!(
                f,
                "correcting {policy} for the judge's errors led outside [0, 1] and was cut; the \
                 judge may err otherwise here than where its errors were counted"
            ),
        }
    }
}

impl From<CalibrationWarning> for Advice {
    fn from(warning: CalibrationWarning) -> Self {
        Self { code: warning.code(), message: warning.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_a_code_and_advice() {
        let warning = CalibrationWarning::FewPairs { policy: "full".into(), pairs: 4 };
        let json = serde_json::to_value(&warning).unwrap();
        assert_eq!(json["code"], "few_pairs");
        assert!(json["message"].as_str().unwrap().contains("at least 10"));
    }
}
