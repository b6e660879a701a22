//! Pairs of real and imagined results with a given correlation.

use rand::Rng;

/// Successes of two sides that correlate.
#[derive(Clone, Copy)]
pub struct Coins {
    /// P(real), P(imagined), P(both).
    real: f64,
    imagined: f64,
    both: f64,
}

impl Coins {
    /// Coins with the rates given and correlation `rho`, or the largest that the rates allow.
    pub fn new(real: f64, imagined: f64, rho: f64) -> Self {
        let scale = (real * (1.0 - real) * imagined * (1.0 - imagined)).sqrt();
        let both = (real * imagined + rho * scale).min(real.min(imagined));
        Self { real, imagined, both: both.max(real + imagined - 1.0).max(0.0) }
    }

    /// The correlation reached.
    pub fn correlation(&self) -> f64 {
        let Self { real, imagined, both } = *self;
        let scale = (real * (1.0 - real) * imagined * (1.0 - imagined)).sqrt();
        if scale > 0.0 { (both - real * imagined) / scale } else { 0.0 }
    }

    /// `n` pairs: real results and imagined ones.
    pub fn pairs(&self, n: usize, rng: &mut impl Rng) -> (Vec<f64>, Vec<f64>) {
        let Self { real, imagined, both } = *self;
        (0..n)
            .map(|_| {
                let u: f64 = rng.random();
                let one = u < real;
                let other = u < both || (u >= real && u < real + imagined - both);
                (f64::from(u8::from(one)), f64::from(u8::from(other)))
            })
            .unzip()
    }

    /// `n` imagined results.
    pub fn imagined(&self, n: usize, rng: &mut impl Rng) -> Vec<f64> {
        (0..n).map(|_| f64::from(u8::from(rng.random::<f64>() < self.imagined))).collect()
    }
}

/// A true rate, and an imagined rate near it and mostly above.
pub fn rates(rng: &mut impl Rng) -> (f64, f64) {
    let real: f64 = rng.random_range(0.05..0.95);
    (real, (real + rng.random_range(-0.15..0.25)).clamp(0.05, 0.95))
}
