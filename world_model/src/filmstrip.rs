//! Episodes to look at: what was recorded above what is imagined under the same actions.

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
    /// Size of the picture in pixels.
    pub width: usize,
    /// Size of the picture in pixels.
    pub height: usize,
    /// `height × width × 3`, 8 bits.
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
    let recorded = |frame: usize| {
        truth.patches[frame].iter().map(|&value| f32::from(value) / 255.0).collect::<Vec<_>>()
    };
    let peaks = imagined.iter().enumerate().map(|(index, guess)| psnr(guess, &recorded(index + 1)));
    let peak = peaks.sum::<f64>() / imagined.len() as f64;
    let last = imagined.len() - 1;
    let shown = (0..FRAMES).map(|place| place * last / (FRAMES - 1)).collect::<Vec<_>>();
    let cameras = layout.cameras().len();
    let (width, height) = (FRAMES * (wide + GAP) - GAP, 2 * cameras * (tall + GAP) - GAP);
    let mut pixels = vec![255; width * height * 3];
    for (column, &frame) in shown.iter().enumerate() {
        let real = layout.views_of(&recorded(frame + 1));
        let views = real.into_iter().chain(layout.views_of(imagined[frame]));
        for (row, view) in views.enumerate() {
            for (line, values) in view.chunks_exact(wide * 3).enumerate() {
                let at = (row * (tall + GAP) + line) * width + column * (wide + GAP);
                for (pixel, value) in pixels[at * 3..].iter_mut().zip(values) {
                    *pixel = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
                }
            }
        }
    }
    Ok(Filmstrip {
        episode: truth.episode.index,
        task: truth.episode.task.clone(),
        outcome: truth.episode.outcome,
        imagined: replay.success.iter().any(|&p| p >= DONE),
        psnr: peak,
        width,
        height,
        pixels,
    })
}
