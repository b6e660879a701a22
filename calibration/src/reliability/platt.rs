//! Platt scaling.

use serde::{Deserialize, Serialize};

use crate::error::{CalibrationError, check_shares};

/// Newton steps after which the fit is as good as it gets.
const STEPS: usize = 200;

/// A logistic map from scores to probabilities: `1 / (1 + exp(−(slope · score + intercept)))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Platt {
    /// Log-odds per unit of score.
    pub slope: f64,
    /// Log-odds at score 0.
    pub intercept: f64,
}

impl Platt {
    /// Fits the map by maximum likelihood, with Platt's (1999) targets: a success counts as
    /// (n₊ + 1) / (n₊ + 2) and a failure as 1 / (n₋ + 2), which keeps the map finite where scores
    /// separate the outcomes. Newton's method with backtracking (Lin, Lin and Weng 2007).
    ///
    /// `scores` are on any scale; probabilities are better given as [`log_odds`]. `outcomes` are
    /// in [0, 1].
    ///
    /// # Errors
    /// [`CalibrationError::Empty`], [`CalibrationError::Length`], and [`CalibrationError::Value`]
    /// for a score that is not finite or an outcome outside [0, 1].
    pub fn fit(scores: &[f64], outcomes: &[f64]) -> Result<Self, CalibrationError> {
        if outcomes.is_empty() {
            return Err(CalibrationError::Empty { what: "scores" });
        }
        if scores.len() != outcomes.len() {
            return Err(CalibrationError::Length {
                what: "scores",
                got: scores.len(),
                expected: outcomes.len(),
            });
        }
        if let Some(index) = scores.iter().position(|s| !s.is_finite()) {
            return Err(CalibrationError::Value {
                what: "score",
                index,
                value: scores[index],
                expected: "a finite number",
            });
        }
        check_shares("outcome", outcomes)?;
        let successes: f64 = outcomes.iter().sum();
        let failures = outcomes.len() as f64 - successes;
        let (top, bottom) = ((successes + 1.0) / (successes + 2.0), 1.0 / (failures + 2.0));
        let targets: Vec<f64> = outcomes.iter().map(|y| y * top + (1.0 - y) * bottom).collect();
        // Scores of any scale are brought to about 1, where Newton's steps are well conditioned.
        let scale = scores.iter().fold(0.0, |most: f64, s| most.max(s.abs()));
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let scaled: Vec<f64> = scores.iter().map(|s| s / scale).collect();
        let (slope, intercept) =
            newton(&scaled, &targets, ((successes + 1.0) / (failures + 1.0)).ln());
        Ok(Self { slope: slope / scale, intercept })
    }

    /// The probability at `score`.
    pub fn predict(&self, score: f64) -> f64 {
        sigmoid(self.slope * score + self.intercept)
    }
}

/// The log-odds of a probability, which is kept a millionth away from 0 and 1.
pub fn log_odds(probability: f64) -> f64 {
    let p = probability.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}

fn newton(scores: &[f64], targets: &[f64], intercept: f64) -> (f64, f64) {
    let (mut a, mut b) = (0.0, intercept);
    let mut best = loss(scores, targets, a, b);
    for _ in 0..STEPS {
        // The ridge keeps the Hessian invertible where all scores are equal.
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 1e-12, 0.0, 1e-12);
        for (&s, &t) in scores.iter().zip(targets) {
            let p = sigmoid(a * s + b);
            let (gradient, curvature) = (p - t, p * (1.0 - p));
            ga += gradient * s;
            gb += gradient;
            haa += curvature * s * s;
            hab += curvature * s;
            hbb += curvature;
        }
        let determinant = haa * hbb - hab * hab;
        if determinant <= 0.0 {
            break;
        }
        let (da, db) = ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant);
        let mut step = 1.0;
        let moved = loop {
            let (na, nb) = (a - step * da, b - step * db);
            let next = loss(scores, targets, na, nb);
            if next <= best {
                let moved = na != a || nb != b;
                (a, b, best) = (na, nb, next);
                break moved;
            }
            step *= 0.5;
            if step < 1e-10 {
                break false;
            }
        };
        if !moved || (step * da).abs().max((step * db).abs()) < 1e-13 {
            break;
        }
    }
    (a, b)
}

/// Negative log-likelihood, stable for large log-odds.
fn loss(scores: &[f64], targets: &[f64], a: f64, b: f64) -> f64 {
    scores
        .iter()
        .zip(targets)
        .map(|(s, t)| {
            let z = a * s + b;
            z.max(0.0) - t * z + (-z.abs()).exp().ln_1p()
        })
        .sum()
}

fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_scores_are_fitted_exactly() {
        // Score 0: one success of four; score 1: three of four. The fit meets both mean targets:
        // (0.25 · 5/6 + 0.75 · 1/6) = 1/3 and 2/3.
        let scores = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        let outcomes = [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        let map = Platt::fit(&scores, &outcomes).unwrap();
        assert!((map.predict(0.0) - 1.0 / 3.0).abs() < 1e-12, "{map:?}");
        assert!((map.predict(1.0) - 2.0 / 3.0).abs() < 1e-12, "{map:?}");
    }

    #[test]
    fn separated_or_constant_data_stay_finite() {
        for (scores, outcomes) in [
            (vec![-1.0, -2.0, 3.0, 4.0], vec![0.0, 0.0, 1.0, 1.0]),
            (vec![7.0; 4], vec![0.0, 1.0, 1.0, 1.0]),
            (vec![0.0; 3], vec![1.0; 3]),
            (vec![1e12, -1e12], vec![1.0, 0.0]),
        ] {
            let map = Platt::fit(&scores, &outcomes).unwrap();
            assert!(map.slope.is_finite() && map.intercept.is_finite(), "{map:?}");
            let p = map.predict(scores[0]);
            assert!(p > 0.0 && p < 1.0, "{p}");
        }
    }

    #[test]
    fn the_map_does_not_depend_on_the_unit_of_the_score() {
        let scores = [0.1, 0.9, 0.4, 0.7, 0.2, 0.6];
        let outcomes = [0.0, 1.0, 1.0, 1.0, 0.0, 0.0];
        let map = Platt::fit(&scores, &outcomes).unwrap();
        let metres: Vec<f64> = scores.iter().map(|s| s * 1000.0).collect();
        let other = Platt::fit(&metres, &outcomes).unwrap();
        assert!((map.predict(0.5) - other.predict(500.0)).abs() < 1e-10);
    }
}
