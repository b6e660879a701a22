//! A cloned policy that acts.

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha12Rng;
use rand_distr::{Distribution as _, StandardNormal};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{
    Begin, InterfaceError, PerTrial, Policy, PolicyInfo, TrialHandle,
};
use rehearse_scenarios::local::OpenTrials;
use rehearse_scenarios::observation::{Image, Observation};
use rehearse_scenarios::outcome::{Fault, FaultKind};
use rehearse_world_model::config::TokenConfig;
use rehearse_world_model::tokenizer::Layout;

use super::checkpoint::Manifest;
use super::config::CloneConfig;
use super::demonstrations::patches_of;
use super::error::Result;
use super::model::CloneModel;

/// Most trials in one request.
const MAX_BATCH: usize = 64;

/// A cloned policy.
///
/// The noise of each trial is drawn from the trial's own seed.
#[derive(Debug)]
pub struct ClonedPolicy {
    info: PolicyInfo,
    model: CloneModel,
    manifest: Manifest,
    layout: Layout,
    grippers: Vec<usize>,
    trials: OpenTrials<ChaCha12Rng>,
}

impl ClonedPolicy {
    /// A policy from a file that was [loaded](super::load), under its recipe's name.
    ///
    /// # Errors
    /// If the rig has no camera.
    pub fn new(model: CloneModel, manifest: Manifest, digest: String) -> Result<Self> {
        let embodiment = manifest.embodiment.clone();
        Ok(Self {
            layout: whole_images(&manifest.config, &embodiment)?,
            grippers: embodiment.gripper_actions(),
            info: PolicyInfo {
                name: manifest.config.name.clone(),
                embodiment,
                chunk: manifest.config.chunk,
                max_batch: MAX_BATCH,
                digest: Some(digest),
            },
            model,
            manifest,
            trials: OpenTrials::default(),
        })
    }

    /// The same policy under another name.
    #[must_use]
    pub fn named(mut self, name: String) -> Self {
        self.info.name = name;
        self
    }

    /// What it is, as its file says.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// An observation's patches and normalised proprioception.
    fn inputs(&self, seen: &Observation) -> Result<[Vec<f32>; 2], Fault> {
        let fault = |message: String| Fault::new(FaultKind::PolicyCrashed, message);
        let rig = &self.info.embodiment;
        let images = rig
            .cameras
            .iter()
            .map(|camera| {
                seen.images
                    .get(&camera.name)
                    .ok_or_else(|| fault(format!("the observation lacks camera {:?}", camera.name)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (expected, got) = (rig.proprioception.len(), seen.proprioception.len());
        if expected != got {
            return Err(fault(format!("proprioception has {got} channels, expected {expected}")));
        }
        let pixels = pixels_of(&self.layout, &images).map_err(|error| fault(error.to_string()))?;
        let state: Vec<f32> = self.manifest.normalisation.state(&seen.proprioception).collect();
        Ok([patches_of(&pixels, &self.manifest.config, [0, 0]), state])
    }

    /// The network's answers, `chunk × actions` values each.
    fn infer(&self, inputs: &[(&str, [Vec<f32>; 2])]) -> Result<Vec<Vec<f32>>> {
        let device = &Device::Cpu;
        let shape = self.model.shape();
        let count = inputs.len();
        let gather = |part: usize| -> Vec<f32> {
            inputs.iter().flat_map(|(_, input)| input[part].iter().copied()).collect()
        };
        let patches = Tensor::from_vec(gather(0), (count, shape.patches, shape.values), device)?;
        let state = Tensor::from_vec(gather(1), (count, shape.states), device)?;
        let mut texts: Vec<&str> = inputs.iter().map(|(text, _)| *text).collect();
        texts.sort_unstable();
        texts.dedup();
        let which: Vec<u32> = inputs
            .iter()
            .map(|(text, _)| texts.partition_point(|known| known < text) as u32)
            .collect();
        let which = Tensor::from_vec(which, count, device)?;
        let instruction = self.model.instructions(&texts, device)?.index_select(&which, 0)?;
        let actions = self.model.forward(&patches, &state, &instruction)?;
        Ok(actions.flatten_from(1)?.to_vec2::<f32>()?)
    }

    /// The chunk that is executed for the network's answer.
    fn chunk(&self, values: &[f32], rng: &mut ChaCha12Rng) -> PerTrial<ActionChunk> {
        let CloneConfig { gain, noise, .. } = self.manifest.config;
        let channels = self.info.embodiment.actions.len();
        let actions = values
            .iter()
            .enumerate()
            .map(|(at, value)| {
                let channel = at % channels;
                let factor = if self.grippers.contains(&channel) { 1.0 } else { gain as f32 };
                let draw: f64 = if noise > 0.0 { StandardNormal.sample(rng) } else { 0.0 };
                let value = value.clamp(-1.0, 1.0) * factor + (noise * draw) as f32;
                self.manifest.normalisation.executed(channel, value)
            })
            .collect();
        ActionChunk::from_values(channels, actions)
            .map_err(|error| Fault::new(FaultKind::MalformedAction, error.to_string()))
    }
}

impl Policy for ClonedPolicy {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        self.trials.check_new(trials.iter().map(|begin| begin.trial))?;
        for begin in trials {
            self.trials.open(begin.trial, begin.seed.rng());
        }
        Ok(vec![Ok(()); trials.len()])
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        self.trials.check_open(requests.iter().map(|(trial, _)| *trial))?;
        let mut sound = vec![];
        let seen: Vec<PerTrial<()>> = requests
            .iter()
            .map(|(_, observation)| {
                sound.push((&*observation.instruction, self.inputs(observation)?));
                Ok(())
            })
            .collect();
        let mut answers = vec![];
        for part in sound.chunks(MAX_BATCH) {
            answers.extend(self.infer(part).map_err(|error| InterfaceError::Failed {
                side: format!("policy {}", self.info.name),
                message: error.to_string(),
                source: Some(Box::new(error)),
            })?);
        }
        let mut answers = answers.into_iter();
        let mut chunks = vec![];
        for ((trial, _), seen) in requests.iter().zip(seen) {
            let mut rng = self.trials.get_mut(*trial)?.clone();
            chunks.push(seen.and_then(|()| match answers.next() {
                Some(values) => self.chunk(&values, &mut rng),
                None => Err(Fault::new(FaultKind::PolicyCrashed, "no answer")),
            }));
            *self.trials.get_mut(*trial)? = rng;
        }
        Ok(chunks)
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        for &trial in trials {
            self.trials.close(trial);
        }
    }
}

/// The layout that takes each camera's image as one patch.
pub(super) fn whole_images(config: &CloneConfig, rig: &Embodiment) -> Result<Layout> {
    let side = config.image;
    let whole = TokenConfig { height: side, width: side, patch: side, ..TokenConfig::default() };
    Ok(Layout::new(&whole, &rig.cameras)?)
}

/// The images of one frame at the recipe's size, one after another.
pub(super) fn pixels_of(layout: &Layout, images: &[&Image]) -> Result<Vec<u8>> {
    let values = layout.patches_of_images(images)?;
    Ok(values.iter().map(|value| (value * 255.0).round() as u8).collect())
}
