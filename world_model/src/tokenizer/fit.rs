//! Fits the basis on frames of the training split: principal components by subspace iteration.

use nalgebra::DMatrix;
use rand::Rng as _;
use rayon::prelude::*;
use rehearse_scenarios::seed::Seed;

use crate::error::{ModelError, Result};

/// More directions than are kept make the kept ones converge in few rounds.
const OVERSAMPLE: usize = 12;
const ROUNDS: usize = 16;
/// No coefficient is scaled up by more than this many grey levels' inverse: a patch that never
/// changes has noise only.
const LEAST_SCALE: f64 = 0.25 / 255.0;

/// A fitted basis, in the layout of [`Tokenizer`](super::Tokenizer)'s tensors.
#[derive(Clone, Debug)]
pub struct BasisFit {
    /// `patches × values`.
    pub mean: Vec<f32>,
    /// `patches × coefficients × values`.
    pub basis: Vec<f32>,
    /// `patches × coefficients`.
    pub scale: Vec<f32>,
}

/// Fits a basis per patch position on `frames`, each `patches × values` in [0, 1].
///
/// Runs over the positions in parallel; the result does not depend on the number of threads.
///
/// # Errors
/// [`ModelError::EmptySplit`] with fewer than two frames, [`ModelError::Size`] if they disagree,
/// [`ModelError::NotFinite`] on NaN.
pub fn fit_basis(
    frames: &[Vec<f32>],
    patches: usize,
    values: usize,
    coefficients: usize,
    seed: Seed,
) -> Result<BasisFit> {
    if frames.len() < 2 {
        return Err(ModelError::EmptySplit { what: "frames", split: "train".to_owned() });
    }
    for frame in frames {
        if frame.len() != patches * values {
            return Err(ModelError::size("a frame to fit on", patches * values, frame.len()));
        }
        if frame.iter().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { what: "a pixel".to_owned(), place: None });
        }
    }
    let fits = (0..patches)
        .into_par_iter()
        .map(|patch| {
            let rows = frames
                .iter()
                .map(|frame| &frame[patch * values..(patch + 1) * values])
                .collect::<Vec<_>>();
            fit_patch(&rows, values, coefficients, seed.index(patch as u64))
        })
        .collect::<Vec<_>>();
    let mut whole = BasisFit { mean: Vec::new(), basis: Vec::new(), scale: Vec::new() };
    for fit in fits {
        whole.mean.extend(fit.mean);
        whole.basis.extend(fit.basis);
        whole.scale.extend(fit.scale);
    }
    Ok(whole)
}

fn fit_patch(rows: &[&[f32]], values: usize, coefficients: usize, seed: Seed) -> BasisFit {
    let count = rows.len();
    let mut mean = vec![0.0_f64; values];
    for row in rows {
        for (sum, &value) in mean.iter_mut().zip(*row) {
            *sum += f64::from(value);
        }
    }
    let mean = mean.into_iter().map(|sum| (sum / count as f64) as f32).collect::<Vec<_>>();
    let centred = DMatrix::from_fn(values, count, |value, row| rows[row][value] - mean[value]);
    let covariance = (&centred * centred.transpose()) / (count - 1) as f32;
    let directions = (coefficients + OVERSAMPLE).min(values);
    let mut rng = seed.rng();
    let start = DMatrix::from_fn(values, directions, |_, _| rng.random_range(-1.0_f32..1.0));
    let mut subspace = start.qr().q();
    for _ in 0..ROUNDS {
        subspace = (&covariance * &subspace).qr().q();
    }
    // Rayleigh–Ritz: the components within the subspace, by falling variance.
    let projected = subspace.transpose() * (&covariance * &subspace);
    let ritz = ((&projected + projected.transpose()) * 0.5).symmetric_eigen();
    let mut order = (0..directions).collect::<Vec<_>>();
    order.sort_by(|&a, &b| ritz.eigenvalues[b].total_cmp(&ritz.eigenvalues[a]));
    let mut basis = Vec::with_capacity(coefficients * values);
    let mut scale = Vec::with_capacity(coefficients);
    for &index in order.iter().take(coefficients) {
        let mut component = &subspace * ritz.eigenvectors.column(index);
        // The sign is free; the largest entry is made positive so that a fit is reproducible.
        if component[component.iamax()] < 0.0 {
            component.neg_mut();
        }
        basis.extend(component.iter());
        let deviation = f64::from(ritz.eigenvalues[index]).max(0.0).sqrt();
        scale.push(deviation.max(LEAST_SCALE) as f32);
    }
    BasisFit { mean, basis, scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of two patches with three values each: the first varies along (1, 1, 0), the
    /// second along (0, 0, 1), with deviations 0.3 and 0.1.
    fn frames() -> Vec<Vec<f32>> {
        let mut rng = Seed::root(1).rng();
        let side = 0.5_f32.sqrt();
        (0..4000)
            .map(|_| {
                let (a, b) = (rng.random_range(-1.0_f32..1.0), rng.random_range(-1.0_f32..1.0));
                let (a, b) = (0.3 * 3.0_f32.sqrt() * a, 0.1 * 3.0_f32.sqrt() * b);
                vec![0.5 + a * side, 0.5 + a * side, 0.5, 0.2, 0.2, 0.2 + b]
            })
            .collect()
    }

    #[test]
    fn the_directions_and_their_deviations_are_found() {
        let fit = fit_basis(&frames(), 2, 3, 1, Seed::root(0)).unwrap();
        let side = 0.5_f32.sqrt();
        for (got, expected) in fit.basis.iter().zip([side, side, 0.0, 0.0, 0.0, 1.0]) {
            assert!((got - expected).abs() < 1e-3, "{:?}", fit.basis);
        }
        for (got, expected) in fit.scale.iter().zip([0.3, 0.1]) {
            assert!((got / expected - 1.0).abs() < 0.05, "{:?}", fit.scale);
        }
        assert!((fit.mean[0] - 0.5).abs() < 0.02);
    }

    #[test]
    fn too_few_frames_and_bad_pixels_are_refused() {
        assert!(fit_basis(&frames()[..1], 2, 3, 1, Seed::root(0)).is_err());
        let mut bad = frames();
        bad[3][1] = f32::NAN;
        assert!(matches!(
            fit_basis(&bad, 2, 3, 1, Seed::root(0)),
            Err(ModelError::NotFinite { .. })
        ));
    }
}
