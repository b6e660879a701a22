//! Receding-horizon control: a policy that imagines where candidate plans lead and returns the
//! beginning of the best.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};
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

use crate::config::PlannerConfig;
use crate::error::{PlanError, Result};
use crate::limits::Limits;
use crate::objective::{Cost, Goal};
use crate::optimizer::{Iteration, Problems, Search, Times};
use crate::proposals::Proposals;
use crate::standpoint::Standpoint;
use crate::steering::Steering;

/// Most trials that plan in one search: their candidates share the model's batches.
const MAX_BATCH: usize = 64;

/// A policy that plans anew at every observation.
///
/// It follows along: what it has seen and done so far is the context of what it imagines, and the
/// rest of the last plan is where the next search starts.
#[derive(Debug)]
pub struct PlannerPolicy {
    info: PolicyInfo,
    model: Arc<WorldModel>,
    controls: Controls,
    config: PlannerConfig,
    goals: BTreeMap<String, Goal>,
    trials: OpenTrials<Thought>,
}

/// Where a search begins.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// Steps of the trial that are done.
    pub step: u64,
    /// The plan to start from, `(1, blocks, dimensions)` in the unit box; to stay, if there is
    /// none.
    pub plan: Option<Tensor>,
}

/// What is searched over, and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Controls {
    /// The search, over commands.
    pub search: Search,
    /// Limits of the actions.
    pub limits: Limits,
    /// How commands become actions.
    pub steering: Steering,
    /// What is weighed beside the search's own candidates.
    pub proposals: Proposals,
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
    from: Standpoint,
    /// Steps of the trial done then.
    step: u64,
    plan: Plan,
}

/// A plan and how it was found.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its commands in the unit box, `(1, blocks, dimensions)`.
    pub unit: Tensor,
    /// Its actions, `steps × channels`, in the rig's units.
    pub actions: Vec<f32>,
    /// Its cost.
    pub cost: f32,
    /// What happened, iteration by iteration.
    pub iterations: Vec<Iteration>,
    /// How long it took, iteration by iteration.
    pub times: Vec<Times>,
}

impl PlannerPolicy {
    pub(crate) fn new(
        name: &str,
        rig: Embodiment,
        digest: String,
        model: Arc<WorldModel>,
        controls: Controls,
        config: PlannerConfig,
        goals: BTreeMap<String, Goal>,
    ) -> Self {
        let info = PolicyInfo {
            name: name.to_owned(),
            embodiment: rig,
            chunk: config.executed(),
            max_batch: MAX_BATCH,
            digest: Some(digest),
        };
        Self { info, model, controls, config, goals, trials: OpenTrials::default() }
    }

    /// The model that it thinks with: not the instance that any world imagines with.
    pub fn model(&self) -> &WorldModel {
        &self.model
    }

    /// How it was configured.
    pub fn config(&self) -> &PlannerConfig {
        &self.config
    }

    /// States what an instruction is to reach, in the place of what the configuration states.
    pub fn set_goal(&mut self, instruction: &str, goal: Goal) {
        self.goals.insert(instruction.to_owned(), goal);
    }

    /// Where a trial stands at its first observation.
    ///
    /// # Errors
    /// [`PlanError::Model`] for an observation that does not fit the model's rig.
    pub fn begin_at(
        &self,
        observation: &Observation,
        instruction: &str,
        seed: Seed,
    ) -> Result<Standpoint> {
        Standpoint::begin(self.config.imagine, &self.model, observation, instruction, seed)
    }

    /// The best plan found from where a trial stands.
    ///
    /// # Errors
    /// [`PlanError::NoGoal`], [`PlanError::NoFiniteCost`], [`PlanError::Model`].
    pub fn plan(
        &self,
        from: &Standpoint,
        instruction: &str,
        begin: Beginning,
        seed: Seed,
    ) -> Result<Plan> {
        let none = Goal::default();
        let cost = self.cost(instruction, &none);
        let Controls { search, steering, proposals, .. } = &self.controls;
        let shape = [search.settings().blocks, search.settings().block_steps];
        let problems = Problems {
            seeds: vec![seed.child("search")],
            start: Some(begin.plan.map_or_else(|| self.stay(from), Ok)?),
            proposals: proposals.at(instruction, begin.step, shape, search.limits())?,
        };
        let noise = seed.child("noise");
        let steer = |commands: &Tensor| from.steer(&self.model, steering, commands);
        let mut objective = |commands: &Tensor| {
            let actions = steer(&commands.squeeze(0)?)?;
            Ok(cost.of(from, &actions, noise)?.unsqueeze(0)?)
        };
        let solution = search.solve(&problems, self.config.budget(), &mut objective)?;
        let steps = search.settings().block_steps;
        let (_, blocks, dimensions) = solution.unit.dims3()?;
        let held = solution
            .unit
            .unsqueeze(2)?
            .broadcast_as((1, blocks, steps, dimensions))?
            .reshape((1, blocks * steps, dimensions))?;
        let commands = search.limits().actions_from_unit(&held)?;
        let actions = steer(&commands)?.flatten_all()?.to_vec1()?;
        let cost = solution.cost.first().copied().unwrap_or(f32::NAN);
        let (iterations, times) = (solution.iterations, solution.times);
        Ok(Plan { unit: solution.unit, actions, cost, iterations, times })
    }

    /// The plan that a search starts from where there is none: each waypoint is where the hand
    /// is, every other channel in the middle of its range.
    fn stay(&self, from: &Standpoint) -> Result<Tensor> {
        let limits = self.controls.search.limits();
        let state = from.memory().state().squeeze(0)?.to_vec1::<f32>()?;
        let middle = Tensor::zeros((1, limits.dimensions()), DType::F32, limits.device())?;
        let mut commands = limits.actions_from_unit(&middle)?.squeeze(0)?.to_vec1::<f32>()?;
        for &(action, moved) in self.controls.steering.waypoints() {
            commands[action] = state[moved];
        }
        let commands = Tensor::from_vec(commands, (1, 1, limits.dimensions()), limits.device())?;
        let blocks = self.controls.search.settings().blocks;
        let unit = limits.unit_from_actions(&commands)?.clamp(-1f32, 1f32)?;
        Ok(unit.broadcast_as((1, blocks, limits.dimensions()))?.contiguous()?)
    }

    /// What each term of the objective adds to the cost of a plan, in their order.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub fn explain(
        &self,
        from: &Standpoint,
        instruction: &str,
        plan: &Plan,
        seed: Seed,
    ) -> Result<Vec<f32>> {
        let none = Goal::default();
        let channels = self.info.embodiment.actions.len();
        let shape = (1, plan.actions.len() / channels, channels);
        let actions = Tensor::from_slice(&plan.actions, shape, self.model.device())?;
        let terms = self.cost(instruction, &none).terms_of(from, &actions, seed.child("noise"))?;
        terms.iter().map(|term| Ok(term.squeeze(0)?.to_scalar()?)).collect()
    }

    fn cost<'a>(&'a self, instruction: &str, none: &'a Goal) -> Cost<'a> {
        Cost {
            model: &self.model,
            limits: &self.controls.limits,
            terms: &self.config.objective,
            goal: self.goals.get(instruction).unwrap_or(none),
        }
    }

    /// The next plan of a trial, and where it was made.
    fn think(&self, thought: &Thought, observation: &Observation) -> Result<Last> {
        let hz = self.info.embodiment.rate.as_hz();
        let step = (observation.time.as_secs_f64() * hz).round().max(0.0) as u64;
        let seed = thought.seed.index(step);
        let (from, start) = match &thought.last {
            None => (self.begin_at(observation, &thought.instruction, thought.seed)?, None),
            Some(last) => {
                let channels = self.info.embodiment.actions.len();
                let planned = last.plan.actions.len() / channels;
                let done = (step.saturating_sub(last.step) as usize).min(planned);
                let mut from = last.from.clone();
                from.follow(&self.model, &last.plan.actions[..done * channels], observation)?;
                (from, Some(self.shifted(&last.plan.unit, done)?))
            }
        };
        let begin = Beginning { step, plan: start };
        let plan = self.plan(&from, &thought.instruction, begin, seed)?;
        Ok(Last { from, step, plan })
    }

    /// A plan after some of its steps, with its last block repeated.
    fn shifted(&self, unit: &Tensor, steps: usize) -> Result<Tensor> {
        let blocks = unit.dim(1)?;
        let gone = (steps / self.controls.search.settings().block_steps).min(blocks - 1);
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
        imagining("full", optimizer, objective)
    }

    fn imagining(imagine: &str, optimizer: &str, objective: &str) -> PlannerPolicy {
        let config: PlannerConfig = toml::from_str(&format!(
            "checkpoint = \"model.safetensors\"\nimagine = \"{imagine}\"\nexecute = 3\n\
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
        let steering = Steering::new(&rig, &config.waypoint, &Device::Cpu).unwrap();
        let commanded = Steering::commanded(&rig, &config.waypoint);
        let commands = Limits::new(&commanded, config.limits.clone(), &Device::Cpu).unwrap();
        let search = Search::new(config.search.clone(), commands).unwrap();
        let proposals = Proposals::default();
        let controls = Controls { search, limits, steering, proposals };
        let goals = BTreeMap::new();
        let digest = "digest".to_owned();
        PlannerPolicy::new("planner", rig, digest, model, controls, config, goals)
    }

    const CEM: &str = "kind = \"cem\", candidates = 6, elites = 2";
    const FORESEEABLE: &str = "[[objective]]\nkind = \"success\"\nweight = 1.0\n\
        [[objective]]\nkind = \"smoothness\"\nweight = 0.1\n\
        [[objective]]\nkind = \"keep_out\"\nweight = 1.0\nlow = [-0.5]\nhigh = [0.5]\n";
    const WAYPOINT: &str =
        "[[waypoint]]\naction = \"dx\"\nstate = \"x\"\nrange = [0.0, 0.5]\ngain = 4.0\n";
    const UNCERTAINTY: &str = "[[objective]]\nkind = \"uncertainty\"\nweight = 0.1\n";

    #[test]
    fn a_planner_keeps_the_contract_of_a_policy() {
        let observations = sample_starts(3)
            .into_iter()
            .map(|start| start.observation.unwrap())
            .collect::<Vec<_>>();
        let objective = [FORESEEABLE, UNCERTAINTY].concat();
        check_policy(|| planner(CEM, &objective), &observations);
        check_policy(|| imagining("foreseen", CEM, FORESEEABLE), &observations);
        let placed = [FORESEEABLE, WAYPOINT].concat();
        check_policy(|| imagining("full", CEM, &placed), &observations);
        check_policy(|| imagining("foreseen", CEM, &placed), &observations);
    }

    #[test]
    fn every_search_does_no_worse_than_the_plan_that_it_starts_from() {
        let start = sample_starts(1).remove(0);
        let seen = start.observation.unwrap();
        for optimizer in
            [CEM, "kind = \"mppi\", candidates = 6", "kind = \"gradient\", restarts = 2"]
        {
            let policy = planner(optimizer, &[FORESEEABLE, UNCERTAINTY].concat());
            let from = policy.begin_at(&seen, &start.instruction, start.seed).unwrap();
            let seed = Seed::root(5);
            let plan = policy.plan(&from, &start.instruction, Beginning::default(), seed).unwrap();
            assert_eq!(plan.actions.len(), 16);
            assert!(plan.actions.iter().all(|action| (-1.0..=1.0).contains(action)));
            // A search that is warm started from what it found cannot fall behind it.
            let begin = Beginning { step: 0, plan: Some(plan.unit.clone()) };
            let again = policy.plan(&from, &start.instruction, begin, seed).unwrap();
            let gradient = matches!(
                policy.controls.search.settings().optimizer,
                OptimizerSettings::Gradient(_)
            );
            // A gradient search relaxes the gripper, so its costs are those of other plans.
            assert!(gradient || again.cost <= plan.cost, "{optimizer}");
        }
    }

    #[test]
    fn a_plan_over_places_starts_where_the_hand_is_and_moves_as_the_memory_predicts() {
        let start = sample_starts(1).remove(0);
        let mut seen = start.observation.unwrap();
        seen.proprioception = vec![0.25];
        let policy = imagining("foreseen", CEM, &[FORESEEABLE, WAYPOINT].concat());
        let words = &start.instruction;
        let from = policy.begin_at(&seen, words, start.seed).unwrap();
        // Half of the way from 0 to 0.5 is the middle of the unit box.
        let stay = policy.stay(&from).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(stay, [0.0; 8]);
        let plan = policy.plan(&from, words, Beginning::default(), Seed::root(5)).unwrap();
        let actions = Tensor::from_slice(&plan.actions, (1, 8, 2), &Device::Cpu).unwrap();
        let states = from.futures(&policy.model, &actions, Seed::root(5)).unwrap().states;
        let states = states.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let unit = plan.unit.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for step in 1..8 {
            let place = 0.25 + 0.25 * unit[2 * (step / 2)];
            let expected = (4.0 * (place - states[step - 1])).clamp(-1.0, 1.0);
            assert!((plan.actions[2 * step] - expected).abs() < 1e-4, "step {step}");
        }
    }

    #[test]
    fn the_terms_of_a_plan_add_up_to_its_cost() {
        let start = sample_starts(1).remove(0);
        let seen = start.observation.unwrap();
        for imagine in ["full", "foreseen"] {
            let policy = imagining(imagine, CEM, FORESEEABLE);
            let (seed, words) = (Seed::root(5), &start.instruction);
            let from = policy.begin_at(&seen, words, start.seed).unwrap();
            let plan = policy.plan(&from, words, Beginning::default(), seed).unwrap();
            let terms = policy.explain(&from, words, &plan, seed).unwrap();
            assert_eq!(terms.len(), 3);
            let sum = terms.iter().sum::<f32>();
            assert!((sum - plan.cost).abs() < 1e-4, "{imagine}: {terms:?} for {}", plan.cost);
            assert_eq!(plan.times.len(), plan.iterations.len());
        }
    }

    #[test]
    fn a_goal_that_is_at_hand_costs_least_by_either_imagination() {
        let start = sample_starts(1).remove(0);
        let seen = start.observation.unwrap();
        let objective = "[[objective]]\nkind = \"goal_image\"\nweight = 1.0\n";
        for imagine in ["full", "foreseen"] {
            let mut policy = imagining(imagine, CEM, objective);
            let words = &start.instruction;
            let from = policy.begin_at(&seen, words, start.seed).unwrap();
            let courses = Tensor::new(&[[[0.5_f32, -1.0]; 8], [[-0.5, 1.0]; 8]], &Device::Cpu);
            let courses = courses.unwrap();
            // The goal is what the first course leads to, under the noise that it is weighed with.
            let futures = from.futures(&policy.model, &courses, start.seed.index(0)).unwrap();
            let end = futures.latents.get(0).unwrap().get(7).unwrap();
            let rest = policy.model.tokenizer.coefficients() - end.dim(1).unwrap();
            let end = end.pad_with_zeros(1, 0, rest).unwrap();
            policy.set_goal(words, Goal { latents: Some(end), state: None });
            let none = Goal::default();
            let costs = policy.cost(words, &none).of(&from, &courses, start.seed).unwrap();
            let costs = costs.to_vec1::<f32>().unwrap();
            assert!(costs[0] < 1e-3 && costs[1] > 0.01, "{imagine}: {costs:?}");
        }
    }

    #[test]
    fn the_rest_of_a_plan_is_where_the_next_search_starts() {
        let policy = planner(CEM, FORESEEABLE);
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
