//! One comparison of two policies, from a trial table.

use std::fmt;

use rehearse_scenarios::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::bootstrap::BootstrapError;
use crate::interval::Interval;
use crate::power::{self, Plan};
use crate::rate::{DEFAULT_RESAMPLES, Rate, RateMethod};
use crate::trial::TrialTable;

use super::{
    Alternative, CompareError, Paired, Pairing, TwoByTwo, equivalence, newcombe, pair,
    paired_bootstrap, unpaired_bootstrap,
};

/// How two policies are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompareOptions {
    /// Confidence level of intervals; a p below `1 − level` is a difference. Default 0.95.
    pub level: f64,
    /// Differences smaller than this do not matter; with it equivalence is tested too. In rates:
    /// 0.1 is ten percentage points. Default none.
    pub margin: Option<f64>,
    /// Leave pairs out of account even where scenarios are shared. Default false.
    pub unpaired: bool,
    /// Power at which "how many trials" is answered. Default 0.8.
    pub power: f64,
    /// Bootstrap resamples, for partial credits. Default 10,000.
    pub resamples: usize,
    /// Seed of the bootstrap.
    pub seed: Seed,
}

impl CompareOptions {
    /// The defaults, with `seed`.
    pub fn new(seed: Seed) -> Self {
        let resamples = DEFAULT_RESAMPLES;
        Self { level: 0.95, margin: None, unpaired: false, power: 0.8, resamples, seed }
    }
}

/// The test behind a p value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// `McNemar`'s exact test on pairs.
    McNemarExact,
    /// `McNemar`'s mid-p test on pairs.
    McNemarMidP,
    /// Boschloo's exact unconditional test.
    Boschloo,
    /// Barnard's exact unconditional test.
    Barnard,
    /// Fisher's exact conditional test.
    Fisher,
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::McNemarExact => "McNemar exact",
            Self::McNemarMidP => "McNemar mid-p",
            Self::Boschloo => "Boschloo",
            Self::Barnard => "Barnard",
            Self::Fisher => "Fisher",
        })
    }
}

/// A two-sided p value with its test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PValue {
    /// Which test.
    pub test: Test,
    /// Its p.
    pub p: f64,
}

/// Whether two policies are the same for all practical purposes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Equivalence {
    /// Differences below this do not matter.
    pub margin: f64,
    /// p of "they differ by the margin or more"; none where only the bootstrap interval speaks.
    pub p: Option<f64>,
    /// Whether they are equivalent at the level asked for.
    pub equivalent: bool,
}

/// What a comparison comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A succeeds more often.
    ABetter,
    /// B succeeds more often.
    BBetter,
    /// They are equivalent within the margin.
    Equivalent,
    /// The trials do not tell.
    Undecided,
}

/// Two policies side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Policy A.
    pub a: String,
    /// Policy B.
    pub b: String,
    /// Rate of A over the trials compared.
    pub rate_a: Rate,
    /// Rate of B over the trials compared.
    pub rate_b: Rate,
    /// Whether pairs were compared.
    pub paired: bool,
    /// Counts of pairs; none if unpaired or with partial credit.
    pub pairs: Option<Paired>,
    /// Pairs left out because one of the trials was void or unsure, 0 if unpaired.
    pub undecided_pairs: u64,
    /// Trials left out because they have no partner, 0 if unpaired.
    pub unmatched: u64,
    /// Rate of A minus rate of B.
    pub difference: f64,
    /// Interval of the difference; none where nothing varies and a bootstrap is all there is.
    pub interval: Option<Interval>,
    /// The tests, the one that decides first; empty with partial credit, where the interval
    /// decides.
    pub tests: Vec<PValue>,
    /// Equivalence, if a margin was given.
    pub equivalence: Option<Equivalence>,
    /// What it comes to.
    pub verdict: Verdict,
    /// How many trials would settle a difference as large as the one seen; none where there is
    /// none, or with partial credit.
    pub settle: Option<Plan>,
}

/// Compares policies `a` and `b`: by pairs if any scenario is shared, else as two samples.
///
/// # Errors
/// [`CompareError`].
pub fn compare(
    table: &TrialTable,
    a: &str,
    b: &str,
    options: &CompareOptions,
) -> Result<Comparison, CompareError> {
    super::check_level(options.level)?;
    if let Some(margin) = options.margin {
        super::check_margin(margin)?;
    }
    let pairing = pair(table, a, b)?;
    let result = if options.unpaired || pairing.pairs.is_empty() {
        unpaired(table, a, b, options)?
    } else {
        paired(&pairing, a, b, options)?
    };
    Ok(decide(result, options))
}

fn paired(
    pairing: &Pairing,
    a: &str,
    b: &str,
    options: &CompareOptions,
) -> Result<Comparison, CompareError> {
    let scores = pairing.scores();
    let side = |pick: fn(&(f64, f64)) -> f64| scores.iter().map(pick).collect::<Vec<_>>();
    let (of_a, of_b) = (side(|pair| pair.0), side(|pair| pair.1));
    let difference = scores.iter().map(|(a, b)| a - b).sum::<f64>() / scores.len() as f64;
    let counts = pairing.counts();
    let interval = match &counts {
        Some(counts) => Some(counts.interval(options.level)?),
        None => spread(paired_bootstrap(&scores, options.resamples, options.level, options.seed))?,
    };
    let tests = counts.iter().flat_map(|counts| {
        [
            PValue { test: Test::McNemarExact, p: counts.mcnemar(Alternative::TwoSided) },
            PValue { test: Test::McNemarMidP, p: counts.mcnemar_mid_p(Alternative::TwoSided) },
        ]
    });
    let equivalence = match (options.margin, &counts) {
        (Some(margin), Some(counts)) => {
            let p = counts.equivalence(margin)?;
            Some(Equivalence { margin, p: Some(p), equivalent: p < 1.0 - options.level })
        }
        (Some(margin), None) => Some(within(margin, interval)),
        (None, _) => None,
    };
    let settle = match &counts {
        Some(counts) if counts.only_a != counts.only_b => {
            Some(power::settle_paired(counts, 1.0 - options.level, options.power)?)
        }
        _ => None,
    };
    Ok(Comparison {
        rate_a: rate(&of_a, "a", options)?,
        rate_b: rate(&of_b, "b", options)?,
        a: a.to_owned(),
        b: b.to_owned(),
        paired: true,
        pairs: counts,
        undecided_pairs: pairing.undecided,
        unmatched: pairing.unmatched_a + pairing.unmatched_b,
        difference,
        interval,
        tests: tests.collect(),
        equivalence,
        verdict: Verdict::Undecided,
        settle,
    })
}

fn unpaired(
    table: &TrialTable,
    a: &str,
    b: &str,
    options: &CompareOptions,
) -> Result<Comparison, CompareError> {
    let side = |policy: &str| {
        let scores: Vec<f64> = table.scores(policy).into_values().flatten().collect();
        if scores.is_empty() {
            Err(CompareError::NoTrials { policy: policy.to_owned() })
        } else {
            Ok(scores)
        }
    };
    let (of_a, of_b) = (side(a)?, side(b)?);
    let (rate_a, rate_b) = (rate(&of_a, "a", options)?, rate(&of_b, "b", options)?);
    let counts = match (successes(&of_a), successes(&of_b)) {
        (Some(x), Some(y)) => Some(TwoByTwo::new((x, of_a.len() as u64), (y, of_b.len() as u64))?),
        _ => None,
    };
    let mut tests = Vec::new();
    let interval = if let Some(table) = &counts {
        let fisher = PValue { test: Test::Fisher, p: table.fisher(Alternative::TwoSided)? };
        match table.boschloo(Alternative::TwoSided) {
            Ok(p) => {
                let barnard = table.barnard(Alternative::TwoSided)?;
                tests.push(PValue { test: Test::Boschloo, p });
                tests.push(PValue { test: Test::Barnard, p: barnard });
            }
            // With so many trials the three hardly differ, and Fisher's can be had.
            Err(CompareError::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
        tests.push(fisher);
        Some(newcombe(table, options.level)?)
    } else {
        spread(unpaired_bootstrap(&of_a, &of_b, options.resamples, options.level, options.seed))?
    };
    let equivalence = match (options.margin, &counts) {
        (Some(margin), Some(table)) => {
            let p = equivalence(table, margin)?;
            Some(Equivalence { margin, p: Some(p), equivalent: p < 1.0 - options.level })
        }
        (Some(margin), None) => Some(within(margin, interval)),
        (None, _) => None,
    };
    let settle = match &counts {
        Some(table) if table.difference() != 0.0 => {
            Some(power::settle_unpaired(table, 1.0 - options.level, options.power)?)
        }
        _ => None,
    };
    Ok(Comparison {
        a: a.to_owned(),
        b: b.to_owned(),
        difference: rate_a.value - rate_b.value,
        rate_a,
        rate_b,
        paired: false,
        pairs: None,
        undecided_pairs: 0,
        unmatched: 0,
        interval,
        tests,
        equivalence,
        verdict: Verdict::Undecided,
        settle,
    })
}

/// No interval, rather than none of the comparison, where nothing varies.
fn spread(interval: Result<Interval, CompareError>) -> Result<Option<Interval>, CompareError> {
    match interval {
        Ok(interval) => Ok(Some(interval)),
        Err(CompareError::Bootstrap(
            BootstrapError::Constant { .. } | BootstrapError::TooFew { .. },
        )) => Ok(None),
        Err(error) => Err(error),
    }
}

fn within(margin: f64, interval: Option<Interval>) -> Equivalence {
    let equivalent = interval.is_some_and(|i| -margin < i.low && i.high < margin);
    Equivalence { margin, p: None, equivalent }
}

fn decide(result: Comparison, options: &CompareOptions) -> Comparison {
    let different = match result.tests.first() {
        Some(test) => test.p < 1.0 - options.level,
        None => result.interval.is_some_and(|interval| !interval.contains(0.0)),
    };
    let verdict = if different && result.difference > 0.0 {
        Verdict::ABetter
    } else if different && result.difference < 0.0 {
        Verdict::BBetter
    } else if result.equivalence.is_some_and(|e| e.equivalent) {
        Verdict::Equivalent
    } else {
        Verdict::Undecided
    };
    Comparison { verdict, ..result }
}

fn successes(scores: &[f64]) -> Option<u64> {
    let whole = scores.iter().all(|&score| score == 0.0 || score == 1.0);
    whole.then(|| scores.iter().filter(|&&score| score == 1.0).count() as u64)
}

fn rate(scores: &[f64], side: &str, options: &CompareOptions) -> Result<Rate, CompareError> {
    let CompareOptions { level, resamples, seed, .. } = *options;
    Ok(match successes(scores) {
        Some(k) => Rate::of_counts(k, scores.len() as u64, RateMethod::Wilson, level)?,
        None => Rate::of_scores(scores, level, resamples, seed.child("rate").child(side))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{Trial, Verdict as Ended};

    fn table(outcomes: &[(Ended, Ended)], scenarios: bool) -> TrialTable {
        let mut trials = Vec::new();
        for (index, (a, b)) in outcomes.iter().enumerate() {
            for (policy, verdict) in [("a", *a), ("b", *b)] {
                let trial = Trial::new(policy, "t", verdict);
                let scenario = format!("s{index}");
                trials.push(if scenarios { trial.of_scenario(&scenario, None) } else { trial });
            }
        }
        TrialTable::new(trials, "x").unwrap()
    }

    fn options() -> CompareOptions {
        CompareOptions { margin: Some(0.1), ..CompareOptions::new(Seed::root(1)) }
    }

    #[test]
    fn shared_scenarios_decide_what_separate_samples_cannot() {
        // 25 scenarios, A wins all 6 that differ: p = 2/2⁶ paired, above 5 % unpaired.
        let mut outcomes = vec![(Ended::Success, Ended::Failure); 6];
        outcomes.extend([(Ended::Success, Ended::Success); 6]);
        outcomes.extend([(Ended::Failure, Ended::Failure); 13]);
        let paired = compare(&table(&outcomes, true), "a", "b", &options()).unwrap();
        assert_eq!(paired.verdict, Verdict::ABetter);
        assert!((paired.tests[0].p - 2.0 / 64.0).abs() < 1e-14);
        assert_eq!(paired.interval.unwrap().method, crate::interval::IntervalMethod::Score);
        let unpaired = compare(&table(&outcomes, false), "a", "b", &options()).unwrap();
        assert!(!unpaired.paired && unpaired.tests[0].test == Test::Boschloo);
        assert_eq!(unpaired.verdict, Verdict::Undecided);
        assert_eq!(unpaired.difference, paired.difference);
        let trials = |plan: Option<Plan>| plan.unwrap().trials.unwrap();
        assert!(trials(paired.settle) < trials(unpaired.settle));
    }

    #[test]
    fn void_trials_take_their_pair_along_and_are_counted() {
        let outcomes = [
            (Ended::Success, Ended::Void),
            (Ended::Success, Ended::Success),
            (Ended::Failure, Ended::Failure),
        ];
        let result = compare(&table(&outcomes, true), "a", "b", &options()).unwrap();
        assert_eq!((result.rate_a.n, result.undecided_pairs), (2, 1));
        assert_eq!(result.verdict, Verdict::Undecided);
        assert_eq!(result.settle, None);
    }

    #[test]
    fn partial_credits_are_decided_by_the_bootstrap() {
        let outcomes: Vec<_> = (0..20)
            .map(|i| {
                (
                    Ended::Partial(0.5 + 0.02 * f64::from(i)),
                    Ended::Partial(0.3 + 0.01 * f64::from(i)),
                )
            })
            .collect();
        for scenarios in [true, false] {
            let result = compare(&table(&outcomes, scenarios), "a", "b", &options()).unwrap();
            assert_eq!(result.verdict, Verdict::ABetter);
            assert!(result.tests.is_empty() && result.interval.unwrap().low > 0.0);
        }
    }

    #[test]
    fn unknown_names_and_self_comparison_are_refused() {
        let table = table(&[(Ended::Success, Ended::Failure)], true);
        let message = |a, b| compare(&table, a, b, &options()).unwrap_err().to_string();
        assert_eq!(message("a", "c"), "no policy `c`; the table has a, b");
        assert_eq!(message("a", "a"), "`a` against itself is no comparison");
    }
}
