//! Batches of chunks for the experts.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rand::Rng;

use crate::conditions::conditions;
use crate::error::Result;
use crate::expert::ContextInput;
use crate::flow;
use crate::model::WorldModel;
use crate::partition::BASE_CHUNK;
use crate::train::config::ChunkMix;
use crate::train::data::{Dataset, episode_chunks, gripper_bits};
use crate::train::episode::LoggedEpisode;
use crate::train::imagined::ImaginedEpisodes;
use crate::train::predicted::Predicted;
use rehearse_scenarios::seed::Seed;

/// Where chunks may be drawn from: a set of episodes with their cuts and events.
pub(crate) struct ChunkSource<'a> {
    model: &'a WorldModel,
    data: &'a Dataset,
    episodes: &'a [LoggedEpisode],
    predicted: &'a Predicted,
    imagined: Option<&'a ImaginedEpisodes<'a>>,
    /// Per number of base chunks less one: episode and anchor frame of each chunk of the partition.
    aligned: [Vec<(usize, usize)>; 4],
    /// Episode and frame of each gripper change and of each first success.
    events: Vec<(usize, usize)>,
    /// Frames up to and including each episode, to draw episodes by length.
    ends: Vec<usize>,
}

/// One chunk to learn, and the frame that it is imagined from.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    episode: usize,
    anchor: usize,
    given: Given,
}

/// What a chunk to learn is told.
#[derive(Clone, Copy, Debug)]
enum Given {
    /// True frames and true proprioception.
    True,
    /// True frames and predicted proprioception.
    Predicted,
    /// Imagined frames and the predicted proprioception that they were imagined by.
    Imagined,
}

/// A batch of chunks of one length.
pub(crate) struct ChunkBatch {
    pub input: ContextInput,
    pub conditions: Tensor,
    /// What the state model foresees, as the experts read it.
    pub foreseen: Option<Tensor>,
    /// What the flow is to reach.
    pub target: Tensor,
}

impl<'a> ChunkSource<'a> {
    pub fn new(
        model: &'a WorldModel,
        data: &'a Dataset,
        episodes: &'a [LoggedEpisode],
        predicted: &'a Predicted,
        imagined: Option<&'a ImaginedEpisodes<'a>>,
    ) -> Result<Self> {
        let middle = model.statistics.action_middle.to_vec1::<f32>()?;
        let grippers = model.embodiment.gripper_actions();
        let controls = model.embodiment.actions.len();
        let mut source = Self {
            model,
            data,
            episodes,
            predicted,
            imagined,
            aligned: Default::default(),
            events: Vec::new(),
            ends: Vec::new(),
        };
        let mut frames = 0;
        for (index, episode) in episodes.iter().enumerate() {
            for chunk in episode_chunks(&model.config, &model.embodiment, &middle, episode)? {
                if chunk.frames % BASE_CHUNK == 0 {
                    source.aligned[chunk.expert()].push((index, chunk.start));
                }
            }
            let bits = episode
                .actions
                .chunks_exact(controls)
                .map(|action| gripper_bits(&grippers, &middle, action))
                .collect::<Vec<_>>();
            source.events.extend(
                (1..episode.frames - 1).filter(|&f| bits[f] != bits[f - 1]).map(|f| (index, f)),
            );
            source.events.extend(
                episode.success.iter().position(|&done| done == Some(true)).map(|f| (index, f)),
            );
            frames += episode.frames;
            source.ends.push(frames);
        }
        Ok(source)
    }

    /// Whether an episode is long enough for a chunk of `frames`.
    pub fn has(&self, frames: usize) -> bool {
        self.episodes.iter().any(|episode| episode.frames > frames)
    }

    /// Draws a batch of chunks of `frames` frames.
    pub fn draw(
        &self,
        count: usize,
        frames: usize,
        mix: &ChunkMix,
        seed: Seed,
    ) -> Result<ChunkBatch> {
        let mut rng = seed.rng();
        let drawn = (0..count).map(|_| self.draw_one(frames, mix, &mut rng)).collect::<Vec<_>>();
        self.batch(&drawn, frames, seed)
    }

    fn draw_one(&self, frames: usize, mix: &ChunkMix, rng: &mut impl Rng) -> Drawn {
        let given = match self.imagined {
            Some(_) if rng.random_bool(mix.forced) => Given::Imagined,
            _ if rng.random_bool(mix.predicted) => Given::Predicted,
            _ => Given::True,
        };
        let fits =
            |&(episode, anchor): &(usize, usize)| anchor + frames < self.episodes[episode].frames;
        let aligned = &self.aligned[frames / BASE_CHUNK - 1];
        let kind = rng.random::<f64>();
        if kind < mix.aligned && !aligned.is_empty() {
            let (episode, anchor) = aligned[rng.random_range(0..aligned.len())];
            return Drawn { episode, anchor, given };
        }
        if kind < mix.aligned + mix.events && !self.events.is_empty() {
            let (episode, frame) = self.events[rng.random_range(0..self.events.len())];
            let back = rng.random_range(0..frames + 4);
            let last = self.episodes[episode].frames.saturating_sub(frames + 1);
            let anchor = frame.saturating_sub(back).min(last);
            if fits(&(episode, anchor)) {
                return Drawn { episode, anchor, given };
            }
        }
        let all = self.ends.last().copied().unwrap_or(1);
        loop {
            let at = rng.random_range(0..all);
            let episode = self.ends.partition_point(|&end| end <= at);
            let room = self.episodes[episode].frames.saturating_sub(frames);
            if room > 0 {
                return Drawn { episode, anchor: rng.random_range(0..room), given };
            }
        }
    }

    fn batch(&self, drawn: &[Drawn], frames: usize, seed: Seed) -> Result<ChunkBatch> {
        let model = self.model;
        let device = model.device();
        let (channels, controls) =
            (model.embodiment.proprioception.len(), model.embodiment.actions.len());
        let context = model.config.expert.context;
        let (mut first, mut recent, mut chunk) = (Vec::new(), Vec::new(), Vec::new());
        let mut picture = Vec::new();
        let (mut recent_actions, mut actions) = (Vec::new(), Vec::new());
        let (mut first_states, mut recent_states, mut states) =
            (Vec::new(), Vec::new(), Vec::new());
        let mut fresh = Vec::new();
        for &Drawn { episode, anchor, given } in drawn {
            let episode = &self.episodes[episode];
            let (seen, guess) = match (given, self.imagined) {
                (Given::Imagined, Some(imagined)) => {
                    (imagined.cache(), imagined.predicted().states(episode.index))
                }
                (Given::Predicted, _) => (&self.data.cache, self.predicted.states(episode.index)),
                (Given::True | Given::Imagined, _) => (&self.data.cache, None),
            };
            self.data.cache.read(episode.index, 0..1, &mut first)?;
            self.data.cache.read(episode.index, anchor + 1..anchor + 1 + frames, &mut chunk)?;
            if let Some(foreseen) = self.predicted.picture() {
                // There is no true one: what is foreseen is all that the state model gives.
                foreseen.read(episode.index, anchor + 1..anchor + 1 + frames, &mut picture)?;
            }
            let source = guess.unwrap_or(&episode.states);
            let state = |frame: usize| &source[frame * channels..(frame + 1) * channels];
            let action = |frame: usize| &episode.actions[frame * controls..(frame + 1) * controls];
            first_states.extend_from_slice(state(0));
            for back in (0..context).rev() {
                // Before the start, the first frame stands still, and no action led to it.
                let frame = anchor.saturating_sub(back);
                seen.read(episode.index, frame..frame + 1, &mut recent)?;
                recent_states.extend_from_slice(state(frame));
                let led = anchor.checked_sub(back + 1);
                match led {
                    Some(before) => recent_actions.extend_from_slice(action(before)),
                    None => recent_actions.extend(std::iter::repeat_n(0.0, controls)),
                }
                fresh.push(if led.is_some() { 1.0_f32 } else { 0.0 });
            }
            for frame in anchor..anchor + frames {
                actions.extend_from_slice(action(frame));
                states.extend_from_slice(state(frame + 1));
            }
        }
        let count = drawn.len();
        let (p, c) = (model.tokenizer.patches(), model.tokenizer.coefficients());
        let tensor = |values: Vec<f32>, shape: &[usize]| Tensor::from_vec(values, shape, device);
        let first = tensor(first, &[count, p, c])?;
        let recent = tensor(recent, &[count, context, p, c])?;
        let chunk = tensor(chunk, &[count, frames, p, c])?;
        let first_states = tensor(first_states, &[count, channels])?;
        let recent_states = tensor(recent_states, &[count, context, channels])?;
        let states = tensor(states, &[count, frames, channels])?;
        let fresh = tensor(fresh, &[count, context, 1])?;
        let recent_actions = model
            .statistics
            .normal_action(&tensor(recent_actions, &[count, context, controls])?)?
            .broadcast_mul(&fresh)?;
        let actions =
            model.statistics.normal_action(&tensor(actions, &[count, frames, controls])?)?;
        let last = recent.narrow(1, context - 1, 1)?.squeeze(1)?.contiguous()?;
        let level = model.config.flow.context_noise;
        let noise = flow::normal(&[seed.child("context")], &[count, context + 1, p, c], device)?
            .squeeze(0)?;
        let noisy = flow::noised(&recent, &noise.narrow(1, 0, context)?, level)?;
        let noisy_first = flow::noised(&first, &noise.narrow(1, context, 1)?.squeeze(1)?, level)?;
        let anchor = recent_states.narrow(1, context - 1, 1)?.squeeze(1)?.contiguous()?;
        let pack = model.tokenizer.pack_frames();
        let kept = model.config.state.forecast;
        let foreseen = if picture.is_empty() {
            None
        } else {
            let picture = tensor(picture, &[count, frames, p, kept])?;
            Some(model.foreseen_tokens(&picture, &last)?)
        };
        Ok(ChunkBatch {
            foreseen,
            target: model.flow_from_latents(&chunk, &last)?,
            conditions: conditions(&model.statistics, pack, &actions, &states, &anchor)?,
            input: ContextInput {
                first: noisy_first,
                last: noisy.narrow(1, context - 1, 1)?.squeeze(1)?.contiguous()?,
                recent: model.tokenizer.pack(&noisy)?,
                conditions: model.context_conditions(
                    &recent_actions,
                    &recent_states,
                    &first_states,
                )?,
                instruction: self.instructions(drawn)?,
            },
        })
    }

    /// Vectors of the instructions, each distinct one encoded once.
    fn instructions(&self, drawn: &[Drawn]) -> Result<Tensor> {
        let mut rows = BTreeMap::new();
        let mut encoded = Vec::new();
        let mut picks = Vec::with_capacity(drawn.len());
        for drawn in drawn {
            let text = self.episodes[drawn.episode].instruction.as_str();
            let next = rows.len() as u32;
            let row = *rows.entry(text).or_insert(next);
            if row == next {
                encoded.push(self.model.instruction.encode(text, self.model.device())?);
            }
            picks.push(row);
        }
        let picks = Tensor::from_vec(picks, drawn.len(), self.model.device())?;
        Ok(Tensor::stack(&encoded, 0)?.index_select(&picks, 0)?)
    }
}
