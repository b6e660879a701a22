//! One plan from one start: how it was found, and what it is predicted to lead to.

use candle_core::Tensor;
use rehearse_planner::Result;
use rehearse_planner::optimizer::SearchSettings;
use rehearse_planner::policy::{Beginning, PlannerPolicy};
use rehearse_planner::standpoint::Imagine;
use rehearse_scenarios::interface::Policy as _;
use rehearse_scenarios::observation::{Image, Observation};
use rehearse_scenarios::seed::Seed;
use rehearse_world_model::filmstrip::{Picture, picture_of};
use rehearse_world_model::model::WorldModel;
use rehearse_world_model::rollout::Dream;
use serde::Serialize;

/// A plan with its diagnostics and its prediction.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// Digest of the checkpoint that it was thought out with.
    pub checkpoint: Option<String>,
    /// What candidates were imagined with.
    pub imagine: Imagine,
    /// What is to be done.
    pub instruction: String,
    /// How it was searched for.
    pub search: SearchSettings,
    /// Seed of every draw.
    pub seed: u64,
    /// Its cost.
    pub cost: f32,
    /// What each term of the objective adds to the cost.
    pub terms: Vec<TermCost>,
    /// How the search went.
    pub iterations: Vec<Searched>,
    /// Wall time of the search.
    pub secs: f64,
    /// Names of the action channels.
    pub channels: Vec<String>,
    /// An action per control step, in the rig's units.
    pub actions: Vec<Vec<f32>>,
    /// What it leads to.
    pub predicted: Prediction,
}

/// A term of the objective.
#[derive(Clone, Debug, Serialize)]
pub struct TermCost {
    /// Its kind, as in the configuration.
    pub kind: &'static str,
    /// What it adds, its weight included.
    pub cost: f32,
}

/// One iteration of the search.
#[derive(Clone, Debug, Serialize)]
pub struct Searched {
    /// Lowest cost among the candidates.
    pub best_cost: f32,
    /// Mean cost of the candidates that the search learnt from.
    pub elite_cost: f32,
    /// Mean spread of the distribution, in the unit box.
    pub spread: f32,
    /// Distance that the mean moved, in the unit box.
    pub mean_shift: f32,
    /// Wall time of drawing candidates.
    pub propose_secs: f64,
    /// Wall time of imagining and weighing them.
    pub imagine_secs: f64,
    /// Wall time of learning from their costs.
    pub learn_secs: f64,
}

/// What a plan leads to, by the whole model: the memory, the pixel experts and the judge.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// Proprioception after each action, in the rig's units.
    pub states: Vec<Vec<f32>>,
    /// Probability after each action that the task is done, by the judge.
    pub success: Vec<f32>,
    /// The same by what the plan was imagined with.
    pub planned_success: Vec<f32>,
    /// Latents of each frame, `(steps, patches, coefficients)`.
    #[serde(skip)]
    latents: Tensor,
}

impl Planned {
    /// Plans from an observation.
    ///
    /// # Errors
    /// As [`PlannerPolicy::plan`].
    pub fn find(policy: &PlannerPolicy, seen: &Observation, instruction: &str) -> Result<Self> {
        let config = policy.config();
        let seed = Seed::root(config.seed);
        let from = policy.begin_at(seen, instruction, seed)?;
        let began = std::time::Instant::now();
        let plan = policy.plan(&from, instruction, Beginning::default(), seed)?;
        let secs = began.elapsed().as_secs_f64();
        let costs = policy.explain(&from, instruction, &plan, seed)?;
        let rig = &policy.info().embodiment;
        let channels = rig.actions.len();

        let model = policy.model();
        let shape = (1, plan.actions.len() / channels, channels);
        let actions = Tensor::from_slice(&plan.actions, shape, model.device())?;
        let dream = Dream::begin(model, seen, instruction, seed)?;
        let whole = model.futures(&dream, &actions, seed)?;
        let planned = from.futures(model, &actions, seed)?;
        let chance = |log_odds: &Tensor| -> Result<Vec<f32>> {
            let odds = log_odds.squeeze(0)?.to_vec1::<f32>()?;
            Ok(odds.into_iter().map(|odds| 1.0 / (1.0 + (-odds).exp())).collect())
        };
        let terms = config.objective.iter().zip(costs);
        let first = |values: &[f32]| values.first().copied().unwrap_or(f32::NAN);
        Ok(Self {
            checkpoint: policy.info().digest.clone(),
            imagine: config.imagine,
            instruction: instruction.to_owned(),
            search: config.search.clone(),
            seed: config.seed,
            cost: plan.cost,
            terms: terms.map(|(term, cost)| TermCost { kind: term.kind(), cost }).collect(),
            iterations: plan
                .iterations
                .iter()
                .zip(&plan.times)
                .map(|(iteration, times)| Searched {
                    best_cost: first(&iteration.best_cost),
                    elite_cost: first(&iteration.elite_cost),
                    spread: first(&iteration.spread),
                    mean_shift: first(&iteration.mean_shift),
                    propose_secs: times.propose.as_secs_f64(),
                    imagine_secs: times.imagine.as_secs_f64(),
                    learn_secs: times.learn.as_secs_f64(),
                })
                .collect(),
            secs,
            channels: rig.actions.iter().map(|channel| channel.name.clone()).collect(),
            actions: plan.actions.chunks_exact(channels).map(<[f32]>::to_vec).collect(),
            predicted: Prediction {
                states: whole.states.squeeze(0)?.to_vec2()?,
                success: chance(&whole.log_odds)?,
                planned_success: chance(&planned.log_odds)?,
                latents: whole.latents.squeeze(0)?,
            },
        })
    }
}

impl Prediction {
    /// The predicted video as a picture, a row per camera.
    ///
    /// # Errors
    /// [`PlanError::Model`](rehearse_planner::PlanError::Model).
    pub fn picture(&self, model: &WorldModel) -> Result<Picture> {
        Ok(picture_of(model, &self.latents)?)
    }

    /// The predicted images after each action, in the order of the rig's cameras.
    ///
    /// # Errors
    /// [`PlanError::Model`](rehearse_planner::PlanError::Model).
    pub fn images(&self, model: &WorldModel) -> Result<Vec<Vec<Image>>> {
        let tokenizer = &model.tokenizer;
        let pixels = tokenizer.decode(&self.latents)?;
        let frames = pixels.chunks_exact(tokenizer.patches() * tokenizer.layout().values());
        frames.map(|frame| Ok(tokenizer.layout().images_of(frame)?)).collect()
    }
}
