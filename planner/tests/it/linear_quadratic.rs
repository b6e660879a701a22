//! Every optimiser on a linear-quadratic problem, against its exact optimum.
//!
//! A mass on a line is pushed for eight steps; position, velocity and pushes cost their squares.
//! The optimum solves the normal equations, in double precision.

use candle_core::{Device, Tensor};
use nalgebra::{DMatrix, DVector};
use rehearse_planner::Result;
use rehearse_planner::limits::{LimitSettings, Limits};
use rehearse_planner::optimizer::{
    CemSettings, GradientSettings, MppiSettings, OptimizerSettings, Problems, Search,
    SearchSettings, ShootingSettings, Solution,
};
use rehearse_scenarios::embodiment::{Channel, Embodiment};
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::Rate;

const STEPS: usize = 8;
const PUSH_COST: f64 = 0.1;

pub fn limits(channels: usize) -> Limits {
    let rig = Embodiment {
        robot: None,
        rate: Rate::from_hz(10.0).unwrap(),
        cameras: vec![],
        proprioception: vec![],
        actions: (0..channels)
            .map(|index| Channel {
                bounds: Some([-2.0, 2.0]),
                ..Channel::named(format!("push_{index}"))
            })
            .collect(),
    };
    Limits::new(&rig, LimitSettings::default(), &Device::Cpu).unwrap()
}

/// States `x = free + gain · pushes`, position and velocity of each step in turn.
pub struct MassOnALine {
    free: DVector<f64>,
    gain: DMatrix<f64>,
}

impl MassOnALine {
    pub fn new(position: f64) -> Self {
        let (dt, mut free, mut gain) =
            (0.3, DVector::zeros(2 * STEPS), DMatrix::zeros(2 * STEPS, STEPS));
        let roll = |pushes: &[f64], position: f64| {
            let (mut x, mut v, mut states) = (position, 0.0, vec![]);
            for push in pushes {
                x += dt * v;
                v += dt * push;
                states.extend([x, v]);
            }
            DVector::from_vec(states)
        };
        free.copy_from(&roll(&[0.0; STEPS], position));
        for step in 0..STEPS {
            let mut pushes = [0.0; STEPS];
            pushes[step] = 1.0;
            gain.set_column(step, &roll(&pushes, 0.0));
        }
        Self { free, gain }
    }

    fn optimum(&self) -> (DVector<f64>, f64) {
        let hessian =
            self.gain.transpose() * &self.gain + DMatrix::identity(STEPS, STEPS) * PUSH_COST;
        let pushes = hessian.cholesky().unwrap().solve(&(-(self.gain.transpose() * &self.free)));
        let states = &self.free + &self.gain * &pushes;
        let cost = states.norm_squared() + PUSH_COST * pushes.norm_squared();
        (pushes, cost)
    }

    pub fn cost(&self, actions: &Tensor) -> Result<Tensor> {
        let (problems, candidates, steps, _one) = actions.dims4()?;
        let pushes = actions.reshape((problems * candidates, steps))?;
        let rows: Vec<f32> = self.gain.iter().map(|value| *value as f32).collect();
        // nalgebra stores columns, so this is the transpose of the gain.
        let gain = Tensor::from_vec(rows, (STEPS, 2 * STEPS), &Device::Cpu)?;
        let free: Vec<f32> = self.free.iter().map(|value| *value as f32).collect();
        let states = pushes.matmul(&gain)?.broadcast_add(&Tensor::new(free, &Device::Cpu)?)?;
        let cost = (states.sqr()?.sum(1)? + pushes.sqr()?.sum(1)?.affine(PUSH_COST, 0.0)?)?;
        Ok(cost.reshape((problems, candidates))?)
    }
}

pub fn settings(optimizer: OptimizerSettings, iterations: usize) -> SearchSettings {
    SearchSettings { blocks: STEPS, block_steps: 1, iterations, optimizer }
}

pub fn solve(settings: SearchSettings, seeds: &[u64], position: f64) -> Solution {
    let problems = Problems {
        seeds: seeds.iter().map(|&seed| Seed::root(seed)).collect(),
        ..Problems::default()
    };
    let mass = MassOnALine::new(position);
    Search::new(settings, limits(1))
        .unwrap()
        .solve(&problems, None, &mut |actions| mass.cost(actions))
        .unwrap()
}

/// Solves and returns by what fraction of the optimum's cost the plan is dearer.
fn excess(optimizer: OptimizerSettings, iterations: usize) -> f64 {
    let (pushes, optimum) = MassOnALine::new(1.0).optimum();
    assert!(pushes.amax() < 2.0, "the optimum must lie within the bounds");
    let solution = solve(settings(optimizer, iterations), &[1, 2], 1.0);
    let worst = solution.cost.iter().copied().fold(f32::MIN, f32::max);
    f64::from(worst) / optimum - 1.0
}

#[test]
fn each_optimiser_reaches_the_optimum_within_its_tolerance() {
    let cem =
        CemSettings { candidates: 128, elites: 16, min_spread: 0.0, ..CemSettings::default() };
    let icem = CemSettings { noise_beta: 0.5, keep_elites: 5, ..cem.clone() };
    let mppi = MppiSettings { candidates: 256, spread: 0.2, temperature: 0.2, noise_beta: 0.0 };
    let gradient = GradientSettings { restarts: 2, learning_rate: 0.05, spread: 0.3 };
    let shooting = ShootingSettings { candidates: 512, spread: 0.5 };
    for (name, optimizer, iterations, tolerance) in [
        ("cem", OptimizerSettings::Cem(cem.clone()), 40, 1e-3),
        ("icem", OptimizerSettings::Cem(icem), 80, 1e-3),
        ("mppi", OptimizerSettings::Mppi(mppi), 40, 0.02),
        ("gradient", OptimizerSettings::Gradient(gradient.clone()), 300, 1e-4),
        ("cem then gradient", OptimizerSettings::CemGradient { cem, gradient }, 60, 1e-3),
        ("random shooting", OptimizerSettings::RandomShooting(shooting), 10, 0.5),
    ] {
        let excess = excess(optimizer, iterations);
        assert!((-1e-5..tolerance).contains(&excess), "{name}: {excess} above the optimum");
    }
}
