//! The state model's stage: whole episodes, open loop.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rand::Rng as _;
use rand::seq::index::sample;
use rehearse_scenarios::seed::Seed;

use crate::error::Result;
use crate::flow;
use crate::forecast::Foreseen;
use crate::model::WorldModel;
use crate::statistics::position_channels;
use crate::train::data::Dataset;
use crate::train::episode::LoggedEpisode;
use crate::train::stage::Objective;

/// Most steps that one gradient goes back; longer episodes are cut at a draw.
const LONGEST: usize = 256;
/// Noise on the first frame's latents, so that a scene is not learnt by heart.
const SCENE_NOISE: f64 = 0.1;
/// Weights of the losses of the foreseen picture and of the foreseen success beside that of
/// proprioception.
const PICTURE: f64 = 0.2;
const SUCCESS: f64 = 0.5;

pub(crate) struct StateObjective<'a> {
    pub model: &'a WorldModel,
    pub data: &'a Dataset,
    pub batch: usize,
}

/// Episodes side by side, the shorter ones padded.
pub(crate) struct Batch {
    pub first: Tensor,
    pub start: Tensor,
    pub actions: Tensor,
    /// `(batch, steps, channels)`.
    states: Tensor,
    /// 1 where there is a step, `(batch, steps)`.
    mask: Tensor,
}

/// What is to be foreseen of a [`Batch`].
struct Course {
    /// Change of the leading coefficients since the first frame,
    /// `(batch, steps, patches, coefficients)`.
    change: Tensor,
    /// 1 where the task is done, `(batch, steps)`.
    done: Tensor,
    /// 1 where the log says whether it is.
    known: Tensor,
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
        let rolled = self.model.state.roll(&memory, &batch.actions)?;
        let scale = &self.model.statistics.step_scale;
        let error = (rolled.states - &batch.states)?.broadcast_div(scale)?;
        // Like a square near zero and like a length far off: a few episodes in which contact
        // stops the hand must not outweigh all others.
        let error = ((error.sqr()? + 1.0)?.sqrt()? - 1.0)?.mean(2)?;
        let loss = masked_mean(&error, &batch.mask)?;
        let Some(foreseen) = rolled.foreseen else { return Ok(loss) };
        let course = course(self.model, self.data, &episodes, LONGEST)?;
        let [picture, success] = foreseeing(self.model, &foreseen, &course, &batch.mask)?;
        Ok(((loss + (picture * PICTURE)?)? + (success * SUCCESS)?)?)
    }

    fn validate(&self) -> Result<BTreeMap<String, f64>> {
        let (mut errors, mut right, mut all) = (Vec::new(), 0.0, 0.0);
        let (mut picture, mut batches) = (0.0, 0.0);
        for some in self.data.validation.chunks(64) {
            let entries = some.iter().map(|episode| (episode, 0)).collect::<Vec<_>>();
            let batch = batch(self.model, self.data, &entries, usize::MAX)?;
            let words = some.iter().map(|e| e.instruction.as_str()).collect::<Vec<_>>();
            let memory = self.model.state.begin(&batch.start, &batch.first, &words)?;
            let rolled = self.model.state.roll(&memory, &batch.actions)?;
            for (row, episode) in some.iter().enumerate() {
                let states = rolled.states.get(row)?.flatten_all()?.to_vec1::<f32>()?;
                errors.extend(position_errors(self.model, episode, &states));
            }
            let Some(foreseen) = rolled.foreseen else { continue };
            let course = course(self.model, self.data, &entries, usize::MAX)?;
            let [error, _] = foreseeing(self.model, &foreseen, &course, &batch.mask)?;
            picture += f64::from(error.to_scalar::<f32>()?);
            batches += 1.0;
            // An episode succeeds, in truth or foresight, where any of its frames does.
            let any = |odds: &Tensor| -> Result<Vec<f32>> {
                Ok((odds * &course.known)?.max(1)?.to_vec1::<f32>()?)
            };
            for (guess, truth) in any(&foreseen.success)?.into_iter().zip(any(&course.done)?) {
                right += f64::from(u8::from((guess > 0.0) == (truth > 0.0)));
                all += 1.0;
            }
        }
        errors.sort_by(f64::total_cmp);
        let at = |part: f64| {
            errors.get(((errors.len() as f64 * part) as usize).min(errors.len().max(1) - 1))
        };
        let mut measured = [("state_median", 0.5), ("state_p95", 0.95)]
            .into_iter()
            .filter_map(|(name, part)| at(part).map(|error| (name.to_owned(), *error)))
            .collect::<BTreeMap<_, _>>();
        if batches > 0.0 {
            measured.insert("picture".to_owned(), picture / batches);
            measured.insert("outcomes".to_owned(), right / all);
        }
        Ok(measured)
    }
}

/// Mean of `x`, `(batch, steps)`, where `mask` is 1.
fn masked_mean(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let count = f64::from(mask.sum_all()?.to_scalar::<f32>()?).max(1.0);
    Ok(((x * mask)?.sum_all()? / count)?)
}

/// Losses of the foreseen picture, relative to how much it changes within a chunk, and of the
/// foreseen success.
fn foreseeing(
    model: &WorldModel,
    foreseen: &Foreseen,
    course: &Course,
    mask: &Tensor,
) -> Result<[Tensor; 2]> {
    let kept = foreseen.change.dim(3)?;
    let lead = |x: &Tensor| x.narrow(1, 0, kept)?.contiguous();
    // What counts is the error in the picture.
    let weight = lead(model.tokenizer.scale())?.sqr()?;
    let usual = (&weight * lead(&model.statistics.flow_scale)?.sqr()?)?.mean_all()?;
    let error = (&foreseen.change - &course.change)?.sqr()?.broadcast_mul(&weight)?;
    let error = error.flatten_from(2)?.mean(2)?.broadcast_div(&usual)?;
    let odds = &foreseen.success;
    // log(1 + e^x) - y x, written so that no exponential overflows.
    let soft = ((odds.abs()?.neg()?.exp()? + 1.0)?.log()? + odds.relu()?)?;
    let success = (soft - (odds * &course.done)?)?;
    Ok([masked_mean(&error, mask)?, masked_mean(&success, &course.known)?])
}

pub(crate) fn batch(
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
        mask.extend((0..most).map(|step| f32::from(u8::from(step < steps))));
    }
    let count = episodes.len();
    let (patches, coefficients) = (model.tokenizer.patches(), model.tokenizer.coefficients());
    Ok(Batch {
        first: Tensor::from_vec(first, (count, patches, coefficients), device)?,
        start: Tensor::from_vec(start, (count, channels), device)?,
        actions: Tensor::from_vec(actions, (count, most, controls), device)?,
        states: Tensor::from_vec(states, (count, most, channels), device)?,
        mask: Tensor::from_vec(mask, (count, most), device)?,
    })
}

/// What is to be foreseen of the episodes of a batch.
fn course(
    model: &WorldModel,
    data: &Dataset,
    episodes: &[(&LoggedEpisode, usize)],
    longest: usize,
) -> Result<Course> {
    let device = model.device();
    let (patches, coefficients) = (model.tokenizer.patches(), model.tokenizer.coefficients());
    let kept = model.config.state.forecast;
    let steps =
        |(episode, from): &(&LoggedEpisode, usize)| (episode.frames - 1 - from).min(longest);
    let most = episodes.iter().map(steps).max().unwrap_or(0);
    let (mut change, mut done, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for entry @ &(episode, from) in episodes {
        let steps = steps(entry);
        let mut frames = Vec::new();
        data.cache.read(episode.index, from..from + 1 + steps, &mut frames)?;
        let (first, rest) = frames.split_at(patches * coefficients);
        for frame in rest.chunks_exact(patches * coefficients) {
            let pairs = frame.chunks_exact(coefficients).zip(first.chunks_exact(coefficients));
            change.extend(pairs.flat_map(|(now, then)| {
                now[..kept].iter().zip(&then[..kept]).map(|(now, then)| now - then)
            }));
        }
        change.extend(std::iter::repeat_n(0.0, (most - steps) * patches * kept));
        for label in &episode.success[from + 1..from + 1 + steps] {
            done.push(f32::from(u8::from(*label == Some(true))));
            known.push(f32::from(u8::from(label.is_some())));
        }
        done.extend(std::iter::repeat_n(0.0, most - steps));
        known.extend(std::iter::repeat_n(0.0, most - steps));
    }
    let count = episodes.len();
    Ok(Course {
        change: Tensor::from_vec(change, (count, most, patches, kept), device)?,
        done: Tensor::from_vec(done, (count, most), device)?,
        known: Tensor::from_vec(known, (count, most), device)?,
    })
}

/// Distance of each predicted hand position from the true one, frame by frame after the first, in
/// metres. `predicted` begins at the second frame and may be longer than the episode.
fn position_errors(model: &WorldModel, episode: &LoggedEpisode, predicted: &[f32]) -> Vec<f64> {
    let channels = model.embodiment.proprioception.len();
    let positions = position_channels(&model.embodiment);
    let truth = episode.states.chunks_exact(channels).skip(1);
    predicted
        .chunks_exact(channels)
        .zip(truth)
        .map(|(guess, truth)| {
            let square =
                positions.iter().map(|&c| f64::from(guess[c] - truth[c]).powi(2)).sum::<f64>();
            square.sqrt()
        })
        .collect()
}
