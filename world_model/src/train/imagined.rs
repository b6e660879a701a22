//! What the model makes of the logged episodes, for the stages that learn from its own mistakes.

use std::path::Path;

use candle_core::Tensor;
use rehearse_scenarios::seed::Seed;

use crate::error::Result;
use crate::model::WorldModel;
use crate::rollout::Dream;
use crate::routing::Routing;
use crate::train::cache::TokenCache;
use crate::train::data::Dataset;
use crate::train::predicted::Predicted;

/// Episodes imagined at once.
const BATCH: usize = 32;

/// Logged episodes as the model imagines them, open loop from their first frames.
pub(crate) struct ImaginedEpisodes<'a> {
    cache: TokenCache,
    /// What imagination went by.
    predicted: &'a Predicted,
}

impl<'a> ImaginedEpisodes<'a> {
    /// Imagines every episode of `data`, or takes up what was imagined before, under `name` in
    /// `folder`.
    pub fn new(
        model: &WorldModel,
        data: &Dataset,
        predicted: &'a Predicted,
        routing: Routing,
        (folder, name, fingerprint): (&Path, &str, &str),
        seed: Seed,
    ) -> Result<Self> {
        if let Some(cache) = TokenCache::open(folder, name, fingerprint) {
            return Ok(Self { cache, predicted });
        }
        let (patches, coefficients) = (model.tokenizer.patches(), model.tokenizer.coefficients());
        let (channels, controls) =
            (model.embodiment.proprioception.len(), model.embodiment.actions.len());
        let mut writer = TokenCache::create(folder, name, fingerprint, patches, coefficients)?;
        let episodes = data.train.iter().chain(&data.validation).collect::<Vec<_>>();
        for some in episodes.chunks(BATCH) {
            let firsts = some
                .iter()
                .map(|episode| data.cache.frames(episode.index, 0..1, model.device()))
                .collect::<Result<Vec<_>>>()?;
            let mut dreams = some
                .iter()
                .zip(&firsts)
                .map(|(episode, first)| {
                    let (state, words) = (&episode.states[..channels], &episode.instruction);
                    let seed = seed.index(episode.index as u64);
                    Dream::from_latents(model, first, state, words, seed)
                })
                .collect::<Result<Vec<_>>>()?;
            let trials = dreams
                .iter_mut()
                .zip(some)
                .map(|(dream, e)| (dream, &e.actions[..(e.frames - 1) * controls]))
                .collect();
            let imagined = model.imagine(trials, routing)?;
            for ((episode, first), imagined) in some.iter().zip(&firsts).zip(imagined) {
                let all = Tensor::cat(&[first, &imagined.latents], 0)?;
                writer.add(episode.index, &all.flatten_all()?.to_vec1::<f32>()?)?;
            }
        }
        Ok(Self { cache: writer.finish()?, predicted })
    }

    /// The imagined latents.
    pub fn cache(&self) -> &TokenCache {
        &self.cache
    }

    /// What imagination went by.
    pub fn predicted(&self) -> &Predicted {
        self.predicted
    }
}
