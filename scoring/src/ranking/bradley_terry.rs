//! Strengths of policies from who beat whom.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::interval::{Interval, IntervalMethod};
use crate::special::normal_critical;

use super::RankingError;

/// A Bradley–Terry model: policy i beats policy j with probability
/// `1 / (1 + exp(strength_j − strength_i))`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BradleyTerry {
    /// Strengths on the logit scale, in the order of the table; their mean is 0.
    pub strengths: Vec<f64>,
    /// Standard errors of the strengths, from the information at the fit.
    pub standard_errors: Vec<f64>,
    /// Intervals of the strengths.
    pub intervals: Vec<Interval>,
}

/// Newton steps before giving up; a fit takes about ten.
const STEPS: usize = 200;

impl BradleyTerry {
    /// Fits by maximum likelihood. `wins[i][j]` counts how often i beat j; a tie is half a win for
    /// each. On shared scenarios, i beats j where i succeeds and j fails, and scenarios that both
    /// or neither solve say nothing of who is better: leave them out.
    ///
    /// `prior` adds that many wins to either side of every pair (0: none; 0.5 is mild): with it
    /// there is always a fit.
    ///
    /// # Errors
    /// [`RankingError::TooFewPolicies`], [`RankingError::Wins`], [`RankingError::Level`];
    /// [`RankingError::Separated`] without a prior where some policies never lost to the rest,
    /// or never met them.
    pub fn fit(wins: &[Vec<f64>], prior: f64, level: f64) -> Result<Self, RankingError> {
        let wins = checked(wins, prior, level)?;
        let count = wins.len();
        if let Some((winners, losers)) = separation(&wins) {
            let name = |group: Vec<usize>| {
                let names: Vec<String> = group.iter().map(|i| format!("policy {i}")).collect();
                names.join(", ")
            };
            return Err(RankingError::Separated { winners: name(winners), losers: name(losers) });
        }
        let mut strengths = DVector::<f64>::zeros(count);
        for _ in 0..STEPS {
            let (gradient, information) = score(&wins, &strengths);
            // The likelihood does not change when all strengths move together; the mean's own
            // direction is filled in so that the system has one solution.
            let Some(step) = grounded(&information).lu().solve(&gradient) else { break };
            let largest = step.amax();
            // Far from the fit Newton's step may overshoot: at most a factor e at a time.
            strengths += step / largest.max(1.0);
            if largest < 1e-12 {
                return Self::finish(&wins, &strengths, level);
            }
        }
        Err(RankingError::NotConverged { steps: STEPS })
    }

    /// The probability that policy `i` beats policy `j`; none if there is no such policy.
    pub fn probability(&self, i: usize, j: usize) -> Option<f64> {
        Some(logistic(self.strengths.get(i)? - self.strengths.get(j)?))
    }

    fn finish(
        wins: &[Vec<f64>],
        strengths: &DVector<f64>,
        level: f64,
    ) -> Result<Self, RankingError> {
        let centred = strengths.add_scalar(-strengths.mean());
        let count = centred.len();
        let (_, information) = score(wins, &centred);
        let Some(inverse) = grounded(&information).try_inverse() else {
            return Err(RankingError::NotConverged { steps: STEPS });
        };
        // The part of the inverse that belongs to the direction of the mean is no uncertainty.
        let mean_part = 1.0 / count as f64;
        let standard_errors: Vec<f64> =
            (0..count).map(|i| (inverse[(i, i)] - mean_part).max(0.0).sqrt()).collect();
        let z = normal_critical(level);
        let intervals = centred
            .iter()
            .zip(&standard_errors)
            .map(|(strength, error)| Interval {
                low: strength - z * error,
                high: strength + z * error,
                level,
                method: IntervalMethod::Normal,
            })
            .collect();
        Ok(Self { strengths: centred.iter().copied().collect(), standard_errors, intervals })
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn checked(wins: &[Vec<f64>], prior: f64, level: f64) -> Result<Vec<Vec<f64>>, RankingError> {
    if wins.len() < 2 {
        return Err(RankingError::TooFewPolicies { got: wins.len() });
    }
    if !(level > 0.0 && level < 1.0) {
        return Err(RankingError::Level { level });
    }
    let mut table = Vec::with_capacity(wins.len());
    for (row, line) in wins.iter().enumerate() {
        let mut checked = Vec::with_capacity(wins.len());
        for column in 0..wins.len() {
            let value = line.get(column).copied().unwrap_or(f64::NAN);
            let total = value + prior;
            if !(value >= 0.0 && prior >= 0.0 && total.is_finite()) {
                return Err(RankingError::Wins { row, column, value });
            }
            checked.push(if row == column { 0.0 } else { total });
        }
        table.push(checked);
    }
    Ok(table)
}

/// Gradient of the log-likelihood and the information, at `strengths`.
fn score(wins: &[Vec<f64>], strengths: &DVector<f64>) -> (DVector<f64>, DMatrix<f64>) {
    let count = wins.len();
    let mut gradient = DVector::zeros(count);
    let mut information = DMatrix::zeros(count, count);
    for i in 0..count {
        for j in 0..count {
            if i == j {
                continue;
            }
            let meetings = wins[i][j] + wins[j][i];
            let p = logistic(strengths[i] - strengths[j]);
            gradient[i] += wins[i][j] - meetings * p;
            let weight = meetings * p * (1.0 - p);
            information[(i, i)] += weight;
            information[(i, j)] -= weight;
        }
    }
    (gradient, information)
}

/// The information with 1/k added everywhere: it acts on the direction of the mean only, with
/// eigenvalue 1.
fn grounded(information: &DMatrix<f64>) -> DMatrix<f64> {
    let share = 1.0 / information.nrows() as f64;
    information.add_scalar(share)
}

/// A group that never lost to the others, if there is one: then there is no fit (Ford 1957).
fn separation(wins: &[Vec<f64>]) -> Option<(Vec<usize>, Vec<usize>)> {
    let count = wins.len();
    let reached = |start: usize| {
        let mut seen = vec![false; count];
        let mut stack = vec![start];
        while let Some(i) = stack.pop() {
            if !seen[i] {
                seen[i] = true;
                stack.extend((0..count).filter(|&j| wins[j][i] > 0.0));
            }
        }
        seen
    };
    // From each policy, along its defeats. Who cannot be reached never beat anyone reached.
    let seen = (0..count).map(reached).find(|seen| seen.iter().any(|s| !s))?;
    let group = |side: bool| (0..count).filter(|&i| seen[i] == side).collect();
    Some((group(true), group(false)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_policies_have_the_log_odds() {
        // 3 wins to 1: ln 3 apart; information n p (1 − p) = 4 · 3/16.
        let fit = BradleyTerry::fit(&[vec![0.0, 3.0], vec![1.0, 0.0]], 0.0, 0.95).unwrap();
        assert!((fit.strengths[0] - 0.5 * 3.0_f64.ln()).abs() < 1e-12);
        assert!((fit.strengths[0] + fit.strengths[1]).abs() < 1e-12);
        assert!((fit.probability(0, 1).unwrap() - 0.75).abs() < 1e-12);
        // The difference has standard error 1/√0.75; each centred strength half of it.
        assert!((fit.standard_errors[0] - 0.5 / 0.75_f64.sqrt()).abs() < 1e-12);
        assert_eq!(fit.probability(0, 2), None);
    }

    #[test]
    fn who_never_loses_needs_a_prior() {
        let wins = [vec![0.0, 3.0, 2.0], vec![0.0, 0.0, 2.0], vec![0.0, 1.0, 0.0]];
        let error = BradleyTerry::fit(&wins, 0.0, 0.95).unwrap_err();
        assert!(
            error.to_string().starts_with("policy 0 never lost to policy 1, policy 2"),
            "{error}"
        );
        let fit = BradleyTerry::fit(&wins, 0.5, 0.95).unwrap();
        assert!(fit.strengths[0] > fit.strengths[1] && fit.strengths[1] > fit.strengths[2]);
    }

    #[test]
    fn bad_tables_are_named() {
        let fit = |wins: &[Vec<f64>]| BradleyTerry::fit(wins, 0.0, 0.95);
        assert!(matches!(fit(&[vec![0.0]]), Err(RankingError::TooFewPolicies { got: 1 })));
        let ragged = [vec![0.0, 1.0], vec![1.0]];
        assert!(matches!(fit(&ragged), Err(RankingError::Wins { row: 1, column: 1, .. })));
        let negative = [vec![0.0, -1.0], vec![1.0, 0.0]];
        assert!(matches!(fit(&negative), Err(RankingError::Wins { row: 0, column: 1, .. })));
        let never_met = [vec![0.0; 2], vec![0.0; 2]];
        assert!(matches!(fit(&never_met), Err(RankingError::Separated { .. })));
    }

    proptest! {
        #[test]
        fn the_fit_is_where_the_gradient_vanishes_and_names_do_not_matter(
            seed in prop::collection::vec(1..20_u8, 16),
        ) {
            let table = |order: [usize; 4]| -> Vec<Vec<f64>> {
                order
                    .iter()
                    .map(|i| order.iter().map(|j| f64::from(seed[4 * i + j])).collect())
                    .collect()
            };
            let fit = BradleyTerry::fit(&table([0, 1, 2, 3]), 0.0, 0.95).unwrap();
            let wins = checked(&table([0, 1, 2, 3]), 0.0, 0.95).unwrap();
            let (gradient, _) = score(&wins, &DVector::from_vec(fit.strengths.clone()));
            prop_assert!(gradient.amax() < 1e-9);
            let turned = BradleyTerry::fit(&table([2, 0, 3, 1]), 0.0, 0.95).unwrap();
            for (place, original) in [2, 0, 3, 1].into_iter().enumerate() {
                prop_assert!((turned.strengths[place] - fit.strengths[original]).abs() < 1e-9);
            }
        }
    }
}
