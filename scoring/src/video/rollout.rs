//! How a rollout holds together, without a reference.
//!
//! PAN (arXiv:2511.09057, §7.2) names both measures and gives no formula; what it leaves open is
//! decided here and said below. Neither sees a rollout that freezes: a still picture is perfectly
//! smooth and consistent, which is why [`Smoothness`] reports the motion too.

use ndarray::{Array2, ArrayView3};
use serde::Serialize;

use super::error::VideoError;
use super::flow::{Flow, FlowOptions, horn_schunck};

/// Transition smoothness of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Smoothness {
    /// Mean of exp(−acceleration) over the rollout, in (0, 1]; 1 is uniform motion or none.
    pub score: f64,
    /// The same over accelerations that span the start of a chunk; none without such.
    pub at_boundaries: Option<f64>,
    /// Mean speed of a pixel, in pixels per frame: near 0 the rollout stands still.
    pub motion: f64,
    /// Acceleration of each frame but the first and the last: mean length of the change of flow
    /// over pixels, in pixels per frame².
    pub acceleration: Vec<f64>,
}

/// Transition smoothness (PAN §7.2): the inverse exponential of the acceleration of dense optical
/// flow.
///
/// Velocity is the flow between neighbouring frames, acceleration its change from one pair to the
/// next at the same pixel; its length is averaged over pixels, and exp(−length) over frames.
/// `boundaries` are the frames that begin a chunk.
///
/// # Errors
/// [`VideoError::TooFewFrames`] below 3, and the errors of [`horn_schunck`].
pub fn transition_smoothness(
    frames: &[ArrayView3<'_, u8>],
    boundaries: &[usize],
    options: &FlowOptions,
) -> Result<Smoothness, VideoError> {
    if frames.len() < 3 {
        let (measure, got) = ("transition smoothness", frames.len());
        return Err(VideoError::TooFewFrames { measure, needed: 3, got });
    }
    let flows = frames
        .windows(2)
        .map(|pair| horn_schunck(&pair[0], &pair[1], options))
        .collect::<Result<Vec<_>, _>>()?;
    let acceleration: Vec<f64> =
        flows.windows(2).map(|pair| mean_length(&(&pair[1] - &pair[0]))).collect();
    // The change at index i compares the steps into and out of frame i + 1, so a jump into frame b
    // shows at b − 2 and b − 1.
    let spans = |index: usize| boundaries.iter().any(|&b| b == index + 1 || b == index + 2);
    let at_boundaries: Vec<f64> = (0..acceleration.len())
        .filter(|&index| spans(index))
        .map(|index| (-acceleration[index]).exp())
        .collect();
    let smooth: Vec<f64> = acceleration.iter().map(|a| (-a).exp()).collect();
    let motion = flows.iter().map(mean_length).sum::<f64>() / flows.len() as f64;
    Ok(Smoothness {
        score: mean(&smooth),
        at_boundaries: (!at_boundaries.is_empty()).then(|| mean(&at_boundaries)),
        motion,
        acceleration,
    })
}

/// Simulation consistency (PAN §7.2) by the photometric criterion of `WorldScore` (Duan et al.
/// 2025): pixels that flow forward and back again should come home.
///
/// Each step scores exp(−e) with e the mean distance from home in pixels; later steps count more,
/// as in [`progressive_mean`]. The other criteria of `WorldScore` need networks; bring their scores
/// per step to [`progressive_mean`].
///
/// # Errors
/// [`VideoError::TooFewFrames`] below 2, and the errors of [`horn_schunck`].
pub fn simulation_consistency(
    frames: &[ArrayView3<'_, u8>],
    options: &FlowOptions,
) -> Result<f64, VideoError> {
    if frames.len() < 2 {
        let (measure, got) = ("simulation consistency", frames.len());
        return Err(VideoError::TooFewFrames { measure, needed: 2, got });
    }
    let scores = frames
        .windows(2)
        .map(|pair| {
            let forward = horn_schunck(&pair[0], &pair[1], options)?;
            let back = horn_schunck(&pair[1], &pair[0], options)?;
            Ok((-distance_from_home(&forward, &back)).exp())
        })
        .collect::<Result<Vec<_>, VideoError>>()?;
    Ok(progressive_mean(&scores).unwrap_or(1.0))
}

/// The mean of scores per step in which step t of T (from 1) weighs t: PAN's progressive penalty on
/// late steps, whose form it does not give. `None` without scores.
///
/// ```
/// let late = rehearse_scoring::video::progressive_mean(&[1.0, 1.0, 0.0]);
/// assert_eq!(late, Some(0.5));
/// ```
pub fn progressive_mean(scores: &[f64]) -> Option<f64> {
    let (sum, weights) = scores.iter().zip(1_u32..).fold((0.0, 0.0), |(sum, weights), (s, t)| {
        (sum + f64::from(t) * s, weights + f64::from(t))
    });
    (weights > 0.0).then(|| sum / weights)
}

impl std::ops::Sub for &Flow {
    type Output = Flow;

    fn sub(self, earlier: Self) -> Flow {
        Flow { right: &self.right - &earlier.right, down: &self.down - &earlier.down }
    }
}

fn mean_length(flow: &Flow) -> f64 {
    let sum: f64 = flow.right.iter().zip(&flow.down).map(|(x, y)| x.hypot(*y)).sum();
    sum / flow.right.len() as f64
}

/// Mean distance between a pixel and where forward and backward flow take it.
fn distance_from_home(forward: &Flow, back: &Flow) -> f64 {
    let sum: f64 = forward
        .right
        .indexed_iter()
        .map(|((y, x), &right)| {
            let down = forward.down[(y, x)];
            let (there_y, there_x) = (y as f64 + down, x as f64 + right);
            let home_x = right + interpolate(&back.right, there_y, there_x);
            let home_y = down + interpolate(&back.down, there_y, there_x);
            home_x.hypot(home_y)
        })
        .sum();
    sum / forward.right.len() as f64
}

/// Bilinear interpolation, places outside held at the border.
fn interpolate(values: &Array2<f64>, y: f64, x: f64) -> f64 {
    let (height, width) = values.dim();
    let (y, x) = (y.clamp(0.0, (height - 1) as f64), x.clamp(0.0, (width - 1) as f64));
    let (top, left) = (y.floor() as usize, x.floor() as usize);
    let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
    let (below, beside) = (y - top as f64, x - left as f64);
    let upper = values[(top, left)] * (1.0 - beside) + values[(top, right)] * beside;
    let lower = values[(bottom, left)] * (1.0 - beside) + values[(bottom, right)] * beside;
    upper * (1.0 - below) + lower * below
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn blob(x: f64) -> Array3<u8> {
        Array3::from_shape_fn((24, 32, 3), |(row, column, _)| {
            let square = (row as f64 - 12.0).powi(2) + (column as f64 - x).powi(2);
            (220.0 * (-square / 30.0).exp()) as u8
        })
    }

    fn smoothness(places: &[f64], boundaries: &[usize]) -> Smoothness {
        let frames: Vec<Array3<u8>> = places.iter().map(|&x| blob(x)).collect();
        let views: Vec<_> = frames.iter().map(|frame| frame.view()).collect();
        transition_smoothness(&views, boundaries, &FlowOptions::default()).unwrap()
    }

    #[test]
    fn a_jump_is_less_smooth_than_uniform_motion_and_is_found_at_its_boundary() {
        let even = smoothness(&[8.0, 9.0, 10.0, 11.0, 12.0, 13.0], &[3]);
        let jump = smoothness(&[8.0, 9.0, 10.0, 14.0, 15.0, 16.0], &[3]);
        assert!(jump.score < even.score, "{jump:?} {even:?}");
        assert!(jump.at_boundaries.unwrap() < jump.score);
        assert_eq!(jump.acceleration.len(), 4);
        assert!(jump.acceleration[1] > jump.acceleration[0]);
    }

    #[test]
    fn a_still_picture_is_smooth_and_has_no_motion() {
        let still = smoothness(&[8.0, 8.0, 8.0], &[]);
        assert_eq!((still.score, still.motion, still.at_boundaries), (1.0, 0.0, None));
    }

    #[test]
    fn noise_is_less_consistent_than_motion() {
        let moving: Vec<Array3<u8>> = (0..5).map(|i| blob(8.0 + f64::from(i))).collect();
        let noise: Vec<Array3<u8>> = (0..5_usize)
            .map(|i| {
                Array3::from_shape_fn((24, 32, 3), |(y, x, _)| {
                    ((y * 7919 + x * 104_729 + i * 15_485_863) % 241) as u8
                })
            })
            .collect();
        let score = |frames: &[Array3<u8>]| {
            let views: Vec<_> = frames.iter().map(|frame| frame.view()).collect();
            simulation_consistency(&views, &FlowOptions::default()).unwrap()
        };
        let (moving, noise) = (score(&moving), score(&noise));
        assert!(moving > 0.9 && noise < moving, "{moving} {noise}");
    }

    #[test]
    fn too_few_frames_are_refused() {
        let frame = blob(8.0);
        let got = transition_smoothness(&[frame.view(); 2], &[], &FlowOptions::default());
        assert!(matches!(got, Err(VideoError::TooFewFrames { needed: 3, got: 2, .. })));
        assert!(simulation_consistency(&[], &FlowOptions::default()).is_err());
    }
}
