//! Failures of the worst policies, as strips of a few frames.

use std::io::Cursor;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, ImageEncoder as _, RgbImage};
use rehearse_scenarios::log::RobotLog;
use serde::Serialize;

use super::super::{RunError, rollouts};
use super::Report;

/// Policies whose failures are shown, the worst first.
const POLICIES: usize = 2;
/// Failures of each, of different tasks first.
const FAILURES: usize = 3;
/// Frames of a strip.
const FRAMES: usize = 6;
/// Most pixels of a frame's width.
const WIDTH: u32 = 160;
const QUALITY: u8 = 80;

/// A failure to look at.
#[derive(Debug, Serialize)]
pub(super) struct Strip {
    policy: String,
    trial: String,
    outcome: String,
    reason: Option<String>,
    length: u32,
    frames: Vec<StripFrame>,
}

#[derive(Debug, Serialize)]
struct StripFrame {
    step: usize,
    /// A data URI.
    image: String,
}

pub(super) fn strips(folder: &Path, report: &Report) -> Result<Vec<Strip>, RunError> {
    let dataset = folder.join("episodes");
    let episodes = rollouts::read(&dataset)?;
    if episodes.is_empty() {
        return Ok(vec![]);
    }
    let log = RobotLog::open(&dataset)?;
    let Some(camera) = log.embodiment().cameras.first() else { return Ok(vec![]) };
    let mut worst: Vec<_> = report.policies.iter().collect();
    worst.sort_by(|a, b| a.rate.unwrap_or(0.0).total_cmp(&b.rate.unwrap_or(0.0)));
    let mut strips = vec![];
    for policy in worst.into_iter().take(POLICIES) {
        let failed: Vec<_> = report
            .entries
            .values()
            .filter(|entry| entry.policy == policy.name && entry.outcome != "success")
            .filter_map(|entry| Some((entry, *episodes.get(&entry.trial)?)))
            .collect();
        let mut failed = failed;
        failed.sort_by_key(|(entry, _)| entry.scenario.rsplit('.').next() != Some("plain"));
        // One of every task before a second of any.
        let mut chosen: Vec<usize> = vec![];
        let mut tasks: Vec<&str> = vec![];
        for (place, (entry, _)) in failed.iter().enumerate() {
            if !tasks.contains(&entry.task.as_str()) {
                tasks.push(&entry.task);
                chosen.push(place);
            }
        }
        chosen
            .extend((0..failed.len()).filter(|place| !chosen.contains(place)).collect::<Vec<_>>());
        for (entry, episode) in chosen.into_iter().take(FAILURES).map(|place| failed[place]) {
            let last = (entry.length as usize).saturating_sub(1);
            let mut steps: Vec<usize> =
                (0..FRAMES).map(|frame| frame * last / (FRAMES - 1)).collect();
            steps.dedup();
            let frames = steps
                .into_iter()
                .map(|step| {
                    let image = log.frame(episode, &camera.name, step)?;
                    let pixels = image.pixels().to_vec();
                    let whole = RgbImage::from_raw(image.width(), image.height(), pixels);
                    Ok(StripFrame { step, image: whole.as_ref().map_or_else(String::new, uri) })
                })
                .collect::<Result<_, RunError>>()?;
            strips.push(Strip {
                policy: entry.policy.clone(),
                trial: entry.trial.clone(),
                outcome: entry.outcome.clone(),
                reason: entry.reason.clone(),
                length: entry.length,
                frames,
            });
        }
    }
    Ok(strips)
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
