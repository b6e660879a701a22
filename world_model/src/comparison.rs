//! What a model shows, held against what was recorded.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::error::{ModelError, Result};
use crate::fidelity::FidelityRow;
use crate::metrics::{psnr, quantile, ssim};
use crate::model::WorldModel;
use crate::perception::{CLIP, Measures};
use crate::replay::{Replay, Truth};
use crate::statistics::position_channels;

/// The depth that takes in every frame after the start.
const ALL: &str = "all";

/// Bins of rollout depth: name, first frame, first frame after. The start is frame 0.
const DEPTHS: [(&str, usize, usize); 6] = [
    ("8-16", 8, 16),
    ("16-32", 16, 32),
    ("32-64", 32, 64),
    ("64-72", 64, 72),
    ("32-end", 32, usize::MAX),
    (ALL, 1, usize::MAX),
];

/// Fewest clips on a side of a distance between sets of them.
const FEWEST_CLIPS: usize = 2;

/// What is shown of one episode, frame by frame after the first.
pub(crate) struct Shown {
    /// `patches × values` each.
    frames: Vec<Vec<f32>>,
    /// `frames × channels`.
    states: Vec<f32>,
}

impl Shown {
    /// What was imagined.
    pub fn imagined(model: &WorldModel, replay: &Replay) -> Result<Self> {
        let pixels = model.tokenizer.decode(&replay.latents)?;
        let each = model.tokenizer.patches() * model.tokenizer.layout().values();
        Ok(Self {
            frames: pixels.chunks_exact(each).map(<[f32]>::to_vec).collect(),
            states: replay.states.clone(),
        })
    }

    /// At every frame, the recording of the frame that `which` says.
    pub fn recorded(truth: &Truth, which: impl Fn(usize) -> usize) -> Self {
        let which = (1..truth.episode.frames).map(which).collect::<Vec<_>>();
        Self {
            frames: which.iter().map(|&frame| truth.picture(frame)).collect(),
            states: which.iter().flat_map(|&frame| truth.state(frame)).copied().collect(),
        }
    }
}

/// The errors of one model so far.
#[derive(Default)]
pub(crate) struct Tally {
    frames: Vec<FrameErrors>,
    /// Features of each whole clip.
    clips: Vec<Vec<f32>>,
}

/// One frame's errors.
struct FrameErrors {
    depth: usize,
    psnr: f64,
    ssim: Option<f64>,
    distance: f64,
    lpips: Option<f64>,
}

/// Holds what models show against recorded episodes.
pub(crate) struct Comparison<'a> {
    model: &'a WorldModel,
    measures: Measures<'a>,
    /// Features of each whole recorded clip.
    recorded: Vec<Vec<f32>>,
}

impl<'a> Comparison<'a> {
    /// Looks at the recorded episodes of a split, once for all models.
    ///
    /// # Errors
    /// [`ModelError::Size`] and [`ModelError::TooFewClips`] before anything takes long.
    pub fn new(
        model: &'a WorldModel,
        measures: Measures<'a>,
        truths: &[Truth],
        split: &str,
    ) -> Result<Self> {
        let (height, width) = (model.config.tokens.height, model.config.tokens.width);
        if let Some(least) = measures.lpips.map(|lpips| lpips.smallest())
            && height.min(width) < least
        {
            let expected = format!("at least {least}×{least} pixels");
            return Err(ModelError::size(
                "a frame for LPIPS",
                expected,
                format!("{height}×{width}"),
            ));
        }
        let mut comparison = Self { model, measures, recorded: Vec::new() };
        if measures.fvd.is_some() {
            let cameras = model.tokenizer.layout().cameras().len();
            let got = truths.iter().map(|t| cameras * ((t.episode.frames - 1) / CLIP)).sum();
            if got < FEWEST_CLIPS {
                let (split, needed) = (split.to_owned(), FEWEST_CLIPS);
                return Err(ModelError::TooFewClips { split, frames: CLIP, needed, got });
            }
            for truth in truths {
                let shown = Shown::recorded(truth, |frame| frame);
                comparison.recorded.extend(comparison.clip_features(&comparison.videos(&shown)?)?);
            }
        }
        Ok(comparison)
    }

    /// Clips on either side.
    pub fn clips(&self) -> usize {
        self.recorded.len()
    }

    /// Adds the errors of what a model shows of one episode.
    pub fn add(&self, truth: &Truth, shown: &Shown, tally: &mut Tally) -> Result<()> {
        let model = self.model;
        let channels = model.embodiment.proprioception.len();
        let mut errors = shown
            .frames
            .par_iter()
            .enumerate()
            .map(|(index, guess)| {
                let state = &shown.states[index * channels..(index + 1) * channels];
                frame_errors(model, truth, index + 1, guess, state)
            })
            .collect::<Vec<_>>();
        let Measures { lpips, fvd } = self.measures;
        if lpips.is_some() || fvd.is_some() {
            let videos = self.videos(shown)?;
            if let Some(lpips) = lpips {
                let recorded = self.videos(&Shown::recorded(truth, |frame| frame))?;
                for (recorded, video) in recorded.iter().zip(&videos) {
                    for (errors, far) in errors.iter_mut().zip(lpips.distances(recorded, video)?) {
                        *errors.lpips.get_or_insert(0.0) += far / videos.len() as f64;
                    }
                }
            }
            tally.clips.extend(self.clip_features(&videos)?);
        }
        tally.frames.extend(errors);
        Ok(())
    }

    /// A row per depth.
    pub fn rows(&self, model: &str, tally: &Tally) -> Result<Vec<FidelityRow>> {
        let fvd = self.measures.fvd;
        let fvd = fvd.map(|fvd| fvd.distance(&self.recorded, &tally.clips)).transpose()?;
        let row = |&(depth, from, to): &(&str, usize, usize)| {
            let within = |errors: &&FrameErrors| (from..to).contains(&errors.depth);
            let some = tally.frames.iter().filter(within).collect::<Vec<_>>();
            let mean = |values: Vec<f64>| {
                (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
            };
            let mut distances = some.iter().map(|f| f.distance).collect::<Vec<_>>();
            FidelityRow {
                model: model.to_owned(),
                depth: depth.to_owned(),
                frames: some.len(),
                psnr: mean(some.iter().map(|f| f.psnr).collect()),
                ssim: mean(some.iter().filter_map(|f| f.ssim).collect()),
                state_rmse: mean(distances.iter().map(|d| d * d).collect()).map(f64::sqrt),
                state_median: quantile(&mut distances, 0.5),
                state_p95: quantile(&mut distances, 0.95),
                lpips: mean(some.iter().filter_map(|f| f.lpips).collect()),
                fvd: fvd.filter(|_| depth == ALL),
            }
        };
        Ok(DEPTHS.iter().map(row).collect())
    }

    /// What each camera is shown, `(frames, 3, height, width)` in [−1, 1].
    fn videos(&self, shown: &Shown) -> Result<Vec<Tensor>> {
        let layout = self.model.tokenizer.layout();
        let (height, width) = (self.model.config.tokens.height, self.model.config.tokens.width);
        let mut cameras = vec![Vec::new(); layout.cameras().len()];
        for frame in &shown.frames {
            for (pixels, view) in cameras.iter_mut().zip(layout.views_of(frame)) {
                pixels.extend(view);
            }
        }
        let shape = (shown.frames.len(), height, width, 3);
        cameras
            .into_iter()
            .map(|pixels| {
                let video = Tensor::from_vec(pixels, shape, self.model.device())?;
                let video = video.permute((0, 3, 1, 2))?.contiguous()?.clamp(0.0, 1.0)?;
                Ok(video.affine(2.0, -1.0)?)
            })
            .collect()
    }

    /// The features of each whole clip, where FVD is measured; a shorter tail is left out.
    fn clip_features(&self, videos: &[Tensor]) -> Result<Vec<Vec<f32>>> {
        let mut features = Vec::new();
        if let Some(fvd) = self.measures.fvd {
            for video in videos {
                for clip in 0..video.dim(0)? / CLIP {
                    features.push(fvd.features(&video.narrow(0, clip * CLIP, CLIP)?)?);
                }
            }
        }
        Ok(features)
    }
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
    let real = truth.picture(frame);
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
        lpips: None,
    }
}
