//! The special functions that the exact tests and intervals stand on.
//!
//! Densities follow Loader's saddle-point form ("Fast and accurate computation of binomial
//! probabilities", 2000), which keeps full relative precision where differences of log-gammas lose
//! it; the incomplete beta function is its continued fraction (Lentz) run to convergence, however
//! large the arguments.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI, SQRT_2, TAU};

use statrs::function::erf::erfc_inv;

/// `ln √(2π)`.
const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_8;

/// The standard normal distribution function Φ(z), to full relative precision in both tails.
pub fn normal_cdf(z: f64) -> f64 {
    if z.is_nan() {
        return z;
    }
    let x = z.abs() * FRAC_1_SQRT_2;
    let tail = 0.5 * if x < 2.0 { 1.0 - erf_series(x) } else { erfc_fraction(x) };
    if z < 0.0 { tail } else { 1.0 - tail }
}

/// `erf(x)` for small positive `x` by its series of positive terms (Abramowitz and Stegun 7.1.6).
fn erf_series(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
        if term < f64::EPSILON * sum * 0.1 {
            break;
        }
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// `erfc(x)` for large positive `x` by its continued fraction (Abramowitz and Stegun 7.1.14),
/// evaluated from the far end; 120 levels give full precision from x = 2.
fn erfc_fraction(x: f64) -> f64 {
    let rest = (1..=120).rev().fold(0.0, |rest, k| f64::from(k) * 0.5 / (x + rest));
    (-x * x).exp() / (x + rest) / PI.sqrt()
}

/// The standard normal quantile Φ⁻¹(p) for `p` in [0, 1]; ±∞ at the ends, NaN outside.
pub fn normal_quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p > 0.5 {
        return -normal_quantile(1.0 - p);
    }
    let mut z = -SQRT_2 * erfc_inv(2.0 * p);
    if z.is_finite() {
        // Newton's steps bring the rational approximation to full precision.
        for _ in 0..2 {
            z -= (normal_cdf(z) - p) * TAU.sqrt() * (0.5 * z * z).exp();
        }
    }
    z
}

/// The two-sided critical value of the standard normal: 1.96 for a `level` of 0.95.
pub fn normal_critical(level: f64) -> f64 {
    -normal_quantile((1.0 - level) / 2.0)
}

/// `ln Γ(n + 1) − [(n + ½) ln n − n + ln √(2π)]`: what Stirling's formula leaves out.
fn stirling_error(mut n: f64) -> f64 {
    // The series needs a large argument; the recursion Γ(n + 2) = (n + 1) Γ(n + 1) leads to one.
    let mut shift = 0.0;
    while n <= 15.0 {
        shift += (n + 0.5) * (1.0 / n).ln_1p() - 1.0;
        n += 1.0;
    }
    let square = n * n;
    let series =
        1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square;
    shift + (1.0 / 12.0 - series / square) / n
}

/// `ln Γ(x)` for positive `x`.
fn ln_gamma(x: f64) -> f64 {
    stirling_error(x) + (x - 0.5) * x.ln() - x + LN_SQRT_TAU
}

/// `x ln(x / m) + m − x`, without cancellation near `x = m`.
fn deviance(x: f64, mean: f64) -> f64 {
    let gap = x - mean;
    if gap.abs() < 0.1 * (x + mean) {
        let v = gap / (x + mean);
        let mut sum = gap * v;
        let mut term = 2.0 * x * v;
        for j in 1..1000 {
            term *= v * v;
            let next = sum + term / f64::from(2 * j + 1);
            if next == sum {
                break;
            }
            sum = next;
        }
        return sum;
    }
    x * (x / mean).ln() - gap
}

/// `Γ(n + 1) / (Γ(k + 1) Γ(n − k + 1)) · p^k · q^(n − k)` for real `0 ≤ k ≤ n` and `q = 1 − p`.
fn binomial_density(k: f64, n: f64, p: f64, q: f64) -> f64 {
    let rest = n - k;
    if p <= 0.0 {
        return if k == 0.0 { 1.0 } else { 0.0 };
    }
    if q <= 0.0 {
        return if rest == 0.0 { 1.0 } else { 0.0 };
    }
    if k == 0.0 {
        return (n * (-p).ln_1p()).exp();
    }
    if rest == 0.0 {
        return (n * p.ln()).exp();
    }
    let log = stirling_error(n)
        - stirling_error(k)
        - stirling_error(rest)
        - deviance(k, n * p)
        - deviance(rest, n * q);
    // Below one, √(k·rest/n) would need Γ near zero: the ratio stays finite all the same.
    log.exp() * (n / (2.0 * PI * k * rest)).sqrt()
}

/// The probability of exactly `k` successes in `n` trials that each succeed with probability `p`.
pub fn binomial_pmf(k: u64, n: u64, p: f64) -> f64 {
    if k > n { 0.0 } else { binomial_density(k as f64, n as f64, p, 1.0 - p) }
}

/// The probabilities of 0, 1, …, `n` successes in `n` trials.
pub fn binomial_pmf_all(n: u64, p: f64) -> Vec<f64> {
    (0..=n).map(|k| binomial_pmf(k, n, p)).collect()
}

/// The probability of at most `k` successes in `n` trials.
pub fn binomial_cdf(k: u64, n: u64, p: f64) -> f64 {
    if k >= n { 1.0 } else { beta_reg((n - k) as f64, (k + 1) as f64, 1.0 - p) }
}

/// The probability of at least `k` successes in `n` trials.
pub fn binomial_tail(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 {
        1.0
    } else if k > n {
        0.0
    } else {
        beta_reg(k as f64, (n - k + 1) as f64, p)
    }
}

/// The probability that `draws` balls, drawn without replacement from `marked` marked and
/// `plain` plain ones, hold exactly `k` marked ones.
pub fn hypergeometric_pmf(k: u64, marked: u64, plain: u64, draws: u64) -> f64 {
    let total = marked + plain;
    if k > marked || k > draws || draws > total || draws - k > plain {
        return 0.0;
    }
    if draws == 0 || draws == total {
        return 1.0;
    }
    let p = draws as f64 / total as f64;
    let q = (total - draws) as f64 / total as f64;
    binomial_density(k as f64, marked as f64, p, q)
        * binomial_density((draws - k) as f64, plain as f64, p, q)
        / binomial_density(draws as f64, total as f64, p, q)
}

/// `ln B(a, b)` for positive `a`, `b`.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// The regularised incomplete beta function `I_x(a, b)` for positive `a`, `b` and `x` in [0, 1]:
/// the distribution function of Beta(a, b).
pub fn beta_reg(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        1.0 - beta_fraction(b, a, 1.0 - x, x)
    } else {
        beta_fraction(a, b, x, 1.0 - x)
    }
}

/// The continued fraction of `I_x(a, b)` by Lentz's method, for `x` below the mean.
fn beta_fraction(a: f64, b: f64, x: f64, y: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let front = beta_kernel(a, b, x, y) / a;
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    // Convergence takes a multiple of √max(a, b) steps.
    for m in 1..100_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        let change = d * c;
        h *= change;
        if (change - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    front * h
}

/// `x^a y^b / B(a, b)` with `y = 1 − x`.
fn beta_kernel(a: f64, b: f64, x: f64, y: f64) -> f64 {
    binomial_density(a, a + b, x, y) * a * b / (a + b)
}

/// The quantile of Beta(a, b): the `x` with `I_x(a, b) = p`, for positive `a`, `b` and `p` in
/// [0, 1]. Newton's method within a bracket that only ever shrinks.
pub fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return 1.0;
    }
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    let mut x = a / (a + b);
    for _ in 0..200 {
        let excess = beta_reg(a, b, x) - p;
        if excess == 0.0 {
            break;
        }
        if excess > 0.0 {
            high = x;
        } else {
            low = x;
        }
        let density = beta_kernel(a, b, x, 1.0 - x) / (x * (1.0 - x));
        let newton = x - excess / density;
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - x).abs() <= 1e-16 * x.min(1.0 - x) || high - low <= f64::MIN_POSITIVE {
            x = next;
            break;
        }
        x = next;
    }
    x
}

/// `ln Σ exp(xᵢ)` without overflow; −∞ of nothing.
pub fn ln_sum_exp(terms: &[f64]) -> f64 {
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return top;
    }
    top + terms.iter().map(|t| (t - top).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64, tolerance: f64) {
        assert!((got - expected).abs() <= tolerance, "got {got}, expected {expected}");
    }

    #[test]
    fn normal_quantiles_match_printed_tables() {
        // Abramowitz and Stegun, table 26.5, and 30-digit values.
        close(normal_quantile(0.975), 1.959_963_984_540_054, 1e-14);
        close(normal_quantile(0.995), 2.575_829_303_548_901, 1e-14);
        close(normal_quantile(1e-10), -6.361_340_902_404_056, 1e-12);
        close(normal_cdf(1.0), 0.841_344_746_068_542_9, 1e-15);
        close(normal_cdf(-8.0), 6.220_960_574_271_785e-16, 1e-29);
        close(normal_quantile(0.5), 0.0, 1e-16);
        close(normal_critical(0.9), 1.644_853_626_951_472_7, 1e-14);
        assert!(normal_quantile(1.5).is_nan());
    }

    #[test]
    fn binomial_probabilities_are_the_fractions_they_should_be() {
        close(binomial_pmf(3, 10, 0.5), 120.0 / 1024.0, 1e-15);
        close(binomial_pmf(0, 4, 0.25), 81.0 / 256.0, 1e-15);
        close(binomial_cdf(3, 10, 0.5), 176.0 / 1024.0, 1e-14);
        close(binomial_tail(8, 10, 0.5), 56.0 / 1024.0, 1e-14);
        close(binomial_pmf_all(60, 0.37).iter().sum(), 1.0, 1e-14);
        assert_eq!(binomial_pmf(5, 4, 0.5), 0.0);
        assert_eq!(binomial_pmf(0, 4, 0.0), 1.0);
        assert_eq!(binomial_pmf(4, 4, 1.0), 1.0);
    }

    #[test]
    fn hypergeometric_probabilities_are_the_fractions_they_should_be() {
        // Fisher's tea: 4 of 8 cups, all 4 named right: 1/70.
        close(hypergeometric_pmf(4, 4, 4, 4), 1.0 / 70.0, 1e-15);
        close(hypergeometric_pmf(3, 4, 4, 4), 16.0 / 70.0, 1e-15);
        assert_eq!(hypergeometric_pmf(5, 4, 4, 4), 0.0);
    }

    #[test]
    fn incomplete_beta_has_its_closed_forms() {
        // I_x(a, 1) = x^a, I_x(1, b) = 1 − (1 − x)^b, and symmetry.
        close(beta_reg(3.0, 1.0, 0.3), 0.027, 1e-15);
        close(beta_reg(1.0, 4.0, 0.25), 1.0 - 0.75_f64.powi(4), 1e-14);
        close(beta_reg(0.5, 0.5, 0.25), 1.0 / 3.0, 1e-14);
        close(beta_reg(1e6, 1e6, 0.5), 0.5, 1e-12);
        close(beta_reg(7.5, 2.5, 0.8) + beta_reg(2.5, 7.5, 0.2), 1.0, 1e-14);
    }

    #[test]
    fn quantiles_invert_the_incomplete_beta() {
        for (a, b) in [(0.5, 0.5), (1.0, 25.0), (18.5, 7.5), (1e5, 3.0), (0.5, 100.5)] {
            for p in [1e-6, 0.025, 0.5, 0.975, 1.0 - 1e-6] {
                // A quantile near 1 is known to its last bit at best.
                close(beta_reg(a, b, beta_quantile(a, b, p)), p, 1e-11);
            }
        }
        assert_eq!((beta_quantile(2.0, 3.0, 0.0), beta_quantile(2.0, 3.0, 1.0)), (0.0, 1.0));
    }

    #[test]
    fn log_sums_do_not_overflow() {
        close(ln_sum_exp(&[1000.0, 1000.0]), 1000.0 + 2.0_f64.ln(), 1e-12);
        assert_eq!(ln_sum_exp(&[]), f64::NEG_INFINITY);
    }
}
