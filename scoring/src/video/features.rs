//! Distances between sets of feature vectors: Fréchet and kernel video distance.

use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array1, Array2, ArrayRef2, Axis};

use super::error::VideoError;

/// Iterations that an eigenvalue may take; the usual number is two or three.
const MAX_ITERATIONS: usize = 10_000;

/// Fréchet distance between Gaussians fitted to two sets of features: FVD on features of clips, FID
/// on features of frames.
///
/// |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), with sample covariances (n − 1). The trace of the root is
/// that of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric. Biased upward for few vectors: compare sets of
/// equal size only.
///
/// # Shapes
/// `truth`: `(n, dimensions)`, `predicted`: `(m, dimensions)`.
///
/// # Errors
/// [`VideoError::Dimensions`], [`VideoError::TooFewVectors`] below 2, [`VideoError::NotFinite`] and
/// [`VideoError::NotConverged`].
pub fn frechet_distance(
    truth: &ArrayRef2<f64>,
    predicted: &ArrayRef2<f64>,
) -> Result<f64, VideoError> {
    check("a Fréchet distance", truth, predicted)?;
    let (mean_a, covariance_a) = moments(truth);
    let (mean_b, covariance_b) = moments(predicted);
    let gap = (&mean_a - &mean_b).mapv(|d| d * d).sum();
    let root = square_root(covariance_a.clone())?;
    let inner = &root * &covariance_b * &root;
    // Symmetric but for rounding, which the eigenvalues must not see.
    let inner = (&inner + inner.transpose()) * 0.5;
    let trace: f64 = eigen(inner)?.eigenvalues.iter().map(|value| value.max(0.0).sqrt()).sum();
    Ok((gap + covariance_a.trace() + covariance_b.trace() - 2.0 * trace).max(0.0))
}

/// Kernel distance between two sets of features: KVD on features of clips, KID on features of
/// frames.
///
/// The unbiased estimate of the squared maximum mean discrepancy with the kernel (x·y / d + 1)³
/// (Bińkowski et al. 2018); around 0, and below it by chance, for sets from one source.
///
/// # Shapes
/// `truth`: `(n, dimensions)`, `predicted`: `(m, dimensions)`.
///
/// # Errors
/// [`VideoError::Dimensions`], [`VideoError::TooFewVectors`] below 2 and
/// [`VideoError::NotFinite`].
pub fn kernel_distance(
    truth: &ArrayRef2<f64>,
    predicted: &ArrayRef2<f64>,
) -> Result<f64, VideoError> {
    check("a kernel distance", truth, predicted)?;
    let kernel = |a: &ArrayRef2<f64>, b: &ArrayRef2<f64>| -> Array2<f64> {
        let dimensions = a.ncols() as f64;
        a.dot(&b.t()).mapv(|product| (product / dimensions + 1.0).powi(3))
    };
    let within = |set: &ArrayRef2<f64>| {
        let values = kernel(set, set);
        let n = set.nrows() as f64;
        (values.sum() - values.diag().sum()) / (n * (n - 1.0))
    };
    let between = kernel(truth, predicted);
    Ok(within(truth) + within(predicted) - 2.0 * between.sum() / between.len() as f64)
}

fn check(
    distance: &'static str,
    truth: &ArrayRef2<f64>,
    predicted: &ArrayRef2<f64>,
) -> Result<(), VideoError> {
    let (left, right) = (truth.ncols(), predicted.ncols());
    if left != right || left == 0 {
        return Err(VideoError::Dimensions { left, right });
    }
    let got = truth.nrows().min(predicted.nrows());
    if got < 2 {
        return Err(VideoError::TooFewVectors { distance, needed: 2, got });
    }
    match truth.iter().chain(predicted.iter()).find(|value| !value.is_finite()) {
        Some(&value) => Err(VideoError::NotFinite { value }),
        None => Ok(()),
    }
}

/// Mean and sample covariance of at least two rows.
fn moments(rows: &ArrayRef2<f64>) -> (Array1<f64>, DMatrix<f64>) {
    let n = rows.nrows() as f64;
    let mean = rows.sum_axis(Axis(0)) / n;
    let centred = &rows.view() - &mean;
    let covariance = centred.t().dot(&centred) / (n - 1.0);
    let side = covariance.nrows();
    // A symmetric matrix reads the same by rows and by columns.
    let matrix = DMatrix::from_iterator(side, side, covariance.iter().copied());
    (mean, matrix)
}

/// The symmetric root of a positive semi-definite matrix.
fn square_root(matrix: DMatrix<f64>) -> Result<DMatrix<f64>, VideoError> {
    let SymmetricEigen { eigenvectors, eigenvalues } = eigen(matrix)?;
    let mut scaled = eigenvectors.clone();
    for (mut column, value) in scaled.column_iter_mut().zip(eigenvalues.iter()) {
        // Rounding can push a zero eigenvalue just below zero.
        column *= value.max(0.0).sqrt();
    }
    Ok(scaled * eigenvectors.transpose())
}

fn eigen(matrix: DMatrix<f64>) -> Result<SymmetricEigen<f64, nalgebra::Dyn>, VideoError> {
    let dimensions = matrix.nrows();
    SymmetricEigen::try_new(matrix, f64::EPSILON, MAX_ITERATIONS)
        .ok_or(VideoError::NotConverged { dimensions })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn one_dimension_by_hand() {
        // Means 1 and 4, variances 1 and 4: 9 + (1 − 2)².
        let (a, b) = (array![[0.0], [1.0], [2.0]], array![[2.0], [4.0], [6.0]]);
        assert!((frechet_distance(&a, &b).unwrap() - 10.0).abs() < 1e-12);
    }

    #[test]
    fn kernel_distance_by_hand() {
        // d = 1, k = (xy + 1)³: within {0, 1}: k(0,1) = 1; within {1, 2}: 27; between: 1, 1, 8, 27.
        let (a, b) = (array![[0.0], [1.0]], array![[1.0], [2.0]]);
        let expected = 1.0 + 27.0 - 2.0 * 37.0 / 4.0;
        assert!((kernel_distance(&a, &b).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn a_set_is_at_no_distance_from_itself() {
        let set = array![[0.1, 2.0, 0.3], [1.0, 0.5, 0.2], [0.7, 0.9, 2.1], [0.0, 0.0, 1.0]];
        assert!(frechet_distance(&set, &set).unwrap() < 1e-9);
    }

    #[test]
    fn fewer_vectors_than_dimensions_still_have_a_distance() {
        let (a, b) =
            (array![[0.0, 1.0, 2.0], [1.0, 1.0, 2.0]], array![[5.0, 1.0, 2.0], [6.0, 1.0, 2.0]]);
        assert!((frechet_distance(&a, &b).unwrap() - 25.0).abs() < 1e-9);
    }

    #[test]
    fn bad_sets_are_refused() {
        let (one, two) = (array![[1.0, 2.0]], array![[1.0, 2.0], [2.0, 1.0]]);
        let nan = array![[1.0, f64::NAN], [0.0, 0.0]];
        let flat = array![[1.0], [2.0]];
        for distance in [frechet_distance, kernel_distance] {
            assert!(matches!(distance(&one, &two), Err(VideoError::TooFewVectors { got: 1, .. })));
            assert!(matches!(
                distance(&flat, &two),
                Err(VideoError::Dimensions { left: 1, right: 2 })
            ));
            assert!(matches!(distance(&two, &nan), Err(VideoError::NotFinite { .. })));
        }
    }
}
