//! The draws of a search: normal noise, white or coloured in time, and coin flips for grippers.

use std::f32::consts::TAU;

use candle_core::{Device, Tensor};
use rand::Rng as _;
use rand_distr::{Distribution as _, StandardNormal};
use rehearse_scenarios::seed::Seed;

use crate::error::Result;

/// The size of one iteration's draws.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoiseShape {
    /// Candidates per problem.
    pub candidates: usize,
    /// Blocks of actions per candidate.
    pub blocks: usize,
}

/// Draws `(problems, candidates, blocks, dimensions)`: unit normals of power spectrum 1/f^`beta`
/// along the blocks, and values uniform in (-1, 1) for the channels of the gripper.
///
/// Each problem draws from its own seed, so a batch draws what its singles draw.
pub(super) fn draw(
    seeds: &[Seed],
    iteration: usize,
    shape: NoiseShape,
    gripper: &[bool],
    beta: f32,
    device: &Device,
) -> Result<Tensor> {
    let NoiseShape { candidates, blocks } = shape;
    let dimensions = gripper.len();
    let spectrum = Spectrum::new(blocks, beta);
    let mut values = vec![0f32; seeds.len() * candidates * blocks * dimensions];
    let mut line = vec![0f32; blocks];
    for (seed, of_problem) in seeds.iter().zip(values.chunks_mut(candidates * blocks * dimensions))
    {
        let mut rng = seed.child("search").index(iteration as u64).rng();
        for of_candidate in of_problem.chunks_mut(blocks * dimensions) {
            for (dimension, &is_gripper) in gripper.iter().enumerate() {
                if is_gripper {
                    for value in &mut line {
                        *value = rng.random_range(-1f32..1f32);
                    }
                } else {
                    spectrum.fill(&mut line, || StandardNormal.sample(&mut rng));
                }
                for (block, value) in line.iter().enumerate() {
                    of_candidate[block * dimensions + dimension] = *value;
                }
            }
        }
    }
    Ok(Tensor::from_vec(values, (seeds.len(), candidates, blocks, dimensions), device)?)
}

/// Power-law noise of unit variance (Timmer & König 1995), as iCEM uses it (Pinneri et al. 2020,
/// §3.1; the normalisation is that of the `colorednoise` package).
struct Spectrum {
    /// Amplitude of each frequency, from 0 to the Nyquist frequency.
    scale: Vec<f32>,
    beta: f32,
    sigma: f32,
}

impl Spectrum {
    fn new(length: usize, beta: f32) -> Self {
        let n = length as f32;
        let scale: Vec<f32> =
            (0..=length / 2).map(|k| ((k as f32).max(1.0) / n).powf(-beta / 2.0)).collect();
        let last = scale.len().saturating_sub(1);
        let power: f32 = scale
            .iter()
            .enumerate()
            .skip(1)
            .map(
                |(k, s)| {
                    if k == last && length.is_multiple_of(2) { (s / 2.0).powi(2) } else { s * s }
                },
            )
            .sum();
        Self { scale, beta, sigma: 2.0 * power.sqrt() / n }
    }

    fn fill(&self, line: &mut [f32], mut normal: impl FnMut() -> f32) {
        let length = line.len();
        if self.beta == 0.0 || length < 3 {
            for value in line.iter_mut() {
                *value = normal();
            }
            return;
        }
        let n = length as f32;
        let nyquist = (length.is_multiple_of(2)).then_some(length / 2);
        let waves: Vec<(f32, f32)> = self
            .scale
            .iter()
            .enumerate()
            .map(|(k, scale)| {
                let (real, imaginary) = (normal() * scale, normal() * scale);
                if k == 0 || Some(k) == nyquist {
                    (real * std::f32::consts::SQRT_2, 0.0)
                } else {
                    (real, imaginary)
                }
            })
            .collect();
        for (t, value) in line.iter_mut().enumerate() {
            let sum: f32 = waves
                .iter()
                .enumerate()
                .map(|(k, (real, imaginary))| {
                    let twice = if k == 0 || Some(k) == nyquist { 1.0 } else { 2.0 };
                    let phase = TAU * ((k * t) % length) as f32 / n;
                    twice * (real * phase.cos() - imaginary * phase.sin())
                })
                .sum();
            *value = sum / n / self.sigma;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(beta: f32) -> Vec<Vec<f32>> {
        let shape = NoiseShape { candidates: 4000, blocks: 12 };
        let noise = draw(&[Seed::root(3)], 0, shape, &[false], beta, &Device::Cpu).unwrap();
        noise.squeeze(3).unwrap().squeeze(0).unwrap().to_vec2().unwrap()
    }

    /// Mean over lines and times of the product of values `lag` apart.
    fn correlation(lines: &[Vec<f32>], lag: usize) -> f32 {
        let products: Vec<f32> = lines
            .iter()
            .flat_map(|line| line.iter().zip(&line[lag..]).map(|(a, b)| a * b))
            .collect();
        products.iter().sum::<f32>() / products.len() as f32
    }

    #[test]
    fn noise_has_unit_variance_and_its_colour() {
        let (white, red) = (lines(0.0), lines(2.0));
        assert!((correlation(&white, 0) - 1.0).abs() < 0.03);
        assert!(correlation(&white, 1).abs() < 0.03);
        assert!(correlation(&red, 1) > 0.6 * correlation(&red, 0));
    }

    #[test]
    fn a_batch_draws_what_its_singles_draw() {
        let shape = NoiseShape { candidates: 3, blocks: 4 };
        let seeds = [Seed::root(1), Seed::root(2)];
        let draw =
            |seeds: &[Seed]| draw(seeds, 1, shape, &[false, true], 2.0, &Device::Cpu).unwrap();
        let (batch, single) = (draw(&seeds), draw(&seeds[1..]));
        let flat = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(batch.narrow(0, 1, 1).unwrap()), flat(single));
    }
}
