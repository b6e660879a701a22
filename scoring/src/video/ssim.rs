//! Structural similarity.

use ndarray::{Array2, ArrayRef2, ArrayRef3, Axis, s};

use super::error::VideoError;
use super::psnr::check_frames;

/// The window that slides over the frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SsimWindow {
    /// All pixels of a square count the same; the side is odd, 3 at least.
    Uniform {
        /// Side in pixels.
        side: usize,
    },
    /// A Gaussian, cut off at 3.5 standard deviations as scikit-image does (side 11 for 1.5).
    Gaussian {
        /// Standard deviation in pixels.
        sigma: f64,
    },
}

/// How SSIM is computed.
///
/// The default is that of `skimage.metrics.structural_similarity`: a uniform 7×7 window with sample
/// covariances. [`SsimOptions::wang`] is that of the original paper. The two differ in the second
/// decimal, so a report should say which it used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SsimOptions {
    /// The window.
    pub window: SsimWindow,
    /// Whether variances are divided by n − 1 rather than n.
    pub sample_covariance: bool,
    /// Stabiliser of the luminance term, relative to the range of values. Default 0.01.
    pub k1: f64,
    /// Stabiliser of the contrast term, relative to the range of values. Default 0.03.
    pub k2: f64,
}

impl Default for SsimOptions {
    fn default() -> Self {
        let window = SsimWindow::Uniform { side: 7 };
        Self { window, sample_covariance: true, k1: 0.01, k2: 0.03 }
    }
}

impl SsimOptions {
    /// The options of Wang et al. (2004): a Gaussian of 1.5 pixels, population covariances.
    pub const fn wang() -> Self {
        Self {
            window: SsimWindow::Gaussian { sigma: 1.5 },
            sample_covariance: false,
            k1: 0.01,
            k2: 0.03,
        }
    }

    /// Weights along one axis, which sum to one.
    fn weights(&self) -> Result<Vec<f64>, VideoError> {
        match self.window {
            SsimWindow::Uniform { side } if side >= 3 && side % 2 == 1 => {
                Ok(vec![1.0 / side as f64; side])
            }
            SsimWindow::Uniform { side } => Err(VideoError::Option {
                option: "the side of the window",
                expected: "odd and at least 3",
                got: side as f64,
            }),
            SsimWindow::Gaussian { sigma } if sigma > 0.0 && sigma < 1e3 => {
                let radius = (3.5 * sigma + 0.5) as i32;
                let weights: Vec<f64> = (-radius..=radius)
                    .map(|x| (-0.5 * (f64::from(x) / sigma).powi(2)).exp())
                    .collect();
                let sum: f64 = weights.iter().sum();
                Ok(weights.into_iter().map(|weight| weight / sum).collect())
            }
            SsimWindow::Gaussian { sigma } => Err(VideoError::Option {
                option: "the standard deviation of the window",
                expected: "above 0 and below 1000",
                got: sigma,
            }),
        }
    }
}

/// Mean structural similarity of two frames, the mean over channels; 1 for equal frames.
///
/// Only places where the whole window lies within the frame count, as in scikit-image.
///
/// # Shapes
/// `truth`, `predicted`: `(height, width, channels)`.
///
/// # Errors
/// [`VideoError::Shape`], [`VideoError::Empty`], [`VideoError::Window`] if the window does not fit,
/// and [`VideoError::Option`].
pub fn ssim(
    truth: &ArrayRef3<u8>,
    predicted: &ArrayRef3<u8>,
    options: &SsimOptions,
) -> Result<f64, VideoError> {
    check_frames(truth, predicted)?;
    let weights = options.weights()?;
    let (height, width, channels) = truth.dim();
    if weights.len() > height.min(width) {
        return Err(VideoError::Window { window: weights.len(), height, width });
    }
    let sum: f64 = truth
        .axis_iter(Axis(2))
        .zip(predicted.axis_iter(Axis(2)))
        .map(|(truth, predicted)| channel(&truth, &predicted, &weights, options))
        .sum();
    Ok(sum / channels as f64)
}

/// SSIM of one channel.
fn channel(
    truth: &ArrayRef2<u8>,
    predicted: &ArrayRef2<u8>,
    weights: &[f64],
    options: &SsimOptions,
) -> f64 {
    let (x, y) = (truth.mapv(f64::from), predicted.mapv(f64::from));
    let (mean_x, mean_y) = (smooth(&x, weights), smooth(&y, weights));
    let (xx, yy, xy) =
        (smooth(&(&x * &x), weights), smooth(&(&y * &y), weights), smooth(&(&x * &y), weights));
    let pixels = (weights.len() * weights.len()) as f64;
    let scale = if options.sample_covariance { pixels / (pixels - 1.0) } else { 1.0 };
    let (c1, c2) = ((options.k1 * 255.0).powi(2), (options.k2 * 255.0).powi(2));
    let mut sum = 0.0;
    ndarray::Zip::from(&mean_x).and(&mean_y).and(&xx).and(&yy).and(&xy).for_each(
        |&mx, &my, &xx, &yy, &xy| {
            let variance_x = scale * (xx - mx * mx);
            let variance_y = scale * (yy - my * my);
            let covariance = scale * (xy - mx * my);
            sum += ((2.0 * mx * my + c1) * (2.0 * covariance + c2))
                / ((mx * mx + my * my + c1) * (variance_x + variance_y + c2));
        },
    );
    sum / mean_x.len() as f64
}

/// The weighted mean around every place where the window fits, first down, then across.
fn smooth(values: &Array2<f64>, weights: &[f64]) -> Array2<f64> {
    let (height, width) = values.dim();
    let side = weights.len();
    let mut down = Array2::zeros((height - side + 1, width));
    for (offset, &weight) in weights.iter().enumerate() {
        let end = offset + height - side + 1;
        down.scaled_add(weight, &values.slice(s![offset..end, ..]));
    }
    let mut across = Array2::zeros((height - side + 1, width - side + 1));
    for (offset, &weight) in weights.iter().enumerate() {
        let end = offset + width - side + 1;
        across.scaled_add(weight, &down.slice(s![.., offset..end]));
    }
    across
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn ramp(shift: usize) -> Array3<u8> {
        Array3::from_shape_fn((12, 14, 3), |(y, x, c)| ((y * 13 + x * 7 + c + shift) % 251) as u8)
    }

    #[test]
    fn equal_frames_have_similarity_one() {
        for options in [SsimOptions::default(), SsimOptions::wang()] {
            let value = ssim(&ramp(0), &ramp(0), &options).unwrap();
            assert!((value - 1.0).abs() < 1e-12, "{value}");
        }
    }

    #[test]
    fn flat_frames_by_hand() {
        // No variance: only the luminance term (2ab + c₁) / (a² + b² + c₁) is left.
        let (a, b) = (Array3::from_elem((7, 7, 1), 100), Array3::from_elem((7, 7, 1), 50));
        let c1 = 6.5025;
        let expected = (2.0 * 100.0 * 50.0 + c1) / (1e4 + 2.5e3 + c1);
        let value = ssim(&a, &b, &SsimOptions::default()).unwrap();
        assert!((value - expected).abs() < 1e-12, "{value} {expected}");
    }

    #[test]
    fn order_does_not_matter() {
        let options = SsimOptions::default();
        let forward = ssim(&ramp(0), &ramp(9), &options).unwrap();
        let back = ssim(&ramp(9), &ramp(0), &options).unwrap();
        assert!((forward - back).abs() < 1e-12 && forward < 1.0);
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let small = Array3::zeros((6, 20, 1));
        let got = ssim(&small, &small, &SsimOptions::default());
        assert_eq!(got, Err(VideoError::Window { window: 7, height: 6, width: 20 }));
        for window in [
            SsimWindow::Uniform { side: 4 },
            SsimWindow::Uniform { side: 1 },
            SsimWindow::Gaussian { sigma: 0.0 },
            SsimWindow::Gaussian { sigma: f64::NAN },
        ] {
            let options = SsimOptions { window, ..SsimOptions::default() };
            let got = ssim(&small, &small, &options);
            assert!(matches!(got, Err(VideoError::Option { .. })), "{got:?}");
        }
    }
}
