//! Random shooting: the best of independent draws.

use candle_core::Tensor;
use rehearse_scenarios::seed::Seed;

use super::noise::{NoiseShape, draw};
use super::search::{Iteration, Method, best_cost, cost_rows, ranked};
use super::settings::ShootingSettings;
use crate::error::Result;
use crate::limits::Limits;

/// Draws around the plan to start from, and never learns.
pub(super) struct Shooting {
    settings: ShootingSettings,
    seeds: Vec<Seed>,
    start: Tensor,
}

impl Shooting {
    pub(super) fn new(settings: &ShootingSettings, seeds: Vec<Seed>, start: Tensor) -> Self {
        Self { settings: settings.clone(), seeds, start }
    }
}

impl Method for Shooting {
    fn propose(&mut self, iteration: usize, limits: &Limits) -> Result<Tensor> {
        let ShootingSettings { candidates, spread } = self.settings;
        let shape = NoiseShape { candidates, blocks: self.start.dim(1)? };
        let gripper = limits.gripper_channels();
        let noise = draw(&self.seeds, iteration, shape, gripper, 0.0, limits.device())?;
        let around = self.start.unsqueeze(1)?;
        limits.project_candidates(&noise.affine(f64::from(spread), 0.0)?.broadcast_add(&around)?)
    }

    fn learn(
        &mut self,
        candidates: &Tensor,
        costs: &Tensor,
        _limits: &Limits,
    ) -> Result<Iteration> {
        let costs = cost_rows(candidates, costs)?;
        let order: Vec<_> = costs.iter().map(|costs| ranked(costs)).collect();
        let best = best_cost(&costs, &order);
        let problems = costs.len();
        Ok(Iteration {
            elite_cost: best.clone(),
            best_cost: best,
            spread: vec![self.settings.spread; problems],
            mean_shift: vec![0.0; problems],
        })
    }
}
