//! Where each policy stands, and how sure that is.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use rehearse_scenarios::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::bootstrap::Stream;
use crate::rate::DEFAULT_RESAMPLES;
use crate::trial::TrialTable;

use super::RankingError;

/// Below this a 2.5 % quantile would rest on a handful of resamples.
const FEWEST_RESAMPLES: usize = 200;

/// How a ranking is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankOptions {
    /// Confidence level of the rank intervals. Default 0.95.
    pub level: f64,
    /// Bootstrap resamples. Default 10,000.
    pub resamples: usize,
    /// Seed of the bootstrap.
    pub seed: Seed,
}

impl RankOptions {
    /// The defaults, with `seed`.
    pub fn new(seed: Seed) -> Self {
        Self { level: 0.95, resamples: DEFAULT_RESAMPLES, seed }
    }
}

/// One policy's place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The policy.
    pub policy: String,
    /// Mean over tasks of the mean score on each, in [0, 1].
    pub score: f64,
    /// 1 + the number of policies with a higher score; equal scores share a rank.
    pub rank: u32,
    /// Best rank that the resamples allow.
    pub rank_low: u32,
    /// Worst rank that the resamples allow.
    pub rank_high: u32,
    /// Share of resamples in which it comes first; a shared first place counts in parts.
    pub best: f64,
}

/// Ranks the policies of `table`, the best first, with percentile bootstrap intervals of their
/// ranks.
///
/// Every task counts the same. Where all policies met the same scenarios of a task, scenarios are
/// resampled, with all trials on them, so that a hard scenario is hard for all at once; else each
/// policy's trials are resampled on their own. Void and unsure trials are left out. Ties widen an
/// interval: its lower end counts them as worse, its upper end as better.
///
/// A policy that always (or never) succeeds does not vary under resampling, and its interval is
/// too narrow at small n: see [`letters`](super::letters) for what tests say.
///
/// # Errors
/// [`RankingError`].
pub fn standings(table: &TrialTable, options: &RankOptions) -> Result<Vec<Standing>, RankingError> {
    let RankOptions { level, resamples, seed } = *options;
    if !(level > 0.0 && level < 1.0) {
        return Err(RankingError::Level { level });
    }
    if resamples < FEWEST_RESAMPLES {
        return Err(RankingError::TooFewResamples { needed: FEWEST_RESAMPLES, got: resamples });
    }
    let policies = table.policies();
    if policies.len() < 2 {
        return Err(RankingError::TooFewPolicies { got: policies.len() });
    }
    let tasks = tasks(table, &policies)?;
    let scores = mean_over(&tasks, Task::means);
    let key = seed.to_u64();
    let drawn: Vec<Vec<Place>> = (0..resamples as u64)
        .into_par_iter()
        .map(|number| {
            let mut stream = Stream::new(key, number);
            places(&mean_over(&tasks, |task| task.resampled(&mut stream)))
        })
        .collect();
    let tail = (1.0 - level) / 2.0;
    let now = places(&scores);
    let mut standings: Vec<Standing> = policies
        .iter()
        .enumerate()
        .map(|(index, policy)| {
            let mut lows: Vec<u32> = drawn.iter().map(|places| places[index].low).collect();
            let mut highs: Vec<u32> = drawn.iter().map(|places| places[index].high).collect();
            lows.sort_unstable();
            highs.sort_unstable();
            let from = (tail * resamples as f64).floor() as usize;
            let best: f64 = drawn.iter().map(|places| places[index].first_share()).sum();
            Standing {
                policy: (*policy).to_owned(),
                score: scores[index],
                rank: now[index].low,
                rank_low: lows[from],
                rank_high: highs[resamples - 1 - from],
                best: best / resamples as f64,
            }
        })
        .collect();
    // By score; names settle ties.
    standings.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.policy.cmp(&b.policy)));
    Ok(standings)
}

/// The ranks that tests allow each policy, given how each pair came out, in the order (0, 1),
/// (0, 2), …, (1, 2), …: `Greater` where the first is better, `Less` where the second is, `Equal`
/// where they could not be told apart. Each policy's rank lies within with the joint confidence
/// of the tests (Mogstad, Romano, Shaikh and Wilhelm 2024, "Inference for ranks").
///
/// # Errors
/// [`RankingError::Pairs`].
pub fn rank_bounds(
    policies: usize,
    pairs: &[std::cmp::Ordering],
) -> Result<Vec<(u32, u32)>, RankingError> {
    let expected = policies * policies.saturating_sub(1) / 2;
    if pairs.len() != expected {
        return Err(RankingError::Pairs { policies, expected, got: pairs.len() });
    }
    let mut bounds = vec![(1, policies as u32); policies];
    let indices = (0..policies).flat_map(|i| (i + 1..policies).map(move |j| (i, j)));
    for ((i, j), order) in indices.zip(pairs) {
        let (better, worse) = match order {
            std::cmp::Ordering::Greater => (i, j),
            std::cmp::Ordering::Less => (j, i),
            std::cmp::Ordering::Equal => continue,
        };
        bounds[worse].0 += 1;
        bounds[better].1 -= 1;
    }
    Ok(bounds)
}

/// Ranks that a tie may stand for.
#[derive(Clone, Copy)]
struct Place {
    low: u32,
    high: u32,
}

impl Place {
    fn first_share(self) -> f64 {
        if self.low == 1 { 1.0 / f64::from(self.high) } else { 0.0 }
    }
}

fn places(scores: &[f64]) -> Vec<Place> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    scores
        .iter()
        .map(|score| Place {
            low: sorted.partition_point(|other| other > score) as u32 + 1,
            high: sorted.partition_point(|other| other >= score) as u32,
        })
        .collect()
}

/// The scores of one task.
enum Task {
    /// Sum and number of each policy's scores on each scenario that all met.
    Shared { scenarios: Vec<Vec<(f64, u32)>>, means: Vec<f64> },
    /// Each policy's scores.
    Separate { scores: Vec<Vec<f64>>, means: Vec<f64> },
}

impl Task {
    fn means(&self) -> Vec<f64> {
        match self {
            Self::Shared { means, .. } | Self::Separate { means, .. } => means.clone(),
        }
    }

    fn resampled(&self, stream: &mut Stream) -> Vec<f64> {
        match self {
            Self::Shared { scenarios, means } => {
                let mut sums = vec![(0.0, 0); means.len()];
                for _ in 0..scenarios.len() {
                    let drawn = &scenarios[stream.below(scenarios.len() as u32) as usize];
                    for (sum, (score, count)) in sums.iter_mut().zip(drawn) {
                        sum.0 += score;
                        sum.1 += count;
                    }
                }
                // Nothing but void trials drawn: the policy keeps its mean.
                let mean = |((sum, count), mean): (&(f64, u32), &f64)| {
                    if *count > 0 { sum / f64::from(*count) } else { *mean }
                };
                sums.iter().zip(means).map(mean).collect()
            }
            Self::Separate { scores, .. } => {
                let mut mean = |all: &Vec<f64>| {
                    let draw = |_| all[stream.below(all.len() as u32) as usize];
                    (0..all.len()).map(draw).sum::<f64>() / all.len() as f64
                };
                scores.iter().map(&mut mean).collect()
            }
        }
    }
}

fn mean_over(tasks: &[Task], mut of: impl FnMut(&Task) -> Vec<f64>) -> Vec<f64> {
    let mut total = Vec::new();
    for task in tasks {
        let means = of(task);
        total.resize(means.len(), 0.0);
        for (total, mean) in total.iter_mut().zip(means) {
            *total += mean;
        }
    }
    total.iter().map(|sum| sum / tasks.len() as f64).collect()
}

/// Sum and number of each policy's scores by scenario.
type Sums<'a> = BTreeMap<Option<&'a str>, Vec<(f64, u32)>>;

fn tasks(table: &TrialTable, policies: &[&str]) -> Result<Vec<Task>, RankingError> {
    let index: BTreeMap<&str, usize> = policies.iter().enumerate().map(|(i, p)| (*p, i)).collect();
    let mut scores: BTreeMap<&str, Vec<Vec<f64>>> = BTreeMap::new();
    let mut scenarios: BTreeMap<&str, Sums<'_>> = BTreeMap::new();
    let mut met: BTreeMap<&str, Vec<BTreeSet<Option<&str>>>> = BTreeMap::new();
    for trial in table.trials() {
        let (task, policy) = (&*trial.task, index[&*trial.policy]);
        let scenario = trial.scenario.as_deref();
        let fresh = || vec![BTreeSet::new(); policies.len()];
        met.entry(task).or_insert_with(fresh)[policy].insert(scenario);
        let all = scores.entry(task).or_insert_with(|| vec![Vec::new(); policies.len()]);
        if let Some(score) = trial.verdict.score() {
            all[policy].push(score);
            let cells = scenarios.entry(task).or_default();
            let cell = &mut cells.entry(scenario).or_insert_with(|| vec![(0.0, 0); policies.len()])
                [policy];
            cell.0 += score;
            cell.1 += 1;
        }
    }
    scores
        .into_iter()
        .map(|(task, scores)| {
            if let Some(empty) = scores.iter().position(Vec::is_empty) {
                let (policy, task) = (policies[empty].to_owned(), task.to_owned());
                return Err(RankingError::MissingCell { policy, task });
            }
            let mean = |all: &Vec<f64>| all.iter().sum::<f64>() / all.len() as f64;
            let means = scores.iter().map(mean).collect();
            let met = &met[task];
            let shared = met.windows(2).all(|pair| pair[0] == pair[1])
                && met.iter().all(|all| !all.contains(&None));
            Ok(if shared {
                let scenarios = scenarios.remove(task).unwrap_or_default().into_values().collect();
                Task::Shared { scenarios, means }
            } else {
                Task::Separate { scores, means }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;
    use crate::trial::{Trial, Verdict};

    fn table(rates: &[(&str, u32)], n: u32, shared: bool) -> TrialTable {
        let mut trials = Vec::new();
        for (policy, successes) in rates {
            for i in 0..n {
                let verdict = if i < *successes { Verdict::Success } else { Verdict::Failure };
                let trial = Trial::new(policy, "t", verdict);
                let scenario = format!("s{i}");
                trials.push(if shared { trial.of_scenario(&scenario, None) } else { trial });
            }
        }
        TrialTable::new(trials, "x").unwrap()
    }

    fn options() -> RankOptions {
        RankOptions { resamples: 2_000, ..RankOptions::new(Seed::root(3)) }
    }

    #[test]
    fn far_apart_is_certain_and_shared_scenarios_help() {
        let rates = [("low", 2), ("mid", 10), ("high", 18)];
        let ranked = standings(&table(&rates, 20, true), &options()).unwrap();
        let names: Vec<_> = ranked.iter().map(|s| s.policy.as_str()).collect();
        assert_eq!(names, ["high", "mid", "low"]);
        assert!(ranked.iter().all(|s| s.rank_low == s.rank && s.rank_high == s.rank));
        assert!(ranked[0].best > 0.99);
        // Nested successes never swap on shared scenarios; apart, 9 and 11 of 20 do.
        let close = [("a", 9), ("b", 11)];
        let best = |shared| standings(&table(&close, 20, shared), &options()).unwrap()[0].best;
        assert!(best(true) > 0.9 && best(false) < 0.85);
    }

    #[test]
    fn equal_scores_share_a_rank_and_first_place() {
        let ranked = standings(&table(&[("a", 5), ("b", 5)], 10, true), &options()).unwrap();
        assert_eq!((ranked[0].rank, ranked[1].rank), (1, 1));
        assert_eq!((ranked[0].rank_low, ranked[0].rank_high), (1, 2));
        assert!((ranked[0].best - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_same_at_any_number_of_threads() {
        let table = table(&[("a", 9), ("b", 11), ("c", 10)], 20, false);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| standings(&table, &options()).unwrap())
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn gaps_in_the_table_are_named() {
        let trials = vec![
            Trial::new("a", "t", Verdict::Success),
            Trial::new("b", "t", Verdict::Void),
            Trial::new("b", "u", Verdict::Success),
        ];
        let table = TrialTable::new(trials, "x").unwrap();
        let error = standings(&table, &options()).unwrap_err();
        assert!(error.to_string().starts_with("policy `b` has no decided trial on task `t`"));
        let few = RankOptions { resamples: 10, ..options() };
        assert!(standings(&table, &few).is_err());
    }

    #[test]
    fn bounds_count_who_is_surely_better_and_worse() {
        let pairs = [Ordering::Greater, Ordering::Greater, Ordering::Equal];
        assert_eq!(rank_bounds(3, &pairs).unwrap(), [(1, 1), (2, 3), (2, 3)]);
        assert!(rank_bounds(3, &pairs[1..]).is_err());
    }
}
