//! Episodes to look at: what was recorded above what is imagined under the same actions.

use candle_core::Tensor;
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::seed::Seed;

use crate::checkpoint::check_rig;
use crate::error::Result;
use crate::fidelity::{DONE, FidelityOptions};
use crate::metrics::psnr;
use crate::model::WorldModel;
use crate::replay::{Replay, Truth};
use crate::routing::Routing;

/// Frames of a strip, evenly spread from the start to the end.
const FRAMES: usize = 10;
/// Pixels between frames.
const GAP: usize = 2;

/// One episode as a picture: a row per camera as recorded, and a row each as imagined.
#[derive(Clone, Debug)]
pub struct Filmstrip {
    /// Index within the log.
    pub episode: usize,
    /// The task.
    pub task: String,
    /// How the episode ended, where the log says.
    pub outcome: Option<bool>,
    /// Whether it is imagined to succeed.
    pub imagined: bool,
    /// Mean PSNR of its imagined frames, in dB.
    pub psnr: f64,
    /// The strip.
    pub picture: Picture,
}

/// A picture, 8 bits a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Size in pixels.
    pub width: usize,
    /// Size in pixels.
    pub height: usize,
    /// `height × width × 3`.
    pub pixels: Vec<u8>,
}

/// The episodes of a split that are imagined worst, at most `most`: those whose outcome is wrong
/// first, then by PSNR.
///
/// # Errors
/// As [`fidelity`](crate::fidelity::fidelity).
pub fn filmstrips(
    model: &WorldModel,
    log: &RobotLog,
    options: &FidelityOptions,
    most: usize,
) -> Result<Vec<Filmstrip>> {
    check_rig(&model.embodiment, log.embodiment())?;
    let truths = Truth::read_split(model, log, &options.split, options.episodes)?;
    let seed = Seed::root(options.seed).child("fidelity");
    let mut strips = Vec::new();
    for some in truths.chunks(options.batch.max(1)) {
        for (truth, replay) in some.iter().zip(Replay::run(model, some, Routing::Learned, seed)?) {
            strips.push(strip(model, truth, &replay)?);
        }
    }
    let wrong = |strip: &Filmstrip| strip.outcome.is_some_and(|truth| truth != strip.imagined);
    strips.sort_by(|a, b| wrong(b).cmp(&wrong(a)).then(a.psnr.total_cmp(&b.psnr)));
    strips.truncate(most);
    Ok(strips)
}

fn strip(model: &WorldModel, truth: &Truth, replay: &Replay) -> Result<Filmstrip> {
    let layout = model.tokenizer.layout();
    let (tall, wide) = (model.config.tokens.height, model.config.tokens.width);
    let decoded = model.tokenizer.decode(&replay.latents)?;
    let imagined = decoded.chunks_exact(layout.patches() * layout.values()).collect::<Vec<_>>();
    let peaks =
        imagined.iter().enumerate().map(|(index, guess)| psnr(guess, &truth.picture(index + 1)));
    let peak = peaks.sum::<f64>() / imagined.len() as f64;
    let column = |frame: usize| {
        let real = layout.views_of(&truth.picture(frame + 1));
        real.into_iter().chain(layout.views_of(imagined[frame])).collect()
    };
    let columns = shown(imagined.len()).into_iter().map(column).collect::<Vec<_>>();
    let picture = paste(&columns, tall, wide);
    Ok(Filmstrip {
        episode: truth.episode.index,
        task: truth.episode.task.clone(),
        outcome: truth.episode.outcome,
        imagined: replay.success.iter().any(|&p| p >= DONE),
        psnr: peak,
        picture,
    })
}

/// A video as a picture, a row per camera.
///
/// # Shapes
/// - `latents`: `(frames, patches, coefficients)`, one frame at least
///
/// # Errors
/// A tensor error if a shape disagrees.
pub fn picture_of(model: &WorldModel, latents: &Tensor) -> Result<Picture> {
    let layout = model.tokenizer.layout();
    let (tall, wide) = (model.config.tokens.height, model.config.tokens.width);
    let decoded = model.tokenizer.decode(latents)?;
    let frames = decoded.chunks_exact(layout.patches() * layout.values()).collect::<Vec<_>>();
    let shown = shown(frames.len());
    let columns = shown.iter().map(|&frame| layout.views_of(frames[frame])).collect::<Vec<_>>();
    Ok(paste(&columns, tall, wide))
}

/// The frames of a video that a strip shows.
fn shown(frames: usize) -> Vec<usize> {
    let columns = frames.min(FRAMES);
    (0..columns).map(|place| place * (frames - 1) / columns.saturating_sub(1).max(1)).collect()
}

/// Columns of views of the same size, each `tall × wide × 3` in [0, 1], side by side.
fn paste(columns: &[Vec<Vec<f32>>], tall: usize, wide: usize) -> Picture {
    let rows = columns.first().map_or(0, Vec::len);
    let side = |count: usize, size: usize| (count * (size + GAP)).saturating_sub(GAP);
    let (width, height) = (side(columns.len(), wide), side(rows, tall));
    let mut pixels = vec![255; width * height * 3];
    for (column, views) in columns.iter().enumerate() {
        for (row, view) in views.iter().enumerate() {
            for (line, values) in view.chunks_exact(wide * 3).enumerate() {
                let at = (row * (tall + GAP) + line) * width + column * (wide + GAP);
                for (pixel, value) in pixels[at * 3..].iter_mut().zip(values) {
                    *pixel = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
                }
            }
        }
    }
    Picture { width, height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_is_spread_from_the_first_frame_to_the_last() {
        assert_eq!(shown(19), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
        assert_eq!(shown(3), [0, 1, 2]);
        assert_eq!(shown(1), [0]);
    }

    #[test]
    fn views_stand_side_by_side_with_a_gap() {
        // Two frames of one view of 1×1: black, then white.
        let columns = [vec![vec![0.0; 3]], vec![vec![1.0; 3]]];
        let Picture { width, height, pixels } = paste(&columns, 1, 1);
        assert_eq!((width, height), (2 + GAP, 1));
        assert_eq!(pixels, [[0; 3], [255; 3], [255; 3], [255; 3]].concat());
    }
}
