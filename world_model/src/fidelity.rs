//! How faithful imagination is: a test split replayed open loop, against depth and baselines.

use std::collections::BTreeMap;

use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::checkpoint::check_rig;
use crate::comparison::{Comparison, Shown, Tally};
use crate::counterfactual::{Counterfactual, counterfactual};
use crate::error::Result;
use crate::metrics::roc_auc;
use crate::model::WorldModel;
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS};
use crate::perception::{CLIP, Measures};
use crate::replay::{Replay, Truth};
use crate::routing::Routing;

/// Version of the report's format.
pub const FORMAT: u32 = 1;

/// Probability from which the judge says that the task is done.
pub(crate) const DONE: f32 = 0.5;

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
    /// What LPIPS and FVD were measured with, where they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Networks>,
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
    /// Mean LPIPS at the model's resolution, where there are weights for it; 0 is alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lpips: Option<f64>,
    /// FVD between the recorded and the shown clips, at depth `all` and where there are weights for
    /// it; 0 is alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fvd: Option<f64>,
}

/// The networks that measured, without which their numbers cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Networks {
    /// Digest of the weights of LPIPS, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lpips: Option<String>,
    /// Digest of the weights of FVD, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fvd: Option<String>,
    /// Clips on either side of FVD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clips: Option<usize>,
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

/// Replays a split of `log` and measures, with networks too where `measures` has them.
///
/// # Errors
/// [`ModelError`](crate::ModelError): logs of another rig, an empty split, a damaged log, too small
/// frames or too few clips for a measure.
pub fn fidelity(
    model: &WorldModel,
    log: &RobotLog,
    options: &FidelityOptions,
    measures: Measures<'_>,
    note: &mut dyn FnMut(&str),
) -> Result<Fidelity> {
    check_rig(&model.embodiment, log.embodiment())?;
    let truths = Truth::read_split(model, log, &options.split, options.episodes)?;
    if measures.fvd.is_some() {
        note(&format!("looking at {} recorded episodes", truths.len()));
    }
    let comparison = Comparison::new(model, measures, &truths, &options.split)?;
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
        let mut tally = Tally::default();
        for some in truths.chunks(options.batch.max(1)) {
            for (truth, replay) in some.iter().zip(Replay::run(model, some, routing, seed)?) {
                comparison.add(truth, &Shown::imagined(model, &replay)?, &mut tally)?;
                if routing == Routing::Learned {
                    mixture.push(replay);
                }
            }
        }
        rows.extend(comparison.rows(&name, &tally)?);
    }
    for (name, first) in [("first-frame-held", true), ("previous-frame-held", false)] {
        let mut tally = Tally::default();
        for truth in &truths {
            let held = |frame: usize| if first { 0 } else { frame - 1 };
            comparison.add(truth, &Shown::recorded(truth, held), &mut tally)?;
        }
        rows.extend(comparison.rows(name, &tally)?);
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
        networks: networks(measures, comparison.clips()),
        notes: notes(measures, comparison.clips()),
    })
}

fn networks(Measures { lpips, fvd }: Measures<'_>, clips: usize) -> Option<Networks> {
    (lpips.is_some() || fvd.is_some()).then(|| Networks {
        lpips: lpips.map(|measure| measure.digest().to_owned()),
        fvd: fvd.map(|measure| measure.digest().to_owned()),
        clips: fvd.map(|_| clips),
    })
}

fn notes(Measures { lpips, fvd }: Measures<'_>, clips: usize) -> Vec<String> {
    let missing = [("LPIPS", lpips.is_none()), ("FVD", fvd.is_none())]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect::<Vec<_>>();
    let absent = (!missing.is_empty())
        .then(|| format!("{}: not computed, no network weights given", missing.join(" and ")));
    let few = fvd.map(|_| {
        format!(
            "FVD: over {clips} clips of {CLIP} frames on either side; the fewer, the larger it \
             comes out, so compare figures over as many only"
        )
    });
    absent.into_iter().chain(few).collect()
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
