//! Model predictive path integral control (Williams et al. 2017).

use candle_core::Tensor;
use rehearse_scenarios::seed::Seed;

use super::noise::{NoiseShape, draw};
use super::search::{Iteration, Method, best_cost, cost_rows, distance, ranked};
use super::settings::MppiSettings;
use crate::error::Result;
use crate::limits::Limits;

/// A mean that moves to the candidates' average, weighted by how cheap they are.
pub(super) struct Mppi {
    settings: MppiSettings,
    seeds: Vec<Seed>,
    /// `(problems, blocks, dimensions)` in the unit box.
    mean: Tensor,
}

impl Mppi {
    pub(super) fn new(settings: &MppiSettings, seeds: Vec<Seed>, start: Tensor) -> Self {
        Self { settings: settings.clone(), seeds, mean: start }
    }
}

impl Method for Mppi {
    fn propose(&mut self, iteration: usize, limits: &Limits) -> Result<Tensor> {
        let MppiSettings { candidates, spread, noise_beta, .. } = self.settings;
        let shape = NoiseShape { candidates: candidates - 1, blocks: self.mean.dim(1)? };
        let gripper = limits.gripper_channels();
        let noise = draw(&self.seeds, iteration, shape, gripper, noise_beta, limits.device())?;
        let mean = self.mean.unsqueeze(1)?;
        let moves = noise.affine(f64::from(spread), 0.0)?.broadcast_add(&mean)?;
        let flips = noise.broadcast_add(&mean)?;
        let drawn = limits.choose_gripper(&flips, &moves)?;
        limits.project_candidates(&Tensor::cat(&[mean, drawn], 1)?)
    }

    fn learn(
        &mut self,
        candidates: &Tensor,
        costs: &Tensor,
        _limits: &Limits,
    ) -> Result<Iteration> {
        let costs = cost_rows(candidates, costs)?;
        let order: Vec<_> = costs.iter().map(|costs| ranked(costs)).collect();
        let best_cost = best_cost(&costs, &order);
        let weights: Vec<Vec<f32>> =
            costs.iter().map(|costs| weigh(costs, self.settings.temperature)).collect();
        let elite_cost = costs
            .iter()
            .zip(&weights)
            .map(|(costs, weights)| {
                // A cost that is no number has no weight, and must not spoil the sum.
                costs.iter().zip(weights).filter(|(_, w)| **w > 0.0).map(|(c, w)| c * w).sum()
            })
            .collect();
        let problems = costs.len();
        let weights = Tensor::new(weights, candidates.device())?.unsqueeze(2)?.unsqueeze(3)?;
        let next = candidates.broadcast_mul(&weights)?.sum(1)?;
        let mean_shift = distance(&next, &self.mean)?;
        self.mean = next;
        Ok(Iteration {
            best_cost,
            elite_cost,
            spread: vec![self.settings.spread; problems],
            mean_shift,
        })
    }
}

/// Weights that sum to 1: softmax of −cost over `temperature` standard deviations of the costs.
fn weigh(costs: &[f32], temperature: f32) -> Vec<f32> {
    let finite: Vec<f32> = costs.iter().copied().filter(|cost| cost.is_finite()).collect();
    let count = finite.len().max(1) as f32;
    let mean = finite.iter().sum::<f32>() / count;
    let variance = finite.iter().map(|cost| (cost - mean).powi(2)).sum::<f32>() / count;
    let lowest = finite.iter().copied().fold(f32::INFINITY, f32::min);
    let scale = (temperature * variance.sqrt()).max(f32::MIN_POSITIVE);
    let raw: Vec<f32> = costs
        .iter()
        .map(|cost| if cost.is_finite() { (-(cost - lowest) / scale).exp() } else { 0.0 })
        .collect();
    let sum = raw.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    raw.iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_by_hand() {
        // Costs 0 and 2 have a standard deviation of 1; at temperature 1 they weigh 1 : e^-2.
        let weights = weigh(&[0.0, 2.0], 1.0);
        let expected = 1.0 / (1.0 + (-2f32).exp());
        assert!((weights[0] - expected).abs() < 1e-6);
        assert!((weights[0] + weights[1] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn equal_costs_weigh_the_same_and_no_number_nothing() {
        assert_eq!(weigh(&[3.0, f32::NAN, 3.0, f32::INFINITY], 0.5), [0.5, 0.0, 0.5, 0.0]);
    }
}
