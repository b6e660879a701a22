//! Gradient descent through the objective: Adam (Kingma & Ba 2015) on the plan itself.

use candle_core::{Tensor, Var};
use rehearse_scenarios::seed::Seed;

use super::noise::{NoiseShape, draw};
use super::search::{Iteration, Method, best_cost, cost_rows, distance, mean_cost, ranked};
use super::settings::GradientSettings;
use crate::error::Result;
use crate::limits::Limits;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Plans that go downhill side by side. A gripper's channel moves between its ends; its sign
/// counts in the plan that is returned.
pub(super) struct Gradient {
    learning_rate: f64,
    /// `(problems, restarts, blocks, dimensions)` in the unit box.
    plans: Var,
    first_moment: Tensor,
    second_moment: Tensor,
    steps: i32,
}

impl Gradient {
    pub(super) fn new(
        settings: &GradientSettings,
        seeds: &[Seed],
        start: &Tensor,
        limits: &Limits,
    ) -> Result<Self> {
        let start = start.unsqueeze(1)?;
        if settings.restarts == 1 {
            return Self::from_starts(settings, &start);
        }
        let shape = NoiseShape { candidates: settings.restarts - 1, blocks: start.dim(2)? };
        let noise = draw(seeds, 0, shape, limits.gripper_channels(), 0.0, limits.device())?;
        let others = noise.affine(f64::from(settings.spread), 0.0)?.broadcast_add(&start)?;
        Self::from_starts(settings, &limits.relax_candidates(&Tensor::cat(&[start, others], 1)?)?)
    }

    /// Descends from `starts`, `(problems, restarts, blocks, dimensions)`.
    pub(super) fn from_starts(settings: &GradientSettings, starts: &Tensor) -> Result<Self> {
        let zeros = starts.zeros_like()?;
        Ok(Self {
            learning_rate: settings.learning_rate,
            plans: Var::from_tensor(starts)?,
            first_moment: zeros.clone(),
            second_moment: zeros,
            steps: 0,
        })
    }
}

impl Method for Gradient {
    fn propose(&mut self, _iteration: usize, _limits: &Limits) -> Result<Tensor> {
        Ok(self.plans.as_tensor().clone())
    }

    fn learn(&mut self, candidates: &Tensor, costs: &Tensor, limits: &Limits) -> Result<Iteration> {
        let rows = cost_rows(candidates, costs)?;
        let order: Vec<_> = rows.iter().map(|costs| ranked(costs)).collect();
        // The plans' costs are independent, so the gradient of the sum is each plan's own.
        let gradients = costs.sum_all()?.backward()?;
        let mut moved = vec![0.0; rows.len()];
        if let Some(gradient) = gradients.get(&self.plans) {
            self.steps += 1;
            self.first_moment =
                (self.first_moment.affine(BETA_1, 0.0)? + gradient.affine(1.0 - BETA_1, 0.0)?)?;
            self.second_moment = (self.second_moment.affine(BETA_2, 0.0)?
                + gradient.sqr()?.affine(1.0 - BETA_2, 0.0)?)?;
            let first = self.first_moment.affine(1.0 / (1.0 - BETA_1.powi(self.steps)), 0.0)?;
            let second = self.second_moment.affine(1.0 / (1.0 - BETA_2.powi(self.steps)), 0.0)?;
            let step = (first / second.sqrt()?.affine(1.0, EPSILON)?)?;
            let old = self.plans.as_tensor().detach();
            let next =
                limits.relax_candidates(&(&old - step.affine(self.learning_rate, 0.0)?)?)?.detach();
            moved = distance(&next, &old)?;
            self.plans.set(&next)?;
        }
        Ok(Iteration {
            best_cost: best_cost(&rows, &order),
            elite_cost: mean_cost(&rows, &order),
            spread: vec![0.0; rows.len()],
            mean_shift: moved,
        })
    }
}
