//! The router's stage.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rand::Rng as _;
use rehearse_scenarios::seed::Seed;

use crate::error::Result;
use crate::flow;
use crate::model::WorldModel;
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS, Motion, amplitudes, partition_by};
use crate::router::{Router, routing_loss};
use crate::routing::PendingFeatures;
use crate::statistics::motion_channels;
use crate::train::data::{Dataset, episode_chunks, gripper_bits};
use crate::train::episode::LoggedEpisode;
use crate::train::predicted::Predicted;
use crate::train::stage::Objective;

/// Noise on the latents that the router sees, so that it does not learn scenes by heart.
const ROUTER_NOISE: f64 = 0.3;
/// Anchors per episode beside the partition's own.
const ANCHOR_STRIDE: usize = 3;

/// One decision of the router.
pub(crate) struct Decision {
    pub episode: usize,
    /// The frame that the chunk is imagined from.
    pub anchor: usize,
    pub features: PendingFeatures,
    /// The right expert.
    pub label: u32,
    /// Experts that the pending actions allow.
    pub allowed: usize,
}

pub(crate) struct RouterObjective<'a> {
    model: &'a WorldModel,
    data: &'a Dataset,
    batch: usize,
    train: Vec<Decision>,
    validation: Vec<Decision>,
}

impl<'a> RouterObjective<'a> {
    pub fn new(
        model: &'a WorldModel,
        data: &'a Dataset,
        predicted: &Predicted,
        batch: usize,
    ) -> Result<Self> {
        let mut train = Vec::new();
        for episode in &data.train {
            let extra = (0..episode.frames - 1).step_by(ANCHOR_STRIDE).collect::<Vec<_>>();
            train.extend(decisions(model, episode, states_of(episode, predicted), &extra)?);
        }
        let mut validation = Vec::new();
        for episode in &data.validation {
            validation.extend(decisions(model, episode, states_of(episode, predicted), &[])?);
        }
        Ok(Self { model, data, batch, train, validation })
    }

    fn scores(&self, some: &[&Decision], noise: Option<Seed>) -> Result<Tensor> {
        let device = self.model.device();
        let (mut last, mut words) = (Vec::new(), Vec::new());
        for decision in some {
            self.data.cache.read(
                decision.episode,
                decision.anchor..decision.anchor + 1,
                &mut last,
            )?;
            let episodes = self.data.train.iter().chain(&self.data.validation);
            let text = episodes
                .filter(|episode| episode.index == decision.episode)
                .map(|episode| episode.instruction.as_str())
                .next()
                .unwrap_or_default();
            words.push(self.model.instruction.encode(text, device)?);
        }
        let shape =
            (some.len(), self.model.tokenizer.patches(), self.model.tokenizer.coefficients());
        let mut last = Tensor::from_vec(last, shape, device)?;
        if let Some(seed) = noise {
            let noise = flow::normal(&[seed], last.dims(), device)?.squeeze(0)?;
            last = (last + (noise * ROUTER_NOISE)?)?;
        }
        let features = some.iter().map(|d| d.features.clone()).collect::<Vec<_>>();
        let pending = PendingFeatures::stack(&features, device)?;
        self.model.router.forward(&last, &Tensor::stack(&words, 0)?.detach(), &pending)
    }
}

impl Objective for RouterObjective<'_> {
    fn loss(&self, seed: Seed) -> Result<Tensor> {
        let mut rng = seed.rng();
        let some = (0..self.batch)
            .map(|_| &self.train[rng.random_range(0..self.train.len())])
            .collect::<Vec<_>>();
        let labels = some.iter().map(|d| d.label).collect::<Vec<_>>();
        let labels = Tensor::from_vec(labels, some.len(), self.model.device())?;
        let scores = self.scores(&some, Some(seed.child("noise")))?;
        // Scores of lengths that are not allowed are never asked for, so they take no part.
        let mask = some
            .iter()
            .flat_map(|d| (0..MAX_BASE_CHUNKS).map(|e| if e < d.allowed { 0.0 } else { -30.0 }))
            .collect::<Vec<f32>>();
        let mask = Tensor::from_vec(mask, (some.len(), MAX_BASE_CHUNKS), self.model.device())?;
        routing_loss(&(scores + mask)?, &labels)
    }

    fn validate(&self) -> Result<BTreeMap<String, f64>> {
        let (mut right, mut all) = (0, 0);
        for some in self.validation.chunks(256) {
            let some = some.iter().collect::<Vec<_>>();
            let allowed = some.iter().map(|d| d.allowed).collect::<Vec<_>>();
            let choices = Router::choose(&self.scores(&some, None)?, &allowed)?;
            right += choices.iter().zip(&some).filter(|(c, d)| **c as u32 == d.label).count();
            all += some.len();
        }
        Ok(if all == 0 {
            BTreeMap::new()
        } else {
            [("accuracy".to_owned(), f64::from(right as u32) / all as f64)].into()
        })
    }
}

/// The decisions of an episode: where its partition cuts, and at `extra` frames, where the
/// partition is begun anew with the episode's own thresholds. `states` are those predicted for
/// each frame.
pub(crate) fn decisions(
    model: &WorldModel,
    episode: &LoggedEpisode,
    states: &[f32],
    extra: &[usize],
) -> Result<Vec<Decision>> {
    let channels = model.embodiment.proprioception.len();
    let controls = model.embodiment.actions.len();
    let middle = model.statistics.action_middle.to_vec1::<f32>()?;
    let motion = motion_channels(&model.embodiment);
    let grippers = model.embodiment.gripper_actions();
    let positions = episode
        .states
        .chunks_exact(channels)
        .skip(1)
        .flat_map(|state| motion.iter().map(|&channel| state[channel]))
        .collect::<Vec<_>>();
    let grips = episode
        .actions
        .chunks_exact(controls)
        .take(episode.frames - 1)
        .map(|action| gripper_bits(&grippers, &middle, action))
        .collect::<Vec<_>>();
    let alpha = model.config.partition.alpha as f32;
    let thresholds = amplitudes(&positions, motion.len())?
        .into_iter()
        .map(|amplitude| alpha * amplitude)
        .collect::<Vec<_>>();
    let chunks = episode_chunks(&model.config, &model.embodiment, &middle, episode)?;
    let mut anchors = chunks.iter().map(|chunk| chunk.start).collect::<Vec<_>>();
    anchors.extend(extra);
    let mut made = Vec::new();
    for anchor in anchors {
        let left = episode.frames - 1 - anchor;
        let label = if let Some(chunk) = chunks.iter().find(|chunk| chunk.start == anchor) {
            chunk.expert()
        } else {
            let rest = Motion {
                positions: &positions[anchor * motion.len()..],
                dimensions: motion.len(),
                gripper: &grips[anchor..],
            };
            partition_by(rest, &thresholds)?.first().map_or(0, |chunk| chunk.expert())
        };
        let valid = left.min(MAX_BASE_CHUNKS * BASE_CHUNK);
        let allowed = (valid / BASE_CHUNK).clamp(1, MAX_BASE_CHUNKS);
        let rows = |from: usize, to: usize| {
            states[from * channels..to * channels]
                .chunks_exact(channels)
                .map(<[f32]>::to_vec)
                .collect::<Vec<_>>()
        };
        let features = PendingFeatures::new(
            model,
            &states[anchor * channels..(anchor + 1) * channels],
            anchor.checked_sub(1).map(|before| grips[before]),
            &episode.actions[anchor * controls..(anchor + valid) * controls],
            &rows(anchor + 1, anchor + 1 + valid),
            valid,
        )?;
        made.push(Decision {
            episode: episode.index,
            anchor,
            features,
            label: label.min(allowed - 1) as u32,
            allowed,
        });
    }
    Ok(made)
}

fn states_of<'a>(episode: &'a LoggedEpisode, predicted: &'a Predicted) -> &'a [f32] {
    predicted.states(episode.index).unwrap_or(&episode.states)
}
