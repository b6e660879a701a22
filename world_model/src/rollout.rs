//! Imagination: chunks in turn, batched over trials.
//!
//! Per round, every trial that still has pending actions gets one chunk; trials whose chunks have
//! the same length are imagined together. Every draw is addressed by its trial's seed and step,
//! and no operation mixes rows, so a batch equals its singles bit for bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use rehearse_scenarios::interface::Segment;
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::seed::Seed;

use crate::conditions::conditions;
use crate::error::{ModelError, Result};
use crate::expert::ContextInput;
use crate::flow;
use crate::instruction::InstructionEncoder;
use crate::judge::JudgeInput;
use crate::known::Known;
use crate::model::WorldModel;
use crate::nn::ops::repeat_rows;
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS};
use crate::router::Router;
use crate::routing::{PendingFeatures, Routing};
use crate::state_model::StateMemory;

/// One imagined trial: what the model remembers of it. Every tensor has one row.
#[derive(Clone, Debug)]
pub struct Dream {
    pub(crate) seed: Seed,
    step: u64,
    pub(crate) known: Known,
    pub(crate) memory: StateMemory,
    gripper: Option<u64>,
}

/// What a chunk is imagined by, batch first.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// Normalised, `(batch, frames, channels)`.
    pub actions: &'a Tensor,
    /// Predicted proprioception, `(batch, frames, channels)`.
    pub states: &'a Tensor,
    /// Leading coefficients foreseen, `(batch, frames, patches, coefficients)`.
    pub picture: Option<&'a Tensor>,
}

/// What was imagined for one trial.
#[derive(Clone, Debug)]
pub struct Imagined {
    /// Latents of each frame, `(frames, patches, coefficients)`.
    pub latents: Tensor,
    /// Proprioception at each frame, `(frames, channels)`, in the rig's units.
    pub states: Tensor,
    /// Probability per frame that the task is done.
    pub success: Vec<f32>,
    /// The chunks that it was imagined in.
    pub segments: Vec<Segment>,
}

impl Dream {
    /// Starts a trial from its first observation.
    ///
    /// # Errors
    /// [`ModelError::Size`] for images or proprioception of another size,
    /// [`ModelError::NotFinite`] for proprioception that is not finite.
    pub fn begin(
        model: &WorldModel,
        observation: &Observation,
        instruction: &str,
        seed: Seed,
    ) -> Result<Self> {
        let first = model.latents_of(observation)?;
        Self::from_latents(model, &first, &observation.proprioception, instruction, seed)
    }

    /// As [`begin`](Self::begin), from the latents of the first frame,
    /// `(1, patches, coefficients)`.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn from_latents(
        model: &WorldModel,
        first: &Tensor,
        proprioception: &[f32],
        instruction: &str,
        seed: Seed,
    ) -> Result<Self> {
        let state = model.state_of(proprioception)?;
        let words = model.instruction.encode(instruction, model.device())?.unsqueeze(0)?;
        let known = Known::new(model, first, &state, words)?;
        let memory = model.state.begin(&state, first, &[instruction])?;
        Ok(Self { seed, step: 0, known, memory, gripper: None })
    }

    /// Puts what was really seen now in the place of what was imagined.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn observe(&mut self, model: &WorldModel, observation: &Observation) -> Result<()> {
        let seen = model.latents_of(observation)?;
        let state = model.state_of(&observation.proprioception)?;
        self.known.correct(&seen.unsqueeze(1)?, &state.unsqueeze(1)?)?;
        self.memory.correct(&state)
    }

    /// Latents of the present frame, `(1, patches, coefficients)`.
    ///
    /// # Errors
    /// A tensor error.
    pub fn now(&self) -> Result<Tensor> {
        self.known.last()
    }

    /// What the recurrent state model remembers.
    pub fn memory(&self) -> &StateMemory {
        &self.memory
    }

    /// Steps imagined so far.
    pub fn step(&self) -> u64 {
        self.step
    }
}

/// The state of a round: a trial's pending actions and what was imagined for it so far.
struct Pending<'a> {
    dream: &'a mut Dream,
    /// `steps × channels`.
    actions: &'a [f32],
    done: usize,
    latents: Vec<Tensor>,
    states: Vec<Tensor>,
    /// Log odds of success that were foreseen, of models that foresee.
    foreseen: Vec<Tensor>,
    segments: Vec<Segment>,
}

impl WorldModel {
    /// Imagines each trial's pending actions, and moves the trials on.
    ///
    /// `pending` holds for each trial its actions, `steps × action channels`, in the rig's units.
    ///
    /// # Errors
    /// [`ModelError::Size`] for actions of another size; [`ModelError::Tensor`]. The dreams are
    /// then part way and must be dropped.
    pub fn imagine(
        &self,
        trials: Vec<(&mut Dream, &[f32])>,
        routing: Routing,
    ) -> Result<Vec<Imagined>> {
        let channels = self.embodiment.actions.len();
        let mut pending = Vec::with_capacity(trials.len());
        for (dream, actions) in trials {
            if actions.is_empty() || actions.len() % channels != 0 {
                return Err(ModelError::size(
                    "pending actions",
                    format!("a multiple of {channels} values"),
                    actions.len(),
                ));
            }
            pending.push(Pending {
                dream,
                actions,
                done: 0,
                latents: Vec::new(),
                states: Vec::new(),
                foreseen: Vec::new(),
                segments: Vec::new(),
            });
        }
        loop {
            let mut active = pending
                .iter_mut()
                .filter(|trial| trial.done * channels < trial.actions.len())
                .collect::<Vec<_>>();
            if active.is_empty() {
                break;
            }
            self.round(&mut active, routing)?;
        }
        self.finish(pending)
    }

    /// One chunk for every active trial.
    fn round(&self, active: &mut [&mut Pending<'_>], routing: Routing) -> Result<()> {
        let channels = self.embodiment.actions.len();
        let left = active
            .iter()
            .map(|trial| trial.actions.len() / channels - trial.done)
            .collect::<Vec<_>>();
        let longest = left.iter().copied().max().unwrap_or(0);
        let horizon = longest.min(MAX_BASE_CHUNKS * BASE_CHUNK).next_multiple_of(BASE_CHUNK);
        // Actions up to the horizon; a shorter trial's last action is repeated, which only the
        // frames that are cut away see with full weight.
        let mut actions = Vec::with_capacity(active.len() * horizon * channels);
        for (trial, &left) in active.iter().zip(&left) {
            let from = &trial.actions[trial.done * channels..];
            for step in 0..horizon {
                let step = step.min(left - 1);
                actions.extend_from_slice(&from[step * channels..(step + 1) * channels]);
            }
        }
        let raw = actions;
        let actions = Tensor::from_slice(&raw, (active.len(), horizon, channels), self.device())?;
        let memory =
            StateMemory::cat(&active.iter().map(|trial| &trial.dream.memory).collect::<Vec<_>>())?;
        let rolled = self.state.roll(&memory, &actions)?;
        let picture = match &rolled.foreseen {
            Some(foreseen) => {
                Some(foreseen.picture(&cat(active, |trial| Ok(trial.dream.known.first.clone()))?)?)
            }
            None => None,
        };
        let allowed = left
            .iter()
            .map(|&left| (left / BASE_CHUNK).clamp(1, MAX_BASE_CHUNKS))
            .collect::<Vec<_>>();
        let choices = self.route(active, routing, &allowed, &left, &raw, &rolled.states)?;
        let normal = self.statistics.normal_action(&actions)?;
        let mut by_expert = BTreeMap::<usize, Vec<usize>>::new();
        for (row, &choice) in choices.iter().enumerate() {
            by_expert.entry(choice).or_default().push(row);
        }
        for (expert, rows) in by_expert {
            let frames = (expert + 1) * BASE_CHUNK;
            let pick = |tensor: &Tensor| {
                let parts = rows
                    .iter()
                    .map(|&row| tensor.narrow(0, row, 1)?.narrow(1, 0, frames))
                    .collect::<candle_core::Result<Vec<_>>>()?;
                Tensor::cat(&parts, 0)
            };
            let (normal, states) = (pick(&normal)?, pick(&rolled.states)?);
            let picture = picture.as_ref().map(pick).transpose()?;
            let success = rolled.foreseen.as_ref().map(|f| pick(&f.success)).transpose()?;
            let dreams = rows.iter().map(|&row| &*active[row].dream).collect::<Vec<_>>();
            let seeds = |name: &str| {
                dreams.iter().map(|dream| dream.seed.child(name).index(dream.step)).collect()
            };
            let noise = self.chunk_noise(seeds, frames)?;
            let known = Known::cat(&dreams.iter().map(|dream| &dream.known).collect::<Vec<_>>())?;
            let plan = Plan { actions: &normal, states: &states, picture: picture.as_ref() };
            let latents = self.chunk(expert, &known, noise, plan)?;
            for (index, &row) in rows.iter().enumerate() {
                let used = frames.min(left[row]);
                let part = |tensor: &Tensor| tensor.narrow(0, index, 1)?.narrow(1, 0, used);
                let gripper =
                    self.gripper_state(&raw[(row * horizon + used - 1) * channels..][..channels])?;
                let memory = rolled.memory(used)?.row(row)?;
                active[row].foreseen.extend(success.as_ref().map(part).transpose()?);
                active[row].advance(
                    &part(&latents)?,
                    &part(&states)?,
                    &part(&normal)?,
                    memory,
                    gripper,
                    expert,
                )?;
            }
        }
        Ok(())
    }

    fn route(
        &self,
        active: &[&mut Pending<'_>],
        routing: Routing,
        allowed: &[usize],
        left: &[usize],
        actions: &[f32],
        states: &Tensor,
    ) -> Result<Vec<usize>> {
        if let Routing::Fixed { expert } = routing {
            return Ok(allowed.iter().map(|&allowed| expert.min(allowed - 1)).collect());
        }
        if allowed.iter().all(|&allowed| allowed == 1) {
            return Ok(vec![0; allowed.len()]);
        }
        let features = active
            .iter()
            .enumerate()
            .map(|(row, trial)| {
                let horizon = states.dim(1)?;
                let count = horizon * self.embodiment.actions.len();
                let predicted = states.get(row)?.to_vec2::<f32>()?;
                let now = trial.dream.memory.state().get(0)?.to_vec1::<f32>()?;
                PendingFeatures::new(
                    self,
                    &now,
                    trial.dream.gripper,
                    &actions[row * count..(row + 1) * count],
                    &predicted,
                    left[row].min(horizon),
                )
            })
            .collect::<Result<Vec<_>>>()?;
        match routing {
            Routing::Learned => {
                let pending = PendingFeatures::stack(&features, self.device())?;
                let last = cat(active, |trial| trial.dream.known.last())?;
                let instruction = cat(active, |trial| Ok(trial.dream.known.instruction.clone()))?;
                let scores = self.router.forward(&last, &instruction, &pending)?;
                Router::choose(&scores, allowed)
            }
            Routing::ActionGuided => Ok(features
                .iter()
                .zip(allowed)
                .map(|(features, &allowed)| features.guided.min(allowed - 1))
                .collect()),
            Routing::Fixed { expert } => {
                Ok(allowed.iter().map(|&allowed| expert.min(allowed - 1)).collect())
            }
        }
    }

    /// Imagines one chunk by one expert.
    ///
    /// # Shapes
    /// - `noise`: of the context, `(batch, 1 + context, patches, coefficients)`, and of the flow,
    ///   `(batch, groups, patches, pack × coefficients)`
    /// - returns: latents, `(batch, frames, patches, coefficients)`
    pub(crate) fn chunk(
        &self,
        expert: usize,
        known: &Known,
        [context_noise, flow_noise]: [Tensor; 2],
        Plan { actions, states, picture }: Plan<'_>,
    ) -> Result<Tensor> {
        let Known { recent, recent_states, recent_actions, first, first_state, instruction } =
            known;
        let pack = self.tokenizer.pack_frames();
        let context = self.config.expert.context;
        let level = self.config.flow.context_noise;
        let last = known.last()?;
        let noisy = flow::noised(recent, &context_noise.narrow(1, 0, context)?, level)?;
        let noisy_first =
            flow::noised(first, &context_noise.narrow(1, context, 1)?.squeeze(1)?, level)?;
        let input = ContextInput {
            first: noisy_first,
            last: noisy.narrow(1, context - 1, 1)?.squeeze(1)?.contiguous()?,
            recent: self.tokenizer.pack(&noisy)?,
            conditions: self.context_conditions(recent_actions, recent_states, first_state)?,
            instruction: instruction.clone(),
        };
        let anchor = recent_states.narrow(1, context - 1, 1)?.squeeze(1)?.contiguous()?;
        let conditions = conditions(&self.statistics, pack, actions, states, &anchor)?;
        let expert: Arc<_> = self.experts.get(expert)?;
        let foreseen = picture.map(|p| self.foreseen_tokens(p, &last)).transpose()?;
        let prepared = expert.context(&input, &conditions, foreseen.as_ref())?;
        let start = (flow_noise * self.config.flow.temperature)?;
        let count = recent.dim(0)?;
        let end = flow::integrate(start, &flow::schedule(&self.config.flow), |x, k| {
            let k = Tensor::full(k as f32, count, self.device())?;
            expert.velocity(x, &k, &prepared)
        })?;
        self.latents_from_flow(&end, &last)
    }

    /// Noise of the context and of the flow for a chunk of `frames`, one row a seed.
    pub(crate) fn chunk_noise(
        &self,
        seeds: impl Fn(&str) -> Vec<Seed>,
        frames: usize,
    ) -> Result<[Tensor; 2]> {
        let (patches, coefficients) = (self.tokenizer.patches(), self.tokenizer.coefficients());
        let pack = self.tokenizer.pack_frames();
        let context = [self.config.expert.context + 1, patches, coefficients];
        let flow = [frames / pack, patches, pack * coefficients];
        Ok([
            flow::normal(&seeds("context"), &context, self.device())?,
            flow::normal(&seeds("flow"), &flow, self.device())?,
        ])
    }

    /// Conditions of the first frame and of the context groups,
    /// `(batch, 1 + context groups, conditions)`.
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn context_conditions(
        &self,
        recent_actions: &Tensor,
        recent_states: &Tensor,
        first_state: &Tensor,
    ) -> Result<Tensor> {
        let (batch, context, channels) = recent_states.dims3()?;
        let pack = self.tokenizer.pack_frames();
        let anchor = recent_states.narrow(1, context - 1, 1)?.squeeze(1)?.contiguous()?;
        let first_states =
            first_state.unsqueeze(1)?.broadcast_as((batch, pack, channels))?.contiguous()?;
        let none = Tensor::zeros(
            (batch, pack, self.embodiment.actions.len()),
            DType::F32,
            recent_states.device(),
        )?;
        let of = |actions: &Tensor, states: &Tensor| {
            conditions(&self.statistics, pack, actions, states, &anchor)
        };
        let first = of(&none, &first_states)?;
        Ok(Tensor::cat(&[&first, &of(recent_actions, recent_states)?], 1)?)
    }

    /// Judges what was imagined, all trials at once.
    fn finish(&self, pending: Vec<Pending<'_>>) -> Result<Vec<Imagined>> {
        if pending.is_empty() {
            return Ok(Vec::new());
        }
        let mut judged = Vec::with_capacity(pending.len());
        for trial in &pending {
            let known = &trial.dream.known;
            let pooled = InstructionEncoder::pool(&known.instruction)?;
            let frames = trial.done;
            judged.push([
                Tensor::cat(&trial.latents, 1)?.squeeze(0)?,
                repeat_rows(&known.first, frames)?,
                Tensor::cat(&trial.states, 1)?.squeeze(0)?,
                repeat_rows(&known.first_state, frames)?,
                repeat_rows(&pooled, frames)?,
            ]);
        }
        let all = |part: usize| {
            Tensor::cat(&judged.iter().map(|parts| &parts[part]).collect::<Vec<_>>(), 0)
        };
        let input = JudgeInput {
            frame: &all(0)?,
            first: &all(1)?,
            state: &all(2)?,
            first_state: &all(3)?,
            instruction: &all(4)?,
        };
        let foreseen = pending.iter().flat_map(|trial| &trial.foreseen).collect::<Vec<_>>();
        let foreseen = match &foreseen[..] {
            [] => None,
            parts => Some(Tensor::cat(parts, 1)?.squeeze(0)?),
        };
        let success = self.judge.probability(&input, foreseen.as_ref())?.to_vec1::<f32>()?;
        let mut success = success.into_iter();
        Ok(pending
            .into_iter()
            .zip(judged)
            .map(|(trial, [latents, _, states, ..])| {
                let success = success.by_ref().take(trial.done).collect();
                Imagined { latents, states, success, segments: trial.segments }
            })
            .collect())
    }
}

impl Pending<'_> {
    /// Takes in what was imagined; every tensor is `(1, used, …)`.
    fn advance(
        &mut self,
        latents: &Tensor,
        states: &Tensor,
        actions: &Tensor,
        memory: StateMemory,
        gripper: u64,
        expert: usize,
    ) -> Result<()> {
        let used = latents.dim(1)?;
        let dream = &mut *self.dream;
        dream.known.advance(latents, states, actions)?;
        dream.memory = memory;
        dream.gripper = Some(gripper);
        dream.step += used as u64;
        self.done += used;
        self.latents.push(latents.clone());
        self.states.push(states.clone());
        self.segments.push(Segment { steps: used as u32, expert: Some(expert as u32) });
        Ok(())
    }
}

fn cat(
    active: &[&mut Pending<'_>],
    field: impl Fn(&Pending<'_>) -> Result<Tensor>,
) -> Result<Tensor> {
    let parts = active.iter().map(|trial| field(trial)).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&parts, 0)?)
}
