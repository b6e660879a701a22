//! One search: iterations that draw, ask the objective, and learn.

use std::time::{Duration, Instant};

use candle_core::{DType, Tensor};
use rehearse_scenarios::seed::Seed;

use super::cem::Cem;
use super::gradient::Gradient;
use super::mppi::Mppi;
use super::settings::{OptimizerSettings, SearchSettings};
use super::shooting::Shooting;
use crate::error::{PlanError, Result};
use crate::limits::Limits;

/// What a search lowers.
///
/// Takes actions `(problems, candidates, steps, dimensions)` in the units of the rig and returns
/// costs `(problems, candidates)`, f32. A gradient search differentiates it, so it must be made of
/// tensor operations for that.
pub type Objective<'a> = dyn FnMut(&Tensor) -> Result<Tensor> + 'a;

/// The problems of one batch.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// A seed per problem.
    pub seeds: Vec<Seed>,
    /// The plans to start from, `(problems, blocks, dimensions)` in the unit box; the middle of
    /// the box if there is none.
    pub start: Option<Tensor>,
    /// Plans that the first iteration weighs beside its own,
    /// `(problems, proposals, blocks, dimensions)` in the unit box.
    pub proposals: Option<Tensor>,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Solution {
    /// The best plan of each problem, `(problems, blocks, dimensions)` in the unit box, allowed by
    /// the limits.
    pub unit: Tensor,
    /// Its cost, one per problem.
    pub cost: Vec<f32>,
    /// What happened, iteration by iteration.
    pub iterations: Vec<Iteration>,
    /// How long it took, iteration by iteration.
    pub times: Vec<Times>,
}

/// How long the stages of one iteration took, for all problems together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Drawing candidates.
    pub propose: Duration,
    /// Asking the objective: the model imagines.
    pub imagine: Duration,
    /// Learning from the costs.
    pub learn: Duration,
}

/// What happened in one iteration; one value per problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Iteration {
    /// Lowest cost among the candidates.
    pub best_cost: Vec<f32>,
    /// Mean cost of the candidates that the search learnt from.
    pub elite_cost: Vec<f32>,
    /// Mean spread of the distribution, in the unit box.
    pub spread: Vec<f32>,
    /// Distance that the mean moved, in the unit box.
    pub mean_shift: Vec<f32>,
}

/// A search with its settings and limits.
#[derive(Clone, Debug)]
pub struct Search {
    settings: SearchSettings,
    limits: Limits,
}

/// How a search draws and learns.
pub(super) trait Method {
    /// The candidates of an iteration, `(problems, candidates, blocks, dimensions)`, allowed.
    fn propose(&mut self, iteration: usize, limits: &Limits) -> Result<Tensor>;

    /// Learns from the costs `(problems, candidates)` and says what happened.
    fn learn(&mut self, candidates: &Tensor, costs: &Tensor, limits: &Limits) -> Result<Iteration>;
}

impl Search {
    /// A search with its settings, checked.
    ///
    /// # Errors
    /// [`PlanError::Setting`].
    pub fn new(settings: SearchSettings, limits: Limits) -> Result<Self> {
        settings.validate()?;
        Ok(Self { settings, limits })
    }

    /// The settings.
    pub const fn settings(&self) -> &SearchSettings {
        &self.settings
    }

    /// The limits.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Searches until the iterations are done or `budget` is spent, whichever comes first; one
    /// iteration is always done, and the best plan so far is returned.
    ///
    /// With a budget the result depends on the speed of the machine; without, only on the seeds.
    ///
    /// # Errors
    /// [`PlanError::NoFiniteCost`], [`PlanError::Shape`], and whatever the objective returns.
    pub fn solve(
        &self,
        problems: &Problems,
        budget: Option<Duration>,
        objective: &mut Objective<'_>,
    ) -> Result<Solution> {
        let Self { settings, limits } = self;
        let shape = (problems.seeds.len(), settings.blocks, limits.dimensions());
        let start = match &problems.start {
            None => Tensor::zeros(shape, DType::F32, limits.device())?,
            Some(start) if start.dims3()? == shape => start.clone(),
            Some(start) => {
                return Err(PlanError::Shape {
                    what: "the plan to start from",
                    expected: vec![shape.0, shape.1, shape.2],
                    got: start.dims().to_vec(),
                });
            }
        };
        let proposals = match &problems.proposals {
            None => None,
            Some(proposals) => match proposals.dims4()? {
                (count, _, blocks, dimensions) if (count, blocks, dimensions) == shape => {
                    Some(limits.project_candidates(proposals)?)
                }
                (_, proposed, _, _) => {
                    return Err(PlanError::Shape {
                        what: "the proposals",
                        expected: vec![shape.0, proposed, shape.1, shape.2],
                        got: proposals.dims().to_vec(),
                    });
                }
            },
        };
        let seeds = problems.seeds.clone();
        let began = Instant::now();
        let mut best = Best::new(&start)?;
        let (mut iterations, mut times) = (vec![], vec![]);
        let mut run = |method: &mut dyn Method, range: std::ops::Range<usize>, best: &mut Best| {
            for iteration in range {
                let spent = budget.is_some_and(|budget| began.elapsed() >= budget);
                if spent && !iterations.is_empty() {
                    break;
                }
                let begun = Instant::now();
                let drawn = method.propose(iteration, limits)?;
                let candidates = match &proposals {
                    Some(proposals) if iteration == 0 => Tensor::cat(&[&drawn, proposals], 1)?,
                    _ => drawn,
                };
                let proposed = Instant::now();
                let costs = objective(&self.actions(&candidates)?)?;
                best.offer(&limits.project_candidates(&candidates)?, &costs, iteration)?;
                let imagined = Instant::now();
                iterations.push(method.learn(&candidates, &costs, limits)?);
                times.push(Times {
                    propose: proposed - begun,
                    imagine: imagined - proposed,
                    learn: imagined.elapsed(),
                });
            }
            Ok::<(), PlanError>(())
        };
        let all = settings.iterations;
        match &settings.optimizer {
            OptimizerSettings::RandomShooting(shooting) => {
                run(&mut Shooting::new(shooting, seeds, start), 0..all, &mut best)?;
            }
            OptimizerSettings::Cem(cem) => {
                run(&mut Cem::new(cem, seeds, start)?, 0..all, &mut best)?;
            }
            OptimizerSettings::Mppi(mppi) => {
                run(&mut Mppi::new(mppi, seeds, start), 0..all, &mut best)?;
            }
            OptimizerSettings::Gradient(gradient) => {
                run(&mut Gradient::new(gradient, &seeds, &start, limits)?, 0..all, &mut best)?;
            }
            OptimizerSettings::CemGradient { cem, gradient } => {
                let mut first = Cem::new(cem, seeds, start)?;
                run(&mut first, 0..all / 2, &mut best)?;
                let starts = first.best_candidates(gradient.restarts)?;
                run(&mut Gradient::from_starts(gradient, &starts)?, all / 2..all, &mut best)?;
            }
        }
        Ok(Solution { unit: best.unit, cost: best.cost, iterations, times })
    }

    /// Actions in their units, `(problems, candidates, steps, dimensions)`, from blocks in the unit
    /// box.
    fn actions(&self, unit: &Tensor) -> Result<Tensor> {
        let (problems, candidates, blocks, dimensions) = unit.dims4()?;
        let steps = self.settings.block_steps;
        let held = unit
            .unsqueeze(3)?
            .broadcast_as((problems, candidates, blocks, steps, dimensions))?
            .reshape((problems, candidates, blocks * steps, dimensions))?;
        self.limits.actions_from_unit(&held)
    }
}

/// The best candidate that any iteration has seen, per problem.
struct Best {
    unit: Tensor,
    cost: Vec<f32>,
}

impl Best {
    fn new(start: &Tensor) -> Result<Self> {
        Ok(Self { unit: start.clone(), cost: vec![f32::INFINITY; start.dim(0)?] })
    }

    fn offer(&mut self, candidates: &Tensor, costs: &Tensor, iteration: usize) -> Result<()> {
        let mut rows = Vec::with_capacity(self.cost.len());
        for (problem, costs) in cost_rows(candidates, costs)?.iter().enumerate() {
            let index = ranked(costs)[0];
            if !costs[index].is_finite() {
                return Err(PlanError::NoFiniteCost { problem, iteration });
            }
            if costs[index] < self.cost[problem] {
                self.cost[problem] = costs[index];
                rows.push(candidates.get(problem)?.get(index)?);
            } else {
                rows.push(self.unit.get(problem)?);
            }
        }
        self.unit = Tensor::stack(&rows, 0)?;
        Ok(())
    }
}

/// Costs on the host, one row per problem: few numbers, and the only ones that leave the device.
pub(super) fn cost_rows(candidates: &Tensor, costs: &Tensor) -> Result<Vec<Vec<f32>>> {
    let (problems, count, _blocks, _dimensions) = candidates.dims4()?;
    if costs.dims() != [problems, count] {
        return Err(PlanError::Shape {
            what: "the objective's costs",
            expected: vec![problems, count],
            got: costs.dims().to_vec(),
        });
    }
    Ok(costs.detach().to_dtype(DType::F32)?.to_vec2()?)
}

/// Indices from the lowest cost to the highest; what is no number comes last, ties by index.
pub(super) fn ranked(costs: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    // A NaN of either sign must not pass for the lowest cost.
    let key = |index: usize| if costs[index].is_nan() { f32::INFINITY } else { costs[index] };
    order.sort_by(|&a, &b| key(a).total_cmp(&key(b)).then(a.cmp(&b)));
    order
}

/// The candidates at `indices` of each problem, `(problems, indices, blocks, dimensions)`.
pub(super) fn gather(candidates: &Tensor, indices: &[Vec<usize>]) -> Result<Tensor> {
    let rows = indices
        .iter()
        .enumerate()
        .map(|(problem, indices)| {
            let indices: Vec<u32> = indices.iter().map(|&index| index as u32).collect();
            let indices = Tensor::new(indices, candidates.device())?;
            Ok(candidates.get(problem)?.index_select(&indices, 0)?)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&rows, 0)?)
}

/// Euclidean distance of two plans, one per problem.
pub(super) fn distance(a: &Tensor, b: &Tensor) -> Result<Vec<f32>> {
    Ok((a - b)?.sqr()?.flatten_from(1)?.sum(1)?.sqrt()?.to_vec1()?)
}

/// Mean of a `(problems, blocks, dimensions)` tensor, one per problem.
pub(super) fn mean_of(values: &Tensor) -> Result<Vec<f32>> {
    Ok(values.flatten_from(1)?.mean(1)?.to_vec1()?)
}

/// Mean of some of each problem's costs.
pub(super) fn mean_cost(costs: &[Vec<f32>], indices: &[Vec<usize>]) -> Vec<f32> {
    costs
        .iter()
        .zip(indices)
        .map(|(costs, indices)| {
            indices.iter().map(|&index| costs[index]).sum::<f32>() / indices.len() as f32
        })
        .collect()
}

/// The lowest cost of each problem, given its candidates' order.
pub(super) fn best_cost(costs: &[Vec<f32>], order: &[Vec<usize>]) -> Vec<f32> {
    costs.iter().zip(order).map(|(costs, order)| costs[order[0]]).collect()
}
