//! The judge's stage: real frames, and imagined ones with the labels of what really happened.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::Rng as _;
use rehearse_scenarios::seed::Seed;

use crate::error::Result;
use crate::flow;
use crate::instruction::InstructionEncoder;
use crate::judge::JudgeInput;
use crate::metrics::roc_auc;
use crate::model::WorldModel;
use crate::train::data::Dataset;
use crate::train::episode::LoggedEpisode;
use crate::train::imagined::ImaginedEpisodes;
use crate::train::stage::Objective;

/// Every so many labelled frames are taken for calibration where none are held back.
const CALIBRATION_STRIDE: usize = 7;

/// One labelled frame.
#[derive(Clone, Copy)]
struct Labelled {
    episode: usize,
    frame: usize,
    done: bool,
    imagined: bool,
}

/// What the judge makes of one labelled frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scored {
    /// Index of the episode within the logs.
    pub episode: usize,
    /// The raw score, and the log odds that are foreseen in an imagined frame (0 elsewhere).
    pub scores: [f32; 2],
    /// The label.
    pub done: bool,
}

pub(crate) struct JudgeObjective<'a> {
    model: &'a WorldModel,
    data: &'a Dataset,
    imagined: Option<(&'a ImaginedEpisodes<'a>, f64)>,
    batch: usize,
    done: Vec<Labelled>,
    open: Vec<Labelled>,
    validation: Vec<Labelled>,
}

impl<'a> JudgeObjective<'a> {
    /// `imagined` comes with the part of the frames that it is to make up; `kept` says which
    /// episodes are asked at all.
    pub fn new(
        model: &'a WorldModel,
        data: &'a Dataset,
        imagined: Option<(&'a ImaginedEpisodes<'a>, f64)>,
        batch: usize,
        kept: &dyn Fn(&LoggedEpisode) -> bool,
    ) -> Self {
        let (done, open) = labelled(&data.train, kept).into_iter().partition(|label| label.done);
        let validation = labelled(&data.validation, kept);
        Self { model, data, imagined, batch, done, open, validation }
    }

    /// Whether there are frames of both kinds to learn from.
    pub fn has_both_outcomes(&self) -> bool {
        !self.done.is_empty() && !self.open.is_empty()
    }

    /// What the judge makes of frames held back: of some training frames where none are.
    pub fn held_back(&self, imagined: bool) -> Result<Vec<Scored>> {
        let (episodes, mut frames) = if self.validation.is_empty() {
            let all = self.done.iter().chain(&self.open).copied();
            (&self.data.train, all.step_by(CALIBRATION_STRIDE).collect::<Vec<_>>())
        } else {
            (&self.data.validation, self.validation.clone())
        };
        for frame in &mut frames {
            frame.imagined = imagined;
        }
        let mut seen = Vec::new();
        for some in frames.chunks(256) {
            let score = self.scores(episodes, some, None)?.to_device(&Device::Cpu)?;
            seen.extend(score.to_vec1::<f32>()?);
        }
        let scored = frames.into_iter().zip(seen).map(|(frame, seen)| {
            let episode = episodes[frame.episode].index;
            let predicted = self.imagined.filter(|_| imagined).map(|(all, _)| all.predicted());
            let odds = predicted.and_then(|all| Some(all.success(episode)?[frame.frame]));
            Scored { episode, scores: [seen, odds.unwrap_or_default()], done: frame.done }
        });
        Ok(scored.collect())
    }

    fn scores(
        &self,
        episodes: &[LoggedEpisode],
        some: &[Labelled],
        noise: Option<Seed>,
    ) -> Result<Tensor> {
        let device = self.model.device();
        let channels = self.model.embodiment.proprioception.len();
        let (mut frame, mut first) = (Vec::new(), Vec::new());
        let (mut state, mut first_state, mut words) = (Vec::new(), Vec::new(), Vec::new());
        for label in some {
            let episode = &episodes[label.episode];
            let imagined = self.imagined.filter(|_| label.imagined);
            let cache = imagined.map_or(&self.data.cache, |(imagined, _)| imagined.cache());
            cache.read(episode.index, label.frame..label.frame + 1, &mut frame)?;
            self.data.cache.read(episode.index, 0..1, &mut first)?;
            let guessed =
                imagined.and_then(|(imagined, _)| imagined.predicted().states(episode.index));
            let at = label.frame * channels;
            state.extend_from_slice(&guessed.unwrap_or(&episode.states)[at..at + channels]);
            first_state.extend_from_slice(&episode.states[..channels]);
            words.push(self.model.instruction.encode(&episode.instruction, device)?);
        }
        let count = some.len();
        let shape = (count, self.model.tokenizer.patches(), self.model.tokenizer.coefficients());
        let mut frame = Tensor::from_vec(frame, shape, device)?;
        let mut state = Tensor::from_vec(state, (count, channels), device)?;
        if let Some(seed) = noise {
            let noise = flow::normal(&[seed.child("frame")], frame.dims(), device)?.squeeze(0)?;
            frame = (frame + (noise * self.model.config.judge.noise)?)?;
            let noise = flow::normal(&[seed.child("state")], state.dims(), device)?.squeeze(0)?;
            state = (state + noise.broadcast_mul(&(&self.model.statistics.step_scale * 0.5)?)?)?;
        }
        self.model.judge.score(&JudgeInput {
            frame: &frame,
            first: &Tensor::from_vec(first, shape, device)?,
            state: &state,
            first_state: &Tensor::from_vec(first_state, (count, channels), device)?,
            instruction: &InstructionEncoder::pool(&Tensor::stack(&words, 0)?)?.detach(),
        })
    }
}

impl Objective for JudgeObjective<'_> {
    fn loss(&self, seed: Seed) -> Result<Tensor> {
        let mut rng = seed.rng();
        let part = self.imagined.map_or(0.0, |(_, part)| part);
        let some = (0..self.batch)
            .map(|i| {
                let from = if i % 2 == 0 { &self.done } else { &self.open };
                let label = from[rng.random_range(0..from.len())];
                Labelled { imagined: rng.random_bool(part), ..label }
            })
            .collect::<Vec<_>>();
        let labels = some.iter().map(|l| f32::from(u8::from(l.done))).collect::<Vec<_>>();
        let labels = Tensor::from_vec(labels, some.len(), self.model.device())?;
        let scores = self.scores(&self.data.train, &some, Some(seed.child("noise")))?;
        // log(1 + e^x) - y x, written so that no exponential overflows.
        let soft = ((scores.abs()?.neg()?.exp()? + 1.0)?.log()? + scores.relu()?)?;
        Ok((soft - (scores * labels)?)?.mean_all()?)
    }

    fn validate(&self) -> Result<BTreeMap<String, f64>> {
        let mut measured = BTreeMap::new();
        for (name, imagined) in [("auc", false), ("auc_imagined", true)] {
            if imagined && self.imagined.is_none() {
                continue;
            }
            let scored = self.held_back(imagined)?;
            let auc = roc_auc(&seen(&scored), &labels(&scored));
            measured.extend(auc.map(|auc| (name.to_owned(), auc)));
        }
        Ok(measured)
    }
}

/// The raw scores alone.
pub(crate) fn seen(scored: &[Scored]) -> Vec<f32> {
    scored.iter().map(|frame| frame.scores[0]).collect()
}

/// The labels alone.
pub(crate) fn labels(scored: &[Scored]) -> Vec<bool> {
    scored.iter().map(|frame| frame.done).collect()
}

fn labelled(episodes: &[LoggedEpisode], kept: &dyn Fn(&LoggedEpisode) -> bool) -> Vec<Labelled> {
    episodes
        .iter()
        .enumerate()
        .filter(|(_, logged)| kept(logged))
        .flat_map(|(episode, logged)| {
            logged.success.iter().enumerate().filter_map(move |(frame, done)| {
                done.map(|done| Labelled { episode, frame, done, imagined: false })
            })
        })
        .collect()
}
