//! How faithful imagination is: a test split replayed open loop, against depth and baselines.

use std::collections::BTreeMap;

use rayon::prelude::*;
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::checkpoint::check_rig;
use crate::counterfactual::{Counterfactual, counterfactual};
use crate::error::Result;
use crate::metrics::{psnr, quantile, roc_auc, ssim};
use crate::model::WorldModel;
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS};
use crate::replay::{Replay, Truth};
use crate::routing::Routing;
use crate::statistics::position_channels;

/// Version of the report's format.
pub const FORMAT: u32 = 1;

/// Probability from which the judge says that the task is done.
pub(crate) const DONE: f32 = 0.5;

/// Bins of rollout depth: name, first frame, first frame after. The start is frame 0.
const DEPTHS: [(&str, usize, usize); 6] = [
    ("8-16", 8, 16),
    ("16-32", 16, 32),
    ("32-64", 32, 64),
    ("64-72", 64, 72),
    ("32-end", 32, usize::MAX),
    ("all", 1, usize::MAX),
];

/// What is replayed, and how.
#[derive(Clone, Debug)]
pub struct FidelityOptions {
    /// Name of the split. Default `test`.
    pub split: String,
    /// Most episodes; all if `None`.
    pub episodes: Option<usize>,
    /// Trials imagined at once. Default 16.
    pub batch: usize,
    /// Seed of the imagination's noise.
    pub seed: u64,
}

impl Default for FidelityOptions {
    fn default() -> Self {
        Self { split: "test".to_owned(), episodes: None, batch: 16, seed: 0 }
    }
}

/// The report: `fidelity.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fidelity {
    /// Version of this format.
    pub format: u32,
    /// Digest of the checkpoint that was measured: for whoever loaded it to say.
    #[serde(default)]
    pub checkpoint: Option<String>,
    /// Name of the split.
    pub split: String,
    /// Episodes replayed.
    pub episodes: usize,
    /// A row per model and depth.
    pub rows: Vec<FidelityRow>,
    /// The router against the partition's labels.
    pub router: RouterFidelity,
    /// The judge, task by task.
    pub judge: Vec<JudgeFidelity>,
    /// How far courses of action from one start are told from each other, where the split holds
    /// episodes that begin alike.
    #[serde(default)]
    pub counterfactual: Option<Counterfactual>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// Errors of one model at one depth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FidelityRow {
    /// `mixture`, `fixed-8` … `fixed-32`, `first-frame-held`, `previous-frame-held`.
    pub model: String,
    /// Frames after the start, such as `8-16`: from 8 up to but without 16.
    pub depth: String,
    /// Frames measured.
    pub frames: usize,
    /// Mean PSNR in dB at the model's resolution.
    pub psnr: Option<f64>,
    /// Mean SSIM at the model's resolution.
    pub ssim: Option<f64>,
    /// Root mean square of the hand's distance from its true position, in the log's unit
    /// (metres).
    pub state_rmse: Option<f64>,
    /// Median of that distance.
    pub state_median: Option<f64>,
    /// 95th percentile of that distance.
    pub state_p95: Option<f64>,
}

/// How often the router names the partition's length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterFidelity {
    /// Part of the decisions that are right; `None` without a decision.
    pub accuracy: Option<f64>,
    /// `confusion[label][choice]`.
    pub confusion: [[usize; MAX_BASE_CHUNKS]; MAX_BASE_CHUNKS],
}

/// How well the judge tells success, on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeFidelity {
    /// The task.
    pub task: String,
    /// Area under the ROC curve on real frames; `None` unless there are both labels.
    pub auc: Option<f64>,
    /// Real frames, `confusion[truth][verdict]`.
    pub confusion: [[usize; 2]; 2],
    /// Part of the episodes whose outcome is judged right from their imagined replay.
    pub imagined_accuracy: Option<f64>,
    /// Imagined episodes, `confusion[truth][verdict]`.
    pub imagined_confusion: [[usize; 2]; 2],
}

/// Replays a split of `log` and measures.
///
/// # Errors
/// [`ModelError`](crate::ModelError): logs of another rig, an empty split, a damaged log.
pub fn fidelity(
    model: &WorldModel,
    log: &RobotLog,
    options: &FidelityOptions,
    note: &mut dyn FnMut(&str),
) -> Result<Fidelity> {
    check_rig(&model.embodiment, log.embodiment())?;
    let truths = Truth::read_split(model, log, &options.split, options.episodes)?;
    let mut rows = Vec::new();
    let mut mixture = Vec::new();
    let seed = Seed::root(options.seed).child("fidelity");
    let mut routings = vec![("mixture".to_owned(), Routing::Learned)];
    routings.extend(
        (0..MAX_BASE_CHUNKS).map(|expert| {
            (format!("fixed-{}", (expert + 1) * BASE_CHUNK), Routing::Fixed { expert })
        }),
    );
    for (name, routing) in routings {
        note(&format!("replaying {} episodes: {name}", truths.len()));
        let mut frames = Vec::new();
        for some in truths.chunks(options.batch.max(1)) {
            for (truth, replay) in some.iter().zip(Replay::run(model, some, routing, seed)?) {
                frames.extend(compare(model, truth, &replay)?);
                if routing == Routing::Learned {
                    mixture.push(replay);
                }
            }
        }
        rows.extend(summarise(&name, &frames));
    }
    for (name, held) in [("first-frame-held", true), ("previous-frame-held", false)] {
        let mut frames = Vec::new();
        for truth in &truths {
            frames.extend(compare_held(model, truth, held));
        }
        rows.extend(summarise(name, &frames));
    }
    note("asking router and judge");
    let judged = mixture.iter().map(|r| r.success.iter().any(|&p| p >= DONE)).collect::<Vec<_>>();
    Ok(Fidelity {
        format: FORMAT,
        checkpoint: None,
        split: options.split.clone(),
        episodes: truths.len(),
        rows,
        router: router(model, &truths)?,
        judge: judge(model, &truths, &judged)?,
        counterfactual: counterfactual(model, &truths, &mixture)?,
        notes: vec!["LPIPS and FVD: not computed, no network weights given".to_owned()],
    })
}

/// One frame's errors.
struct FrameErrors {
    depth: usize,
    psnr: f64,
    ssim: Option<f64>,
    distance: f64,
}

fn compare(model: &WorldModel, truth: &Truth, replay: &Replay) -> Result<Vec<FrameErrors>> {
    let pixels = model.tokenizer.decode(&replay.latents)?;
    let each = model.tokenizer.patches() * model.tokenizer.layout().values();
    let guesses = pixels.chunks_exact(each).collect::<Vec<_>>();
    let channels = model.embodiment.proprioception.len();
    Ok(guesses
        .into_par_iter()
        .enumerate()
        .map(|(index, guess)| {
            let state = &replay.states[index * channels..(index + 1) * channels];
            frame_errors(model, truth, index + 1, guess, state)
        })
        .collect())
}

fn compare_held(model: &WorldModel, truth: &Truth, first: bool) -> Vec<FrameErrors> {
    (1..truth.episode.frames)
        .into_par_iter()
        .map(|frame| {
            let shown = if first { 0 } else { frame - 1 };
            let guess =
                truth.patches[shown].iter().map(|&v| f32::from(v) / 255.0).collect::<Vec<_>>();
            frame_errors(model, truth, frame, &guess, truth.state(shown))
        })
        .collect()
}

fn frame_errors(
    model: &WorldModel,
    truth: &Truth,
    frame: usize,
    guess: &[f32],
    state: &[f32],
) -> FrameErrors {
    let layout = model.tokenizer.layout();
    let (height, width) = (model.config.tokens.height, model.config.tokens.width);
    let real = truth.patches[frame].iter().map(|&v| f32::from(v) / 255.0).collect::<Vec<_>>();
    let views = layout.views_of(guess).into_iter().zip(layout.views_of(&real));
    let (mut peak, mut structure, mut count) = (0.0, Some(0.0), 0.0);
    for (guess, real) in views {
        peak += psnr(&guess, &real);
        structure = structure.zip(ssim(&guess, &real, height, width)).map(|(sum, s)| sum + s);
        count += 1.0;
    }
    let square = position_channels(&model.embodiment)
        .into_iter()
        .map(|channel| f64::from(state[channel] - truth.state(frame)[channel]).powi(2))
        .sum::<f64>();
    FrameErrors {
        depth: frame,
        psnr: peak / count,
        ssim: structure.map(|sum| sum / count),
        distance: square.sqrt(),
    }
}

fn summarise(model: &str, frames: &[FrameErrors]) -> Vec<FidelityRow> {
    DEPTHS
        .iter()
        .map(|&(depth, from, to)| {
            let some = frames.iter().filter(|f| (from..to).contains(&f.depth)).collect::<Vec<_>>();
            let mean = |values: &[f64]| {
                (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
            };
            let mut distances = some.iter().map(|f| f.distance).collect::<Vec<_>>();
            let squares = distances.iter().map(|d| d * d).collect::<Vec<_>>();
            FidelityRow {
                model: model.to_owned(),
                depth: depth.to_owned(),
                frames: some.len(),
                psnr: mean(&some.iter().map(|f| f.psnr).collect::<Vec<_>>()),
                ssim: mean(&some.iter().filter_map(|f| f.ssim).collect::<Vec<_>>()),
                state_rmse: mean(&squares).map(f64::sqrt),
                state_median: quantile(&mut distances, 0.5),
                state_p95: quantile(&mut distances, 0.95),
            }
        })
        .collect()
}

fn router(model: &WorldModel, truths: &[Truth]) -> Result<RouterFidelity> {
    let mut confusion = [[0; MAX_BASE_CHUNKS]; MAX_BASE_CHUNKS];
    for truth in truths {
        for (label, choice) in truth.routed(model)? {
            confusion[label][choice] += 1;
        }
    }
    let all: usize = confusion.iter().flatten().sum();
    let right: usize = (0..MAX_BASE_CHUNKS).map(|i| confusion[i][i]).sum();
    let accuracy = (all > 0).then(|| right as f64 / all as f64);
    Ok(RouterFidelity { accuracy, confusion })
}

fn judge(model: &WorldModel, truths: &[Truth], imagined: &[bool]) -> Result<Vec<JudgeFidelity>> {
    let mut tasks = BTreeMap::<&str, Vec<usize>>::new();
    for (index, truth) in truths.iter().enumerate() {
        tasks.entry(&truth.episode.task).or_default().push(index);
    }
    tasks
        .into_iter()
        .map(|(task, members)| {
            let (mut scores, mut labels) = (Vec::new(), Vec::new());
            let mut imagined_confusion = [[0; 2]; 2];
            for &index in &members {
                let truth = &truths[index];
                let verdicts: Vec<f32> = truth.judged(model)?;
                for (&verdict, label) in verdicts.iter().zip(&truth.episode.success) {
                    if let Some(label) = label {
                        scores.push(verdict);
                        labels.push(*label);
                    }
                }
                if let Some(outcome) = truth.episode.outcome {
                    imagined_confusion[usize::from(outcome)][usize::from(imagined[index])] += 1;
                }
            }
            let mut confusion = [[0; 2]; 2];
            for (&score, &label) in scores.iter().zip(&labels) {
                confusion[usize::from(label)][usize::from(score >= DONE)] += 1;
            }
            let all: usize = imagined_confusion.iter().flatten().sum();
            let right = imagined_confusion[0][0] + imagined_confusion[1][1];
            Ok(JudgeFidelity {
                task: task.to_owned(),
                auc: roc_auc(&scores, &labels),
                confusion,
                imagined_accuracy: (all > 0).then(|| right as f64 / all as f64),
                imagined_confusion,
            })
        })
        .collect()
}
