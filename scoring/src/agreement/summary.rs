//! How far off imagined rates are on average.

use super::correlation::check_columns;
use super::error::AgreementError;

/// Mean of imagined minus real: above 0 imagination is optimistic.
///
/// # Errors
/// [`AgreementError::Length`], [`AgreementError::TooFew`] for empty columns and
/// [`AgreementError::NotFinite`].
pub fn bias(real: &[f64], imagined: &[f64]) -> Result<f64, AgreementError> {
    check_columns("a bias", real, imagined, 1)?;
    Ok(raw_bias(real, imagined))
}

/// Mean absolute difference between imagined and real.
///
/// # Errors
/// As [`bias`].
pub fn mean_absolute_error(real: &[f64], imagined: &[f64]) -> Result<f64, AgreementError> {
    check_columns("a mean absolute error", real, imagined, 1)?;
    Ok(raw_mae(real, imagined))
}

pub(super) fn raw_bias(real: &[f64], imagined: &[f64]) -> f64 {
    real.iter().zip(imagined).map(|(real, imagined)| imagined - real).sum::<f64>()
        / real.len() as f64
}

pub(super) fn raw_mae(real: &[f64], imagined: &[f64]) -> f64 {
    real.iter().zip(imagined).map(|(real, imagined)| (imagined - real).abs()).sum::<f64>()
        / real.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let (real, imagined) = ([0.2, 0.6], [0.5, 0.4]);
        assert!((bias(&real, &imagined).unwrap() - 0.05).abs() < 1e-15);
        assert!((mean_absolute_error(&real, &imagined).unwrap() - 0.25).abs() < 1e-15);
        assert!(bias(&[], &[]).is_err());
    }
}
