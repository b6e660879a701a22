//! Many questions at once: adjusted p values.
//!
//! Among twenty comparisons of equal policies one is "significant" at 5 % on average. [`holm`]
//! bounds the probability of any false claim; [`benjamini_hochberg`] the expected share of false
//! ones among the claims.

/// Why p values cannot be adjusted.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum MultipleError {
    /// A p value is not in [0, 1].
    #[error("p value {p} of comparison {index} is outside [0, 1]")]
    OutOfRange {
        /// Which, counted from 0.
        index: usize,
        /// What was given.
        p: f64,
    },
}

/// Holm's adjusted p values (1979), in the order given: claims at adjusted p ≤ α are all true with
/// probability 1 − α, however the tests depend on each other.
///
/// # Errors
/// [`MultipleError::OutOfRange`].
///
/// ```
/// use rehearse_scoring::multiple::holm;
///
/// let adjusted = holm(&[0.01, 0.04, 0.03])?;
/// let expected = [0.03, 0.06, 0.06];
/// assert!(adjusted.iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-15));
/// # Ok::<(), rehearse_scoring::multiple::MultipleError>(())
/// ```
pub fn holm(p: &[f64]) -> Result<Vec<f64>, MultipleError> {
    let order = ascending(p)?;
    let mut adjusted = vec![0.0; p.len()];
    let mut floor = 0.0_f64;
    for (rank, &index) in order.iter().enumerate() {
        floor = floor.max((p.len() - rank) as f64 * p[index]).min(1.0);
        adjusted[index] = floor;
    }
    Ok(adjusted)
}

/// Benjamini and Hochberg's adjusted p values (1995), in the order given: among claims at adjusted
/// p ≤ q an expected share of at most q is false, for tests that are independent or positively
/// dependent.
///
/// # Errors
/// [`MultipleError::OutOfRange`].
pub fn benjamini_hochberg(p: &[f64]) -> Result<Vec<f64>, MultipleError> {
    let order = ascending(p)?;
    let mut adjusted = vec![0.0; p.len()];
    let mut ceiling = 1.0_f64;
    for (rank, &index) in order.iter().enumerate().rev() {
        ceiling = ceiling.min(p.len() as f64 / (rank + 1) as f64 * p[index]);
        adjusted[index] = ceiling;
    }
    Ok(adjusted)
}

fn ascending(p: &[f64]) -> Result<Vec<usize>, MultipleError> {
    if let Some(index) = p.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(MultipleError::OutOfRange { index, p: p[index] });
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    Ok(order)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn benjamini_and_hochberg_find_their_own_four() {
        // Their example (1995, §3.2): 15 p values, four rejections at q = 0.05.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
            0.5719, 0.6528, 0.7590, 1.0,
        ];
        let claims = |adjusted: Vec<f64>| adjusted.iter().filter(|p| **p <= 0.05).count();
        assert_eq!(claims(benjamini_hochberg(&p).unwrap()), 4);
        assert_eq!(claims(holm(&p).unwrap()), 3);
    }

    #[test]
    fn nothing_is_fine_and_nan_is_not() {
        assert_eq!(holm(&[]), Ok(vec![]));
        assert!(matches!(holm(&[0.5, f64::NAN]), Err(MultipleError::OutOfRange { index: 1, .. })));
        assert!(benjamini_hochberg(&[1.5]).is_err());
    }

    proptest! {
        #[test]
        fn adjusting_only_raises_and_keeps_the_order(
            p in prop::collection::vec(0.0..=1.0_f64, 1..30),
        ) {
            let (holm, hochberg) = (holm(&p).unwrap(), benjamini_hochberg(&p).unwrap());
            for i in 0..p.len() {
                prop_assert!(p[i] <= hochberg[i] + 1e-15 && hochberg[i] <= holm[i] + 1e-15);
                prop_assert!(holm[i] <= (p[i] * p.len() as f64).min(1.0) + 1e-15);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || (holm[i] <= holm[j] && hochberg[i] <= hochberg[j]));
                }
            }
        }
    }
}
