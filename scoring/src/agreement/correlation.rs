//! Correlation coefficients.

use super::error::AgreementError;
use crate::warning::Side;

/// What SimplerEnv adds to the denominator of Pearson's r.
const SIMPLER_ENV_EPSILON: f64 = 1e-8;

/// Pearson's r, in [-1, 1].
///
/// ```
/// let r = rehearse_scoring::agreement::pearson(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0])?;
/// assert!((r - 0.5).abs() < 1e-12);
/// # Ok::<(), rehearse_scoring::agreement::AgreementError>(())
/// ```
///
/// # Errors
/// [`AgreementError::Length`], [`AgreementError::TooFew`] below 2, [`AgreementError::NotFinite`]
/// and [`AgreementError::Constant`].
pub fn pearson(real: &[f64], imagined: &[f64]) -> Result<f64, AgreementError> {
    check_columns("Pearson's r", real, imagined, 2)?;
    check_varies(real, imagined)?;
    Ok(raw_pearson(real, imagined))
}

/// Pearson's r as SimplerEnv computes it (`simpler_env/utils/metrics.py`): 1 if the centred columns
/// are equal, else with 10⁻⁸ added to the denominator, so that a constant column gives 0.
///
/// Published values of that lineage are matched with it; for your own report use [`pearson`].
///
/// # Errors
/// [`AgreementError::Length`], [`AgreementError::TooFew`] for empty columns and
/// [`AgreementError::NotFinite`].
pub fn pearson_simpler_env(real: &[f64], imagined: &[f64]) -> Result<f64, AgreementError> {
    check_columns("Pearson's r", real, imagined, 1)?;
    let (real, imagined) = (centred(real), centred(imagined));
    if real == imagined {
        return Ok(1.0);
    }
    let norm = (squares(&real) * squares(&imagined)).sqrt();
    Ok(dot(&real, &imagined) / (norm + SIMPLER_ENV_EPSILON))
}

/// Spearman's ρ: Pearson's r of the ranks, ties sharing their mean rank.
///
/// # Errors
/// As [`pearson`].
pub fn spearman(real: &[f64], imagined: &[f64]) -> Result<f64, AgreementError> {
    check_columns("Spearman's rho", real, imagined, 2)?;
    check_varies(real, imagined)?;
    Ok(raw_pearson(&ranks(real), &ranks(imagined)))
}

/// Kendall's τ-b, which allows for ties on either side. Time grows with the square of the length.
///
/// # Errors
/// As [`pearson`].
pub fn kendall(real: &[f64], imagined: &[f64]) -> Result<f64, AgreementError> {
    check_columns("Kendall's tau", real, imagined, 2)?;
    check_varies(real, imagined)?;
    let (mut score, mut real_ties, mut imagined_ties, mut pairs) = (0_i64, 0_u64, 0_u64, 0_u64);
    for i in 0..real.len() {
        for j in 0..i {
            let (real_sign, imagined_sign) =
                (sign(real[i], real[j]), sign(imagined[i], imagined[j]));
            pairs += 1;
            score += i64::from(real_sign * imagined_sign);
            real_ties += u64::from(real_sign == 0);
            imagined_ties += u64::from(imagined_sign == 0);
        }
    }
    let untied = ((pairs - real_ties) as f64).sqrt() * ((pairs - imagined_ties) as f64).sqrt();
    Ok((score as f64 / untied).clamp(-1.0, 1.0))
}

/// Ranks from 1, ties sharing the mean of their ranks.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        for &place in tied {
            ranks[place] = before as f64 + f64::midpoint(1.0, tied.len() as f64);
        }
        before += tied.len();
    }
    ranks
}

/// Pearson's r, NaN where a column does not vary. Columns must be of one length.
pub(super) fn raw_pearson(real: &[f64], imagined: &[f64]) -> f64 {
    if is_constant(real) || is_constant(imagined) {
        return f64::NAN;
    }
    let (real, imagined) = (centred(real), centred(imagined));
    // Scaled first: squares of tiny or huge values would leave the range of f64.
    let (real, imagined) = (scaled(real), scaled(imagined));
    let norm = squares(&real).sqrt() * squares(&imagined).sqrt();
    (dot(&real, &imagined) / norm).clamp(-1.0, 1.0)
}

pub(super) fn check_columns(
    statistic: &'static str,
    real: &[f64],
    imagined: &[f64],
    needed: usize,
) -> Result<(), AgreementError> {
    if real.len() != imagined.len() {
        return Err(AgreementError::Length { real: real.len(), imagined: imagined.len() });
    }
    if real.len() < needed {
        return Err(AgreementError::TooFew { statistic, needed, got: real.len() });
    }
    for (side, values) in [(Side::Real, real), (Side::Imagined, imagined)] {
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(AgreementError::NotFinite { side, index, value: values[index] });
        }
    }
    Ok(())
}

fn check_varies(real: &[f64], imagined: &[f64]) -> Result<(), AgreementError> {
    for (side, values) in [(Side::Real, real), (Side::Imagined, imagined)] {
        if is_constant(values) {
            return Err(AgreementError::Constant { side, value: values[0] });
        }
    }
    Ok(())
}

pub(super) fn is_constant(values: &[f64]) -> bool {
    values.iter().all(|&value| value == values[0])
}

/// −1, 0 or 1 as `a` is below, at or above `b`.
fn sign(a: f64, b: f64) -> i8 {
    i8::from(a > b) - i8::from(a < b)
}

fn centred(values: &[f64]) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| value - mean).collect()
}

fn scaled(values: Vec<f64>) -> Vec<f64> {
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    values.into_iter().map(|value| value / largest).collect()
}

fn squares(values: &[f64]) -> f64 {
    dot(values, values)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_by_hand() {
        let (x, y) = ([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]);
        assert!((pearson(&x, &y).unwrap() - 0.8).abs() < 1e-15);
        assert!((spearman(&x, &y).unwrap() - 0.8).abs() < 1e-15);
        assert!((kendall(&x, &y).unwrap() - 4.0 / 6.0).abs() < 1e-15);
    }

    #[test]
    fn tau_b_allows_for_ties_by_hand() {
        // Pairs: (1,2) tied in y, (1,3) and (2,3) concordant: 2 / √(3 · 2).
        let tau = kendall(&[1.0, 2.0, 3.0], &[1.0, 1.0, 2.0]).unwrap();
        assert!((tau - 2.0 / 6.0_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn tied_values_share_their_mean_rank() {
        assert_eq!(ranks(&[0.3, 0.1, 0.3, 0.9, 0.3]), [3.0, 1.0, 3.0, 5.0, 3.0]);
    }

    #[test]
    fn a_constant_column_has_no_correlation_but_simpler_env_gives_zero() {
        let (flat, rising) = ([0.1, 0.1, 0.1], [0.0, 0.5, 1.0]);
        for coefficient in [pearson, spearman, kendall] {
            assert_eq!(
                coefficient(&flat, &rising),
                Err(AgreementError::Constant { side: Side::Real, value: 0.1 })
            );
        }
        assert!(pearson_simpler_env(&flat, &rising).unwrap().abs() < 1e-6);
        assert_eq!(pearson_simpler_env(&rising, &rising), Ok(1.0));
    }

    #[test]
    fn bad_columns_are_named() {
        assert!(matches!(pearson(&[1.0], &[1.0]), Err(AgreementError::TooFew { .. })));
        assert!(matches!(pearson(&[1.0, 2.0], &[1.0]), Err(AgreementError::Length { .. })));
        let nan = pearson(&[1.0, 2.0], &[1.0, f64::NAN]);
        assert!(matches!(
            nan,
            Err(AgreementError::NotFinite { side: Side::Imagined, index: 1, .. })
        ));
    }

    #[test]
    fn tiny_and_huge_values_do_not_overflow() {
        let x = [1e-200, 2e-200, 4e-200];
        let y = [1e200, 2e200, 4e200];
        assert!((pearson(&x, &y).unwrap() - 1.0).abs() < 1e-12);
    }
}
