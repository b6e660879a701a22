//! Logs to what training draws from: tokeniser, statistics, token cache.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use rehearse_scenarios::seed::Seed;

use crate::error::{ModelError, Result};
use crate::tokenizer::{Layout, Tokenizer, fit_basis};
use crate::train::cache::TokenCache;
use crate::train::config::TrainConfig;
use crate::train::data::{Dataset, split_episodes};
use crate::train::episode::LoggedEpisode;
use crate::train::logs::Logs;
use crate::train::measure::{measure, measure_commands};
use crate::train::stage::Session;

/// Name of the token cache.
const TOKENS: &str = "tokens";
/// Frames apart at which the change of latents is measured, to scale the experts' target.
const CHANGE_OVER: [usize; 4] = [2, 4, 8, 16];
/// The scale of a coefficient's change is kept above this part of the mean.
const LEAST_CHANGE: f64 = 0.05;

/// Fits basis and statistics and fills the token cache, or takes up those of the saved state.
pub(crate) fn prepare(
    config: &TrainConfig,
    logs: &Logs,
    session: &mut Session<'_>,
    fingerprint: &str,
) -> Result<Dataset> {
    let episodes = split_episodes(logs, config)?;
    let fitted = !session.variables.below("statistics.flow_scale").is_empty();
    let cached = fitted.then(|| TokenCache::open(&session.folder, TOKENS, fingerprint)).flatten();
    let cache = match cached {
        Some(cache) => cache,
        None => fill(config, logs, &episodes, session, fingerprint)?,
    };
    let embodiment = logs.embodiment().clone();
    Dataset::new(embodiment, episodes, cache, config.splits.validation, session.seed)
}

fn fill(
    config: &TrainConfig,
    logs: &Logs,
    episodes: &[LoggedEpisode],
    session: &mut Session<'_>,
    fingerprint: &str,
) -> Result<TokenCache> {
    let device = session.device.clone();
    let tokens = &config.model.tokens;
    let layout = Layout::new(tokens, &logs.embodiment().cameras)?;
    let (patches, values) = (layout.patches(), layout.values());
    if session.variables.below("tokenizer.basis").is_empty() {
        session.progress.note("fitting the tokeniser");
        let frames = sample_frames(config, logs, episodes, &layout, session.seed)?;
        let seed = session.seed.child("basis");
        let fit = fit_basis(&frames, patches, values, tokens.coefficients, seed)?;
        let mut tensors = measure(logs.embodiment(), episodes, &device)?;
        let mut add = |name: &str, values: Vec<f32>, shape: &[usize]| {
            tensors.insert(name.to_owned(), Tensor::from_vec(values, shape, &device)?);
            candle_core::Result::Ok(())
        };
        add("tokenizer.mean", fit.mean, &[patches, values])?;
        add("tokenizer.basis", fit.basis, &[patches, tokens.coefficients, values])?;
        add("tokenizer.scale", fit.scale, &[patches, tokens.coefficients])?;
        session.variables.assign(&tensors)?;
    } else if config.state.steps > 0 {
        // Only the state model reads them, which will be trained on these logs.
        let commands = measure_commands(logs.embodiment(), episodes, &device)?;
        session.variables.assign(&commands)?;
    }
    session.progress.note("filling the token cache");
    let vb = session.variables.builder(&device, &[]);
    let tokenizer = Tokenizer::new(tokens, layout.clone(), &vb.pp("tokenizer"))?;
    let mut writer =
        TokenCache::create(&session.folder, TOKENS, fingerprint, patches, tokens.coefficients)?;
    let each = patches * tokens.coefficients;
    let (mut squares, mut count) = (vec![0.0_f64; each], 0.0_f64);
    // Decoding costs the most; a few episodes at a time keep memory small.
    let read = |episode: &LoggedEpisode| {
        let mut pixels = Vec::with_capacity(episode.frames * patches * values);
        logs.patches(&layout, episode.index, |_, frame| {
            pixels.extend(frame);
            Ok(())
        })?;
        tokenizer
            .encode(pixels, episode.frames, &device)?
            .flatten_all()?
            .to_vec1::<f32>()
            .map_err(ModelError::from)
    };
    for some in episodes.chunks(rayon::current_num_threads()) {
        let read = some.par_iter().map(read).collect::<Result<Vec<_>>>()?;
        for (episode, latents) in some.iter().zip(read) {
            count += add_changes(&mut squares, &latents);
            writer.add(episode.index, &latents)?;
        }
    }
    if session.variables.below("statistics.flow_scale").is_empty() {
        let scale = change_scale(&squares, count, &device, patches)?;
        session.variables.assign(&BTreeMap::from([("statistics.flow_scale".to_owned(), scale)]))?;
    }
    let cache = writer.finish()?;
    session.save()?;
    Ok(cache)
}

/// Adds the squares of how the latents of an episode change, coefficient by coefficient; returns
/// how many changes there were.
fn add_changes(squares: &mut [f64], latents: &[f32]) -> f64 {
    let each = squares.len();
    let mut count = 0.0;
    for apart in CHANGE_OVER {
        let later = latents.chunks_exact(each).skip(apart);
        for (before, after) in latents.chunks_exact(each).zip(later).step_by(4) {
            count += 1.0;
            for ((sum, b), a) in squares.iter_mut().zip(before).zip(after) {
                *sum += f64::from(a - b).powi(2);
            }
        }
    }
    count
}

/// The deviation of each coefficient's change, `(patches, coefficients)`, from sums of squares.
fn change_scale(squares: &[f64], count: f64, device: &Device, patches: usize) -> Result<Tensor> {
    let each = squares.len();
    let roots = squares.iter().map(|sum| (sum / count.max(1.0)).sqrt()).collect::<Vec<_>>();
    let least = LEAST_CHANGE * roots.iter().sum::<f64>() / each as f64;
    let scale = roots.iter().map(|root| root.max(least).max(1e-6) as f32).collect::<Vec<_>>();
    Ok(Tensor::from_vec(scale, (patches, each / patches), device)?)
}

/// Every second frame of episodes in a drawn order, until there are enough.
fn sample_frames(
    config: &TrainConfig,
    logs: &Logs,
    episodes: &[LoggedEpisode],
    layout: &Layout,
    seed: Seed,
) -> Result<Vec<Vec<f32>>> {
    let mut order = episodes.iter().map(|episode| episode.index).collect::<Vec<_>>();
    let seed = seed.child("tokenizer");
    order.sort_by_key(|&index| seed.index(index as u64).to_u64());
    let mut frames = Vec::new();
    for index in order {
        if frames.len() >= config.tokenizer_frames {
            break;
        }
        logs.patches(layout, index, |frame, patches| {
            if frame % 2 == 0 {
                frames.push(patches);
            }
            Ok(())
        })?;
    }
    Ok(frames)
}
