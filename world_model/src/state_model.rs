//! Proprioception before pixels: a recurrent network from the first observation and the actions.
//!
//! It runs open loop: its own predictions are fed back, over whole episodes, in training as in a
//! rollout. It is told how far the commanded state runs ahead of the reached one, and it starts
//! from a summary of the first frame, which shows where contact may stop the hand. What else its
//! memory foresees is read off by [`Forecast`].

use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::config::{InstructionConfig, StateConfig};
use crate::error::Result;
use crate::forecast::{Forecast, Foreseen};
use crate::instruction::{InstructionEncoder, Reader};
use crate::nn::ops::{self, repeat_rows};
use crate::nn::{Gru, Linear, linear, linear_scaled};
use crate::statistics::Statistics;

/// The lead of the command over the state is given in units of this many steps' motion.
const LEAD_STEPS: f64 = 4.0;

/// The recurrent model of proprioception.
#[derive(Clone, Debug)]
pub struct StateModel {
    scene: Option<Scene>,
    start: Linear,
    gru: Gru,
    output: Linear,
    forecast: Option<Forecast>,
    statistics: Statistics,
}

#[derive(Clone, Debug)]
struct Scene {
    image: Linear,
    summary: Linear,
    /// An encoder of its own: it is trained before the one that the experts share.
    words: InstructionEncoder,
    instruction: Linear,
}

/// What follows from actions.
#[derive(Clone, Debug)]
pub struct Rolled {
    /// Proprioception after each action, `(batch, steps, channels)`, in the rig's units.
    pub states: Tensor,
    /// What is foreseen at each step, of models that foresee.
    pub foreseen: Option<Foreseen>,
    /// `(batch, steps, width)`.
    hidden: Tensor,
    /// `(batch, steps, channels)`.
    commanded: Tensor,
    /// `(batch, scene)`.
    scene: Option<Tensor>,
}

/// What the model remembers of each trial of a batch.
#[derive(Clone, Debug)]
pub struct StateMemory {
    hidden: Tensor,
    state: Tensor,
    commanded: Tensor,
    scene: Option<Tensor>,
}

impl StateModel {
    /// Loads the model below `vb`.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(
        config: &StateConfig,
        (instruction, reader): (&InstructionConfig, &Reader),
        statistics: &Statistics,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let StateConfig { width, view, scene, forecast } = *config;
        let (actions, states) = statistics.commanded.weight.dims2()?;
        let (patches, coefficients) = statistics.flow_scale.dims2()?;
        Ok(Self {
            scene: (scene > 0)
                .then(|| -> Result<_> {
                    let vb = vb.pp("scene");
                    Ok(Scene {
                        image: linear(patches * coefficients, view, &vb.pp("image"))?,
                        summary: linear(view, scene, &vb.pp("summary"))?,
                        words: InstructionEncoder::new(instruction, reader, &vb.pp("words"))?,
                        instruction: linear(instruction.width, scene, &vb.pp("instruction"))?,
                    })
                })
                .transpose()?,
            start: linear(states + scene, width, &vb.pp("start"))?,
            gru: Gru::new(2 * states + actions + scene, width, &vb.pp("gru"))?,
            output: linear_scaled(width, states, 0.1, &vb.pp("output"))?,
            forecast: (forecast > 0)
                .then(|| Forecast::new(width + scene, forecast, statistics, &vb.pp("forecast")))
                .transpose()?,
            statistics: statistics.clone(),
        })
    }

    /// The memory at the start of trials.
    ///
    /// # Shapes
    /// - `state`: `(batch, proprioceptive channels)`, in the rig's units
    /// - `first`: latents of the first frame, `(batch, patches, coefficients)`
    /// - `instructions`: one per trial
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn begin(
        &self,
        state: &Tensor,
        first: &Tensor,
        instructions: &[&str],
    ) -> Result<StateMemory> {
        let scene = match &self.scene {
            Some(scene) => {
                let words = scene.words.pooled(instructions, state.device())?;
                let image = ops::gelu(&scene.image.forward(&first.flatten_from(1)?)?)?;
                let sum = (scene.summary.forward(&image)? + scene.instruction.forward(&words)?)?;
                Some(sum.tanh()?)
            }
            None => None,
        };
        let normal = self.statistics.normal_state(state)?;
        let start = match &scene {
            Some(scene) => Tensor::cat(&[&normal, scene], 1)?,
            None => normal,
        };
        Ok(StateMemory {
            hidden: self.start.forward(&start)?.tanh()?,
            state: state.clone(),
            commanded: state.clone(),
            scene,
        })
    }

    /// What follows from actions.
    ///
    /// # Shapes
    /// - `actions`: `(batch, steps, action channels)`, in the rig's units
    ///
    /// # Errors
    /// A tensor error if a shape disagrees, or without a step.
    pub fn roll(&self, memory: &StateMemory, actions: &Tensor) -> Result<Rolled> {
        let StateMemory { hidden, state, commanded, scene } = memory;
        let Statistics { state_scale, step_scale, .. } = &self.statistics;
        let (_, steps, controls) = actions.dims3()?;
        let states = state.dim(1)?;
        let each_step = |row: &Tensor| {
            let (batch, values) = row.dims2()?;
            row.unsqueeze(1)?.broadcast_as((batch, steps, values))?.contiguous()
        };
        // What the gates would read if the rig stood still is known for all steps at once.
        let commanded = self.statistics.commanded.after(commanded, actions)?;
        let lead = commanded
            .broadcast_sub(&state.unsqueeze(1)?)?
            .broadcast_div(&(step_scale * LEAD_STEPS)?)?;
        let position = each_step(&self.statistics.normal_state(state)?)?;
        let scene_each_step = scene.as_ref().map(each_step).transpose()?;
        let mut parts = vec![position, self.statistics.normal_action(actions)?, lead];
        parts.extend(scene_each_step.clone());
        let known = self.gru.input().forward(&Tensor::cat(&parts, 2)?)?;
        // It moves by the sum of its outputs, in units of a step's motion: position gains by that,
        // and the command's lead falls back.
        let weight = self.gru.input().weight();
        let from_position = weight.narrow(0, 0, states)?;
        let from_lead = (weight.narrow(0, states + controls, states)? / LEAD_STEPS)?;
        let gain = (step_scale / state_scale)?.unsqueeze(1)?;
        let feedback = (from_position.broadcast_mul(&gain)? - from_lead)?;
        let (hidden, moved) = self.gru.roll(&known, hidden, &feedback, &self.output)?;
        let states = moved.broadcast_mul(step_scale)?.broadcast_add(&state.unsqueeze(1)?)?;
        let foreseen = match (&self.forecast, scene_each_step) {
            (Some(forecast), Some(scene)) => {
                Some(forecast.forward(&Tensor::cat(&[&hidden, &scene], 2)?)?)
            }
            (Some(forecast), None) => Some(forecast.forward(&hidden)?),
            (None, _) => None,
        };
        Ok(Rolled { states, foreseen, hidden, commanded, scene: scene.clone() })
    }

    /// The actions of a controller that sees the predicted proprioception at every step,
    /// `(batch, steps, action channels)`.
    ///
    /// `act` is given the step and the proprioception before it, `(batch, channels)`, and returns
    /// actions `(batch, action channels)`, both in the rig's units.
    ///
    /// # Errors
    /// What `act` returns, or a tensor error if a shape disagrees.
    pub fn steer(
        &self,
        memory: &StateMemory,
        steps: usize,
        mut act: impl FnMut(usize, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut memory = memory.clone();
        let mut actions = Vec::with_capacity(steps);
        for step in 0..steps {
            let action = act(step, &memory.state)?.unsqueeze(1)?;
            memory = self.roll(&memory, &action)?.memory(1)?;
            actions.push(action);
        }
        Ok(Tensor::cat(&actions, 1)?)
    }
}

impl Rolled {
    /// The memory after so many steps, one at least.
    ///
    /// # Errors
    /// A tensor error past the last step.
    pub(crate) fn memory(&self, steps: usize) -> Result<StateMemory> {
        let last = |tensor: &Tensor| tensor.narrow(1, steps - 1, 1)?.squeeze(1)?.contiguous();
        Ok(StateMemory {
            hidden: last(&self.hidden)?,
            state: last(&self.states)?,
            commanded: last(&self.commanded)?,
            scene: self.scene.clone(),
        })
    }
}

impl StateMemory {
    /// Proprioception, `(batch, channels)`.
    pub fn state(&self) -> &Tensor {
        &self.state
    }

    /// Puts what was measured, `(batch, channels)`, in the place of what was predicted. The
    /// command keeps its lead over the state: one that stayed behind would pull the hand back to
    /// where it was thought to be.
    pub(crate) fn correct(&mut self, state: &Tensor) -> Result<()> {
        self.commanded = (&self.commanded + (state - &self.state)?)?;
        self.state = state.clone();
        Ok(())
    }

    /// The memory of one trial, `count` times.
    ///
    /// # Errors
    /// A tensor error if there are several trials.
    pub fn repeat(&self, count: usize) -> Result<Self> {
        Ok(Self {
            hidden: repeat_rows(&self.hidden, count)?,
            state: repeat_rows(&self.state, count)?,
            commanded: repeat_rows(&self.commanded, count)?,
            scene: self.scene.as_ref().map(|scene| repeat_rows(scene, count)).transpose()?,
        })
    }

    /// Puts the memories of several batches into one.
    ///
    /// # Errors
    /// A tensor error if they do not go together.
    pub fn cat(parts: &[&Self]) -> Result<Self> {
        let cat = |field: fn(&Self) -> &Tensor| {
            Tensor::cat(&parts.iter().map(|part| field(part)).collect::<Vec<_>>(), 0)
        };
        let scenes = parts.iter().filter_map(|part| part.scene.as_ref()).collect::<Vec<_>>();
        Ok(Self {
            hidden: cat(|part| &part.hidden)?,
            state: cat(|part| &part.state)?,
            commanded: cat(|part| &part.commanded)?,
            scene: if scenes.is_empty() { None } else { Some(Tensor::cat(&scenes, 0)?) },
        })
    }

    /// The memory of one trial of the batch.
    ///
    /// # Errors
    /// A tensor error past the end of the batch.
    pub fn row(&self, index: usize) -> Result<Self> {
        let row = |tensor: &Tensor| tensor.narrow(0, index, 1);
        Ok(Self {
            hidden: row(&self.hidden)?,
            state: row(&self.state)?,
            commanded: row(&self.commanded)?,
            scene: self.scene.as_ref().map(row).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rehearse_scenarios::embodiment::{Channel, Embodiment};
    use rehearse_scenarios::seed::Seed;
    use rehearse_scenarios::testing::sample_rig;

    use super::*;
    use crate::flow::normal;
    use crate::nn::Variables;

    const PATCHES: usize = 2;
    const COEFFICIENTS: usize = 6;

    fn draw(name: &str, shape: &[usize]) -> Tensor {
        let seed = Seed::root(6).child(name);
        normal(&[seed], shape, &Device::Cpu).unwrap().squeeze(0).unwrap()
    }

    /// A model of three channels and two actions, the last channel commanded by a target.
    fn model() -> (Variables, StateModel) {
        let names = |names: &[&str]| names.iter().map(|&name| Channel::named(name)).collect();
        let rig = Embodiment {
            proprioception: names(&["x", "y", "gripper"]),
            actions: names(&["dx", "grip"]),
            ..sample_rig()
        };
        let row = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let statistics = [
            ("state_mean", row(&[0.5, -0.2, 0.1])),
            ("state_scale", row(&[0.2, 0.1, 0.3])),
            ("step_scale", row(&[0.01, 0.02, 0.1])),
            ("action_mean", row(&[0.1, 0.0])),
            ("action_scale", row(&[0.6, 0.9])),
            ("commanded.weight", (draw("commanded", &[2, 3]) * 0.02).unwrap()),
            ("commanded.delta", row(&[1.0, 1.0, 0.0])),
            ("commanded.low", row(&[0.4, -1.0, -1.0])),
            ("commanded.high", row(&[0.6, 1.0, 1.0])),
        ];
        let statistics =
            statistics.into_iter().map(|(name, tensor)| (format!("statistics.{name}"), tensor));
        let variables = Variables::from_tensors(Seed::root(5), &statistics.collect()).unwrap();
        let vb = variables.builder(&Device::Cpu, &["state."]);
        let statistics =
            Statistics::new(&rig, PATCHES, COEFFICIENTS, &vb.pp("statistics")).unwrap();
        let words = InstructionConfig { width: 8, words: 3, buckets: 16, t5: None };
        let words = (&words, &Reader::Letters { buckets: words.buckets });
        let config = StateConfig { width: 24, view: 15, scene: 5, forecast: 2 };
        let model = StateModel::new(&config, words, &statistics, &vb.pp("state")).unwrap();
        (variables, model)
    }

    fn start(model: &StateModel, batch: usize) -> StateMemory {
        let state = (draw("state", &[batch, 3]) * 0.1).unwrap();
        let first = draw("first", &[batch, PATCHES, COEFFICIENTS]);
        model.begin(&state, &first, &vec!["open the drawer"; batch]).unwrap()
    }

    /// One step at a time, as it is meant: memory and proprioception after each.
    fn step_by_step(model: &StateModel, memory: &StateMemory, actions: &Tensor) -> [Tensor; 2] {
        let StateMemory { mut hidden, mut state, mut commanded, scene } = memory.clone();
        let (statistics, scene) = (&model.statistics, scene.unwrap());
        let step_scale = &statistics.step_scale;
        let none = Tensor::zeros((3, 3 * 24), hidden.dtype(), &Device::Cpu).unwrap();
        let mut path = [Vec::new(), Vec::new()];
        for step in 0..actions.dim(1).unwrap() {
            let action = actions.narrow(1, step, 1).unwrap();
            commanded = statistics.commanded.after(&commanded, &action).unwrap();
            commanded = commanded.squeeze(1).unwrap();
            let lead = ((&commanded - &state).unwrap())
                .broadcast_div(&(step_scale * LEAD_STEPS).unwrap())
                .unwrap();
            let position = statistics.normal_state(&state).unwrap();
            let action = statistics.normal_action(&action.squeeze(1).unwrap()).unwrap();
            let read = Tensor::cat(&[&position, &action, &lead, &scene], 1).unwrap();
            let known = model.gru.input().forward(&read).unwrap().unsqueeze(1).unwrap();
            let (next, change) = model.gru.roll(&known, &hidden, &none, &model.output).unwrap();
            hidden = next.squeeze(1).unwrap();
            let change = change.squeeze(1).unwrap().broadcast_mul(step_scale).unwrap();
            state = (state + change).unwrap();
            path[0].push(hidden.clone());
            path[1].push(state.clone());
        }
        path.map(|steps| Tensor::stack(&steps, 1).unwrap())
    }

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn close(a: &Tensor, b: &Tensor, what: &str) {
        let (a, b) = (flat(a), flat(b));
        let most = b.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() <= 1e-5 * most, "{what}: {a} against {b} of {most}");
        }
    }

    #[test]
    fn a_roll_equals_its_steps_and_so_do_its_gradients() {
        let (variables, model) = model();
        let actions = draw("actions", &[4, 30, 2]);
        let weigh = |[hidden, states]: [&Tensor; 2]| {
            let weighed = |name: &str, tensor: &Tensor| {
                (tensor * draw(name, tensor.dims())).unwrap().sum_all().unwrap()
            };
            (weighed("hidden", hidden) + weighed("states", states)).unwrap().backward().unwrap()
        };
        let memory = start(&model, 4);
        let rolled = model.roll(&memory, &actions).unwrap();
        let [hidden, states] = step_by_step(&model, &memory, &actions);
        close(&rolled.hidden, &hidden, "memory");
        close(&rolled.states, &states, "proprioception");
        let gradients = [weigh([&rolled.hidden, &rolled.states]), weigh([&hidden, &states])];
        let mut compared = 0;
        for (name, var) in variables.below("state.") {
            if let [Some(a), Some(b)] = gradients.each_ref().map(|all| all.get(&var)) {
                close(a, b, &name);
                compared += 1;
            }
        }
        assert!(compared >= 10, "{compared} gradients");
    }

    #[test]
    fn a_roll_goes_on_from_its_memory_and_a_batch_equals_its_singles() {
        let (_, model) = model();
        let actions = draw("actions", &[7, 20, 2]);
        let memory = start(&model, 7);
        let whole = model.roll(&memory, &actions).unwrap();
        let then =
            model.roll(&whole.memory(12).unwrap(), &actions.narrow(1, 12, 8).unwrap()).unwrap();
        close(&then.states, &whole.states.narrow(1, 12, 8).unwrap(), "second part");
        for row in 0..7 {
            let alone =
                model.roll(&memory.row(row).unwrap(), &actions.narrow(0, row, 1).unwrap()).unwrap();
            assert_eq!(flat(&alone.states), flat(&whole.states.get(row).unwrap()));
            let foreseen = |rolled: &Rolled| rolled.foreseen.clone().unwrap().success;
            assert_eq!(flat(&foreseen(&alone)), flat(&foreseen(&whole).get(row).unwrap()));
        }
    }
}
