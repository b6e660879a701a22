//! The true rates behind measured ones, as far as trials tell.
//!
//! Trials drawn anew add chance to rates that hold chance already, so that a bootstrap of them
//! spreads policies too far apart. Here the spread is estimated along: the true rates of the points
//! are taken to come from a bivariate normal distribution, whose mean and covariance Σ are unknown
//! (flat prior for the mean, |Σ|^(-1/2) for the covariance), and the measured rates to scatter around
//! them with the variance that their trials give. Gibbs sampling (Gelman et al., "Bayesian Data
//! Analysis", 3rd edition, §15.5) draws the true rates given the measured ones.

use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use rehearse_scenarios::seed::Seed;

/// Points below which the covariance has no proper posterior.
pub(super) const MIN_POINTS: usize = 5;

/// Draws of one chain, after those that are dropped.
const CHAIN: usize = 250;
/// Draws at the start of a chain that still remember where it began.
const BURN_IN: usize = 60;

/// The least variance of a measured rate: what no trials are known of stays where it is.
const LEAST_VARIANCE: f64 = 1e-9;
/// The least share of a variance that the other side does not explain, for the sake of rounding.
const LEAST_SHARE: f64 = 1e-9;

/// A measured point: its rates (real, imagined) and their sampling variances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) rates: [f64; 2],
    pub(super) variances: [f64; 2],
}

/// The values of `statistic` at `count` draws of the true rates of `points`, of which there are
/// [`MIN_POINTS`] at least. It is given the real and the imagined rates, each in [0, 1].
pub(super) fn draws(
    points: &[Point],
    count: usize,
    seed: Seed,
    statistic: impl Fn(&[f64], &[f64]) -> f64 + Sync,
) -> Vec<f64> {
    let mut values = vec![0.0; count];
    values.par_chunks_mut(CHAIN).enumerate().for_each(|(number, values)| {
        let mut rng = seed.index(number as u64).rng();
        let mut chain = Chain::new(points);
        for _ in 0..BURN_IN {
            chain.step(&mut rng);
        }
        let mut clamped = [vec![0.0; points.len()], vec![0.0; points.len()]];
        for value in values {
            chain.step(&mut rng);
            for (side, clamped) in clamped.iter_mut().enumerate() {
                for (rate, truth) in clamped.iter_mut().zip(&chain.truths) {
                    *rate = truth[side].clamp(0.0, 1.0);
                }
            }
            *value = statistic(&clamped[0], &clamped[1]);
        }
    });
    values
}

/// A Markov chain over true rates.
struct Chain<'a> {
    points: &'a [Point],
    truths: Vec<[f64; 2]>,
}

impl<'a> Chain<'a> {
    fn new(points: &'a [Point]) -> Self {
        Self { points, truths: points.iter().map(|point| point.rates).collect() }
    }

    /// Draws the population given the true rates, and then the true rates given the population.
    fn step(&mut self, rng: &mut impl Rng) {
        let k = self.truths.len() as f64;
        let mut mean = [0.0; 2];
        for truth in &self.truths {
            mean[0] += truth[0] / k;
            mean[1] += truth[1] / k;
        }
        let mut scatter = Symmetric::default();
        for truth in &self.truths {
            scatter.add_square([truth[0] - mean[0], truth[1] - mean[1]]);
        }
        // Σ is inverse Wishart around the scatter: with the prior, k − 3 degrees of freedom.
        let scatter = scatter.factor();
        let mut standard = Symmetric::default();
        for _ in 3..self.truths.len() {
            standard.add_square(normals(rng));
        }
        let covariance = standard.inverse().between(scatter);
        let precision = covariance.inverse();
        let shift = covariance.factor().times(normals(rng));
        let mean = [mean[0] + shift[0] / k.sqrt(), mean[1] + shift[1] / k.sqrt()];
        for (truth, point) in self.truths.iter_mut().zip(self.points) {
            let weights = point.variances.map(|variance| 1.0 / variance.max(LEAST_VARIANCE));
            let spread = Symmetric {
                a: precision.a + weights[0],
                b: precision.b,
                c: precision.c + weights[1],
            }
            .inverse();
            let pull = precision.times(mean);
            let pulled = [0, 1].map(|side| pull[side] + weights[side] * point.rates[side]);
            let (centre, noise) = (spread.times(pulled), spread.factor().times(normals(rng)));
            *truth = [centre[0] + noise[0], centre[1] + noise[1]];
        }
    }
}

fn normals(rng: &mut impl Rng) -> [f64; 2] {
    [rng.sample(StandardNormal), rng.sample(StandardNormal)]
}

/// The symmetric matrix (a b; b c), positive definite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Symmetric {
    a: f64,
    b: f64,
    c: f64,
}

impl Symmetric {
    fn add_square(&mut self, [x, y]: [f64; 2]) {
        self.a += x * x;
        self.b += x * y;
        self.c += y * y;
    }

    fn times(self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.a * x + self.b * y, self.b * x + self.c * y]
    }

    fn inverse(self) -> Self {
        let Lower { first, across, second } = self.factor();
        let determinant = (first * second).powi(2);
        let c = across * across + second * second;
        Self { a: c / determinant, b: -self.b / determinant, c: first * first / determinant }
    }

    /// `factor · self · factorᵀ`.
    fn between(self, factor: Lower) -> Self {
        let Lower { first, across, second } = factor;
        let Self { a, b, c } = self;
        Self {
            a: first * first * a,
            b: first * (across * a + second * b),
            c: across * across * a + 2.0 * across * second * b + second * second * c,
        }
    }

    /// The Cholesky factor.
    fn factor(self) -> Lower {
        let first = self.a.max(LEAST_VARIANCE * LEAST_VARIANCE).sqrt();
        let across = self.b / first;
        let least = (LEAST_SHARE * self.c).max(LEAST_VARIANCE * LEAST_VARIANCE);
        Lower { first, across, second: (self.c - across * across).max(least).sqrt() }
    }
}

/// The lower triangular matrix (first 0; across second).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lower {
    first: f64,
    across: f64,
    second: f64,
}

impl Lower {
    fn times(self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.first * x, self.across * x + self.second * y]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(rates: &[[f64; 2]], variance: f64) -> Vec<Point> {
        rates.iter().map(|&rates| Point { rates, variances: [variance; 2] }).collect()
    }

    /// Ten points on a line, measured with alternating errors of 0.05.
    fn noisy_line() -> Vec<[f64; 2]> {
        let error =
            |index: usize, period: usize| if index % period < period / 2 { 0.05 } else { -0.05 };
        (0..10)
            .map(|index| {
                let truth = 0.3 + 0.04 * index as f64;
                [truth + error(index, 2), truth + error(index, 4)]
            })
            .collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn variance(values: &[f64]) -> f64 {
        values.iter().map(|value| (value - mean(values)).powi(2)).sum::<f64>()
            / (values.len() - 1) as f64
    }

    #[test]
    fn matrices_by_hand() {
        let matrix = Symmetric { a: 4.0, b: 2.0, c: 5.0 };
        assert_eq!(matrix.factor(), Lower { first: 2.0, across: 1.0, second: 2.0 });
        let Symmetric { a, b, c } = matrix.inverse();
        assert!((a - 5.0 / 16.0).abs() < 1e-15 && (b + 0.125).abs() < 1e-15);
        assert!((c - 0.25).abs() < 1e-15);
        let identity = Symmetric { a: 1.0, b: 0.0, c: 1.0 };
        assert_eq!(identity.between(matrix.factor()), matrix);
    }

    #[test]
    fn exact_rates_stay() {
        let rates = noisy_line();
        let values = draws(&points(&rates, 0.0), 500, Seed::root(1), |real, _| real[3]);
        assert!(values.iter().all(|value| (value - rates[3][0]).abs() < 1e-3));
    }

    #[test]
    fn chance_is_taken_out_of_the_spread() {
        // Errors of 0.05 have the variance 0.0025.
        let rates = noisy_line();
        let measured = variance(&rates.iter().map(|rates| rates[0]).collect::<Vec<_>>());
        let spreads =
            draws(&points(&rates, 0.0025), 4_000, Seed::root(2), |real, _| variance(real));
        let truth = variance(&(0..10).map(|i| 0.04 * f64::from(i)).collect::<Vec<_>>());
        let found = mean(&spreads);
        assert!(found < measured, "{found} of {measured}");
        assert!((found / truth - 1.0).abs() < 0.2, "{found} against {truth}");
    }

    #[test]
    fn the_mean_keeps_its_own_variance() {
        let rates = noisy_line();
        let means = draws(&points(&rates, 0.0025), 8_000, Seed::root(3), |real, _| mean(real));
        let centre = mean(&rates.iter().map(|rates| rates[0]).collect::<Vec<_>>());
        assert!((mean(&means) - centre).abs() < 0.002);
        assert!((variance(&means) / 0.00025 - 1.0).abs() < 0.15, "{}", variance(&means));
    }

    #[test]
    fn draws_do_not_depend_on_threads() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let points = points(&noisy_line(), 0.0025);
            pool.install(|| {
                draws(&points, 1_000, Seed::root(4), |real, imagined| real[0] - imagined[9])
            })
        };
        assert_eq!(run(1), run(3));
    }
}
