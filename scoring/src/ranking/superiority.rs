//! How probably one policy is better than another.

use crate::special::{beta_reg, ln_beta};

/// The probability that a trial of A scores higher than one of B, ties counted half: the common
/// language effect size, Mann and Whitney's U over n·m. ½ where they are alike; none if a side is
/// empty.
///
/// ```
/// use rehearse_scoring::ranking::trial_superiority;
///
/// assert_eq!(trial_superiority(&[1.0, 1.0, 0.0], &[0.0, 1.0]), Some(7.0 / 12.0));
/// ```
pub fn trial_superiority(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let mut sorted = b.to_vec();
    sorted.sort_by(f64::total_cmp);
    let sum: f64 = a
        .iter()
        .map(|score| {
            let below = sorted.partition_point(|other| other < score);
            let to = sorted.partition_point(|other| other <= score);
            below as f64 + 0.5 * (to - below) as f64
        })
        .sum();
    Some(sum / (a.len() as f64 * b.len() as f64))
}

/// Steps of an integral whose integrand is smooth on the scale of a hundred of them.
const STEPS: u32 = 2_000;

/// The probability that the true rate of A is above that of B, given successes and trials of
/// each and Jeffreys' prior, Beta(½, ½), on both. With no trials ½; successes above trials are
/// taken as all.
pub fn rate_superiority(a: (u64, u64), b: (u64, u64)) -> f64 {
    let shape = |(k, n): (u64, u64)| {
        let k = k.min(n);
        (k as f64 + 0.5, (n - k) as f64 + 0.5)
    };
    let ((p, q), (r, s)) = (shape(a), shape(b));
    // In θ with rate = sin² θ the densities have no poles, and a spread of about 1 / (2 √n).
    let centre = (p / (p + q)).sqrt().asin();
    let reach = 8.0 / (p + q).sqrt();
    let from = (centre - reach).max(0.0);
    let to = (centre + reach).min(std::f64::consts::FRAC_PI_2);
    let norm = ln_beta(p, q);
    let power = |base: f64, n: f64| if n == 0.0 { 0.0 } else { n * base.ln() };
    let integrand = |theta: f64| {
        let (sin, cos) = theta.sin_cos();
        let log = power(sin.max(0.0), 2.0 * p - 1.0) + power(cos.max(0.0), 2.0 * q - 1.0) - norm;
        2.0 * log.exp() * beta_reg(r, s, (sin * sin).min(1.0))
    };
    // Simpson's rule.
    let width = (to - from) / f64::from(STEPS);
    let sum: f64 = (0..=STEPS)
        .map(|step| {
            let weight = match step {
                0 | STEPS => 1.0,
                odd if odd % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * integrand(from + width * f64::from(step))
        })
        .sum();
    (sum * width / 3.0).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_known_is_even() {
        assert!((rate_superiority((0, 0), (0, 0)) - 0.5).abs() < 1e-9);
        assert!((rate_superiority((7, 10), (7, 10)) - 0.5).abs() < 1e-9);
        assert_eq!(trial_superiority(&[], &[1.0]), None);
    }

    #[test]
    fn one_trial_each_has_a_closed_form() {
        // Beta(3/2, 1/2) against Beta(1/2, 3/2). In θ: densities (4/π) sin² θ and (4/π) cos² φ;
        // P(θ > φ) = ½ + 4/π².
        let expected = 0.5 + 4.0 / std::f64::consts::PI.powi(2);
        assert!((rate_superiority((1, 1), (0, 1)) - expected).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn both_sides_add_up_to_one(n in 0_u64..2000, m in 0_u64..50, x in 0.0..=1.0_f64,
                                    y in 0.0..=1.0_f64) {
            let (a, b) = (((x * n as f64) as u64, n), ((y * m as f64) as u64, m));
            let (one, other) = (rate_superiority(a, b), rate_superiority(b, a));
            prop_assert!((one + other - 1.0).abs() < 1e-7, "{} {}", one, other);
        }

        #[test]
        fn trial_superiority_is_the_mean_over_all_pairs(
            a in prop::collection::vec(0..5_u8, 1..20), b in prop::collection::vec(0..5_u8, 1..20),
        ) {
            let a: Vec<f64> = a.into_iter().map(f64::from).collect();
            let b: Vec<f64> = b.into_iter().map(f64::from).collect();
            let mut sum = 0.0;
            for x in &a {
                for y in &b {
                    sum += if x > y { 1.0 } else if x == y { 0.5 } else { 0.0 };
                }
            }
            let expected = sum / (a.len() * b.len()) as f64;
            prop_assert!((trial_superiority(&a, &b).unwrap() - expected).abs() < 1e-12);
        }
    }
}
