//! The learned [`World`]: trials that take place in the model's imagination.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{
    Advance, InterfaceError, PerTrial, Start, Step, TrialHandle, World,
};
use rehearse_scenarios::local::OpenTrials;
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind};
use rehearse_scenarios::time::SimTime;

use crate::error::{ModelError, Result};
use crate::model::WorldModel;
use crate::rollout::{Dream, Imagined};
use crate::routing::Routing;

/// A world that is imagined by a trained model.
///
/// The first observation of a trial is the start's own; all that follows is imagined, at the
/// model's resolution and shown at the rig's. What it imagines after an action may depend on the
/// actions that are pending behind it in the same chunk, as the length of the imagined chunk does.
#[derive(Debug)]
pub struct LearnedWorld {
    model: Arc<WorldModel>,
    routing: Routing,
    trials: OpenTrials<Trial>,
}

#[derive(Clone, Debug)]
struct Trial {
    dream: Dream,
    instruction: Arc<str>,
}

impl LearnedWorld {
    /// A world of its own over a model that may be shared.
    pub fn new(model: Arc<WorldModel>, routing: Routing) -> Self {
        Self { model, routing, trials: OpenTrials::default() }
    }

    /// The model behind the world.
    pub fn model(&self) -> &Arc<WorldModel> {
        &self.model
    }

    fn begin(&self, start: &Start) -> Result<(Trial, Observation), Fault> {
        let Some(seen) = &start.observation else {
            return Err(broke("a learned world needs the start's first observation"));
        };
        let dream = Dream::begin(&self.model, seen, &start.instruction, start.seed)
            .map_err(|error| broke(error.to_string()))?;
        let names = self.model.embodiment.cameras.iter().map(|camera| &camera.name);
        let images = names
            .filter_map(|name| Some((name.clone(), seen.images.get(name)?.clone())))
            .collect::<BTreeMap<_, _>>();
        let observation = Observation {
            images,
            proprioception: seen.proprioception.clone(),
            instruction: Arc::clone(&start.instruction),
            time: SimTime::ZERO,
        };
        Ok((Trial { dream, instruction: Arc::clone(&start.instruction) }, observation))
    }

    /// The observations of what was imagined, trial by trial.
    fn show(
        &self,
        imagined: Vec<Imagined>,
        begun: &[u64],
        instructions: &[Arc<str>],
    ) -> Result<Vec<PerTrial<Advance>>> {
        let tokenizer = &self.model.tokenizer;
        let latents = imagined.iter().map(|trial| &trial.latents).collect::<Vec<_>>();
        let pixels = tokenizer.decode(&Tensor::cat(&latents, 0)?)?;
        let mut frames = pixels.chunks_exact(tokenizer.patches() * tokenizer.layout().values());
        let rate = self.model.embodiment.rate;
        imagined
            .into_iter()
            .zip(begun)
            .zip(instructions)
            .map(|((trial, &begun), instruction)| {
                let states = trial.states.to_vec2::<f32>()?;
                let mut steps = Vec::with_capacity(states.len());
                let mut finite = true;
                for ((state, &success), step) in
                    states.into_iter().zip(&trial.success).zip(begun + 1..)
                {
                    let pixels = frames.next().unwrap_or_default();
                    finite &= success.is_finite()
                        && state.iter().chain(pixels).all(|value| value.is_finite());
                    let images = tokenizer.layout().images_of(pixels)?;
                    let names = tokenizer.layout().cameras().iter().map(|c| c.name.clone());
                    steps.push(Step {
                        observation: Observation {
                            images: names.zip(images).collect(),
                            proprioception: state,
                            instruction: Arc::clone(instruction),
                            time: rate.time_of_step(step),
                        },
                        success: Some(success),
                    });
                }
                Ok(if finite {
                    Ok(Advance { steps, segments: trial.segments, ended: false, remark: None })
                } else {
                    Err(broke("what the model imagined is not finite"))
                })
            })
            .collect()
    }
}

impl World for LearnedWorld {
    fn embodiment(&self) -> &Embodiment {
        &self.model.embodiment
    }

    fn reset(&mut self, starts: &[Start]) -> Result<Vec<PerTrial<Observation>>, InterfaceError> {
        self.trials.check_new(starts.iter().map(|start| start.trial))?;
        Ok(starts
            .iter()
            .map(|start| {
                let (trial, observation) = self.begin(start)?;
                self.trials.open(start.trial, trial);
                Ok(observation)
            })
            .collect())
    }

    fn step(
        &mut self,
        requests: &[(TrialHandle, ActionChunk)],
    ) -> Result<Vec<PerTrial<Advance>>, InterfaceError> {
        self.trials.check_open(requests.iter().map(|(trial, _)| *trial))?;
        // Trials are taken out while they are imagined: one that fails half way stays closed.
        let mut answers = Vec::with_capacity(requests.len());
        let mut sound = Vec::new();
        for (place, (handle, chunk)) in requests.iter().enumerate() {
            let trial = self.trials.close(*handle);
            let checked = chunk.check(&self.model.embodiment.actions);
            answers.push(match (checked, trial) {
                (Ok(()), Some(trial)) => {
                    let actions = chunk.view().iter().copied().collect::<Vec<_>>();
                    sound.push((place, *handle, trial, actions));
                    Err(broke("the trial was not imagined"))
                }
                (Err(error), _) => Err(Fault::new(FaultKind::MalformedAction, error.to_string())),
                (Ok(()), None) => return Err(InterfaceError::UnknownTrial { trial: *handle }),
            });
        }
        if sound.is_empty() {
            return Ok(answers);
        }
        let begun = sound.iter().map(|(_, _, trial, _)| trial.dream.step()).collect::<Vec<_>>();
        let words =
            sound.iter().map(|(_, _, trial, _)| Arc::clone(&trial.instruction)).collect::<Vec<_>>();
        let batch = sound
            .iter_mut()
            .map(|(_, _, trial, actions)| (&mut trial.dream, actions.as_slice()))
            .collect();
        let shown = self
            .model
            .imagine(batch, self.routing)
            .and_then(|imagined| self.show(imagined, &begun, &words))
            .map_err(failed)?;
        for ((place, handle, trial, _), answer) in sound.into_iter().zip(shown) {
            if answer.is_ok() {
                self.trials.open(handle, trial);
            }
            answers[place] = answer;
        }
        Ok(answers)
    }

    fn close(&mut self, trials: &[TrialHandle]) {
        for &trial in trials {
            self.trials.close(trial);
        }
    }
}

fn broke(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::WorldBroke, message)
}

fn failed(error: ModelError) -> InterfaceError {
    InterfaceError::Failed {
        side: "world \"learned\"".to_owned(),
        message: "the model could not imagine the batch; its trials are closed".to_owned(),
        source: Some(Box::new(error)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use candle_core::{Device, Var};
    use rehearse_scenarios::seed::Seed;
    use rehearse_scenarios::testing::{check_world, sample_rig, sample_starts};

    use super::*;
    use crate::config::ModelConfig;
    use crate::nn::Variables;

    /// A small model of the sample rig, all of whose weights are drawn, so that every part has
    /// its say.
    pub(crate) fn model() -> Arc<WorldModel> {
        let config: ModelConfig = toml::from_str(
            "[tokens]\nheight = 4\nwidth = 8\npatch = 4\ncoefficients = 6\n\
             [expert]\nwidth = 32\nlayers = 2\nheads = 4\ncondition = 16\n\
             [instruction]\nwidth = 8\nwords = 3\nbuckets = 32\n\
             [state]\nwidth = 16\nscene = 8\nforecast = 3\n[router]\nwidth = 16\nheads = 2\n[judge]\nwidth = 16",
        )
        .unwrap();
        let variables = Variables::new(Seed::root(1));
        let vb = variables.builder(&Device::Cpu, &[]);
        WorldModel::new(&config, &sample_rig(), &vb).unwrap();
        for (name, var) in variables.below("") {
            // Layers that start at zero would hide what they do.
            let still = name.starts_with("statistics.") || name.ends_with("scale");
            let all_zero = var.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() == 0.0;
            if all_zero && !still {
                fill(&var, &name);
            }
        }
        Arc::new(WorldModel::new(&config, &sample_rig(), &vb).unwrap())
    }

    fn fill(var: &Var, name: &str) {
        let seed = Seed::root(2).child(name);
        let draws = crate::flow::normal(&[seed], var.dims(), &Device::Cpu).unwrap();
        var.set(&(draws.squeeze(0).unwrap() * 0.2).unwrap()).unwrap();
    }

    pub(crate) fn actions(steps: usize) -> ActionChunk {
        let values = (0..2 * steps).map(|i| ((i * 37 % 19) as f32 - 9.0) / 10.0).collect();
        ActionChunk::from_values(2, values).unwrap()
    }

    #[test]
    fn the_learned_world_keeps_the_contract_for_whole_chunks_and_tails() {
        let model = model();
        for routing in [Routing::Learned, Routing::ActionGuided, Routing::Fixed { expert: 1 }] {
            for steps in [1, 8, 21, 40] {
                check_world(
                    || LearnedWorld::new(Arc::clone(&model), routing),
                    &sample_starts(3),
                    &actions(steps),
                );
            }
        }
    }

    #[test]
    fn trials_with_different_chunks_do_not_disturb_each_other() {
        let model = model();
        let starts = sample_starts(3);
        let chunks = [actions(5), actions(33), actions(16)];
        let requests = starts
            .iter()
            .zip(&chunks)
            .map(|(start, chunk)| (start.trial, chunk.clone()))
            .collect::<Vec<_>>();
        let mut together = LearnedWorld::new(Arc::clone(&model), Routing::Learned);
        together.reset(&starts).unwrap();
        let all = together.step(&requests).unwrap();
        for (index, request) in requests.iter().enumerate() {
            let mut alone = LearnedWorld::new(Arc::clone(&model), Routing::Learned);
            alone.reset(&starts).unwrap();
            assert_eq!(alone.step(std::slice::from_ref(request)).unwrap()[0], all[index]);
        }
        let segments = &all[1].as_ref().unwrap().segments;
        assert_eq!(segments.iter().map(|segment| segment.steps).sum::<u32>(), 33);
    }

    #[test]
    fn a_start_without_a_picture_is_a_fault_of_its_own() {
        let mut starts = sample_starts(2);
        starts[0].observation = None;
        let mut world = LearnedWorld::new(model(), Routing::Learned);
        let answers = world.reset(&starts).unwrap();
        assert_eq!(answers[0].as_ref().unwrap_err().kind, FaultKind::WorldBroke);
        assert!(answers[1].is_ok());
    }

    #[test]
    fn imagination_follows_the_actions() {
        let model = model();
        let starts = sample_starts(1);
        let run = |sign: f32| {
            let mut world = LearnedWorld::new(Arc::clone(&model), Routing::Learned);
            world.reset(&starts).unwrap();
            let values = actions(8).view().iter().map(|value| sign * value).collect();
            let chunk = ActionChunk::from_values(2, values).unwrap();
            let step = world.step(&[(starts[0].trial, chunk)]).unwrap().remove(0).unwrap();
            step.steps[7].observation.clone()
        };
        let (there, back) = (run(1.0), run(-1.0));
        assert_ne!(there.proprioception, back.proprioception);
        assert_ne!(there.images, back.images);
    }

    #[test]
    fn one_thread_and_two_give_the_same_bytes() {
        let model = model();
        let starts = sample_starts(4);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut world = LearnedWorld::new(Arc::clone(&model), Routing::Learned);
                world.reset(&starts).unwrap();
                let requests = starts.iter().map(|s| (s.trial, actions(24))).collect::<Vec<_>>();
                world.step(&requests).unwrap()
            })
        };
        assert_eq!(run(1), run(2));
    }
}
