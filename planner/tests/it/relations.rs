//! Relations that hold whatever the problem is.

use candle_core::Tensor;
use rehearse_planner::limits::{LimitSettings, Limits};
use rehearse_planner::optimizer::{
    CemSettings, GradientSettings, MppiSettings, OptimizerSettings, Problems, Search,
    SearchSettings, ShootingSettings,
};
use rehearse_planner::{PlanError, Result};
use rehearse_scenarios::embodiment::{Channel, Embodiment};
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::Rate;

use crate::linear_quadratic::{limits, settings, solve};

fn all() -> Vec<OptimizerSettings> {
    let cem = CemSettings { candidates: 24, elites: 6, ..CemSettings::default() };
    vec![
        OptimizerSettings::RandomShooting(ShootingSettings::default()),
        OptimizerSettings::Cem(cem.clone()),
        OptimizerSettings::Cem(CemSettings { noise_beta: 2.0, keep_elites: 3, ..cem.clone() }),
        OptimizerSettings::Mppi(MppiSettings::default()),
        OptimizerSettings::Gradient(GradientSettings::default()),
        OptimizerSettings::CemGradient { cem, gradient: GradientSettings::default() },
    ]
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn a_batch_of_problems_equals_its_singles() {
    for optimizer in all() {
        let batch = solve(settings(optimizer.clone(), 6), &[1, 2, 3], 1.0);
        for (index, seed) in [1, 2, 3].into_iter().enumerate() {
            let single = solve(settings(optimizer.clone(), 6), &[seed], 1.0);
            assert_eq!(
                bits(&batch.unit.get(index).unwrap()),
                bits(&single.unit),
                "{optimizer:?}, problem {index}"
            );
        }
    }
}

#[test]
fn the_best_cost_never_rises_when_elites_are_kept() {
    let cem = CemSettings { keep_elites: 2, ..CemSettings::default() };
    let solution = solve(settings(OptimizerSettings::Cem(cem), 15), &[4, 5], 1.5);
    for pair in solution.iterations.windows(2) {
        for (before, after) in pair[0].best_cost.iter().zip(&pair[1].best_cost) {
            assert!(after <= before, "{after} after {before}");
        }
    }
}

#[test]
fn more_iterations_never_return_a_worse_plan() {
    for optimizer in all() {
        if matches!(optimizer, OptimizerSettings::CemGradient { .. }) {
            continue; // its first half grows with the iterations
        }
        let few = solve(settings(optimizer.clone(), 3), &[9], 1.0).cost[0];
        let many = solve(settings(optimizer.clone(), 9), &[9], 1.0).cost[0];
        assert!(many <= few, "{optimizer:?}: {many} after {few}");
    }
}

fn arm(settings: LimitSettings) -> Limits {
    let rig = Embodiment {
        robot: None,
        rate: Rate::from_hz(10.0).unwrap(),
        cameras: vec![],
        proprioception: vec![],
        actions: ["dx", "dy", "gripper"]
            .map(|name| Channel { bounds: Some([-0.5, 1.0]), ..Channel::named(name) })
            .to_vec(),
    };
    Limits::new(&rig, settings, &candle_core::Device::Cpu).unwrap()
}

#[test]
fn no_candidate_and_no_plan_breaks_the_limits() {
    let (rate, norm) = (0.3, 0.8);
    for optimizer in all() {
        let relaxed = matches!(
            optimizer,
            OptimizerSettings::Gradient(_) | OptimizerSettings::CemGradient { .. }
        );
        let limits = arm(LimitSettings { rate: Some(rate), norm: Some(norm) });
        let search = SearchSettings { blocks: 5, block_steps: 2, iterations: 4, optimizer };
        let problems =
            Problems { seeds: vec![Seed::root(2), Seed::root(3)], ..Problems::default() };
        let check = |unit: &Tensor, gripper_at_end: bool| -> Result<()> {
            for plan in unit.to_vec3::<f32>()? {
                for (block, action) in plan.iter().enumerate() {
                    assert!(action.iter().all(|value| value.abs() <= 1.0 + 1e-6));
                    assert!(action[0].hypot(action[1]) <= norm + 1e-5 || block > 0);
                    assert!(!gripper_at_end || action[2].abs() == 1.0);
                    if block > 0 {
                        for (now, before) in action[..2].iter().zip(&plan[block - 1]) {
                            assert!((now - before).abs() <= rate + 1e-5);
                        }
                    }
                }
            }
            Ok(())
        };
        let solution = Search::new(search, limits.clone())
            .unwrap()
            .solve(&problems, None, &mut |actions| {
                let (problems, candidates, steps, dimensions) = actions.dims4()?;
                assert_eq!((problems, steps, dimensions), (2, 10, 3));
                let every_other = Tensor::new(&[0u32, 2, 4, 6, 8], actions.device())?;
                let blocks = actions.index_select(&every_other, 2)?;
                let unit = limits.unit_from_actions(&blocks)?.flatten(0, 1)?;
                check(&unit, !relaxed)?;
                Ok(actions
                    .affine(1.0, -9.0)?
                    .sqr()?
                    .sum((2, 3))?
                    .reshape((problems, candidates))?)
            })
            .unwrap();
        check(&solution.unit, true).unwrap();
        assert_eq!(solution.unit.dims(), [2, 5, 3]);
    }
}

#[test]
fn costs_of_the_wrong_shape_and_costs_that_are_no_number_are_refused() {
    let search = |objective: fn(&Tensor) -> Result<Tensor>| {
        let settings = settings(OptimizerSettings::Mppi(MppiSettings::default()), 2);
        let problems = Problems { seeds: vec![Seed::root(0)], ..Problems::default() };
        Search::new(settings, limits(1)).unwrap().solve(&problems, None, &mut |a| objective(a))
    };
    assert!(matches!(
        search(|actions| Ok(actions.sum(2)?)),
        Err(PlanError::Shape { what: "the objective's costs", .. })
    ));
    assert!(matches!(
        search(|actions| Ok(actions.sum((2, 3))?.affine(0.0, f64::NAN)?)),
        Err(PlanError::NoFiniteCost { problem: 0, iteration: 0 })
    ));
}

#[test]
fn a_plan_that_starts_from_the_last_one_is_no_worse() {
    let settings = settings(OptimizerSettings::Cem(CemSettings::default()), 4);
    let cold = solve(settings.clone(), &[6], 1.0);
    let mass = crate::linear_quadratic::MassOnALine::new(1.0);
    let problems = Problems {
        seeds: vec![Seed::root(7)],
        start: Some(cold.unit.clone()),
        ..Problems::default()
    };
    let warm = Search::new(settings, limits(1))
        .unwrap()
        .solve(&problems, None, &mut |actions| mass.cost(actions))
        .unwrap();
    assert!(warm.cost[0] <= cold.cost[0]);
}

#[test]
fn a_proposal_is_weighed_as_any_candidate() {
    let cem = OptimizerSettings::Cem(CemSettings::default());
    let good = solve(settings(cem, 30), &[6], 1.0);
    let mass = crate::linear_quadratic::MassOnALine::new(1.0);
    // A poor proposal beside the good one does not matter.
    let proposals = Tensor::stack(&[&good.unit.zeros_like().unwrap(), &good.unit], 1).unwrap();
    for optimizer in all() {
        let problems = Problems {
            seeds: vec![Seed::root(7)],
            proposals: Some(proposals.clone()),
            ..Problems::default()
        };
        let solve = |problems: &Problems| {
            let search = Search::new(settings(optimizer.clone(), 2), limits(1)).unwrap();
            search.solve(problems, None, &mut |actions| mass.cost(actions))
        };
        let solution = solve(&problems).unwrap();
        assert!(solution.cost[0] <= good.cost[0], "{optimizer:?}");
        let wrong = Problems { proposals: Some(proposals.narrow(2, 0, 2).unwrap()), ..problems };
        assert!(matches!(solve(&wrong), Err(PlanError::Shape { what: "the proposals", .. })));
    }
}
