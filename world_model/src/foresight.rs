//! One trial as the recurrent memory alone foresees it: without the pixel experts, which are most
//! of the work.
//!
//! What is foreseen is proprioception, the coarse picture (the leading coefficients of each patch)
//! and success: see [`forecast`](crate::forecast).

use candle_core::Tensor;
use rehearse_scenarios::observation::Observation;

use crate::error::{ModelError, Result};
use crate::futures::Futures;
use crate::model::WorldModel;
use crate::nn::ops::repeat_rows;
use crate::state_model::StateMemory;

/// Where a trial stands, to the memory.
#[derive(Clone, Debug)]
pub struct Foresight {
    memory: StateMemory,
    /// Latents of the first frame, `(1, patches, coefficients)`.
    first: Tensor,
    /// Latents of the frame that was seen last, alike.
    now: Tensor,
}

impl Foresight {
    /// Starts a trial from its first observation.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a model that foresees nothing, [`ModelError::Size`] for images
    /// or proprioception of another size, [`ModelError::NotFinite`] for proprioception that is not
    /// finite.
    pub fn begin(model: &WorldModel, observation: &Observation, instruction: &str) -> Result<Self> {
        if model.config.state.forecast == 0 {
            return Err(foresees_nothing());
        }
        let first = model.latents_of(observation)?;
        let state = model.state_of(&observation.proprioception)?;
        let memory = model.state.begin(&state, &first, &[instruction])?;
        Ok(Self { memory, now: first.clone(), first })
    }

    /// Moves on by actions that were executed, `steps × action channels`, in the rig's units.
    ///
    /// # Errors
    /// [`ModelError::Size`] unless they are whole steps, one at least.
    pub fn advance(&mut self, model: &WorldModel, actions: &[f32]) -> Result<()> {
        let channels = model.embodiment.actions.len();
        if actions.is_empty() || !actions.len().is_multiple_of(channels) {
            let expected = format!("a multiple of {channels} values");
            return Err(ModelError::size("executed actions", expected, actions.len()));
        }
        let steps = actions.len() / channels;
        let actions = Tensor::from_slice(actions, (1, steps, channels), model.device())?;
        self.memory = model.state.roll(&self.memory, &actions)?.memory(steps)?;
        Ok(())
    }

    /// Puts what was really seen now in the place of what was foreseen.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn observe(&mut self, model: &WorldModel, observation: &Observation) -> Result<()> {
        self.now = model.latents_of(observation)?;
        self.memory.correct(&model.state_of(&observation.proprioception)?)
    }

    /// Latents of the frame that was seen last, `(1, patches, coefficients)`.
    pub fn now(&self) -> &Tensor {
        &self.now
    }

    /// What the memory holds.
    pub fn memory(&self) -> &StateMemory {
        &self.memory
    }

    /// Foresees where each of several action sequences leads from here; the trial stays here.
    /// Nothing is drawn: the same actions give the same futures.
    ///
    /// # Shapes
    /// - `actions`: `(candidates, steps, action channels)`, in the rig's units
    ///
    /// # Errors
    /// [`ModelError::Size`] for actions of another size, [`ModelError::Tensor`].
    pub fn futures(&self, model: &WorldModel, actions: &Tensor) -> Result<Futures> {
        let (count, _steps) = model.check_candidates(actions)?;
        let rolled = model.state.roll(&self.memory.repeat(count)?, actions)?;
        let foreseen = rolled.foreseen.ok_or_else(foresees_nothing)?;
        let latents = foreseen.picture(&repeat_rows(&self.first, count)?)?;
        Ok(Futures { latents, states: rolled.states, log_odds: foreseen.success })
    }
}

fn foresees_nothing() -> ModelError {
    ModelError::Config {
        key: "state.forecast",
        got: "0".to_owned(),
        expected: "1 at least, so that the model foresees pictures and success".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rehearse_scenarios::testing::sample_starts;

    use super::*;
    use crate::rollout::Dream;
    use crate::world::tests::{actions, model};

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// A course that is rolled in parts is rounded in other places.
    fn assert_close(a: &Tensor, b: &Tensor) {
        for (a, b) in flat(a).into_iter().zip(flat(b)) {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{a} for {b}");
        }
    }

    /// Forty steps and their reverse, `(2, 40, 2)`.
    fn candidates(model: &WorldModel) -> Tensor {
        let there = actions(40).view().iter().copied().collect::<Vec<_>>();
        let back = there.iter().map(|value| -value).collect::<Vec<_>>();
        Tensor::from_vec([there, back].concat(), (2, 40, 2), model.device()).unwrap()
    }

    #[test]
    fn the_hand_is_foreseen_as_the_experts_are_told() {
        let model = model();
        let start = sample_starts(1).remove(0);
        let seen = start.observation.unwrap();
        let dream = Dream::begin(&model, &seen, &start.instruction, start.seed).unwrap();
        let foresight = Foresight::begin(&model, &seen, &start.instruction).unwrap();
        let candidates = candidates(&model);
        let full = model.futures(&dream, &candidates, start.seed).unwrap();
        let foreseen = foresight.futures(&model, &candidates).unwrap();
        assert_close(&foreseen.states, &full.states);
        let shape = (model.tokenizer.patches(), model.config.state.forecast);
        assert_eq!(foreseen.latents.dims(), [2, 40, shape.0, shape.1]);
        assert_ne!(
            flat(&foreseen.log_odds.get(0).unwrap()),
            flat(&foreseen.log_odds.get(1).unwrap())
        );
    }

    #[test]
    fn what_is_foreseen_after_some_steps_is_the_rest_of_what_was() {
        let model = model();
        let start = sample_starts(1).remove(0);
        let seen = start.observation.unwrap();
        let mut foresight = Foresight::begin(&model, &seen, &start.instruction).unwrap();
        let candidates = candidates(&model).narrow(0, 0, 1).unwrap();
        let whole = foresight.futures(&model, &candidates).unwrap();
        foresight.advance(&model, &flat(&candidates)[..2 * 16]).unwrap();
        let rest = candidates.narrow(1, 16, 24).unwrap().contiguous().unwrap();
        let rest = foresight.futures(&model, &rest).unwrap();
        for (whole, rest) in [
            (&whole.states, &rest.states),
            (&whole.latents, &rest.latents),
            (&whole.log_odds, &rest.log_odds),
        ] {
            assert_close(&whole.narrow(1, 16, 24).unwrap(), rest);
        }
    }

    #[test]
    fn what_is_measured_takes_the_place_of_what_was_foreseen() {
        let model = model();
        let start = sample_starts(1).remove(0);
        let seen = start.observation.unwrap();
        let mut foresight = Foresight::begin(&model, &seen, &start.instruction).unwrap();
        let chunk = actions(8).view().iter().copied().collect::<Vec<_>>();
        foresight.advance(&model, &chunk).unwrap();
        assert_ne!(flat(foresight.memory.state()), seen.proprioception);
        foresight.observe(&model, &seen).unwrap();
        assert_eq!(flat(foresight.memory.state()), seen.proprioception);
        assert!(foresight.advance(&model, &chunk[..3]).is_err());
    }
}
