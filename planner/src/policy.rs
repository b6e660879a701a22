//! Receding-horizon control: a policy that imagines where candidate plans lead and returns the
//! beginning of the best.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{
    Begin, InterfaceError, PerTrial, Policy, PolicyInfo, TrialHandle,
};
use rehearse_scenarios::local::OpenTrials;
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind};
use rehearse_scenarios::seed::Seed;
use rehearse_world_model::model::WorldModel;
use rehearse_world_model::rollout::Dream;
use rehearse_world_model::routing::Routing;

use crate::config::PlannerConfig;
use crate::error::{PlanError, Result};
use crate::objective::{Cost, Goal};
use crate::optimizer::{Iteration, Problems, Search};

/// A policy that plans anew at every observation.
///
/// It dreams along: what it has seen and done so far is the context of what it imagines, and the
/// rest of the last plan is where the next search starts.
#[derive(Debug)]
pub struct PlannerPolicy {
    info: PolicyInfo,
    model: Arc<WorldModel>,
    search: Search,
    config: PlannerConfig,
    goals: BTreeMap<String, Goal>,
    trials: OpenTrials<Thought>,
}

/// What it keeps of a trial.
#[derive(Clone, Debug)]
struct Thought {
    seed: Seed,
    instruction: Arc<str>,
    last: Option<Last>,
}

/// Where the last plan was made, and the plan.
#[derive(Clone, Debug)]
struct Last {
    dream: Dream,
    /// Steps of the trial done then.
    step: u64,
    plan: Plan,
}

/// A plan and how it was found.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The plan in the unit box, `(1, blocks, dimensions)`.
    pub unit: Tensor,
    /// Its actions, `steps × channels`, in the rig's units.
    pub actions: Vec<f32>,
    /// Its cost.
    pub cost: f32,
    /// What happened, iteration by iteration.
    pub iterations: Vec<Iteration>,
}

impl PlannerPolicy {
    pub(crate) fn new(
        name: &str,
        rig: Embodiment,
        digest: String,
        model: Arc<WorldModel>,
        search: Search,
        config: PlannerConfig,
        goals: BTreeMap<String, Goal>,
    ) -> Self {
        let info = PolicyInfo {
            name: name.to_owned(),
            embodiment: rig,
            chunk: config.executed(),
            max_batch: 64,
            digest: Some(digest),
        };
        Self { info, model, search, config, goals, trials: OpenTrials::default() }
    }

    /// The model that it thinks with: not the instance that any world imagines with.
    pub fn model(&self) -> &WorldModel {
        &self.model
    }

    /// The best plan found from where `dream` stands.
    ///
    /// # Errors
    /// [`PlanError::NoGoal`], [`PlanError::NoFiniteCost`], [`PlanError::Model`].
    pub fn plan(
        &self,
        dream: &Dream,
        instruction: &str,
        start: Option<Tensor>,
        seed: Seed,
    ) -> Result<Plan> {
        let none = Goal::default();
        let cost = Cost {
            model: &self.model,
            limits: self.search.limits(),
            terms: &self.config.objective,
            goal: self.goals.get(instruction).unwrap_or(&none),
        };
        let problems = Problems { seeds: vec![seed.child("search")], start };
        let noise = seed.child("noise");
        let mut objective =
            |actions: &Tensor| Ok(cost.of(dream, &actions.squeeze(0)?, noise)?.unsqueeze(0)?);
        let solution = self.search.solve(&problems, self.config.budget(), &mut objective)?;
        let steps = self.search.settings().block_steps;
        let (_, blocks, dimensions) = solution.unit.dims3()?;
        let held = solution
            .unit
            .unsqueeze(2)?
            .broadcast_as((1, blocks, steps, dimensions))?
            .reshape((blocks * steps, dimensions))?;
        let actions = self.search.limits().actions_from_unit(&held)?.flatten_all()?.to_vec1()?;
        let cost = solution.cost.first().copied().unwrap_or(f32::NAN);
        Ok(Plan { unit: solution.unit, actions, cost, iterations: solution.iterations })
    }

    /// The next plan of a trial, and where it was made.
    fn think(&self, thought: &Thought, observation: &Observation) -> Result<Last> {
        let hz = self.info.embodiment.rate.as_hz();
        let step = (observation.time.as_secs_f64() * hz).round().max(0.0) as u64;
        let seed = thought.seed.index(step);
        let (dream, start) = match &thought.last {
            None => {
                let words = &thought.instruction;
                (Dream::begin(&self.model, observation, words, thought.seed)?, None)
            }
            Some(last) => {
                let channels = self.info.embodiment.actions.len();
                let planned = last.plan.actions.len() / channels;
                let done = (step.saturating_sub(last.step) as usize).min(planned);
                let mut dream = last.dream.clone();
                if done > 0 {
                    let executed = &last.plan.actions[..done * channels];
                    self.model.imagine(vec![(&mut dream, executed)], Routing::Learned)?;
                }
                dream.observe(&self.model, observation)?;
                (dream, Some(self.shifted(&last.plan.unit, done)?))
            }
        };
        let plan = self.plan(&dream, &thought.instruction, start, seed)?;
        Ok(Last { dream, step, plan })
    }

    /// A plan after some of its steps, with its last block repeated.
    fn shifted(&self, unit: &Tensor, steps: usize) -> Result<Tensor> {
        let blocks = unit.dim(1)?;
        let gone = (steps / self.search.settings().block_steps).min(blocks - 1);
        let mut parts = vec![unit.narrow(1, gone, blocks - gone)?];
        let last = unit.narrow(1, blocks - 1, 1)?;
        parts.extend((0..gone).map(|_| last.clone()));
        Ok(Tensor::cat(&parts, 1)?)
    }

    fn chunk(&self, last: &Last) -> PerTrial<ActionChunk> {
        let channels = self.info.embodiment.actions.len();
        let actions = last.plan.actions[..self.info.chunk * channels].to_vec();
        ActionChunk::from_values(channels, actions)
            .map_err(|error| Fault::new(FaultKind::MalformedAction, error.to_string()))
    }
}

impl Policy for PlannerPolicy {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn begin(
        &mut self,
        trials: &[Begin],
    ) -> std::result::Result<Vec<PerTrial<()>>, InterfaceError> {
        self.trials.check_new(trials.iter().map(|begin| begin.trial))?;
        let own = Seed::root(self.config.seed);
        for begin in trials {
            let seed = own.child("trial").index(begin.seed.to_u64());
            let instruction = Arc::clone(&begin.instruction);
            self.trials.open(begin.trial, Thought { seed, instruction, last: None });
        }
        Ok(vec![Ok(()); trials.len()])
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> std::result::Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        self.trials.check_open(requests.iter().map(|(trial, _)| *trial))?;
        let mut answers = Vec::with_capacity(requests.len());
        for (trial, observation) in requests {
            let thought = self.trials.get_mut(*trial)?.clone();
            answers.push(match self.think(&thought, observation) {
                Ok(last) => {
                    let chunk = self.chunk(&last);
                    self.trials.get_mut(*trial)?.last = Some(last);
                    chunk
                }
                Err(error) => Err(fault(&error)),
            });
        }
        Ok(answers)
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        for &trial in trials {
            self.trials.close(trial);
        }
    }
}

fn fault(error: &PlanError) -> Fault {
    Fault::new(FaultKind::PolicyCrashed, format!("no plan: {error}"))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use rehearse_scenarios::testing::{check_policy, sample_rig, sample_starts};
    use rehearse_world_model::config::ModelConfig;
    use rehearse_world_model::flow::normal;
    use rehearse_world_model::nn::Variables;

    use super::*;
    use crate::limits::Limits;
    use crate::optimizer::OptimizerSettings;

    /// A small model of the sample rig, all of whose weights are drawn.
    fn model() -> Arc<WorldModel> {
        let config: ModelConfig = toml::from_str(
            "[tokens]\nheight = 4\nwidth = 8\npatch = 4\ncoefficients = 6\n\
             [expert]\nwidth = 32\nlayers = 1\nheads = 4\ncondition = 16\n\
             [instruction]\nwidth = 8\nwords = 3\nbuckets = 32\n\
             [state]\nwidth = 16\nscene = 8\nforecast = 3\n[router]\nwidth = 16\nheads = 2\n[judge]\nwidth = 16",
        )
        .unwrap();
        let variables = Variables::new(Seed::root(1));
        let vb = variables.builder(&Device::Cpu, &[]);
        WorldModel::new(&config, &sample_rig(), &vb).unwrap();
        for (name, var) in variables.below("") {
            let still = name.starts_with("statistics.") || name.ends_with("scale");
            let sum = var.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            if sum == 0.0 && !still {
                fill(&var, &name);
            }
        }
        Arc::new(WorldModel::new(&config, &sample_rig(), &vb).unwrap())
    }

    fn fill(var: &Var, name: &str) {
        let draws = normal(&[Seed::root(2).child(name)], var.dims(), &Device::Cpu).unwrap();
        var.set(&(draws.squeeze(0).unwrap() * 0.2).unwrap()).unwrap();
    }

    fn planner(optimizer: &str, objective: &str) -> PlannerPolicy {
        let config: PlannerConfig = toml::from_str(&format!(
            "checkpoint = \"model.safetensors\"\nexecute = 3\n\
             bounds = [[-1.0, 1.0], [-1.0, 1.0]]\n\
             [search]\nblocks = 4\nblock_steps = 2\niterations = 2\noptimizer = {{ {optimizer} }}\n\
             {objective}"
        ))
        .unwrap();
        let model = model();
        let mut rig = model.embodiment.clone();
        for channel in &mut rig.actions {
            channel.bounds = Some([-1.0, 1.0]);
        }
        let limits = Limits::new(&rig, config.limits.clone(), &Device::Cpu).unwrap();
        let search = Search::new(config.search.clone(), limits).unwrap();
        let goals = BTreeMap::new();
        PlannerPolicy::new("planner", rig, "digest".to_owned(), model, search, config, goals)
    }

    const CEM: &str = "kind = \"cem\", candidates = 6, elites = 2";
    const SUCCESS: &str = "[[objective]]\nkind = \"success\"\nweight = 1.0\n\
        [[objective]]\nkind = \"smoothness\"\nweight = 0.1\n\
        [[objective]]\nkind = \"uncertainty\"\nweight = 0.1\n\
        [[objective]]\nkind = \"keep_out\"\nweight = 1.0\nlow = [-0.5]\nhigh = [0.5]\n";

    #[test]
    fn a_planner_keeps_the_contract_of_a_policy() {
        let observations = sample_starts(3)
            .into_iter()
            .map(|start| start.observation.unwrap())
            .collect::<Vec<_>>();
        check_policy(|| planner(CEM, SUCCESS), &observations);
    }

    #[test]
    fn every_search_does_no_worse_than_the_plan_that_it_starts_from() {
        let start = sample_starts(1).remove(0);
        let seen = start.observation.unwrap();
        for optimizer in
            [CEM, "kind = \"mppi\", candidates = 6", "kind = \"gradient\", restarts = 2"]
        {
            let policy = planner(optimizer, SUCCESS);
            let dream = Dream::begin(&policy.model, &seen, &start.instruction, start.seed).unwrap();
            let seed = Seed::root(5);
            let plan = policy.plan(&dream, &start.instruction, None, seed).unwrap();
            assert_eq!(plan.actions.len(), 16);
            assert!(plan.actions.iter().all(|action| (-1.0..=1.0).contains(action)));
            // A search that is warm started from what it found cannot fall behind it.
            let again =
                policy.plan(&dream, &start.instruction, Some(plan.unit.clone()), seed).unwrap();
            let gradient =
                matches!(policy.search.settings().optimizer, OptimizerSettings::Gradient(_));
            // A gradient search relaxes the gripper, so its costs are those of other plans.
            assert!(gradient || again.cost <= plan.cost, "{optimizer}");
        }
    }

    #[test]
    fn the_rest_of_a_plan_is_where_the_next_search_starts() {
        let policy = planner(CEM, SUCCESS);
        let unit =
            Tensor::new(&[[[1.0_f32, 1.5], [2.0, 2.5], [3.0, 3.5], [4.0, 4.5]]], &Device::Cpu);
        let unit = unit.unwrap();
        let after = |steps: usize| {
            let shifted = policy.shifted(&unit, steps).unwrap();
            shifted.narrow(2, 0, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        // Blocks of two steps; a block that is half done is not done.
        assert_eq!(after(0), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(after(3), [2.0, 3.0, 4.0, 4.0]);
        assert_eq!(after(100), [4.0, 4.0, 4.0, 4.0]);
    }

    #[test]
    fn a_goal_that_is_not_stated_is_a_fault_of_the_trial() {
        let mut policy = planner(CEM, "[[objective]]\nkind = \"goal_image\"\nweight = 1.0\n");
        let start = sample_starts(1).remove(0);
        let begin = Begin { trial: start.trial, instruction: start.instruction, seed: start.seed };
        policy.begin(&[begin]).unwrap()[0].clone().unwrap();
        let answer = policy.act(&[(start.trial, start.observation.unwrap())]).unwrap().remove(0);
        let fault = answer.unwrap_err();
        assert_eq!(fault.kind, FaultKind::PolicyCrashed);
        assert!(fault.message.contains("the goal's picture"), "{}", fault.message);
    }
}
