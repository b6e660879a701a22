//! Failures of the worst policies, as strips of a few frames.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, ImageEncoder as _, RgbImage};
use rehearse_scenarios::log::{Column, RobotLog};
use serde::Serialize;

use super::super::dataset::BELIEF;
use super::super::journal::Entry;
use super::super::{RunError, rollouts};
use super::{PolicyReport, Report};

/// Policies whose failures are shown, the worst first.
const POLICIES: usize = 2;
/// Failures of each, of different tasks first.
const FAILURES: usize = 2;
/// Frames of a strip.
const FRAMES: usize = 6;
/// Most pixels of a frame's width.
const WIDTH: u32 = 160;
const QUALITY: u8 = 80;

/// What a policy's failures look like.
#[derive(Debug, Serialize)]
pub(super) struct Film {
    policy: String,
    strips: Vec<Strip>,
}

/// A trial to look at.
#[derive(Debug, Serialize)]
struct Strip {
    policy: String,
    trial: String,
    outcome: String,
    reason: Option<String>,
    length: u32,
    frames: Vec<StripFrame>,
    /// A success from the same start, of the best policy that has one.
    beside: Option<Box<Strip>>,
}

#[derive(Debug, Serialize)]
struct StripFrame {
    step: usize,
    /// The world's belief that the task is done.
    belief: Option<f64>,
    /// A data URI.
    image: String,
}

/// The dataset of a run, and where each trial is in it.
struct Reel {
    log: RobotLog,
    camera: String,
    episodes: BTreeMap<String, usize>,
}

pub(super) fn films(folder: &Path, report: &Report) -> Result<Vec<Film>, RunError> {
    let dataset = folder.join("episodes");
    let episodes = rollouts::read(&dataset)?;
    if episodes.is_empty() {
        return Ok(vec![]);
    }
    let log = RobotLog::open(&dataset)?;
    let Some(camera) = log.embodiment().cameras.first().map(|camera| camera.name.clone()) else {
        return Ok(vec![]);
    };
    let reel = Reel { log, camera, episodes };
    let rate = |policy: &PolicyReport| policy.rate.unwrap_or(0.0);
    let mut by_rate: Vec<_> = report.policies.iter().collect();
    by_rate.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
    let mut films = vec![];
    for policy in by_rate.iter().take(POLICIES) {
        let failed: Vec<&Entry> = report
            .entries
            .values()
            .filter(|entry| entry.policy == policy.name && entry.outcome != "success")
            .filter(|entry| reel.episodes.contains_key(&entry.trial))
            .collect();
        let strips = chosen(failed)
            .into_iter()
            .map(|entry| {
                let success = by_rate.iter().rev().find_map(|better| {
                    report.entries.values().find(|other| {
                        other.policy == better.name
                            && other.outcome == "success"
                            && (&other.scenario, other.repeat) == (&entry.scenario, entry.repeat)
                    })
                });
                let beside = success.map(|other| reel.strip(other)).transpose()?.flatten();
                let strip = reel.strip(entry)?;
                Ok(strip.map(|strip| Strip { beside: beside.map(Box::new), ..strip }))
            })
            .filter_map(Result::transpose)
            .collect::<Result<Vec<_>, RunError>>()?;
        if !strips.is_empty() {
            films.push(Film { policy: policy.name.clone(), strips });
        }
    }
    Ok(films)
}

/// The failures that are shown: on plain starts first, one of every task before a second of any.
fn chosen(mut failed: Vec<&Entry>) -> Vec<&Entry> {
    failed.sort_by_key(|entry| entry.scenario.rsplit('.').next() != Some("plain"));
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, &Entry)> = failed
        .into_iter()
        .map(|entry| {
            let before = seen.entry(&entry.task).or_default();
            *before += 1;
            (*before, entry)
        })
        .collect();
    ranked.sort_by_key(|(before, _)| *before);
    ranked.into_iter().take(FAILURES).map(|(_, entry)| entry).collect()
}

impl Reel {
    fn strip(&self, entry: &Entry) -> Result<Option<Strip>, RunError> {
        let Some(&episode) = self.episodes.get(&entry.trial) else { return Ok(None) };
        let table = self.log.table(episode)?;
        let beliefs = match table.columns.get(BELIEF) {
            Some(Column::Float(beliefs)) => Some(beliefs),
            _ => None,
        };
        let last = (entry.length as usize).saturating_sub(1);
        let mut steps: Vec<usize> = (0..FRAMES).map(|frame| frame * last / (FRAMES - 1)).collect();
        steps.dedup();
        let frames = steps
            .into_iter()
            .map(|step| {
                let image = self.log.frame(episode, &self.camera, step)?;
                let pixels = image.pixels().to_vec();
                let whole = RgbImage::from_raw(image.width(), image.height(), pixels);
                // The belief in a row is that after its action; a frame is what came before.
                let belief = beliefs.and_then(|beliefs| beliefs.get((step.checked_sub(1)?, 0)));
                Ok(StripFrame {
                    step,
                    belief: belief.copied().filter(|belief| belief.is_finite()),
                    image: whole.as_ref().map_or_else(String::new, uri),
                })
            })
            .collect::<Result<_, RunError>>()?;
        Ok(Some(Strip {
            policy: entry.policy.clone(),
            trial: entry.trial.clone(),
            outcome: entry.outcome.clone(),
            reason: entry.reason.clone().or_else(|| entry.remark.clone()),
            length: entry.length,
            frames,
            beside: None,
        }))
    }
}

fn uri(image: &RgbImage) -> String {
    let width = image.width().min(WIDTH);
    let height = (image.height() * width / image.width().max(1)).max(1);
    let small = resize(image, width, height, FilterType::Triangle);
    let mut bytes = Cursor::new(vec![]);
    let encoded = JpegEncoder::new_with_quality(&mut bytes, QUALITY).write_image(
        small.as_raw(),
        width,
        height,
        ExtendedColorType::Rgb8,
    );
    match encoded {
        Ok(()) => format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes.into_inner())),
        Err(_unencodable) => String::new(),
    }
}
