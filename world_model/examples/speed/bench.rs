//! A model with inputs for every stage.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::seed::Seed;
use rehearse_world_model::config::ModelConfig;
use rehearse_world_model::expert::{ChunkContext, ContextInput, Expert};
use rehearse_world_model::flow;
use rehearse_world_model::instruction::Reader;
use rehearse_world_model::judge::JudgeInput;
use rehearse_world_model::model::{WorldModel, expert_shape};
use rehearse_world_model::nn::Variables;
use rehearse_world_model::partition::{BASE_CHUNK, MAX_BASE_CHUNKS};
use rehearse_world_model::rollout::Dream;
use rehearse_world_model::routing::Routing;
use rehearse_world_model::state_model::{StateMemory, StateModel};
use rehearse_world_model::train::Optimizer;

use crate::Outcome;
use crate::cost::Cost;
use crate::sizes::Sizes;
use crate::stage::Stage;

const INSTRUCTION: &str = "open the drawer";
/// Chunks of 8 frames in a training step: 192 frames, as `base.batch` of the shipped recipes.
const TRAINED: usize = 24;
/// Episodes and steps of each in a training step of the state model.
const EPISODES: [usize; 2] = [64, 110];
/// Products in a run of [`Stage::Product`].
const PRODUCTS: usize = 20;

/// A model with inputs for every stage.
pub struct Bench {
    model: WorldModel,
    sizes: Sizes,
    first: Tensor,
    state: Tensor,
    actions: Tensor,
    pending: Tensor,
    patches: Vec<f32>,
    latents: Tensor,
    /// The first frame, its proprioception and the instruction for each of `latents`.
    judged: [Tensor; 3],
    dreams: Vec<Dream>,
    memory: StateMemory,
    expert: Arc<Expert>,
    chunk: Chunk,
    context: ChunkContext,
    training: Training,
    state_training: StateTraining,
    product: [Tensor; 2],
}

/// What an expert draws chunks from.
struct Chunk {
    input: ContextInput,
    conditions: Tensor,
    foreseen: Option<Tensor>,
    noise: Tensor,
    level: Tensor,
}

struct Training {
    expert: Expert,
    chunk: Chunk,
    target: Tensor,
    optimizer: Optimizer,
}

/// Whole episodes, open loop.
struct StateTraining {
    model: StateModel,
    first: Tensor,
    state: Tensor,
    actions: Tensor,
    target: Tensor,
    optimizer: Optimizer,
}

impl Bench {
    /// For `batch` trials with chunks of `frames`.
    pub fn new(
        config: &ModelConfig,
        rig: &Embodiment,
        variables: &Variables,
        batch: usize,
        frames: usize,
    ) -> Outcome<Self> {
        let mut config = config.clone();
        // Noise is drawn and weighed as ever, but with zero, so that outputs can be compared.
        (config.flow.temperature, config.flow.context_noise) = (0.0, 0.0);
        let model = WorldModel::new(&config, rig, &variables.builder(&Device::Cpu, &[]))?;
        let sizes = Sizes::new(&model, batch, frames)?;
        let Sizes { patches, coefficients, states, actions, .. } = sizes;
        let first = draw("first", &[batch, patches, coefficients])?;
        let state = draw("state", &[batch, states])?;
        let words = vec![INSTRUCTION; batch];
        let dreams = (0..batch)
            .map(|row| {
                let seed = Seed::root(row as u64);
                let state = state.get(row)?.to_vec1::<f32>()?;
                let first = first.narrow(0, row, 1)?;
                Ok(Dream::from_latents(&model, &first, &state, INSTRUCTION, seed)?)
            })
            .collect::<Outcome<_>>()?;
        let expert = model.experts.get(frames / BASE_CHUNK - 1)?;
        let chunk = Chunk::draw(sizes, "chunk")?;
        let all = batch * frames;
        Ok(Self {
            memory: model.state.begin(&state, &first, &words)?,
            actions: draw("actions", &[batch, frames, actions])?,
            pending: draw("pending", &[batch, MAX_BASE_CHUNKS, sizes.pending])?,
            patches: vec![0.5; all * patches * sizes.values],
            latents: draw("latents", &[all, patches, coefficients])?,
            judged: [
                draw("judged first", &[all, patches, coefficients])?,
                draw("judged state", &[all, states])?,
                draw("judged words", &[all, sizes.instruction])?,
            ],
            context: chunk.context(&expert)?,
            training: Training::new(&config, rig, variables, sizes)?,
            state_training: StateTraining::new(&model, variables, sizes)?,
            product: [
                draw("left", &[sizes.tokens(), sizes.width])?,
                draw("right", &[sizes.width, sizes.hidden])?,
            ],
            model,
            sizes,
            first,
            state,
            dreams,
            expert,
            chunk,
        })
    }

    /// Frames in all trials' chunks.
    pub fn frames(&self) -> f64 {
        (self.sizes.batch * self.sizes.frames) as f64
    }

    /// What a stage must do at least.
    pub fn cost(&self, stage: Stage) -> Cost {
        match stage {
            Stage::Product => self.sizes.cost(stage) * PRODUCTS,
            Stage::Training => Sizes { batch: TRAINED, ..self.sizes }.cost(stage),
            Stage::StateTraining => {
                let [batch, frames] = EPISODES;
                Sizes { batch, frames, ..self.sizes }.cost(stage)
            }
            _ => self.sizes.cost(stage),
        }
    }

    /// Writes `inputs.safetensors`, and what a rollout makes of them as `outputs.safetensors`.
    pub fn write(&self, folder: &Path) -> Outcome<()> {
        let save = |tensors: &[(&str, &Tensor)], name: &str| {
            let tensors = tensors.iter().map(|&(name, tensor)| (name, tensor.clone()));
            candle_core::safetensors::save(&tensors.collect::<HashMap<_, _>>(), folder.join(name))
        };
        let Self { first, state, actions, training, .. } = self;
        let mut inputs = vec![("first", first), ("state", state), ("actions", actions)];
        inputs.extend(training.tensors());
        save(&inputs, "inputs.safetensors")?;
        let (latents, success) = self.rollout()?;
        save(&[("latents", &latents), ("success", &success)], "outputs.safetensors")?;
        Ok(())
    }

    /// Runs a stage once.
    pub fn run(&mut self, stage: Stage) -> Outcome<()> {
        let (model, sizes) = (&self.model, self.sizes);
        match stage {
            Stage::Tokenize => {
                let frames = sizes.batch * sizes.frames;
                black_box(model.tokenizer.encode(self.patches.clone(), frames, &Device::Cpu)?);
            }
            Stage::State => {
                black_box(model.state.roll(&self.memory, &self.actions)?);
            }
            Stage::Context => {
                black_box(self.chunk.context(&self.expert)?);
            }
            Stage::FlowStep => {
                let Chunk { noise, level, .. } = &self.chunk;
                black_box(self.expert.velocity(noise, level, &self.context)?);
            }
            Stage::Decode => {
                black_box(model.tokenizer.decode(&self.latents)?);
            }
            Stage::Judge => {
                let [first, state, instruction] = &self.judged;
                let (frame, first_state) = (&self.latents, state);
                let input = JudgeInput { frame, first, state, first_state, instruction };
                black_box(model.judge.probability(&input, None)?);
            }
            Stage::Router => {
                let words = &self.chunk.input.instruction;
                black_box(model.router.forward(&self.first, words, &self.pending)?);
            }
            Stage::Rollout => {
                black_box(model.tokenizer.decode(&self.rollout()?.0)?);
            }
            Stage::Training => self.training.step()?,
            Stage::StateTraining => self.state_training.step()?,
            Stage::Product => {
                let [left, right] = &self.product;
                for _ in 0..PRODUCTS {
                    black_box(left.matmul(right)?);
                }
            }
        }
        Ok(())
    }

    /// Latents and probability of success of every frame of a chunk for every trial.
    fn rollout(&self) -> Outcome<(Tensor, Tensor)> {
        let mut dreams = self.dreams.clone();
        let actions = self.actions.flatten_from(1)?.to_vec2::<f32>()?;
        let trials = dreams.iter_mut().zip(&actions).map(|(dream, all)| (dream, all.as_slice()));
        let expert = self.sizes.frames / BASE_CHUNK - 1;
        let made = self.model.imagine(trials.collect(), Routing::Fixed { expert })?;
        let latents = made.iter().map(|trial| &trial.latents).collect::<Vec<_>>();
        let success = made.iter().flat_map(|trial| trial.success.iter().copied());
        let success = Tensor::from_iter(success, &Device::Cpu)?;
        Ok((Tensor::cat(&latents, 0)?, success))
    }
}

impl Chunk {
    fn draw(sizes: Sizes, name: &str) -> Outcome<Self> {
        let Sizes { batch, patches, coefficients, token, known, conditions, .. } = sizes;
        let groups = sizes.groups();
        let of = |part: &str, shape: &[usize]| draw(&format!("{name} {part}"), shape);
        let foreseen = (sizes.foreseen > 0)
            .then(|| of("foreseen", &[batch, groups, patches, sizes.pack * sizes.foreseen]))
            .transpose()?;
        Ok(Self {
            input: ContextInput {
                first: of("first", &[batch, patches, coefficients])?,
                recent: of("recent", &[batch, known - 1, patches, token])?,
                last: of("last", &[batch, patches, coefficients])?,
                conditions: of("known", &[batch, known, conditions])?,
                instruction: of("words", &[batch, sizes.words, sizes.instruction])?,
            },
            conditions: of("conditions", &[batch, groups, conditions])?,
            foreseen,
            noise: of("noise", &[batch, groups, patches, token])?,
            level: of("level", &[batch])?,
        })
    }

    fn context(&self, expert: &Expert) -> Outcome<ChunkContext> {
        Ok(expert.context(&self.input, &self.conditions, self.foreseen.as_ref())?)
    }
}

impl Training {
    fn new(
        config: &ModelConfig,
        rig: &Embodiment,
        variables: &Variables,
        sizes: Sizes,
    ) -> Outcome<Self> {
        let (variables, vb) = trainable(variables, "experts.0.")?;
        let sizes = Sizes { batch: TRAINED, frames: BASE_CHUNK, ..sizes };
        let chunk = Chunk::draw(sizes, "train")?;
        Ok(Self {
            expert: Expert::new(expert_shape(config, rig)?, &vb.pp("experts").pp(0))?,
            target: draw("train target", chunk.noise.dims())?,
            optimizer: optimizer(&variables, "experts.0.", true)?,
            chunk,
        })
    }

    /// Forward, backward and the optimiser.
    fn step(&mut self) -> Outcome<()> {
        let Chunk { noise, level, .. } = &self.chunk;
        let guess = self.expert.velocity(noise, level, &self.chunk.context(&self.expert)?)?;
        let loss = (guess - &self.target)?.sqr()?.mean_all()?;
        black_box(self.optimizer.step(&loss.backward()?)?);
        Ok(())
    }

    fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        let Chunk { input, conditions, foreseen, noise, level } = &self.chunk;
        let mut tensors = vec![
            ("train.first", &input.first),
            ("train.recent", &input.recent),
            ("train.last", &input.last),
            ("train.known", &input.conditions),
            ("train.words", &input.instruction),
            ("train.conditions", conditions),
            ("train.noise", noise),
            ("train.level", level),
            ("train.target", &self.target),
        ];
        tensors.extend(foreseen.as_ref().map(|foreseen| ("train.foreseen", foreseen)));
        tensors
    }
}

impl StateTraining {
    fn new(model: &WorldModel, variables: &Variables, sizes: Sizes) -> Outcome<Self> {
        let Sizes { patches, coefficients, states, actions, .. } = sizes;
        let [episodes, steps] = EPISODES;
        let (variables, vb) = trainable(variables, "state.")?;
        let (config, statistics) = (&model.config, &model.statistics);
        let words = &config.instruction;
        let reader = Reader::new(words, &vb)?;
        Ok(Self {
            model: StateModel::new(&config.state, (words, &reader), statistics, &vb.pp("state"))?,
            first: draw("episodes first", &[episodes, patches, coefficients])?,
            state: draw("episodes state", &[episodes, states])?,
            actions: draw("episodes actions", &[episodes, steps, actions])?,
            target: draw("episodes target", &[episodes, steps, states])?,
            optimizer: optimizer(&variables, "state.", false)?,
        })
    }

    /// Forward, backward and the optimiser.
    fn step(&mut self) -> Outcome<()> {
        let words = vec![INSTRUCTION; EPISODES[0]];
        let memory = self.model.begin(&self.state, &self.first, &words)?;
        let rolled = self.model.roll(&memory, &self.actions)?;
        let mut loss = (rolled.states - &self.target)?.sqr()?.mean_all()?;
        if let Some(foreseen) = rolled.foreseen {
            loss = (loss + foreseen.change.sqr()?.mean_all()?)?;
            loss = (loss + foreseen.success.sqr()?.mean_all()?)?;
        }
        black_box(self.optimizer.step(&loss.backward()?)?);
        Ok(())
    }
}

/// Copies of the variables, those below `prefix` to be trained: what is rolled out keeps its
/// weights.
fn trainable(variables: &Variables, prefix: &str) -> Outcome<(Variables, VarBuilder<'static>)> {
    let variables = Variables::from_tensors(Seed::root(0), &variables.tensors())?;
    let vb = variables.builder(&Device::Cpu, &[prefix]);
    Ok((variables, vb))
}

fn optimizer(variables: &Variables, prefix: &str, muon: bool) -> Outcome<Optimizer> {
    let stage = format!("steps = 1000000\nbatch = 1\nrate = 1e-5\nmuon = {muon}");
    Ok(Optimizer::new(variables.below(prefix), &toml::from_str(&stage)?)?)
}

/// Draws of the size that normalised values have.
fn draw(name: &str, shape: &[usize]) -> Outcome<Tensor> {
    let draws = flow::normal(&[Seed::root(0).child(name)], shape, &Device::Cpu)?;
    Ok((draws.squeeze(0)? * 0.3)?)
}
