//! Fidelity against depth: how a rollout decays.

use serde::Serialize;

use super::psnr::PSNR_CAP_DB;

/// A range of depths, in frames after the last true one: `from..to`, or from `from` to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthBin {
    /// First depth in it, from 0.
    pub from: usize,
    /// First depth past it; none for the rest of the rollout.
    pub to: Option<usize>,
}

impl DepthBin {
    /// The bins of `fidelity.json`, from `8-16` to `32-end`, and `all`.
    pub const STANDARD: [Self; 6] = [
        Self { from: 8, to: Some(16) },
        Self { from: 16, to: Some(32) },
        Self { from: 32, to: Some(64) },
        Self { from: 64, to: Some(72) },
        Self { from: 32, to: None },
        Self { from: 0, to: None },
    ];

    /// Its name in files: `8-16`, `32-end`, or `all`.
    pub fn name(self) -> String {
        match (self.from, self.to) {
            (0, None) => "all".to_owned(),
            (from, None) => format!("{from}-end"),
            (from, Some(to)) => format!("{from}-{to}"),
        }
    }

    const fn holds(self, depth: usize) -> bool {
        let before_end = match self.to {
            Some(to) => depth < to,
            None => true,
        };
        self.from <= depth && before_end
    }
}

/// Means over the frames of one bin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DepthRow {
    /// The bin's name.
    pub depth: String,
    /// Frames in it.
    pub frames: u64,
    /// Mean PSNR of the frames in dB, equal frames counting as [`PSNR_CAP_DB`]; none without
    /// frames.
    pub psnr: Option<f64>,
    /// Mean SSIM; none without frames.
    pub ssim: Option<f64>,
}

/// Sums of PSNR and SSIM by depth, over any number of rollouts.
///
/// ```
/// use rehearse_scoring::video::{DepthBin, DepthCurve};
///
/// let mut curve = DepthCurve::default();
/// curve.add(8, 30.0, 0.95);
/// curve.add(9, 28.0, 0.93);
/// let row = curve.row(DepthBin { from: 8, to: Some(16) });
/// assert_eq!((row.frames, row.psnr), (2, Some(29.0)));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DepthCurve {
    /// By depth: frames, sum of PSNR, sum of SSIM.
    sums: Vec<(u64, f64, f64)>,
}

impl DepthCurve {
    /// Adds a frame at `depth` with its PSNR in dB (infinite if equal to the truth) and SSIM.
    ///
    /// Values that are no number are not counted.
    pub fn add(&mut self, depth: usize, psnr: f64, ssim: f64) {
        if psnr.is_nan() || !ssim.is_finite() {
            return;
        }
        if self.sums.len() <= depth {
            self.sums.resize(depth + 1, (0, 0.0, 0.0));
        }
        let (frames, psnr_sum, ssim_sum) = &mut self.sums[depth];
        *frames += 1;
        *psnr_sum += psnr.min(PSNR_CAP_DB);
        *ssim_sum += ssim;
    }

    /// Adds all frames of another curve.
    pub fn merge(&mut self, other: &Self) {
        if self.sums.len() < other.sums.len() {
            self.sums.resize(other.sums.len(), (0, 0.0, 0.0));
        }
        for (own, (frames, psnr, ssim)) in self.sums.iter_mut().zip(&other.sums) {
            own.0 += frames;
            own.1 += psnr;
            own.2 += ssim;
        }
    }

    /// Means over the depths of `bin`, every frame counting the same.
    pub fn row(&self, bin: DepthBin) -> DepthRow {
        let held = self.sums.iter().enumerate().filter(|(depth, _)| bin.holds(*depth));
        let (frames, psnr, ssim) = held.fold((0, 0.0, 0.0), |(frames, psnr, ssim), (_, sums)| {
            (frames + sums.0, psnr + sums.1, ssim + sums.2)
        });
        let mean = |sum: f64| (frames > 0).then(|| sum / frames as f64);
        DepthRow { depth: bin.name(), frames, psnr: mean(psnr), ssim: mean(ssim) }
    }

    /// The curve itself: one row per depth.
    pub fn rows(&self) -> Vec<DepthRow> {
        (0..self.sums.len())
            .map(|depth| DepthRow {
                depth: depth.to_string(),
                ..self.row(DepthBin { from: depth, to: Some(depth + 1) })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_named_as_in_files() {
        let names: Vec<String> = DepthBin::STANDARD.iter().map(|bin| bin.name()).collect();
        assert_eq!(names, ["8-16", "16-32", "32-64", "64-72", "32-end", "all"]);
    }

    #[test]
    fn equal_frames_stay_finite_in_the_mean() {
        let mut curve = DepthCurve::default();
        curve.add(0, f64::INFINITY, 1.0);
        curve.add(1, f64::NAN, 1.0);
        let row = curve.row(DepthBin { from: 0, to: None });
        assert_eq!((row.frames, row.psnr), (1, Some(PSNR_CAP_DB)));
        assert_eq!(curve.row(DepthBin { from: 8, to: Some(16) }).psnr, None);
    }

    #[test]
    fn merged_curves_are_one_curve() {
        let (mut left, mut right, mut whole) =
            (DepthCurve::default(), DepthCurve::default(), DepthCurve::default());
        for depth in 0..9 {
            let (psnr, ssim) = (30.0 - depth as f64, 0.9);
            if depth % 2 == 0 {
                left.add(depth, psnr, ssim);
            } else {
                right.add(depth, psnr, ssim);
            }
            whole.add(depth, psnr, ssim);
        }
        left.merge(&right);
        assert_eq!(left.rows(), whole.rows());
    }
}
