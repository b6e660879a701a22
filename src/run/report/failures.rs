//! Why a policy fails, as far as its trials tell.

use std::collections::BTreeMap;

use rehearse_scenarios::suite::JudgeEntry;
use serde::Serialize;

use super::super::journal::Entry;

/// What a policy's failures have in common.
#[derive(Debug, Serialize)]
pub struct Failures {
    /// Trials that failed.
    pub count: u64,
    /// Those in which the judge's belief came at least half way to success.
    pub near: u64,
    /// Highest belief of the judge in a failure, the median over failures.
    pub peak: Option<f64>,
    /// How far the hand travelled in a failure, along its path, the median over failures; metres.
    pub travel: Option<f64>,
    /// The same in the policy's successes.
    pub travel_in_success: Option<f64>,
}

impl Failures {
    pub(super) fn of(policy: &str, entries: &BTreeMap<String, Entry>, judge: &JudgeEntry) -> Self {
        let of = |outcome: &'static str| {
            entries.values().filter(move |entry| entry.policy == policy && entry.outcome == outcome)
        };
        let half = judge.success / 2.0;
        Self {
            count: of("failure").count() as u64,
            near: of("failure").filter(|entry| entry.peak.is_some_and(|p| p >= half)).count()
                as u64,
            peak: median(of("failure").filter_map(|entry| entry.peak)),
            travel: median(of("failure").filter_map(|entry| entry.travel)),
            travel_in_success: median(of("success").filter_map(|entry| entry.travel)),
        }
    }
}

/// The median; none of none.
pub(super) fn median(values: impl Iterator<Item = f32>) -> Option<f64> {
    let mut values: Vec<f64> = values.map(f64::from).collect();
    values.sort_by(f64::total_cmp);
    let low = values.get(values.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(*low, *values.get(values.len() / 2)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0, 10.0].into_iter()), Some(2.5));
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median(std::iter::empty()), None);
    }
}
