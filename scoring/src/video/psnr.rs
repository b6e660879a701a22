//! Peak signal-to-noise ratio.

use ndarray::ArrayRef3;

use super::error::VideoError;

/// The PSNR at which frames count as equal in averages, in dB: that of rounding to 8 bits alone
/// (an error of variance 1/12). Equal frames have no finite PSNR of their own.
pub const PSNR_CAP_DB: f64 = 58.922_616_069_155_35;

/// The largest value of a u8.
const PEAK: f64 = 255.0;

/// Mean squared difference over all pixels and channels, in squared grey levels.
///
/// # Shapes
/// `truth`, `predicted`: `(height, width, channels)`.
///
/// # Errors
/// [`VideoError::Shape`] and [`VideoError::Empty`].
pub fn mean_squared_error(
    truth: &ArrayRef3<u8>,
    predicted: &ArrayRef3<u8>,
) -> Result<f64, VideoError> {
    check_frames(truth, predicted)?;
    let sum: u64 =
        truth.iter().zip(predicted.iter()).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
    Ok(sum as f64 / truth.len() as f64)
}

/// Peak signal-to-noise ratio in dB, with a peak of 255: 10 log₁₀(255² / MSE); +∞ for equal frames.
///
/// As `skimage.metrics.peak_signal_noise_ratio`.
///
/// ```
/// use ndarray::Array3;
/// use rehearse_scoring::video::psnr;
///
/// let truth = Array3::from_elem((2, 2, 3), 100_u8);
/// let predicted = Array3::from_elem((2, 2, 3), 110_u8);
/// assert!((psnr(&truth, &predicted)? - 28.1308).abs() < 1e-4);
/// # Ok::<(), rehearse_scoring::video::VideoError>(())
/// ```
///
/// # Errors
/// [`VideoError::Shape`] and [`VideoError::Empty`].
pub fn psnr(truth: &ArrayRef3<u8>, predicted: &ArrayRef3<u8>) -> Result<f64, VideoError> {
    Ok(10.0 * (PEAK * PEAK / mean_squared_error(truth, predicted)?).log10())
}

pub(super) fn check_frames(left: &ArrayRef3<u8>, right: &ArrayRef3<u8>) -> Result<(), VideoError> {
    if left.dim() != right.dim() {
        return Err(VideoError::Shape { left: left.dim(), right: right.dim() });
    }
    if left.is_empty() { Err(VideoError::Empty { got: left.dim() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn black_against_white_is_zero_decibels() {
        let (black, white) = (Array3::zeros((3, 2, 1)), Array3::from_elem((3, 2, 1), 255));
        assert_eq!(psnr(&black, &white), Ok(0.0));
        assert_eq!(psnr(&black, &black), Ok(f64::INFINITY));
    }

    #[test]
    fn the_cap_is_rounding_to_eight_bits() {
        assert!((PSNR_CAP_DB - 10.0 * (PEAK * PEAK * 12.0).log10()).abs() < 1e-12);
    }

    #[test]
    fn shapes_must_agree() {
        let (a, b) = (Array3::zeros((2, 2, 3)), Array3::zeros((2, 3, 3)));
        assert!(matches!(psnr(&a, &b), Err(VideoError::Shape { .. })));
        let empty = Array3::zeros((0, 2, 3));
        assert!(matches!(psnr(&empty, &empty), Err(VideoError::Empty { .. })));
    }
}
