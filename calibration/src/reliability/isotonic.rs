//! Isotonic recalibration.

use serde::{Deserialize, Serialize};

use super::Predictions;
use crate::error::{CalibrationError, check_shares};

/// A rising piecewise linear map from scores to probabilities: the closest rising one to the
/// outcomes in squares (pool adjacent violators, Ayer et al. 1955), linear between its knots and
/// constant outside, as scikit-learn's `IsotonicRegression(out_of_bounds="clip")`.
///
/// It needs hundreds of trials; with few it learns noise, and [`Platt`](super::Platt) is the
/// safer map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    /// Scores and their probabilities, both rising; never empty.
    knots: Vec<(f64, f64)>,
}

impl Isotonic {
    /// Fits the map to `predictions`.
    pub fn fit(predictions: &Predictions<'_>) -> Self {
        let mut points: Vec<(f64, f64)> = predictions.iter().collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Blocks of pooled points: first and last score, sum of outcomes, count.
        let mut blocks: Vec<Block> = Vec::new();
        for (score, outcome) in points {
            match blocks.last_mut() {
                // Equal scores (0.0 and −0.0 too) are one point, violation or not.
                Some(last) if last.first == score && last.last == score => {
                    last.sum += outcome;
                    last.count += 1.0;
                }
                _ => {
                    // What is behind the new point can change no more: pool it now.
                    pool(&mut blocks);
                    blocks.push(Block { first: score, last: score, sum: outcome, count: 1.0 });
                }
            }
        }
        pool(&mut blocks);
        let mut knots = Vec::new();
        for block in blocks {
            let mean = (block.sum / block.count).clamp(0.0, 1.0);
            knots.push((block.first, mean));
            if block.last > block.first {
                knots.push((block.last, mean));
            }
        }
        Self { knots }
    }

    /// The probability at `score`.
    ///
    /// # Errors
    /// [`CalibrationError::Value`] for a score outside [0, 1].
    pub fn predict(&self, score: f64) -> Result<f64, CalibrationError> {
        check_shares("score", &[score])?;
        let above = self.knots.partition_point(|(x, _)| *x < score);
        Ok(match (above.checked_sub(1).map(|i| self.knots[i]), self.knots.get(above)) {
            (Some((x0, y0)), Some(&(x1, y1))) => y0 + (y1 - y0) * ((score - x0) / (x1 - x0)),
            (None, Some(&(_, y))) | (Some((_, y)), None) => y,
            (None, None) => 0.5,
        })
    }

    /// Scores and their probabilities, both rising, between which the map is linear.
    pub fn knots(&self) -> &[(f64, f64)] {
        &self.knots
    }
}

#[derive(Debug, Clone, Copy)]
struct Block {
    first: f64,
    last: f64,
    sum: f64,
    count: f64,
}

/// Pools the last block into those before it while it is not above them.
fn pool(blocks: &mut Vec<Block>) {
    while let [.., before, last] = blocks.as_mut_slice()
        && before.sum * last.count >= last.sum * before.count
    {
        *before = Block {
            first: before.first,
            last: last.last,
            sum: before.sum + last.sum,
            count: before.count + last.count,
        };
        blocks.pop();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn violators_are_pooled_by_hand() {
        // 0 | 1, 0 → ½ | 1.
        let predictions = Predictions::new(&[0.1, 0.3, 0.5, 0.9], &[0.0, 1.0, 0.0, 1.0]).unwrap();
        let map = Isotonic::fit(&predictions);
        assert_eq!(map.knots(), [(0.1, 0.0), (0.3, 0.5), (0.5, 0.5), (0.9, 1.0)]);
        assert_eq!(map.predict(0.0).unwrap(), 0.0);
        assert!((map.predict(0.2).unwrap() - 0.25).abs() < 1e-15);
        assert_eq!(map.predict(0.4).unwrap(), 0.5);
        assert!((map.predict(0.7).unwrap() - 0.75).abs() < 1e-15);
        assert_eq!(map.predict(1.0).unwrap(), 1.0);
        assert!(map.predict(f64::NAN).is_err());
    }

    proptest! {
        #[test]
        fn the_map_rises_and_keeps_the_mean(pairs in prop::collection::vec(
            ((0_u8..20).prop_map(|x| f64::from(x) / 20.0), 0.0..=1.0_f64), 1..80))
        {
            let (p, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let map = Isotonic::fit(&Predictions::new(&p, &y).unwrap());
            for pair in map.knots().windows(2) {
                prop_assert!(pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            }
            let fitted: f64 = p.iter().map(|&p| map.predict(p).unwrap()).sum();
            prop_assert!((fitted - y.iter().sum::<f64>()).abs() < 1e-9);
        }
    }
}
