//! Rectified flow: the straight path from noise to data (PAN, eq. 7 and 8) and its Euler steps.

use candle_core::{Device, Tensor};
use rand_distr::{Distribution as _, StandardNormal};
use rayon::prelude::*;
use rehearse_scenarios::seed::Seed;

use crate::config::FlowConfig;
use crate::error::Result;

/// The points in `[0, 1]` between which Euler steps go, from noise (0) to data (1):
/// `steps + 1` of them, shifted towards noise.
///
/// ```
/// use rehearse_world_model::config::FlowConfig;
/// use rehearse_world_model::flow::schedule;
///
/// let flow = FlowConfig { steps: 2, shift: 1.0, ..FlowConfig::default() };
/// assert_eq!(schedule(&flow), [0.0, 0.5, 1.0]);
/// ```
pub fn schedule(flow: &FlowConfig) -> Vec<f64> {
    (0..=flow.steps).map(|step| shifted(step as f64 / flow.steps as f64, flow.shift)).collect()
}

/// A point of `[0, 1]` moved towards noise: `u / (u + shift (1 - u))`.
pub fn shifted(u: f64, shift: f64) -> f64 {
    u / (u + shift * (1.0 - u))
}

/// `k · data + (1 - k) · noise` (PAN, eq. 7).
///
/// # Shapes
/// - `noise`, `data`: alike, batch first
/// - `k`: `(batch)`
///
/// # Errors
/// A tensor error if a shape disagrees.
pub fn interpolate(noise: &Tensor, data: &Tensor, k: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; data.rank()];
    shape[0] = k.elem_count();
    let k = k.reshape(shape)?;
    Ok((noise + (data - noise)?.broadcast_mul(&k)?)?)
}

/// The velocity that leads from noise to data (PAN, eq. 8).
///
/// # Errors
/// A tensor error if a shape disagrees.
pub fn velocity(noise: &Tensor, data: &Tensor) -> Result<Tensor> {
    Ok((data - noise)?)
}

/// Follows `velocity` from `noise` through the points of a schedule.
///
/// # Errors
/// Whatever `velocity` returns.
pub fn integrate(
    noise: Tensor,
    points: &[f64],
    mut velocity: impl FnMut(&Tensor, f64) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut x = noise;
    for pair in points.windows(2) {
        let v = velocity(&x, pair[0])?;
        x = (x + (v * (pair[1] - pair[0]))?)?;
    }
    Ok(x)
}

/// Lightly noised context: `(1 - level) · latents + level · noise` (PAN, §3.3.5).
///
/// # Errors
/// A tensor error if a shape disagrees.
pub fn noised(latents: &Tensor, noise: &Tensor, level: f64) -> Result<Tensor> {
    Ok(((latents * (1.0 - level))? + (noise * level)?)?)
}

/// Independent standard normal draws, one row a seed.
///
/// # Shapes
/// - returns: `(seeds, shape…)`
///
/// # Errors
/// A tensor error if the device refuses.
pub fn normal(seeds: &[Seed], shape: &[usize], device: &Device) -> Result<Tensor> {
    let count = shape.iter().product::<usize>();
    let mut values = vec![0.0_f32; seeds.len() * count];
    values.par_chunks_mut(count.max(1)).zip(seeds).for_each(|(row, seed)| {
        let mut rng = seed.rng();
        row.fill_with(|| StandardNormal.sample(&mut rng));
    });
    let mut whole = vec![seeds.len()];
    whole.extend_from_slice(shape);
    Ok(Tensor::from_vec(values, whole, device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_runs_from_noise_to_data_and_a_shift_lingers_at_noise() {
        let at = |shift| schedule(&FlowConfig { steps: 4, shift, ..FlowConfig::default() });
        assert_eq!(at(1.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(at(2.0), [0.0, 1.0 / 7.0, 1.0 / 3.0, 0.6, 1.0]);
    }

    #[test]
    fn a_straight_path_is_followed_exactly_in_any_number_of_steps() {
        let device = Device::Cpu;
        let noise = Tensor::new(&[[3.0_f32, -1.0]], &device).unwrap();
        let data = Tensor::new(&[[1.0_f32, 5.0]], &device).unwrap();
        for steps in [1, 4] {
            let points = schedule(&FlowConfig { steps, ..FlowConfig::default() });
            let end = integrate(noise.clone(), &points, |_, _| velocity(&noise, &data)).unwrap();
            let end = end.to_vec2::<f32>().unwrap();
            assert!((end[0][0] - 1.0).abs() < 1e-6 && (end[0][1] - 5.0).abs() < 1e-6, "{end:?}");
        }
    }

    #[test]
    fn interpolation_is_noise_at_zero_and_data_at_one() {
        let device = Device::Cpu;
        let noise = Tensor::new(&[[4.0_f32], [4.0], [4.0]], &device).unwrap();
        let data = Tensor::new(&[[8.0_f32], [8.0], [8.0]], &device).unwrap();
        let k = Tensor::new(&[0.0_f32, 0.25, 1.0], &device).unwrap();
        let x = interpolate(&noise, &data, &k).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(x, [[4.0], [5.0], [8.0]]);
    }

    #[test]
    fn a_row_of_noise_depends_on_its_own_seed_alone() {
        let seeds = [Seed::root(1), Seed::root(2)];
        let both = normal(&seeds, &[3, 2], &Device::Cpu).unwrap();
        let second = normal(&seeds[1..], &[3, 2], &Device::Cpu).unwrap();
        assert_eq!(
            both.narrow(0, 1, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            second.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        );
    }
}
