//! A whole ranking: standings, every pair tested, and letters.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::bootstrap::BootstrapError;
use crate::compare::{self, Alternative, CompareError, Test, TwoByTwo, paired_bootstrap};
use crate::multiple::holm;
use crate::trial::TrialTable;

use super::{RankOptions, RankingError, Standing, letters, rank_bounds, standings};

/// Up to this many trials a side Boschloo's test is quick; with more, Fisher's hardly differs.
const BOSCHLOO_LIMIT: u64 = 300;

/// One pair of policies, tested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairTest {
    /// The policy that stands higher.
    pub first: String,
    /// The policy that stands lower.
    pub second: String,
    /// Mean score of the first minus that of the second, over the trials compared.
    pub difference: f64,
    /// The test; none with partial credit, where a bootstrap interval decides.
    pub test: Option<Test>,
    /// Its p, for this pair alone.
    pub p: Option<f64>,
    /// p adjusted for all pairs: below `1 − level`, they differ.
    pub adjusted: Option<f64>,
    /// Whether they differ, all pairs considered.
    pub differs: bool,
}

/// Policies in order, with what can be said of the order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// The policies, the best first.
    pub standings: Vec<Standing>,
    /// Letters of each policy, in the order of the standings: who shares one cannot be told
    /// apart.
    pub letters: Vec<Vec<String>>,
    /// Best and worst rank of each policy that the tests allow, in the order of the standings.
    pub bounds: Vec<(u32, u32)>,
    /// All pairs, in the order of the standings.
    pub pairs: Vec<PairTest>,
}

/// Ranks the policies of `table` and tests every pair.
///
/// Pairs that share scenarios get `McNemar`'s mid-p test, others Boschloo's (Fisher's beyond 300
/// trials), with Holm's adjustment for the number of pairs. Where scores have partial credit a
/// `BCa` interval decides instead, and all pairs share the error equally (Bonferroni).
///
/// # Errors
/// [`RankingError`].
pub fn ranking(table: &TrialTable, options: &RankOptions) -> Result<Ranking, RankingError> {
    let standings = standings(table, options)?;
    let count = standings.len();
    let alpha = 1.0 - options.level;
    let share = alpha / (count * (count - 1) / 2) as f64;
    let mut pairs = Vec::new();
    for (i, first) in standings.iter().enumerate() {
        for second in &standings[i + 1..] {
            let (first, second) = (first.policy.as_str(), second.policy.as_str());
            let pair = test(table, first, second, share, options);
            pairs.push(pair.map_err(|source| RankingError::Pair {
                first: first.to_owned(),
                second: second.to_owned(),
                source: Box::new(source),
            })?);
        }
    }
    let all: Option<Vec<f64>> = pairs.iter().map(|pair| pair.p).collect();
    // A p value is never outside [0, 1], so that Holm's adjustment does not fail.
    if let Some(Ok(adjusted)) = all.map(|p| holm(&p)) {
        for (pair, adjusted) in pairs.iter_mut().zip(adjusted) {
            pair.adjusted = Some(adjusted);
            pair.differs = adjusted < alpha;
        }
    } else {
        let tests = pairs.len() as f64;
        for pair in &mut pairs {
            pair.adjusted = pair.p.map(|p| (p * tests).min(1.0));
            pair.differs |= pair.adjusted.is_some_and(|p| p < alpha);
        }
    }
    let differs: Vec<bool> = pairs.iter().map(|pair| pair.differs).collect();
    let orders: Vec<Ordering> = pairs
        .iter()
        .map(|pair| if pair.differs { pair.difference.total_cmp(&0.0) } else { Ordering::Equal })
        .collect();
    let (letters, bounds) = (letters(count, &differs)?, rank_bounds(count, &orders)?);
    Ok(Ranking { standings, letters, bounds, pairs })
}

/// Tests one pair; `differs` only says what a bootstrap interval at error `share` says.
fn test(
    table: &TrialTable,
    first: &str,
    second: &str,
    share: f64,
    options: &RankOptions,
) -> Result<PairTest, CompareError> {
    let pairing = compare::pair(table, first, second)?;
    let result = |difference, test: Option<(Test, f64)>, differs| PairTest {
        first: first.to_owned(),
        second: second.to_owned(),
        difference,
        test: test.map(|(test, _)| test),
        p: test.map(|(_, p)| p),
        adjusted: None,
        differs,
    };
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let seed = options.seed.child("pair").child(first).child(second);
    if !pairing.pairs.is_empty() {
        let scores = pairing.scores();
        let difference = mean(&scores.iter().map(|(a, b)| a - b).collect::<Vec<_>>());
        if let Some(counts) = pairing.counts() {
            let p = counts.mcnemar_mid_p(Alternative::TwoSided);
            return Ok(result(difference, Some((Test::McNemarMidP, p)), false));
        }
        let interval = paired_bootstrap(&scores, options.resamples, 1.0 - share, seed);
        return Ok(result(difference, None, excludes_zero(interval)?));
    }
    let scores = |policy| table.scores(policy).into_values().flatten().collect::<Vec<f64>>();
    let (a, b) = (scores(first), scores(second));
    let difference = mean(&a) - mean(&b);
    let counted = |all: &[f64]| {
        let whole = all.iter().all(|&score| score == 0.0 || score == 1.0);
        whole.then(|| (all.iter().filter(|&&score| score == 1.0).count() as u64, all.len() as u64))
    };
    if let (Some(a), Some(b)) = (counted(&a), counted(&b)) {
        let counts = TwoByTwo::new(a, b)?;
        let tested = if a.1.max(b.1) <= BOSCHLOO_LIMIT {
            (Test::Boschloo, counts.boschloo(Alternative::TwoSided)?)
        } else {
            (Test::Fisher, counts.fisher(Alternative::TwoSided)?)
        };
        return Ok(result(difference, Some(tested), false));
    }
    let interval = compare::unpaired_bootstrap(&a, &b, options.resamples, 1.0 - share, seed);
    Ok(result(difference, None, excludes_zero(interval)?))
}

/// Whether an interval tells a difference; one that cannot be had tells none.
fn excludes_zero(
    interval: Result<crate::interval::Interval, CompareError>,
) -> Result<bool, CompareError> {
    match interval {
        Ok(interval) => Ok(!interval.contains(0.0)),
        Err(CompareError::Bootstrap(
            BootstrapError::Constant { .. } | BootstrapError::TooFew { .. },
        )) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use rehearse_scenarios::seed::Seed;

    use super::*;
    use crate::trial::{Trial, Verdict};

    fn table(rates: &[(&str, usize)], n: usize, shared: bool, credit: f64) -> TrialTable {
        let mut trials = Vec::new();
        for (policy, successes) in rates {
            for i in 0..n {
                let won = if credit < 1.0 { Verdict::Partial(credit) } else { Verdict::Success };
                let verdict = if i < *successes { won } else { Verdict::Failure };
                let trial = Trial::new(policy, "t", verdict);
                let scenario = format!("s{i}");
                trials.push(if shared { trial.of_scenario(&scenario, None) } else { trial });
            }
        }
        TrialTable::new(trials, "x").unwrap()
    }

    fn ranked(table: &TrialTable) -> Ranking {
        let options = RankOptions { resamples: 1_000, ..RankOptions::new(Seed::root(3)) };
        ranking(table, &options).unwrap()
    }

    #[test]
    fn letters_follow_the_tests_of_every_kind_of_table() {
        let rates = [("low", 2), ("good", 17), ("best", 18)];
        for (shared, credit) in [(true, 1.0), (false, 1.0), (true, 0.5), (false, 0.5)] {
            let result = ranked(&table(&rates, 20, shared, credit));
            let names: Vec<_> = result.standings.iter().map(|s| s.policy.as_str()).collect();
            assert_eq!(names, ["best", "good", "low"]);
            assert_eq!(result.letters, [["a"], ["a"], ["b"]], "{shared} {credit}");
            assert_eq!(result.bounds, [(1, 2), (1, 2), (3, 3)]);
            assert_eq!(result.pairs[0].p.is_some(), credit == 1.0);
        }
    }

    #[test]
    fn adjustment_is_holms() {
        let result = ranked(&table(&[("a", 18), ("b", 10), ("c", 4)], 20, true, 1.0));
        let p: Vec<f64> = result.pairs.iter().filter_map(|pair| pair.p).collect();
        let adjusted: Vec<f64> = result.pairs.iter().filter_map(|pair| pair.adjusted).collect();
        assert_eq!(holm(&p).unwrap(), adjusted);
    }
}
