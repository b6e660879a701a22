//! A logged episode, and its replay in imagination.

use candle_core::Tensor;
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::seed::Seed;

use crate::error::{ModelError, Result};
use crate::instruction::InstructionEncoder;
use crate::judge::JudgeInput;
use crate::model::WorldModel;
use crate::nn::ops::repeat_rows;
use crate::rollout::Dream;
use crate::router::Router;
use crate::routing::{PendingFeatures, Routing};
use crate::train::LoggedEpisode;
use crate::train::{decisions, episode_patches};

/// One episode as it was: pictures at the model's resolution, and latents.
pub(crate) struct Truth {
    pub episode: LoggedEpisode,
    /// Per frame, `patches × values`, in 8 bits.
    pub patches: Vec<Vec<u8>>,
    /// `(frames, patches, coefficients)`.
    pub latents: Tensor,
    channels: usize,
}

/// What was imagined of one episode, frame by frame after the first.
pub(crate) struct Replay {
    /// `(frames, patches, coefficients)`.
    pub latents: Tensor,
    /// `frames × channels`.
    pub states: Vec<f32>,
    /// Probability of success per frame.
    pub success: Vec<f32>,
}

impl Truth {
    /// Reads the episodes of a split, the first `most` of them.
    pub fn read_split(
        model: &WorldModel,
        log: &RobotLog,
        split: &str,
        most: Option<usize>,
    ) -> Result<Vec<Self>> {
        let mut truths = Vec::new();
        let indices = LoggedEpisode::of_split(log, split)?;
        for index in indices.into_iter().take(most.unwrap_or(usize::MAX)) {
            let episode = LoggedEpisode::read(log, index)?;
            if episode.frames < 2 {
                continue;
            }
            let mut pixels = Vec::new();
            let mut patches = Vec::with_capacity(episode.frames);
            let layout = model.tokenizer.layout();
            episode_patches(log, layout, index, |_, frame| {
                patches.push(frame.iter().map(|v| (v * 255.0).round() as u8).collect());
                pixels.extend(frame);
                Ok(())
            })?;
            truths.push(Self {
                latents: model.tokenizer.encode(pixels, episode.frames, model.device())?,
                patches,
                channels: model.embodiment.proprioception.len(),
                episode,
            });
        }
        if truths.is_empty() {
            return Err(ModelError::EmptySplit { what: "episodes", split: split.to_owned() });
        }
        Ok(truths)
    }

    /// A frame at the model's resolution, `patches × values` in [0, 1].
    pub fn picture(&self, frame: usize) -> Vec<f32> {
        self.patches[frame].iter().map(|&value| f32::from(value) / 255.0).collect()
    }

    /// Proprioception at a frame.
    pub fn state(&self, frame: usize) -> &[f32] {
        &self.episode.states[frame * self.channels..(frame + 1) * self.channels]
    }

    /// The router's choice for each chunk of the partition: label and choice.
    pub fn routed(&self, model: &WorldModel) -> Result<Vec<(usize, usize)>> {
        let device = model.device();
        let start = Tensor::from_slice(self.state(0), (1, self.channels), device)?;
        let first = self.latents.narrow(0, 0, 1)?;
        let text = self.episode.instruction.as_str();
        let memory = model.state.begin(&start, &first, &[text])?;
        let controls = model.embodiment.actions.len();
        let steps = self.episode.frames - 1;
        let actions = Tensor::from_slice(
            &self.episode.actions[..steps * controls],
            (1, steps, controls),
            device,
        )?;
        let predicted = model.state.roll(&memory, &actions)?;
        let mut states = self.state(0).to_vec();
        states.extend(predicted.states.flatten_all()?.to_vec1::<f32>()?);
        let made = decisions(model, &self.episode, &states, &[])?;
        let rows = made
            .iter()
            .map(|decision| self.latents.narrow(0, decision.anchor, 1))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let words = model.instruction.encode(text, device)?.unsqueeze(0)?;
        let features = made.iter().map(|d| d.features.clone()).collect::<Vec<_>>();
        let scores = model.router.forward(
            &Tensor::cat(&rows, 0)?,
            &repeat_rows(&words, made.len())?,
            &PendingFeatures::stack(&features, device)?,
        )?;
        let allowed = made.iter().map(|d| d.allowed).collect::<Vec<_>>();
        let choices = Router::choose(&scores, &allowed)?;
        Ok(made.iter().map(|d| d.label as usize).zip(choices).collect())
    }

    /// The judge's probability for each real frame.
    pub fn judged(&self, model: &WorldModel) -> Result<Vec<f32>> {
        let frames = self.episode.frames;
        let device = model.device();
        let words = model.instruction.encode(&self.episode.instruction, device)?.unsqueeze(0)?;
        let state = Tensor::from_slice(&self.episode.states, (frames, self.channels), device)?;
        let input = JudgeInput {
            frame: &self.latents,
            first: &repeat_rows(&self.latents.narrow(0, 0, 1)?, frames)?,
            first_state: &repeat_rows(&state.narrow(0, 0, 1)?, frames)?,
            state: &state,
            instruction: &repeat_rows(&InstructionEncoder::pool(&words)?, frames)?,
        };
        let probability = model.judge.probability(&input, None)?;
        Ok(probability.to_vec1()?)
    }
}

impl Replay {
    /// Replays the actions of some episodes open loop from their first frames, at once.
    pub fn run(
        model: &WorldModel,
        truths: &[Truth],
        routing: Routing,
        seed: Seed,
    ) -> Result<Vec<Self>> {
        let controls = model.embodiment.actions.len();
        let mut dreams = truths
            .iter()
            .map(|truth| {
                let first = truth.latents.narrow(0, 0, 1)?.contiguous()?;
                let seed = seed.index(truth.episode.index as u64);
                Dream::from_latents(model, &first, truth.state(0), &truth.episode.instruction, seed)
            })
            .collect::<Result<Vec<_>>>()?;
        let batch = dreams
            .iter_mut()
            .zip(truths)
            .map(|(dream, truth)| {
                let steps = truth.episode.frames - 1;
                (dream, &truth.episode.actions[..steps * controls])
            })
            .collect();
        model
            .imagine(batch, routing)?
            .into_iter()
            .map(|imagined| {
                Ok(Self {
                    states: imagined.states.flatten_all()?.to_vec1()?,
                    latents: imagined.latents,
                    success: imagined.success,
                })
            })
            .collect()
    }
}
