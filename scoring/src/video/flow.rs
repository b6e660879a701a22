//! Dense optical flow after Horn and Schunck (1981).

use ndarray::{Array2, ArrayRef3, Axis};

use super::error::VideoError;
use super::psnr::check_frames;

/// Motion of every pixel between two frames, in pixels per frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Motion to the right, `(height, width)`.
    pub right: Array2<f64>,
    /// Motion downward, `(height, width)`.
    pub down: Array2<f64>,
}

/// How flow is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowOptions {
    /// Weight of smoothness against brightness constancy, in grey levels per pixel: about the noise
    /// of the brightness gradient. Default 10; less follows noise, more blurs motion.
    pub alpha: f64,
    /// Iterations, 1 at least. Default 100; flow spreads into flat regions by a pixel each.
    pub iterations: usize,
}

impl Default for FlowOptions {
    fn default() -> Self {
        Self { alpha: 10.0, iterations: 100 }
    }
}

/// The flow from `first` to `second`.
///
/// Brightness is BT.601 luma for three channels, else the mean of the channels. The method follows
/// motion of a pixel or two per frame; larger motion is underestimated.
///
/// # Shapes
/// `first`, `second`: `(height, width, channels)`.
///
/// # Errors
/// [`VideoError::Shape`], [`VideoError::Empty`] and [`VideoError::Option`].
pub fn horn_schunck(
    first: &ArrayRef3<u8>,
    second: &ArrayRef3<u8>,
    options: &FlowOptions,
) -> Result<Flow, VideoError> {
    check_frames(first, second)?;
    let FlowOptions { alpha, iterations } = *options;
    if !(alpha > 0.0 && alpha.is_finite()) {
        return Err(VideoError::Option { option: "alpha", expected: "above 0", got: alpha });
    }
    if iterations == 0 {
        let (option, expected) = ("the number of iterations", "at least 1");
        return Err(VideoError::Option { option, expected, got: 0.0 });
    }
    let (first, second) = (brightness(first), brightness(second));
    let [across, down, time] = derivatives(&first, &second);
    let energy = ndarray::Zip::from(&across)
        .and(&down)
        .map_collect(|x, y| 1.0 / (alpha * alpha + x * x + y * y));
    let mut flow = Flow { right: Array2::zeros(first.dim()), down: Array2::zeros(first.dim()) };
    for _ in 0..iterations {
        let (mean_right, mean_down) = (neighbours(&flow.right), neighbours(&flow.down));
        for (place, right) in flow.right.indexed_iter_mut() {
            let residual =
                across[place] * mean_right[place] + down[place] * mean_down[place] + time[place];
            let step = residual * energy[place];
            *right = mean_right[place] - across[place] * step;
            flow.down[place] = mean_down[place] - down[place] * step;
        }
    }
    Ok(flow)
}

fn brightness(frame: &ArrayRef3<u8>) -> Array2<f64> {
    let weights: &[f64] = &[0.299, 0.587, 0.114];
    let channels = frame.len_of(Axis(2));
    frame.map_axis(Axis(2), |pixel| {
        if channels == 3 {
            pixel.iter().zip(weights).map(|(&value, weight)| f64::from(value) * weight).sum()
        } else {
            pixel.iter().map(|&value| f64::from(value)).sum::<f64>() / channels as f64
        }
    })
}

/// Derivatives to the right, downward and in time: means of the four first differences along the
/// edges of a 2×2×2 cube (Horn and Schunck, section 7). Borders repeat.
fn derivatives(first: &Array2<f64>, second: &Array2<f64>) -> [Array2<f64>; 3] {
    let (height, width) = first.dim();
    let corners = |y: usize, x: usize| {
        let (below, beside) = ((y + 1).min(height - 1), (x + 1).min(width - 1));
        [first, second].map(|frame| {
            [frame[(y, x)], frame[(y, beside)], frame[(below, x)], frame[(below, beside)]]
        })
    };
    let of = |weigh: fn([[f64; 4]; 2]) -> f64| {
        Array2::from_shape_fn((height, width), |(y, x)| 0.25 * weigh(corners(y, x)))
    };
    [
        of(|[a, b]| a[1] - a[0] + a[3] - a[2] + b[1] - b[0] + b[3] - b[2]),
        of(|[a, b]| a[2] - a[0] + a[3] - a[1] + b[2] - b[0] + b[3] - b[1]),
        of(|[a, b]| (0..4).map(|corner| b[corner] - a[corner]).sum()),
    ]
}

/// The weighted mean of the eight neighbours: 1/6 beside, 1/12 across corners. Borders repeat.
fn neighbours(values: &Array2<f64>) -> Array2<f64> {
    let (height, width) = values.dim();
    Array2::from_shape_fn((height, width), |(y, x)| {
        let (up, below) = (y.saturating_sub(1), (y + 1).min(height - 1));
        let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
        let beside = values[(up, x)] + values[(below, x)] + values[(y, left)] + values[(y, right)];
        let corners = values[(up, left)]
            + values[(up, right)]
            + values[(below, left)]
            + values[(below, right)];
        beside / 6.0 + corners / 12.0
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    /// A soft bright blob centred at (`y`, `x`).
    fn blob(y: f64, x: f64) -> Array3<u8> {
        Array3::from_shape_fn((32, 32, 1), |(row, column, _)| {
            let square = (row as f64 - y).powi(2) + (column as f64 - x).powi(2);
            (220.0 * (-square / 40.0).exp()) as u8
        })
    }

    #[test]
    fn a_blob_that_moves_right_flows_right() {
        let flow =
            horn_schunck(&blob(16.0, 15.0), &blob(16.0, 16.0), &FlowOptions::default()).unwrap();
        let (right, down) = (flow.right[(16, 16)], flow.down[(16, 16)]);
        assert!((right - 1.0).abs() < 0.3 && down.abs() < 0.1, "{right} {down}");
    }

    #[test]
    fn nothing_moves_between_equal_frames() {
        let frame = blob(10.0, 12.0);
        let flow = horn_schunck(&frame, &frame, &FlowOptions::default()).unwrap();
        assert!(flow.right.iter().chain(&flow.down).all(|&v| v == 0.0));
    }

    #[test]
    fn transposed_frames_have_transposed_flow() {
        let (first, second) = (blob(16.0, 15.0), blob(15.5, 16.0));
        let turned = |frame: &Array3<u8>| frame.clone().permuted_axes([1, 0, 2]);
        let options = FlowOptions::default();
        let flow = horn_schunck(&first, &second, &options).unwrap();
        let other = horn_schunck(&turned(&first), &turned(&second), &options).unwrap();
        let gap = (&flow.right.t() - &other.down).mapv(f64::abs).sum();
        assert!(gap < 1e-9, "{gap}");
    }
}
