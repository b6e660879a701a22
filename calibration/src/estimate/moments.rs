//! Means, variances and the covariance of paired results.

use super::Sample;

/// First and second moments of paired results; variances divide by n.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    pub(crate) n: f64,
    pub(crate) real: f64,
    pub(crate) imagined: f64,
    pub(crate) var_real: f64,
    pub(crate) var_imagined: f64,
    pub(crate) covariance: f64,
}

impl Moments {
    pub(crate) fn of(sample: &Sample<'_>) -> Self {
        Self::smoothed(sample, 0.0)
    }

    /// The moments with four more pairs, each of weight `weight`, at the corners of the unit
    /// square: (0, 0), (0, 1), (1, 0), (1, 1).
    ///
    /// They stand for what a small sample has not shown yet. Ten pairs that all agree do not make
    /// a world model infallible.
    pub(crate) fn smoothed(sample: &Sample<'_>, weight: f64) -> Self {
        let (real, imagined) = (sample.real(), sample.imagined());
        let n = real.len() as f64 + 4.0 * weight;
        let mean_real = (real.iter().sum::<f64>() + 2.0 * weight) / n;
        let mean_imagined = (imagined.iter().sum::<f64>() + 2.0 * weight) / n;
        let mut sums = (0.0, 0.0, 0.0);
        let mut add = |y: f64, f: f64, weight: f64| {
            let (dy, df) = (y - mean_real, f - mean_imagined);
            sums.0 += weight * dy * dy;
            sums.1 += weight * df * df;
            sums.2 += weight * dy * df;
        };
        for (&y, &f) in real.iter().zip(imagined) {
            add(y, f, 1.0);
        }
        if weight > 0.0 {
            for (y, f) in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
                add(y, f, weight);
            }
        }
        Self {
            n,
            real: mean_real,
            imagined: mean_imagined,
            var_real: sums.0 / n,
            var_imagined: sums.1 / n,
            covariance: sums.2 / n,
        }
    }

    /// Pearson's correlation; 0 where a side is constant.
    pub(crate) fn correlation(&self) -> f64 {
        let scale = (self.var_real * self.var_imagined).sqrt();
        if scale > 0.0 { (self.covariance / scale).clamp(-1.0, 1.0) } else { 0.0 }
    }
}

/// Mean and variance (dividing by n) of `values`; zeros for none.
pub(crate) fn mean_variance(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_by_hand() {
        let sample = Sample::new(&[0.0, 1.0, 1.0, 0.0], &[0.0, 1.0, 0.0, 0.0], &[]).unwrap();
        let m = Moments::of(&sample);
        assert_eq!((m.real, m.imagined), (0.5, 0.25));
        assert_eq!((m.var_real, m.var_imagined, m.covariance), (0.25, 0.1875, 0.125));
        assert!((m.correlation() - 1.0 / 3.0_f64.sqrt()).abs() < 1e-15);
        // Two more pairs in all: 3 real successes of 6 and 2 imagined ones, both in 1.5.
        let m = Moments::smoothed(&sample, 0.5);
        assert!((m.n - 6.0).abs() < 1e-15);
        assert!((m.covariance - (1.5 / 6.0 - 0.5 * 2.0 / 6.0)).abs() < 1e-15);
    }

    #[test]
    fn a_constant_side_has_no_correlation() {
        let sample = Sample::new(&[1.0, 1.0], &[0.0, 1.0], &[]).unwrap();
        assert_eq!(Moments::of(&sample).correlation(), 0.0);
    }
}
