//! The state model's stage: whole episodes, open loop, and its predictions for the later stages.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::Rng as _;
use rand::seq::index::sample;
use rehearse_scenarios::seed::Seed;

use crate::error::Result;
use crate::flow;
use crate::model::WorldModel;
use crate::statistics::position_channels;
use crate::train::data::Dataset;
use crate::train::episode::LoggedEpisode;
use crate::train::stage::Objective;

/// Most steps that one gradient goes back; longer episodes are cut at a draw.
const LONGEST: usize = 256;
/// Noise on the first frame's latents, so that a scene is not learnt by heart.
const SCENE_NOISE: f64 = 0.15;

pub(crate) struct StateObjective<'a> {
    pub model: &'a WorldModel,
    pub data: &'a Dataset,
    pub batch: usize,
}

/// Episodes side by side, the shorter ones padded.
struct Batch {
    first: Tensor,
    start: Tensor,
    actions: Tensor,
    /// `(batch, steps, channels)`.
    states: Tensor,
    /// 1 where there is a step, `(batch, steps, 1)`.
    mask: Tensor,
}

impl Objective for StateObjective<'_> {
    fn loss(&self, seed: Seed) -> Result<Tensor> {
        let mut rng = seed.rng();
        let count = self.batch.min(self.data.train.len());
        let episodes = sample(&mut rng, self.data.train.len(), count)
            .into_iter()
            .map(|index| {
                let episode = &self.data.train[index];
                let from = rng.random_range(0..=episode.frames.saturating_sub(LONGEST + 1));
                (episode, from)
            })
            .collect::<Vec<_>>();
        let batch = batch(self.model, self.data, &episodes, LONGEST)?;
        let noise = flow::normal(&[seed.child("scene")], batch.first.dims(), self.model.device())?;
        let first = (&batch.first + (noise.squeeze(0)? * SCENE_NOISE)?)?;
        let words = episodes.iter().map(|(e, _)| e.instruction.as_str()).collect::<Vec<_>>();
        let memory = self.model.state.begin(&batch.start, &first, &words)?;
        let (predicted, _) = self.model.state.roll(&memory, &batch.actions)?;
        let error =
            (predicted - &batch.states)?.broadcast_div(&self.model.statistics.step_scale)?;
        // Like a square near zero and like a length far off: a few episodes in which contact
        // stops the hand must not outweigh all others.
        let loss = ((error.sqr()? + 1.0)?.sqrt()? - 1.0)?.broadcast_mul(&batch.mask)?;
        let count = batch.mask.sum_all()?.to_scalar::<f32>()?;
        Ok((loss.sum_all()? / (f64::from(count) * error.dim(2)? as f64))?)
    }

    fn validate(&self) -> Result<BTreeMap<String, f64>> {
        let predicted = predict(self.model, self.data, &self.data.validation)?;
        let mut errors = position_errors(self.model, &self.data.validation, &predicted);
        errors.sort_by(f64::total_cmp);
        let at = |part: f64| {
            errors.get(((errors.len() as f64 * part) as usize).min(errors.len().max(1) - 1))
        };
        Ok([("state_median", 0.5), ("state_p95", 0.95)]
            .into_iter()
            .filter_map(|(name, part)| at(part).map(|error| (name.to_owned(), *error)))
            .collect())
    }
}

fn batch(
    model: &WorldModel,
    data: &Dataset,
    episodes: &[(&LoggedEpisode, usize)],
    longest: usize,
) -> Result<Batch> {
    let device = model.device();
    let (channels, controls) =
        (model.embodiment.proprioception.len(), model.embodiment.actions.len());
    let steps =
        |(episode, from): &(&LoggedEpisode, usize)| (episode.frames - 1 - from).min(longest);
    let most = episodes.iter().map(steps).max().unwrap_or(0);
    let (mut first, mut start) = (Vec::new(), Vec::new());
    let (mut actions, mut states, mut mask) = (Vec::new(), Vec::new(), Vec::new());
    for entry @ &(episode, from) in episodes {
        let steps = steps(entry);
        data.cache.read(episode.index, from..from + 1, &mut first)?;
        start.extend_from_slice(&episode.states[from * channels..(from + 1) * channels]);
        actions.extend_from_slice(&episode.actions[from * controls..(from + steps) * controls]);
        states.extend_from_slice(
            &episode.states[(from + 1) * channels..(from + 1 + steps) * channels],
        );
        actions.extend(std::iter::repeat_n(0.0, (most - steps) * controls));
        states.extend(std::iter::repeat_n(0.0, (most - steps) * channels));
        mask.extend((0..most).map(|step| if step < steps { 1.0_f32 } else { 0.0 }));
    }
    let count = episodes.len();
    let (patches, coefficients) = (model.tokenizer.patches(), model.tokenizer.coefficients());
    Ok(Batch {
        first: Tensor::from_vec(first, (count, patches, coefficients), device)?,
        start: Tensor::from_vec(start, (count, channels), device)?,
        actions: Tensor::from_vec(actions, (count, most, controls), device)?,
        states: Tensor::from_vec(states, (count, most, channels), device)?,
        mask: Tensor::from_vec(mask, (count, most, 1), device)?,
    })
}

/// States predicted open loop from the first frame of each episode, `frames × channels` by
/// episode; the first is the true one.
pub(crate) fn predict(
    model: &WorldModel,
    data: &Dataset,
    episodes: &[LoggedEpisode],
) -> Result<BTreeMap<usize, Vec<f32>>> {
    let channels = model.embodiment.proprioception.len();
    let mut predicted = BTreeMap::new();
    for some in episodes.chunks(64) {
        let entries = some.iter().map(|episode| (episode, 0)).collect::<Vec<_>>();
        let batch = batch(model, data, &entries, usize::MAX)?;
        let words = some.iter().map(|e| e.instruction.as_str()).collect::<Vec<_>>();
        let memory = model.state.begin(&batch.start, &batch.first, &words)?;
        let (states, _) = model.state.roll(&memory, &batch.actions)?;
        let states = states.to_device(&Device::Cpu)?.detach();
        for (row, episode) in some.iter().enumerate() {
            let rest = states.get(row)?.narrow(0, 0, episode.frames - 1)?.flatten_all()?;
            let mut all = episode.states[..channels].to_vec();
            all.extend(rest.to_vec1::<f32>()?);
            predicted.insert(episode.index, all);
        }
    }
    Ok(predicted)
}

/// Distance of each predicted hand position from the true one, frame by frame after the first.
pub(crate) fn position_errors(
    model: &WorldModel,
    episodes: &[LoggedEpisode],
    predicted: &BTreeMap<usize, Vec<f32>>,
) -> Vec<f64> {
    let channels = model.embodiment.proprioception.len();
    let positions = position_channels(&model.embodiment);
    let mut errors = Vec::new();
    for episode in episodes {
        let Some(predicted) = predicted.get(&episode.index) else { continue };
        let rows = predicted.chunks_exact(channels).zip(episode.states.chunks_exact(channels));
        errors.extend(rows.skip(1).map(|(guess, truth)| {
            let square =
                positions.iter().map(|&c| f64::from(guess[c] - truth[c]).powi(2)).sum::<f64>();
            square.sqrt()
        }));
    }
    errors
}
