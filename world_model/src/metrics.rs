//! Measures of how well imagination follows the truth.

/// Peak signal-to-noise ratio in dB of a guess in [0, 1] against the truth.
pub fn psnr(guess: &[f32], truth: &[f32]) -> f64 {
    let square = guess
        .iter()
        .zip(truth)
        .map(|(&a, &b)| f64::from(a.clamp(0.0, 1.0) - b).powi(2))
        .sum::<f64>();
    let mean = square / truth.len().max(1) as f64;
    // A perfect guess counts as one that is right to 16 bits.
    -10.0 * mean.max(2.3e-10).log10()
}

/// Side and deviation of SSIM's Gaussian window (Wang et al., 2004).
const WINDOW: usize = 11;
const WINDOW_DEVIATION: f64 = 1.5;
const SSIM_C1: f64 = 0.01 * 0.01;
const SSIM_C2: f64 = 0.03 * 0.03;

/// Structural similarity of two RGB images in [0, 1], `height × width × 3`, in the mean over
/// windows that lie inside and over channels (Wang et al., 2004).
///
/// `None` for images smaller than the window.
pub fn ssim(guess: &[f32], truth: &[f32], height: usize, width: usize) -> Option<f64> {
    if height < WINDOW || width < WINDOW {
        return None;
    }
    let kernel = window();
    let mut total = 0.0;
    for channel in 0..3 {
        let plane = |image: &[f32]| {
            image.iter().skip(channel).step_by(3).map(|&v| f64::from(v.clamp(0.0, 1.0))).collect()
        };
        let (a, b): (Vec<f64>, Vec<f64>) = (plane(guess), plane(truth));
        let product =
            |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).collect::<Vec<_>>();
        let blur = |plane: &[f64]| blur(plane, height, width, &kernel);
        let (mean_a, mean_b) = (blur(&a), blur(&b));
        let (aa, bb, ab) = (blur(&product(&a, &a)), blur(&product(&b, &b)), blur(&product(&a, &b)));
        let count = mean_a.len() as f64;
        total += (0..mean_a.len())
            .map(|i| {
                let (ma, mb) = (mean_a[i], mean_b[i]);
                let (va, vb, cov) = (aa[i] - ma * ma, bb[i] - mb * mb, ab[i] - ma * mb);
                ((2.0 * ma * mb + SSIM_C1) * (2.0 * cov + SSIM_C2))
                    / ((ma * ma + mb * mb + SSIM_C1) * (va + vb + SSIM_C2))
            })
            .sum::<f64>()
            / count;
    }
    Some(total / 3.0)
}

fn window() -> Vec<f64> {
    let middle = (WINDOW / 2) as f64;
    let weights = (0..WINDOW)
        .map(|i| (-(i as f64 - middle).powi(2) / (2.0 * WINDOW_DEVIATION.powi(2))).exp())
        .collect::<Vec<_>>();
    let sum = weights.iter().sum::<f64>();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Separable convolution over the places where the window lies inside.
fn blur(plane: &[f64], height: usize, width: usize, kernel: &[f64]) -> Vec<f64> {
    let (rows, columns) = (height - WINDOW + 1, width - WINDOW + 1);
    let mut across = Vec::with_capacity(height * columns);
    for line in plane.chunks_exact(width) {
        across.extend(
            line.windows(WINDOW).map(|w| w.iter().zip(kernel).map(|(v, k)| v * k).sum::<f64>()),
        );
    }
    let mut out = vec![0.0; rows * columns];
    for (row, out) in out.chunks_exact_mut(columns).enumerate() {
        for (k, weight) in kernel.iter().enumerate() {
            let line = &across[(row + k) * columns..(row + k + 1) * columns];
            out.iter_mut().zip(line).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    out
}

/// Area under the ROC curve: the chance that a positive scores above a negative, ties counting
/// half. `None` unless there are both.
pub fn roc_auc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    let mut order = (0..scores.len()).collect::<Vec<_>>();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let positives = labels.iter().filter(|&&label| label).count() as f64;
    let negatives = labels.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut ranks = 0.0;
    let mut start = 0;
    while start < order.len() {
        let tied =
            order[start..].iter().take_while(|&&i| scores[i] == scores[order[start]]).count();
        let rank = f64::midpoint(start as f64 + 1.0, (start + tied) as f64);
        ranks += order[start..start + tied].iter().filter(|&&i| labels[i]).count() as f64 * rank;
        start += tied;
    }
    Some((ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// The value at a part of sorted values, by the nearest rank; `None` if there are none.
pub fn quantile(values: &mut [f64], part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (part * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_off_everywhere_is_twenty_decibels() {
        assert!((psnr(&[0.5; 12], &[0.4; 12]) - 20.0).abs() < 1e-4);
        assert!(psnr(&[0.5; 12], &[0.5; 12]) > 90.0);
    }

    #[test]
    fn an_image_is_like_itself_and_unlike_its_negative() {
        let image = (0..16 * 16 * 3).map(|i| ((i * 7919) % 101) as f32 / 100.0).collect::<Vec<_>>();
        let negative = image.iter().map(|v| 1.0 - v).collect::<Vec<_>>();
        assert!((ssim(&image, &image, 16, 16).unwrap() - 1.0).abs() < 1e-12);
        assert!(ssim(&negative, &image, 16, 16).unwrap() < 0.0);
        assert!(ssim(&image[..300], &image[..300], 10, 10).is_none());
    }

    #[test]
    fn flat_images_differ_in_brightness_alone() {
        // (2·0.4·0.6 + C1) / (0.4² + 0.6² + C1)
        let expected = (0.48 + SSIM_C1) / (0.52 + SSIM_C1);
        let got = ssim(&[0.4; 12 * 12 * 3], &[0.6; 12 * 12 * 3], 12, 12).unwrap();
        assert!((got - expected).abs() < 1e-6);
    }

    #[test]
    fn the_area_counts_pairs_in_order_and_ties_half() {
        let labels = [false, true, false, true];
        assert_eq!(roc_auc(&[0.1, 0.9, 0.2, 0.8], &labels), Some(1.0));
        assert_eq!(roc_auc(&[0.5, 0.5, 0.5, 0.5], &labels), Some(0.5));
        assert_eq!(roc_auc(&[0.1, 0.15, 0.2, 0.8], &labels), Some(0.75));
        assert_eq!(roc_auc(&[0.1, 0.2], &[true, true]), None);
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(&mut values, 0.5), Some(2.0));
        assert_eq!(quantile(&mut values, 0.95), Some(4.0));
        assert_eq!(quantile(&mut [], 0.5), None);
    }
}
