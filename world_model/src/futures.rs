//! Many futures of one trial at once, differentiable in the actions: what a planner asks for.

use candle_core::Tensor;
use rehearse_scenarios::seed::Seed;

use crate::error::{ModelError, Result};
use crate::instruction::InstructionEncoder;
use crate::judge::JudgeInput;
use crate::model::WorldModel;
use crate::nn::ops::repeat_rows;
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS};
use crate::rollout::{Dream, Plan};

/// What follows from each of several action sequences.
#[derive(Clone, Debug)]
pub struct Futures {
    /// Latents of each frame, `(candidates, steps, patches, coefficients)`; their leading
    /// coefficients alone where they are [foreseen](crate::foresight::Foresight).
    pub latents: Tensor,
    /// Proprioception at each frame, `(candidates, steps, channels)`, in the rig's units.
    pub states: Tensor,
    /// Log odds per frame that the task is done, `(candidates, steps)`. Unlike probabilities they
    /// have a slope far from success.
    pub log_odds: Tensor,
}

impl WorldModel {
    /// Imagines where each of several action sequences leads from where a dream stands; the dream
    /// stays there. All candidates meet the same noise, which comes from `seed`, and chunks are as
    /// long as they can be.
    ///
    /// # Shapes
    /// - `actions`: `(candidates, steps, action channels)`, in the rig's units
    ///
    /// # Errors
    /// [`ModelError::Size`] for actions of another size, [`ModelError::Tensor`].
    pub fn futures(&self, dream: &Dream, actions: &Tensor, seed: Seed) -> Result<Futures> {
        let (count, steps) = self.check_candidates(actions)?;
        let mut known = dream.known.repeat(count)?;
        let mut memory = dream.memory.repeat(count)?;
        let first = repeat_rows(&dream.known.first, count)?;
        let (mut latents, mut states, mut foreseen) = (Vec::new(), Vec::new(), Vec::new());
        let mut done = 0;
        while done < steps {
            let used = (steps - done).min(MAX_BASE_CHUNKS * BASE_CHUNK);
            let frames = used.next_multiple_of(BASE_CHUNK);
            let chunk = actions.narrow(1, done, used)?;
            // The last action is repeated up to a whole chunk; what it leads to is cut away.
            let last = chunk.narrow(1, used - 1, 1)?;
            let mut parts = vec![chunk];
            parts.extend((used..frames).map(|_| last.clone()));
            let chunk = Tensor::cat(&parts, 1)?;
            let rolled = self.state.roll(&memory, &chunk)?;
            let picture = rolled.foreseen.as_ref().map(|f| f.picture(&first)).transpose()?;
            let normal = self.statistics.normal_action(&chunk)?;
            let seeds = |name: &str| vec![seed.child(name).index(dream.step() + done as u64)];
            let [context, flow] = self.chunk_noise(seeds, frames)?;
            let noise = [repeat_rows(&context, count)?, repeat_rows(&flow, count)?];
            let plan = Plan { actions: &normal, states: &rolled.states, picture: picture.as_ref() };
            let made = self.chunk(frames / BASE_CHUNK - 1, &known, noise, plan)?;
            let made = made.narrow(1, 0, used)?.contiguous()?;
            let predicted = rolled.states.narrow(1, 0, used)?.contiguous()?;
            known.advance(&made, &predicted, &normal.narrow(1, 0, used)?)?;
            memory = rolled.memory(used)?;
            if let Some(rolled) = rolled.foreseen {
                foreseen.push(rolled.success.narrow(1, 0, used)?);
            }
            latents.push(made);
            states.push(predicted);
            done += used;
        }
        let (latents, states) = (Tensor::cat(&latents, 1)?, Tensor::cat(&states, 1)?);
        let all = count * steps;
        let pooled = InstructionEncoder::pool(&dream.known.instruction)?;
        let foreseen = match &foreseen[..] {
            [] => None,
            parts => Some(Tensor::cat(parts, 1)?.flatten_all()?),
        };
        let input = JudgeInput {
            frame: &latents.flatten(0, 1)?,
            first: &repeat_rows(&dream.known.first, all)?,
            state: &states.flatten(0, 1)?,
            first_state: &repeat_rows(&dream.known.first_state, all)?,
            instruction: &repeat_rows(&pooled, all)?,
        };
        let log_odds = self.judge.log_odds(&input, foreseen.as_ref())?;
        Ok(Futures { latents, states, log_odds: log_odds.reshape((count, steps))? })
    }

    /// Candidates and steps of `(candidates, steps, action channels)`, one of each at least.
    pub(crate) fn check_candidates(&self, actions: &Tensor) -> Result<(usize, usize)> {
        let (count, steps, channels) = actions.dims3()?;
        if channels == self.embodiment.actions.len() && steps > 0 && count > 0 {
            return Ok((count, steps));
        }
        let expected = format!("(1.., 1.., {})", self.embodiment.actions.len());
        Err(ModelError::size("candidates", expected, format!("{:?}", actions.dims())))
    }
}

#[cfg(test)]
mod tests {
    use rehearse_scenarios::testing::sample_starts;

    use super::*;
    use crate::routing::Routing;
    use crate::world::tests::{actions, model};

    #[test]
    fn a_future_is_what_the_dream_comes_to() {
        let model = model();
        let start = sample_starts(1).remove(0);
        let seen = start.observation.unwrap();
        let mut dream = Dream::begin(&model, &seen, &start.instruction, start.seed).unwrap();
        let longest = Routing::Fixed { expert: MAX_BASE_CHUNKS - 1 };
        // Two chunks, so that the second goes by what the first came to.
        let chunk = actions(48).view().iter().copied().collect::<Vec<_>>();
        let back = chunk.iter().map(|value| -value).collect::<Vec<_>>();
        let both = [chunk.clone(), back].concat();
        let candidates = Tensor::from_vec(both, (2, 48, 2), model.device()).unwrap();
        let futures = model.futures(&dream, &candidates, start.seed).unwrap();
        let imagined = model.imagine(vec![(&mut dream, &chunk)], longest).unwrap().remove(0);
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&futures.latents.get(0).unwrap()), flat(&imagined.latents));
        assert_eq!(flat(&futures.states.get(0).unwrap()), flat(&imagined.states));
        let success = candle_nn::ops::sigmoid(&futures.log_odds.get(0).unwrap()).unwrap();
        assert_eq!(flat(&success), imagined.success);
        assert_ne!(flat(&futures.latents.get(1).unwrap()), flat(&imagined.latents));
    }

    #[test]
    fn what_is_seen_takes_the_place_of_what_was_imagined() {
        let model = model();
        let start = sample_starts(1).remove(0);
        let seen = start.observation.unwrap();
        let mut dream = Dream::begin(&model, &seen, &start.instruction, start.seed).unwrap();
        let chunk = actions(8).view().iter().copied().collect::<Vec<_>>();
        model.imagine(vec![(&mut dream, &chunk)], Routing::Learned).unwrap();
        let imagined = dream.memory.state().to_vec2::<f32>().unwrap();
        dream.observe(&model, &seen).unwrap();
        let now = dream.memory.state().to_vec2::<f32>().unwrap().remove(0);
        assert_eq!(now, seen.proprioception);
        assert_ne!(imagined[0], now);
    }
}
