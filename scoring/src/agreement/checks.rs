//! The checks that a correlation over few policies should pass.

use std::collections::BTreeMap;

use serde::Serialize;

use super::correlation::raw_pearson;
use super::mmrv::{MmrvConvention, raw_mmrv};
use super::pairs::{Noise, Pairs};
use super::reliability::{Reliability, reliability};
use super::resampling::Units;
use crate::warning::Side;

/// The checks of one agreement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checks {
    /// The policy that moves Pearson's r most; none below four policies.
    pub leverage: Option<Leverage>,
    /// C(2k − 1, k): the different resamples of a bootstrap over k policies.
    pub bootstrap_support: f64,
    /// How fine rates are on either side, where the number of trials is known.
    pub granularity: Vec<Granularity>,
    /// How much of the spread of policies' rates is more than chance, where trials are known.
    pub reliability: Vec<Reliability>,
    /// Pooled against within tasks; none for a single task.
    pub tasks: Option<TaskCheck>,
    /// Independent policies that these are worth: all of them, unless lineages are given.
    pub effective_policies: f64,
    /// MMRV over policies in every convention in use.
    pub mmrv: Vec<ConventionValue>,
}

/// MMRV in one convention.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ConventionValue {
    /// The convention.
    pub convention: MmrvConvention,
    /// MMRV in it.
    pub value: f64,
}

/// What Pearson's r owes to one policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leverage {
    /// The policy without which r changes most.
    pub policy: String,
    /// r with every policy.
    pub with: f64,
    /// r without it; none if the others are constant on one side.
    pub without: Option<f64>,
}

/// How fine the rates of one side are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Granularity {
    /// The side.
    pub side: Side,
    /// What one trial moves a policy's rate by, at most.
    pub step: f64,
    /// Pairs of policies whose rates differ by no more than that.
    pub pairs_within: usize,
    /// Pairs of policies.
    pub pairs: usize,
}

/// Pearson's r of the cells, taken apart by task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TaskCheck {
    /// Over all policy × task cells.
    pub pooled: f64,
    /// Within tasks: each task's rates less their means on either side.
    pub within: Option<f64>,
    /// Between tasks: their mean rates; none for fewer than three tasks.
    pub between: Option<f64>,
}

impl Checks {
    /// The checks of `pairs`, with lineages by policy.
    pub(super) fn new(pairs: &Pairs, lineages: &BTreeMap<String, String>) -> Self {
        let (real, imagined) = (pairs.policy_rates(Side::Real), pairs.policy_rates(Side::Imagined));
        let mmrv = MmrvConvention::ALL.map(|convention| ConventionValue {
            convention,
            value: raw_mmrv(&real, &imagined, convention),
        });
        let names = pairs.policies();
        let lineages: Vec<&str> = names
            .iter()
            .map(|name| lineages.get(name).map_or(name.as_str(), String::as_str))
            .collect();
        Self {
            leverage: leverage(names, &real, &imagined),
            bootstrap_support: bootstrap_support(names.len()),
            granularity: [Side::Real, Side::Imagined]
                .into_iter()
                .filter_map(|side| granularity(pairs, side))
                .collect(),
            reliability: [Side::Real, Side::Imagined]
                .into_iter()
                .filter_map(|side| reliability(pairs, side, Units::Policies))
                .collect(),
            tasks: within_tasks(
                &pairs.cell_rates(Side::Real),
                &pairs.cell_rates(Side::Imagined),
                &pairs.cell_tasks(),
            ),
            effective_policies: effective_policies(&lineages, &real, &imagined),
            mmrv: mmrv.to_vec(),
        }
    }
}

/// The policy whose removal changes Pearson's r most, of four policies at least; `None` below that
/// and where r is not defined.
pub fn leverage(policies: &[String], real: &[f64], imagined: &[f64]) -> Option<Leverage> {
    if policies.len() < 4 || real.len() != policies.len() || imagined.len() != policies.len() {
        return None;
    }
    let with = Some(raw_pearson(real, imagined)).filter(|r| r.is_finite())?;
    let without = |out: usize| {
        let kept = |values: &[f64]| [&values[..out], &values[out + 1..]].concat();
        raw_pearson(&kept(real), &kept(imagined))
    };
    // A correlation that vanishes altogether is the largest change there is.
    let change = |r: f64| if r.is_finite() { (r - with).abs() } else { f64::INFINITY };
    (0..policies.len())
        .map(|out| (out, without(out)))
        .max_by(|(_, a), (_, b)| change(*a).total_cmp(&change(*b)))
        .map(|(out, r)| Leverage {
            policy: policies[out].clone(),
            with,
            without: Some(r).filter(|r| r.is_finite()),
        })
}

/// C(2k − 1, k), the different resamples that `k` policies can give.
///
/// ```
/// use rehearse_scoring::agreement::bootstrap_support;
///
/// assert_eq!(bootstrap_support(3), 10.0);
/// assert_eq!(bootstrap_support(6), 462.0);
/// ```
pub fn bootstrap_support(k: usize) -> f64 {
    // C(2k − 1, k) = ∏ (k − 1 + i) / i over i = 1..k, whole after each step.
    (1..=k).fold(1.0, |product, i| product * (k - 1 + i) as f64 / i as f64).round()
}

/// Pearson's r of cells pooled over tasks, within tasks and between them.
///
/// `tasks` names each cell's task. `None` with fewer than two tasks, or where the pooled r is not
/// defined.
pub fn within_tasks(real: &[f64], imagined: &[f64], tasks: &[usize]) -> Option<TaskCheck> {
    if real.len() != tasks.len() || imagined.len() != tasks.len() {
        return None;
    }
    let mut sums: BTreeMap<usize, (f64, f64, f64)> = BTreeMap::new();
    for ((task, real), imagined) in tasks.iter().zip(real).zip(imagined) {
        let (n, real_sum, imagined_sum) = sums.entry(*task).or_default();
        *n += 1.0;
        *real_sum += real;
        *imagined_sum += imagined;
    }
    if sums.len() < 2 {
        return None;
    }
    let finite = |r: f64| Some(r).filter(|r| r.is_finite());
    let pooled = finite(raw_pearson(real, imagined))?;
    let less_mean = |values: &[f64], pick: fn(&(f64, f64, f64)) -> f64| -> Vec<f64> {
        let rest = values.iter().zip(tasks).map(|(value, task)| {
            let rest = value - sums.get(task).map_or(0.0, pick);
            // What is left of equal rates is rounding, not variation.
            if rest.abs() < 1e-12 { 0.0 } else { rest }
        });
        rest.collect()
    };
    let real_mean = |(n, real, _): &(f64, f64, f64)| real / n;
    let imagined_mean = |(n, _, imagined): &(f64, f64, f64)| imagined / n;
    let within =
        finite(raw_pearson(&less_mean(real, real_mean), &less_mean(imagined, imagined_mean)));
    let real_means: Vec<f64> = sums.values().map(real_mean).collect();
    let imagined_means: Vec<f64> = sums.values().map(imagined_mean).collect();
    let between =
        (sums.len() >= 3).then(|| raw_pearson(&real_means, &imagined_means)).and_then(finite);
    Some(TaskCheck { pooled, within, between })
}

/// How many independent policies policies of shared `lineages` are worth, in [1, k].
///
/// Kish's design effect: k / (1 + (m − 1) ρ) with m = Σ mᵢ² / k over the lineages' sizes mᵢ, and ρ
/// the intra-class correlation of rates within lineages (one-way analysis of variance, the larger
/// of both sides, at least 0). With a single lineage nothing tells its checkpoints from
/// independent policies, and ρ is taken as 1.
pub fn effective_policies(lineages: &[&str], real: &[f64], imagined: &[f64]) -> f64 {
    let k = lineages.len();
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, lineage) in lineages.iter().enumerate() {
        members.entry(lineage).or_default().push(index);
    }
    if members.len() == k || real.len() != k || imagined.len() != k {
        return k as f64;
    }
    let groups: Vec<Vec<usize>> = members.into_values().collect();
    let rho = if groups.len() == 1 {
        1.0
    } else {
        intra_class(&groups, real).max(intra_class(&groups, imagined))
    };
    let mean_size =
        groups.iter().map(|group| (group.len() * group.len()) as f64).sum::<f64>() / k as f64;
    k as f64 / (1.0 + (mean_size - 1.0) * rho)
}

/// The intra-class correlation of `values` in `groups`, in [0, 1]; 1 if nothing varies.
fn intra_class(groups: &[Vec<usize>], values: &[f64]) -> f64 {
    let (k, n) = (groups.len() as f64, values.len() as f64);
    let mean = values.iter().sum::<f64>() / n;
    let (mut between, mut within) = (0.0, 0.0);
    for group in groups {
        let size = group.len() as f64;
        let own = group.iter().map(|&i| values[i]).sum::<f64>() / size;
        between += size * (own - mean).powi(2);
        within += group.iter().map(|&i| (values[i] - own).powi(2)).sum::<f64>();
    }
    let squares: f64 = groups.iter().map(|group| (group.len() as f64).powi(2)).sum();
    let size = (n - squares / n) / (k - 1.0);
    let (between, within) = (between / (k - 1.0), within / (n - k));
    let total = between + (size - 1.0) * within;
    if total > 0.0 { ((between - within) / total).clamp(0.0, 1.0) } else { 1.0 }
}

/// How fine the rates of `side` are; `None` if no cell's trials are known, or for a single policy.
fn granularity(pairs: &Pairs, side: Side) -> Option<Granularity> {
    let policies = pairs.policies().len();
    let mut sizes = vec![0_usize; policies];
    for cell in pairs.cells() {
        sizes[cell.policy] += 1;
    }
    // One trial moves its cell by 1/n, and the policy's mean over tasks by that over the tasks.
    let step = pairs
        .cells()
        .iter()
        .filter_map(|cell| {
            let trials = match &cell.of(side).noise {
                Noise::Unknown => return None,
                Noise::Trials(n) => *n as f64,
                Noise::Scores(scores) => scores.len() as f64,
            };
            Some(1.0 / (trials * sizes[cell.policy] as f64))
        })
        .max_by(f64::total_cmp)?;
    let rates = pairs.policy_rates(side);
    let mut pairs_within = 0;
    for i in 0..policies {
        // A hair of slack, for steps are rounded: 0.3 − 0.2 is no more than 0.1.
        pairs_within +=
            rates[..i].iter().filter(|&other| (rates[i] - other).abs() <= step + 1e-12).count();
    }
    let pairs = policies * (policies - 1) / 2;
    (pairs > 0).then_some(Granularity { side, step, pairs_within, pairs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_outlier_carries_the_correlation() {
        let names: Vec<String> = ["a", "b", "c", "d"].map(String::from).to_vec();
        let found = leverage(&names, &[0.1, 0.2, 0.1, 0.9], &[0.2, 0.1, 0.2, 0.9]).unwrap();
        assert_eq!(found.policy, "d");
        assert!(found.with > 0.9 && found.without.unwrap() < -0.99, "{found:?}");
        assert_eq!(leverage(&names[..3], &[0.1, 0.2, 0.3], &[0.1, 0.2, 0.3]), None);
    }

    #[test]
    fn a_correlation_that_vanishes_is_the_largest_change() {
        let names: Vec<String> = ["a", "b", "c", "d"].map(String::from).to_vec();
        let found = leverage(&names, &[0.0, 0.0, 0.0, 1.0], &[0.1, 0.2, 0.3, 0.9]).unwrap();
        assert_eq!((found.policy.as_str(), found.without), ("d", None));
    }

    #[test]
    fn simpsons_reversal_shows() {
        // Within each task imagination reverses the order; the tasks differ in difficulty.
        let real = [0.1, 0.2, 0.7, 0.8];
        let imagined = [0.2, 0.1, 0.8, 0.7];
        let check = within_tasks(&real, &imagined, &[0, 0, 1, 1]).unwrap();
        assert!(check.pooled > 0.9);
        assert!((check.within.unwrap() + 1.0).abs() < 1e-12);
        assert_eq!(check.between, None);
        assert_eq!(within_tasks(&real, &imagined, &[0; 4]), None);
    }

    #[test]
    fn checkpoints_of_one_lineage_are_one_policy() {
        let (real, imagined) = ([0.1, 0.5, 0.9], [0.2, 0.5, 0.8]);
        assert_eq!(effective_policies(&["a", "b", "c"], &real, &imagined), 3.0);
        assert!((effective_policies(&["a", "a", "a"], &real, &imagined) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn tight_lineages_count_once_each_and_loose_ones_in_full() {
        let lineages = ["a", "a", "b", "b"];
        let tight = [0.1, 0.1, 0.9, 0.9];
        assert!((effective_policies(&lineages, &tight, &tight) - 2.0).abs() < 1e-12);
        let loose = [0.1, 0.9, 0.1, 0.9];
        assert!((effective_policies(&lineages, &loose, &loose) - 4.0).abs() < 1e-12);
    }
}
