//! What a reader should be told beside a number, and what to do about it.
//!
//! A warning never replaces a number and never stops a run. Its [`code`](Warning::code) is stable
//! and made for programs; its `Display` is made for people and ends with what to do next.

use std::fmt;

use serde::Serialize;

/// Which side of an agreement is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The robot.
    Real,
    /// The world model, or whichever stand-in is being judged.
    Imagined,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Real => "real",
            Self::Imagined => "imagined",
        })
    }
}

/// A caution about a number, with the facts that caused it.
///
/// In files it is `{"code": …, "message": …}`.
///
/// ```
/// use rehearse_scoring::warning::Warning;
///
/// let warning = Warning::VoidTrials { policy: "octo".into(), void: 3, trials: 50 };
/// assert_eq!(warning.code(), "void_trials");
/// assert!(warning.to_string().starts_with("3 of 50 trials of octo are void"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "Advice")]
#[non_exhaustive]
pub enum Warning {
    /// A rate that rests on few trials.
    FewTrials {
        /// The policy.
        policy: String,
        /// Trials that counted.
        trials: u64,
        /// Half width of its interval.
        half_width: f64,
    },
    /// Trials in which something broke.
    VoidTrials {
        /// The policy.
        policy: String,
        /// Void trials.
        void: u64,
        /// All trials.
        trials: u64,
    },
    /// Trials that the judge could not decide.
    UnsureTrials {
        /// The policy.
        policy: String,
        /// Unsure trials.
        unsure: u64,
        /// All trials.
        trials: u64,
    },
    /// Policies that only one table holds.
    OneSidedPolicies {
        /// The table that holds them.
        side: Side,
        /// Their names, sorted.
        policies: Vec<String>,
    },
    /// Policy × task cells that only one table holds.
    OneSidedCells {
        /// The table that holds them.
        side: Side,
        /// How many.
        cells: usize,
        /// One of them.
        example: String,
    },
    /// Rates that no whole number of successes gives, with the trials that they come with.
    CountMismatch {
        /// The table that holds them.
        side: Side,
        /// Such cells.
        cells: usize,
        /// One of them.
        example: String,
    },
    /// Policies that were not tried on the same tasks.
    UnevenTasks {
        /// The policy with the fewest tasks.
        policy: String,
        /// Its tasks.
        tasks: usize,
        /// Tasks in all.
        all: usize,
    },
    /// A side whose rates are all equal, so that no correlation exists.
    ConstantSide {
        /// The side.
        side: Side,
        /// The one value.
        value: f64,
    },
    /// Too few policies for a coefficient or its interval.
    TooFewPolicies {
        /// Policies on both sides.
        policies: usize,
        /// Policies that the refused number needs.
        needed: usize,
        /// What was refused, in words.
        refused: &'static str,
    },
    /// So few policies that no permutation test could reach 5 %, or hardly.
    PermutationFloor {
        /// Policies on both sides.
        policies: usize,
        /// 1/k!.
        floor: f64,
    },
    /// So few policies that a bootstrap over them has few possible outcomes.
    BootstrapSupport {
        /// Policies on both sides.
        policies: usize,
        /// C(2k − 1, k).
        support: f64,
    },
    /// One policy that carries the correlation.
    Leverage {
        /// The policy.
        policy: String,
        /// Pearson with every policy.
        with: f64,
        /// Pearson without it, or `None` if none is defined then.
        without: Option<f64>,
    },
    /// Cells pooled over tasks say the opposite of what each task says.
    SimpsonReversal {
        /// Pearson over all cells.
        pooled: f64,
        /// Pearson within tasks.
        within: f64,
    },
    /// Cells pooled over tasks agree mostly because tasks differ in difficulty.
    TaskDifficulty {
        /// Pearson over all cells.
        pooled: f64,
        /// Pearson within tasks.
        within: f64,
    },
    /// Policies that are no independent evidence: checkpoints of one lineage.
    SharedLineage {
        /// Policies on both sides.
        policies: usize,
        /// Independent policies that they are worth.
        effective: f64,
    },
    /// Pairs of policies that differ by no more than one trial's worth.
    Granularity {
        /// The coarser side.
        side: Side,
        /// The step of its rates: one over its trials.
        step: f64,
        /// Pairs of policies within one step.
        pairs: usize,
        /// Pairs in all.
        all: usize,
    },
    /// Cells whose number of trials is not known.
    UnknownTrials {
        /// The side.
        side: Side,
        /// Such cells.
        cells: usize,
    },
    /// Policies whose rates differ by chance for a good part.
    TrialNoise {
        /// The side.
        side: Side,
        /// Share of the variance between policies that is more than chance.
        reliability: f64,
    },
    /// An interval of a correlation that includes zero.
    CorrelationUnresolved {
        /// Its lower end.
        low: f64,
        /// Its upper end.
        high: f64,
    },
    /// Ties, or the order of arguments, make the conventions of MMRV disagree.
    MmrvConventions {
        /// The smallest value among the conventions in use.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// A statistic that some resamples leave undefined.
    UndefinedResamples {
        /// What was resampled, in words.
        statistic: &'static str,
        /// Resamples that gave no number.
        undefined: usize,
        /// Resamples in all.
        resamples: usize,
    },
    /// Trials outside what the world was trained on or is known to be good for.
    OutsideTrust {
        /// The policy.
        policy: String,
        /// Its trials outside.
        outside: u64,
        /// Its trials.
        trials: u64,
    },
    /// Trials that end otherwise when the world draws other noise.
    NoiseDecides {
        /// Trials that ended otherwise.
        differ: u64,
        /// Trials that were imagined twice.
        trials: u64,
    },
    /// Policies that plan with the weights of the world that they are tried in.
    SharedWeights {
        /// Their names.
        policies: Vec<String>,
    },
    /// A judge whose error rates are not known.
    JudgeUnchecked,
    /// A judge whose error rates were measured under another rule.
    JudgeRule,
    /// A judge whose verdicts say too little to correct a rate.
    JudgeUninformative {
        /// Share of true successes that it calls so, where there were any.
        sensitivity: Option<f64>,
        /// Share of true failures that it calls so, where there were any.
        specificity: Option<f64>,
    },
    /// The imagined rates are off in one direction.
    Bias {
        /// Mean of imagined minus real.
        bias: f64,
    },
}

impl Warning {
    /// The stable word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::FewTrials { .. } => "few_trials",
            Self::VoidTrials { .. } => "void_trials",
            Self::UnsureTrials { .. } => "unsure_trials",
            Self::OneSidedPolicies { .. } => "one_sided_policies",
            Self::OneSidedCells { .. } => "one_sided_cells",
            Self::CountMismatch { .. } => "count_mismatch",
            Self::UnevenTasks { .. } => "uneven_tasks",
            Self::ConstantSide { .. } => "constant_side",
            Self::TooFewPolicies { .. } => "too_few_policies",
            Self::PermutationFloor { .. } => "permutation_floor",
            Self::BootstrapSupport { .. } => "bootstrap_support",
            Self::Leverage { .. } => "leverage",
            Self::SimpsonReversal { .. } => "simpson_reversal",
            Self::TaskDifficulty { .. } => "task_difficulty",
            Self::SharedLineage { .. } => "shared_lineage",
            Self::Granularity { .. } => "granularity",
            Self::UnknownTrials { .. } => "unknown_trials",
            Self::TrialNoise { .. } => "trial_noise",
            Self::CorrelationUnresolved { .. } => "correlation_unresolved",
            Self::MmrvConventions { .. } => "mmrv_conventions",
            Self::UndefinedResamples { .. } => "undefined_resamples",
            Self::OutsideTrust { .. } => "outside_trust",
            Self::NoiseDecides { .. } => "noise_decides",
            Self::SharedWeights { .. } => "shared_weights",
            Self::JudgeUnchecked => "judge_unchecked",
            Self::JudgeRule => "judge_rule",
            Self::JudgeUninformative { .. } => "judge_uninformative",
            Self::Bias { .. } => "bias",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewTrials { policy, trials, half_width } => write!(
                f,
                "{policy} has only {trials} trials, its rate is known to ±{half_width:.2}; halving \
                 that takes four times the trials: ask `rehearse budget` where they help most"
            ),
            Self::VoidTrials { policy, void, trials } => write!(
                f,
                "{void} of {trials} trials of {policy} are void and count in no rate; read their \
                 reasons, repair what broke and run them again"
            ),
            Self::UnsureTrials { policy, unsure, trials } => write!(
                f,
                "the judge could not decide {unsure} of {trials} trials of {policy}; look at them \
                 and enter their outcome by hand"
            ),
            Self::OneSidedPolicies { side, policies } => write!(
                f,
                "{} in the {side} table only and left out: {}; check the spelling, or run the \
                 other side",
                if policies.len() == 1 { "one policy is" } else { "some policies are" },
                policies.join(", ")
            ),
            Self::OneSidedCells { side, cells, example } => write!(
                f,
                "{cells} policy × task cells are in the {side} table only and left out, such as \
                 {example}; check the spelling of the tasks, or run them on the other side"
            ),
            Self::CountMismatch { side, cells, example } => write!(
                f,
                "{cells} {side} rates are no whole number of successes of their trials ({example}), \
                 whose noise is then taken as at its largest; correct the rate or the trials, unless \
                 the rate is a mean of partial credits"
            ),
            Self::UnevenTasks { policy, tasks, all } => write!(
                f,
                "{policy} was tried on {tasks} of {all} tasks, so that policies are compared on \
                 different tasks; fill the missing cells, or restrict the tables to shared tasks"
            ),
            Self::ConstantSide { side, value } => write!(
                f,
                "every {side} rate is {value:.3}, so that no correlation exists; add policies or \
                 tasks of other difficulty"
            ),
            Self::TooFewPolicies { policies, needed, refused } => write!(
                f,
                "{policies} policies are too few for {refused}; at least {needed} are needed, \
                 and ten say something"
            ),
            Self::PermutationFloor { policies, floor } => write!(
                f,
                "with {policies} policies no permutation p is below {floor:.2}, however well they \
                 agree; add policies before quoting significance"
            ),
            Self::BootstrapSupport { policies, support } => write!(
                f,
                "a bootstrap over {policies} policies has only {support:.0} possible outcomes; \
                 take its interval as a rough guide, or add policies"
            ),
            Self::Leverage { policy, with, without } => {
                write!(f, "the correlation hangs on {policy}: {with:.3} with it, ")?;
                match without {
                    Some(without) => write!(f, "{without:.3} without")?,
                    None => f.write_str("undefined without")?,
                }
                f.write_str("; report both, or add policies between the extremes")
            }
            Self::SimpsonReversal { pooled, within } => write!(
                f,
                "pooled over tasks the correlation is {pooled:.3}, within tasks it is {within:.3}: \
                 Simpson's reversal; quote the value within tasks, for that is what ranks policies"
            ),
            Self::TaskDifficulty { pooled, within } => write!(
                f,
                "the pooled correlation {pooled:.3} owes much to tasks of different difficulty \
                 (within tasks {within:.3}); quote both"
            ),
            Self::SharedLineage { policies, effective } => write!(
                f,
                "the {policies} policies share lineages and are worth {effective:.1} independent \
                 ones; add policies of other origin before trusting the interval"
            ),
            Self::Granularity { side, step, pairs, all } => write!(
                f,
                "{pairs} of {all} pairs of policies are within one {side} trial of each other \
                 (a step of {step:.3}); more {side} trials are needed to rank them"
            ),
            Self::UnknownTrials { side, cells } => write!(
                f,
                "{cells} {side} rates come without a number of trials, so that their sampling \
                 noise is not carried; fill in the `trials` column"
            ),
            Self::TrialNoise { side, reliability } => write!(
                f,
                "{:.0} % of the variance between {side} rates is chance, which lowers correlations \
                 and raises MMRV and errors; run more {side} trials of every policy",
                100.0 * (1.0 - reliability)
            ),
            Self::CorrelationUnresolved { low, high } => write!(
                f,
                "the interval of the correlation, [{low:.2}, {high:.2}], includes zero; do not \
                 rank by imagination yet: add policies"
            ),
            Self::MmrvConventions { low, high } => write!(
                f,
                "MMRV is between {low:.3} and {high:.3} depending on the convention; name the one \
                 that you quote"
            ),
            Self::UndefinedResamples { statistic, undefined, resamples } => write!(
                f,
                "{undefined} of {resamples} resamples leave {statistic} undefined and were left \
                 out; the interval is too narrow: add trials or policies"
            ),
            Self::OutsideTrust { policy, outside, trials } => write!(
                f,
                "{outside} of {trials} trials of {policy} are outside what the world was trained \
                 on; read its rate without them, or train on logs that cover what it does"
            ),
            Self::NoiseDecides { differ, trials } => write!(
                f,
                "{differ} of {trials} trials that were imagined twice ended otherwise; single \
                 trials say little here: raise `repeats`, and trust rates only"
            ),
            Self::SharedWeights { policies } => write!(
                f,
                "{} with the weights of the world that judges {}, so that what the world gets \
                 wrong cannot show; try such policies in a world of other weights too",
                if let [policy] = policies.as_slice() {
                    format!("{policy} plans")
                } else {
                    format!("{} plan", policies.join(", "))
                },
                if policies.len() == 1 { "it" } else { "them" }
            ),
            Self::JudgeUnchecked => f.write_str(
                "nobody knows how often the judge errs, so that the rates carry its errors \
                 unseen; measure them: `rehearse judge check`",
            ),
            Self::JudgeRule => f.write_str(
                "the judge's errors were measured under another rule than this run's; measure \
                 them under the same: `rehearse judge check --success --failure --frames`",
            ),
            Self::JudgeUninformative { sensitivity, specificity } => {
                let share = |share: &Option<f64>| {
                    share.map_or_else(
                        || "no".to_owned(),
                        |share| format!("{:.0} % of", 100.0 * share),
                    )
                };
                write!(
                    f,
                    "the judge recognises {} true successes and {} true failures, too little to \
                     correct a rate by; check it on more labelled episodes, or train it on more",
                    share(sensitivity),
                    share(specificity)
                )
            }
            Self::Bias { bias } => write!(
                f,
                "imagined rates are {} by {:.2} on average; rank by them, but take real rates from \
                 `rehearse calibrate`",
                if *bias > 0.0 { "too high" } else { "too low" },
                bias.abs()
            ),
        }
    }
}

/// A warning of any kind, as every table and file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The stable word for programs.
    pub code: &'static str,
    /// What was found, and what to do next.
    pub message: String,
}

impl From<Warning> for Advice {
    fn from(warning: Warning) -> Self {
        Self { code: warning.code(), message: warning.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_in_a_file_is_a_code_and_a_message() {
        let warning = Warning::SimpsonReversal { pooled: -0.5, within: 0.9 };
        let value = serde_json::to_value(&warning).unwrap();
        assert_eq!(value["code"], "simpson_reversal");
        assert_eq!(
            value["message"],
            "pooled over tasks the correlation is -0.500, within tasks it is 0.900: Simpson's \
             reversal; quote the value within tasks, for that is what ranks policies"
        );
        assert_eq!(value.as_object().unwrap().len(), 2);
    }

    #[test]
    fn advice_follows_the_finding() {
        let warnings = [
            Warning::Bias { bias: 0.2 },
            Warning::JudgeRule,
            Warning::JudgeUnchecked,
            Warning::JudgeUninformative { sensitivity: Some(0.5), specificity: None },
            Warning::NoiseDecides { differ: 3, trials: 9 },
            Warning::OutsideTrust { policy: "a".into(), outside: 3, trials: 9 },
            Warning::ConstantSide { side: Side::Real, value: 0.0 },
            Warning::Leverage { policy: "a".into(), with: 0.9, without: None },
            Warning::OneSidedPolicies { side: Side::Imagined, policies: vec!["b".into()] },
            Warning::PermutationFloor { policies: 3, floor: 1.0 / 6.0 },
        ];
        for warning in warnings {
            let text = warning.to_string();
            assert!(text.contains("; "), "{text} gives no advice");
            assert!(!text.ends_with('.'), "{text} is no fragment");
        }
    }
}
