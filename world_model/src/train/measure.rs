//! Statistics of the train split: means, scales, and how commands move the rig.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use nalgebra::{DMatrix, DVector};
use rehearse_scenarios::embodiment::{Embodiment, Reference};

use crate::error::Result;
use crate::statistics::motion_channels;
use crate::train::episode::LoggedEpisode;
use crate::train::tracking::Tracking;

/// Steps over which a change of state is held against the actions that were to cause it.
const HORIZON: usize = 10;
/// How far beyond the states seen a command may run, as a part of their range, where the logs show
/// no limit.
const MARGIN: f32 = 0.02;
/// Scales are kept above this part of the largest, so that a channel at rest is not blown up.
const LEAST: f32 = 1e-3;

/// Fits every number statistic of [`Statistics`](crate::statistics::Statistics), by tensor name.
///
/// # Errors
/// A tensor error.
pub fn measure(
    embodiment: &Embodiment,
    episodes: &[LoggedEpisode],
    device: &Device,
) -> Result<BTreeMap<String, Tensor>> {
    let (states, actions) = (embodiment.proprioception.len(), embodiment.actions.len());
    let rows = |values: fn(&LoggedEpisode) -> &[f32], width: usize| {
        episodes.iter().flat_map(move |e| values(e).chunks_exact(width))
    };
    let (state_mean, state_scale) = mean_and_scale(rows(|e| &e.states, states), states);
    let (action_mean, action_scale) = mean_and_scale(rows(|e| &e.actions, actions), actions);
    let [action_low, action_high] = bounds(rows(|e| &e.actions, actions), actions);
    let middle = (0..actions)
        .map(|channel| match embodiment.actions[channel].bounds {
            Some([low, high]) => (0.5 * (low + high)) as f32,
            None => 0.5 * (action_low[channel] + action_high[channel]),
        })
        .collect::<Vec<_>>();
    let motion = motion_channels(embodiment);
    let amplitude = motion
        .iter()
        .map(|&channel| {
            let total: f32 = episodes
                .iter()
                .map(|e| {
                    let [low, high] = bounds(e.states.chunks_exact(states).skip(1), states);
                    high[channel] - low[channel]
                })
                .sum();
            total / episodes.len() as f32
        })
        .collect::<Vec<_>>();
    let vector = |values: Vec<f32>| {
        let count = values.len();
        Tensor::from_vec(values, count, device)
    };
    let mut tensors = BTreeMap::new();
    for (name, values) in [
        ("state_mean", state_mean),
        ("state_scale", state_scale),
        ("step_scale", step_scale(episodes, states)),
        ("action_mean", action_mean),
        ("action_scale", action_scale),
        ("action_middle", middle),
        ("amplitude", amplitude),
    ] {
        tensors.insert(format!("statistics.{name}"), vector(values)?);
    }
    tensors.extend(measure_commands(embodiment, episodes, device)?);
    Ok(tensors)
}

/// Fits how commands move the rig, by tensor name.
///
/// # Errors
/// A tensor error.
pub fn measure_commands(
    embodiment: &Embodiment,
    episodes: &[LoggedEpisode],
    device: &Device,
) -> Result<BTreeMap<String, Tensor>> {
    let (states, actions) = (embodiment.proprioception.len(), embodiment.actions.len());
    let Command { weight, bias, delta, low, high } =
        Command::fit(embodiment, episodes, states, actions);
    let mut tensors = BTreeMap::new();
    for (name, values) in [("bias", bias), ("delta", delta), ("low", low), ("high", high)] {
        let tensor = Tensor::from_vec(values, states, device)?;
        tensors.insert(format!("statistics.commanded.{name}"), tensor);
    }
    let weight = Tensor::from_vec(weight, (actions, states), device)?;
    tensors.insert("statistics.commanded.weight".to_owned(), weight);
    Ok(tensors)
}

/// How the commanded state follows from actions, as the logs show it.
struct Command {
    /// `actions × states`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// 1 where actions are changes.
    delta: Vec<f32>,
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Command {
    /// Fits both readings of the actions per channel of the state, as changes and as targets, and
    /// keeps what the embodiment states, or else what explains more. What robots make of changes
    /// is then fitted closer: see [`tracking`](crate::train::tracking).
    fn fit(
        embodiment: &Embodiment,
        episodes: &[LoggedEpisode],
        states: usize,
        actions: usize,
    ) -> Self {
        let stated = embodiment
            .actions
            .iter()
            .filter(|channel| !channel.is_gripper())
            .map(|channel| channel.reference)
            .collect::<Vec<_>>();
        let mut changes = (Vec::new(), Vec::new());
        let mut targets = (Vec::new(), Vec::new());
        for episode in episodes {
            let state = |frame: usize| &episode.states[frame * states..(frame + 1) * states];
            let action = |frame: usize| &episode.actions[frame * actions..(frame + 1) * actions];
            for frame in (0..episode.frames.saturating_sub(1)).step_by(HORIZON / 2) {
                targets.0.push(action(frame).to_vec());
                targets.1.push(state(frame + 1).to_vec());
                let end = frame + HORIZON;
                if end < episode.frames {
                    let mut sum = vec![0.0; actions];
                    for step in frame..end {
                        sum.iter_mut().zip(action(step)).for_each(|(sum, a)| *sum += a);
                    }
                    changes.0.push(sum);
                    changes.1.push(
                        state(end).iter().zip(state(frame)).map(|(b, a)| b - a).collect::<Vec<_>>(),
                    );
                }
            }
        }
        let change = least_squares(&changes.0, &changes.1, states, actions);
        let target = least_squares(&targets.0, &targets.1, states, actions);
        let [low, high] =
            bounds(episodes.iter().flat_map(|e| e.states.chunks_exact(states)), states);
        let margin = |channel: usize| MARGIN * (high[channel] - low[channel]);
        let mut fit = Self {
            weight: vec![0.0; actions * states],
            bias: vec![0.0; states],
            delta: vec![0.0; states],
            low: (0..states).map(|channel| low[channel] - margin(channel)).collect(),
            high: (0..states).map(|channel| high[channel] + margin(channel)).collect(),
        };
        for channel in 0..states {
            let gripper = embodiment.proprioception[channel].is_gripper();
            let delta = if !gripper && stated.iter().all(|r| *r == Some(Reference::Delta)) {
                true
            } else if !gripper && stated.iter().all(|r| *r == Some(Reference::Absolute)) {
                false
            } else {
                change.explained[channel] > target.explained[channel]
            };
            let chosen = if delta { &change } else { &target };
            for action in 0..actions {
                fit.weight[action * states + channel] = chosen.weight[action * states + channel];
            }
            fit.bias[channel] = if delta { 0.0 } else { chosen.bias[channel] };
            fit.delta[channel] = f32::from(u8::from(delta));
            let guess = (0..actions)
                .map(|action| f64::from(change.weight[action * states + channel]))
                .collect::<Vec<_>>();
            let tracked =
                delta.then(|| Tracking::fit(episodes, (channel, states), &guess)).flatten();
            let Some(Tracking { gains, low, high }) = tracked else { continue };
            for (action, gain) in gains.into_iter().enumerate() {
                fit.weight[action * states + channel] = gain as f32;
            }
            if let Some(low) = low {
                fit.low[channel] = low as f32;
            }
            if let Some(high) = high {
                fit.high[channel] = high as f32;
            }
        }
        fit
    }
}

struct LeastSquares {
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Part of each output's variance that is explained.
    explained: Vec<f64>,
}

/// Linear least squares with an intercept and a touch of ridge.
fn least_squares(
    inputs: &[Vec<f32>],
    outputs: &[Vec<f32>],
    states: usize,
    actions: usize,
) -> LeastSquares {
    let rows = inputs.len();
    if rows == 0 {
        return LeastSquares {
            weight: vec![0.0; actions * states],
            bias: vec![0.0; states],
            explained: vec![0.0; states],
        };
    }
    let x = DMatrix::from_fn(rows, actions + 1, |row, column| {
        if column < actions { f64::from(inputs[row][column]) } else { 1.0 }
    });
    let mut gram = x.transpose() * &x;
    for i in 0..=actions {
        gram[(i, i)] += 1e-6 * rows as f64 + 1e-9;
    }
    let mut fit = LeastSquares {
        weight: vec![0.0; actions * states],
        bias: vec![0.0; states],
        explained: vec![0.0; states],
    };
    let Some(solver) = gram.cholesky() else { return fit };
    for channel in 0..states {
        let y = DVector::from_iterator(rows, outputs.iter().map(|row| f64::from(row[channel])));
        let solution = solver.solve(&(x.transpose() * &y));
        let rest = (&y - &x * &solution).norm_squared();
        let spread = y.add_scalar(-y.mean()).norm_squared();
        fit.explained[channel] = if spread > 0.0 { 1.0 - rest / spread } else { 0.0 };
        for action in 0..actions {
            fit.weight[action * states + channel] = solution[action] as f32;
        }
        fit.bias[channel] = solution[actions] as f32;
    }
    fit
}

fn mean_and_scale<'a>(
    rows: impl Iterator<Item = &'a [f32]> + Clone,
    width: usize,
) -> (Vec<f32>, Vec<f32>) {
    let (mut sum, mut squares, mut count) = (vec![0.0_f64; width], vec![0.0_f64; width], 0.0);
    for row in rows.clone() {
        count += 1.0;
        sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let mean = sum.iter().map(|sum| sum / f64::max(count, 1.0)).collect::<Vec<_>>();
    for row in rows {
        for ((square, mean), &value) in squares.iter_mut().zip(&mean).zip(row) {
            *square += (f64::from(value) - mean).powi(2);
        }
    }
    let scale = squares.iter().map(|sum| (sum / f64::max(count, 1.0)).sqrt() as f32).collect();
    (mean.into_iter().map(|mean| mean as f32).collect(), floored(scale))
}

/// Root mean square of the change over one step.
fn step_scale(episodes: &[LoggedEpisode], states: usize) -> Vec<f32> {
    let (mut squares, mut count) = (vec![0.0_f64; states], 0.0);
    for episode in episodes {
        let rows = episode.states.chunks_exact(states);
        for (before, after) in rows.clone().zip(rows.skip(1)) {
            count += 1.0;
            for (square, (b, a)) in squares.iter_mut().zip(before.iter().zip(after)) {
                *square += f64::from(a - b).powi(2);
            }
        }
    }
    floored(squares.iter().map(|sum| (sum / f64::max(count, 1.0)).sqrt() as f32).collect())
}

fn floored(mut scale: Vec<f32>) -> Vec<f32> {
    let most = scale.iter().copied().fold(0.0, f32::max);
    let least = if most > 0.0 { LEAST * most } else { 1.0 };
    for value in &mut scale {
        *value = value.max(least);
    }
    scale
}

fn bounds<'a>(rows: impl Iterator<Item = &'a [f32]>, width: usize) -> [Vec<f32>; 2] {
    let mut bounds = [vec![f32::INFINITY; width], vec![f32::NEG_INFINITY; width]];
    for row in rows {
        for (channel, &value) in row.iter().enumerate() {
            bounds[0][channel] = bounds[0][channel].min(value);
            bounds[1][channel] = bounds[1][channel].max(value);
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    use rehearse_scenarios::embodiment::{Camera, Channel};
    use rehearse_scenarios::time::Rate;

    use super::*;

    /// A hand that is moved by a quarter of each action, and a gripper that goes where it is told.
    fn episode() -> LoggedEpisode {
        let frames = 60;
        // Of all frequencies: after one alone a lag and a gain look alike.
        let action = |t: usize| {
            [(t as f32).powi(2).mul_add(0.02, 0.5).sin(), if t % 20 < 10 { 1.0 } else { -1.0 }]
        };
        let (mut states, mut actions, mut x) = (vec![0.3, 0.0], Vec::new(), 0.3_f32);
        for t in 0..frames {
            let [dx, grip] = action(t);
            actions.extend([dx, grip]);
            x += 0.25 * dx;
            if t + 1 < frames {
                states.extend([x, 0.04 + 0.04 * grip]);
            }
        }
        LoggedEpisode {
            index: 0,
            instruction: String::new(),
            task: String::new(),
            policy: None,
            outcome: None,
            frames,
            states,
            actions,
            success: vec![None; frames],
        }
    }

    #[test]
    fn changes_and_targets_are_told_apart() {
        let rig = Embodiment {
            robot: None,
            rate: Rate::from_hz(10.0).unwrap(),
            cameras: vec![Camera { name: "a".into(), height: 8, width: 8 }],
            proprioception: vec![Channel::named("x"), Channel::named("gripper")],
            actions: vec![Channel::named("dx"), Channel::named("gripper")],
        };
        let fit = Command::fit(&rig, &[episode(), episode()], 2, 2);
        assert_eq!(fit.delta, [1.0, 0.0]);
        assert!((fit.weight[0] - 0.25).abs() < 1e-3, "{:?}", fit.weight);
        assert!((fit.weight[3] - 0.04).abs() < 1e-3 && (fit.bias[1] - 0.04).abs() < 1e-3);
        let tensors = measure(&rig, &[episode()], &Device::Cpu).unwrap();
        let middle = tensors["statistics.action_middle"].to_vec1::<f32>().unwrap();
        assert_eq!(middle[1], 0.0);
    }
}
