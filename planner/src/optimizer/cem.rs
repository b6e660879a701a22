//! The cross-entropy method (Rubinstein 1999), with iCEM's additions (Pinneri et al. 2020):
//! coloured noise, elites that stay.

use candle_core::Tensor;
use rehearse_scenarios::seed::Seed;

use super::noise::{NoiseShape, draw};
use super::search::{
    Iteration, Method, best_cost, cost_rows, distance, gather, mean_cost, mean_of, ranked,
};
use super::settings::CemSettings;
use crate::error::Result;
use crate::limits::Limits;

/// A normal distribution per block and channel; for a gripper's channel the mean alone counts: it
/// is the probability of the upper end, as 2p − 1.
pub(super) struct Cem {
    settings: CemSettings,
    seeds: Vec<Seed>,
    /// `(problems, blocks, dimensions)` in the unit box.
    mean: Tensor,
    spread: Tensor,
    /// Candidates of the last iteration from the best on, `(problems, elites, blocks, dimensions)`.
    elites: Option<Tensor>,
}

/// A gripper's channel never becomes quite sure, so that the other end stays in reach.
const GRIPPER_CERTAINTY: f32 = 0.9;

impl Cem {
    pub(super) fn new(settings: &CemSettings, seeds: Vec<Seed>, start: Tensor) -> Result<Self> {
        let spread = start.ones_like()?.affine(f64::from(settings.spread), 0.0)?;
        Ok(Self { settings: settings.clone(), seeds, mean: start, spread, elites: None })
    }

    /// The `count` best candidates of the last iteration, or as many as there are elites.
    pub(super) fn best_candidates(&self, count: usize) -> Result<Tensor> {
        match &self.elites {
            Some(elites) => Ok(elites.narrow(1, 0, count.min(elites.dim(1)?))?),
            None => Ok(self.mean.unsqueeze(1)?),
        }
    }
}

impl Method for Cem {
    fn propose(&mut self, iteration: usize, limits: &Limits) -> Result<Tensor> {
        let (_problems, blocks, _dimensions) = self.mean.dims3()?;
        let kept = match &self.elites {
            Some(elites) if self.settings.keep_elites > 0 => {
                Some(elites.narrow(1, 0, self.settings.keep_elites)?)
            }
            _ => None,
        };
        let fixed = 1 + kept.as_ref().map_or(Ok(0), |kept| kept.dim(1))?;
        let drawn = self.settings.candidates.saturating_sub(fixed).max(1);
        let shape = NoiseShape { candidates: drawn, blocks };
        let noise = draw(
            &self.seeds,
            iteration,
            shape,
            limits.gripper_channels(),
            self.settings.noise_beta,
            limits.device(),
        )?;
        let mean = self.mean.unsqueeze(1)?;
        // A gripper's draw is uniform in (-1, 1): it ends up when it lies below the mean.
        let certain = mean.clamp(-GRIPPER_CERTAINTY, GRIPPER_CERTAINTY)?;
        let flips = noise.neg()?.broadcast_add(&certain)?;
        let moves = noise.broadcast_mul(&self.spread.unsqueeze(1)?)?.broadcast_add(&mean)?;
        let drawn = limits.choose_gripper(&flips, &moves)?;
        let mut all = vec![mean];
        all.extend(kept);
        all.push(drawn);
        limits.project_candidates(&Tensor::cat(&all, 1)?)
    }

    fn learn(
        &mut self,
        candidates: &Tensor,
        costs: &Tensor,
        _limits: &Limits,
    ) -> Result<Iteration> {
        let costs = cost_rows(candidates, costs)?;
        let mut order: Vec<_> = costs.iter().map(|costs| ranked(costs)).collect();
        let best_cost = best_cost(&costs, &order);
        let count = self.settings.elites.min(candidates.dim(1)?);
        for order in &mut order {
            order.truncate(count);
        }
        let elites = gather(candidates, &order)?;
        let mean = elites.mean(1)?;
        let centred = elites.broadcast_sub(&mean.unsqueeze(1)?)?;
        let unbiased = 1.0 / (count as f64 - 1.0).max(1.0);
        let spread = centred.sqr()?.sum(1)?.affine(unbiased, 0.0)?.sqrt()?;

        let momentum = f64::from(self.settings.momentum);
        let blend = |old: &Tensor, new: &Tensor| {
            old.affine(momentum, 0.0)?.add(&new.affine(1.0 - momentum, 0.0)?)
        };
        let next = blend(&self.mean, &mean)?;
        let mean_shift = distance(&next, &self.mean)?;
        self.spread = blend(&self.spread, &spread)?.maximum(self.settings.min_spread)?;
        self.mean = next;
        self.elites = Some(elites);
        Ok(Iteration {
            best_cost,
            elite_cost: mean_cost(&costs, &order),
            spread: mean_of(&self.spread)?,
            mean_shift,
        })
    }
}
