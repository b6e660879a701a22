//! Learned perceptual similarity, from features that the caller computed.

use ndarray::{ArrayView3, Axis, Zip};

use super::error::VideoError;

/// What the reference implementation adds to a feature's length before dividing by it.
const EPSILON: f64 = 1e-10;

/// One layer of a network, seen on both frames.
#[derive(Clone, Copy, Debug)]
pub struct FeatureLayer<'a> {
    /// Features of the true frame, `(channels, height, width)`.
    pub truth: ArrayView3<'a, f32>,
    /// Features of the predicted frame, of the same shape.
    pub predicted: ArrayView3<'a, f32>,
    /// Learned weights, one per channel, none negative.
    pub weights: &'a [f32],
}

/// LPIPS (Zhang et al. 2018): per layer the features are scaled to unit length at every place,
/// their squared differences weighed by channel and averaged over places; layers add up.
///
/// As `lpips.LPIPS` of the reference (`richzhang/PerceptualSimilarity`) with `spatial=False`.
///
/// # Errors
/// [`VideoError::Layer`] where shapes or weights do not match or there is no layer, and
/// [`VideoError::NotFinite`].
pub fn lpips(layers: &[FeatureLayer<'_>]) -> Result<f64, VideoError> {
    if layers.is_empty() {
        return Err(VideoError::Layer { layer: 0, what: "there is none" });
    }
    layers.iter().enumerate().map(|(index, layer)| distance(index, layer)).sum()
}

fn distance(index: usize, layer: &FeatureLayer<'_>) -> Result<f64, VideoError> {
    let FeatureLayer { truth, predicted, weights } = layer;
    let refuse = |what| Err(VideoError::Layer { layer: index, what });
    if truth.dim() != predicted.dim() {
        return refuse("the two sides have different shapes");
    }
    if truth.is_empty() {
        return refuse("it has no features");
    }
    if weights.len() != truth.len_of(Axis(0)) {
        return refuse("there must be one weight per channel");
    }
    if let Some(&value) = truth.iter().chain(predicted.iter()).find(|value| !value.is_finite()) {
        return Err(VideoError::NotFinite { value: f64::from(value) });
    }
    let mut sum = 0.0;
    Zip::from(truth.lanes(Axis(0))).and(predicted.lanes(Axis(0))).for_each(|a, b| {
        let length = |lane: ndarray::ArrayView1<'_, f32>| {
            lane.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt() + EPSILON
        };
        let (length_a, length_b) = (length(a), length(b));
        sum += a
            .iter()
            .zip(&b)
            .zip(weights.iter())
            .map(|((&a, &b), &weight)| {
                f64::from(weight) * (f64::from(a) / length_a - f64::from(b) / length_b).powi(2)
            })
            .sum::<f64>();
    });
    Ok(sum / (truth.len() / weights.len()) as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, arr3};

    use super::*;

    #[test]
    fn orthogonal_features_by_hand() {
        // One place, unit vectors at a right angle: 0.5·1 + 0.25·1.
        let (truth, predicted) = (arr3(&[[[3.0_f32]], [[0.0]]]), arr3(&[[[0.0_f32]], [[7.0]]]));
        let layer = FeatureLayer {
            truth: truth.view(),
            predicted: predicted.view(),
            weights: &[0.5, 0.25],
        };
        assert!((lpips(&[layer]).unwrap() - 0.75).abs() < 1e-9);
        assert!((lpips(&[layer, layer]).unwrap() - 1.5).abs() < 1e-9);
    }

    #[test]
    fn length_does_not_matter_and_equal_features_are_at_zero() {
        let truth = Array3::from_shape_fn((4, 3, 2), |(c, y, x)| (1 + c + 2 * y + x) as f32);
        let longer = &truth * 5.0;
        let weights = [1.0_f32; 4];
        let layer =
            FeatureLayer { truth: truth.view(), predicted: longer.view(), weights: &weights };
        assert!(lpips(&[layer]).unwrap() < 1e-12);
    }

    #[test]
    fn what_does_not_match_is_named_by_layer() {
        let (a, b) = (Array3::zeros((2, 2, 2)), Array3::zeros((2, 2, 3)));
        let good = FeatureLayer { truth: a.view(), predicted: a.view(), weights: &[1.0, 1.0] };
        let bad = FeatureLayer { predicted: b.view(), ..good };
        assert!(matches!(lpips(&[good, bad]), Err(VideoError::Layer { layer: 1, .. })));
        let unweighted = FeatureLayer { weights: &[1.0], ..good };
        assert!(matches!(lpips(&[unweighted]), Err(VideoError::Layer { layer: 0, .. })));
        assert!(lpips(&[]).is_err());
    }
}
