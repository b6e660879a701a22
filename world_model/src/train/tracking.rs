//! What a controller makes of changes that it is sent: how far each moves the command, and where
//! the command stops.
//!
//! A command is not logged, it is only followed: the state is a moving average of the last
//! commands, except where contact holds the robot back. Gains, limits and lag are fitted together
//! to where the robot was (Levenberg–Marquardt on a Cauchy loss). The loss ends up about as wide
//! as the errors of the frames that follow best, so that contact hardly counts.

use nalgebra::{DMatrix, DVector};

use crate::train::episode::LoggedEpisode;

/// Commands that the state is an average of.
const LAGS: usize = 8;
/// Most episodes that are looked at.
const EPISODES: usize = 256;
/// Steps of the fit; the loss narrows over the first of them.
const ROUNDS: usize = 60;
/// The loss is as wide as twice this quantile of the errors: at first, less a round, and at last.
const QUANTILE: [f64; 3] = [0.5, 0.02, 0.1];
/// The loss is never narrower than this part of a step, which nobody measures finer.
const NARROWEST: f64 = 0.01;
/// A limit is believed if the loss would rise by this part without it.
const EVIDENCE: f64 = 0.02;
/// States beyond which a limit is looked for first, as a part of all.
const EDGE: f64 = 0.01;
/// No more states than [`EDGE`] may lie beyond a limit by this part of their range: the robot
/// overshoots its command a little, but where it goes its command goes too.
const OVERSHOOT: f64 = 0.02;

/// How one channel of the state follows actions that are changes.
#[derive(Clone, Debug)]
pub(super) struct Tracking {
    /// How far one unit of each action channel moves the command, in the state's units.
    pub gains: Vec<f64>,
    /// Lowest command, where the logs show that there is one.
    pub low: Option<f64>,
    /// Highest command, alike.
    pub high: Option<f64>,
}

/// One channel of the state in the episodes, and the actions.
struct Courses<'a> {
    states: Vec<Vec<f64>>,
    actions: Vec<&'a [f32]>,
    controls: usize,
}

/// What is fitted, in one vector: gains, the lowest and the highest command, how far the first
/// command is from the first state, and the weights of all commands but the oldest.
struct Layout {
    controls: usize,
}

impl Layout {
    fn low(&self) -> usize {
        self.controls
    }

    fn high(&self) -> usize {
        self.controls + 1
    }

    fn lead(&self) -> usize {
        self.controls + 2
    }

    fn weights(&self) -> usize {
        self.controls + 3
    }

    fn len(&self) -> usize {
        self.weights() + LAGS - 1
    }
}

impl Tracking {
    /// Fits one channel of `states`, from a first guess at the gains. `None` if there are too few
    /// frames to tell.
    pub fn fit(
        episodes: &[LoggedEpisode],
        (channel, states): (usize, usize),
        gains: &[f64],
    ) -> Option<Self> {
        let controls = gains.len();
        let layout = Layout { controls };
        let every = episodes.len().div_ceil(EPISODES).max(1);
        let chosen = episodes.iter().step_by(every).filter(|episode| episode.frames > LAGS);
        let (states, actions) = chosen
            .map(|episode| {
                let states = episode.states.iter().skip(channel).step_by(states);
                (states.map(|&x| f64::from(x)).collect::<Vec<_>>(), episode.actions.as_slice())
            })
            .collect::<(Vec<_>, Vec<_>)>();
        let mut sorted = states.iter().flatten().copied().collect::<Vec<_>>();
        if sorted.len() < 10 * layout.len() {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let courses = Courses { states, actions, controls };
        let narrowest = NARROWEST * courses.step();
        let mut free = vec![0.0; layout.len()];
        free[..controls].copy_from_slice(gains);
        free[layout.low()] = f64::NEG_INFINITY;
        free[layout.high()] = f64::INFINITY;
        free[layout.weights()..].fill(1.0 / LAGS as f64);
        // Limits are looked for where the robot seldom went, and given up again where they
        // explain nothing.
        let mut fit = free.clone();
        fit[layout.low()] = quantile(&sorted, EDGE);
        fit[layout.high()] = quantile(&sorted, 1.0 - EDGE);
        let scale = courses.descend(&mut fit, narrowest);
        let loss = courses.loss(&fit, scale);
        let mut believed = free;
        believed[..controls].copy_from_slice(&fit[..controls]);
        believed[layout.lead()..].copy_from_slice(&fit[layout.lead()..]);
        let overshoot = OVERSHOOT * (quantile(&sorted, 1.0) - quantile(&sorted, 0.0));
        let within = |limit: usize| {
            if limit == layout.low() {
                quantile(&sorted, EDGE) > fit[limit] - overshoot
            } else {
                quantile(&sorted, 1.0 - EDGE) < fit[limit] + overshoot
            }
        };
        for limit in [layout.low(), layout.high()] {
            let mut without = fit.clone();
            without[limit] = believed[limit];
            if within(limit) && courses.loss(&without, scale) > (1.0 + EVIDENCE) * loss {
                believed[limit] = fit[limit];
            }
        }
        courses.descend(&mut believed, narrowest);
        let limit = |index: usize| Some(believed[index]).filter(|limit| limit.is_finite());
        believed[..controls].iter().all(|gain| gain.is_finite()).then(|| Self {
            gains: believed[..controls].to_vec(),
            low: limit(layout.low()),
            high: limit(layout.high()),
        })
    }
}

impl Courses<'_> {
    /// Calls `each` with the error of every frame that has seen enough commands, and with what the
    /// fitted numbers have to do with it.
    fn walk(&self, fit: &[f64], mut each: impl FnMut(f64, &[f64])) {
        let layout = Layout { controls: self.controls };
        let [low, high] = [fit[layout.low()], fit[layout.high()]];
        let newest = &fit[layout.weights()..];
        let oldest = 1.0 - newest.iter().sum::<f64>();
        // As commands are remembered, the oldest first.
        let weights = [oldest].into_iter().chain(newest.iter().rev().copied()).collect::<Vec<_>>();
        let mut slope = vec![0.0; layout.len()];
        for (states, actions) in self.states.iter().zip(&self.actions) {
            let mut command = states[0] + fit[layout.lead()];
            let mut moved = vec![0.0; layout.weights()];
            moved[layout.lead()] = 1.0;
            let mut past = vec![(command, moved.clone())];
            for (action, &state) in actions.chunks_exact(self.controls).zip(&states[1..]) {
                for (channel, &action) in action.iter().enumerate() {
                    command += f64::from(action) * fit[channel];
                    moved[channel] += f64::from(action);
                }
                let held = command.max(low).min(high);
                if held != command {
                    moved.fill(0.0);
                    moved[if held > command { layout.low() } else { layout.high() }] = 1.0;
                    command = held;
                }
                past.push((command, moved.clone()));
                let Some(first) = past.len().checked_sub(LAGS) else { continue };
                let seen = &past[first..];
                let mut error = state;
                slope.fill(0.0);
                for ((command, moved), weight) in seen.iter().zip(&weights) {
                    error -= weight * command;
                    for (slope, moved) in slope.iter_mut().zip(moved) {
                        *slope -= weight * moved;
                    }
                }
                let newest = seen.iter().skip(1).rev();
                for (slope, (command, _)) in slope[layout.weights()..].iter_mut().zip(newest) {
                    *slope = seen[0].0 - command;
                }
                each(error, &slope);
            }
        }
    }

    /// Root mean square of how far the state moves in a step, above 0.
    fn step(&self) -> f64 {
        let (mut squares, mut count) = (0.0, 0.0);
        for pair in self.states.iter().flat_map(|states| states.windows(2)) {
            squares += (pair[1] - pair[0]).powi(2);
            count += 1.0;
        }
        (squares / f64::max(count, 1.0)).sqrt().max(f64::MIN_POSITIVE)
    }

    /// The Cauchy loss of a width.
    fn loss(&self, fit: &[f64], width: f64) -> f64 {
        let mut loss = 0.0;
        self.walk(fit, |error, _| loss += (error / width).powi(2).ln_1p());
        loss
    }

    /// Fits; returns the width of the loss at the end. A limit that is infinite stays so.
    fn descend(&self, fit: &mut Vec<f64>, narrowest: f64) -> f64 {
        let [first, less, last] = QUANTILE;
        let (mut damping, mut width) = (1e-3, 1.0);
        for round in 0..ROUNDS {
            let mut errors = Vec::new();
            self.walk(fit, |error, _| errors.push(error.abs()));
            errors.sort_by(f64::total_cmp);
            let part = (first - less * round as f64).max(last);
            width = (2.0 * quantile(&errors, part)).max(narrowest);
            let loss = self.loss(fit, width);
            let (curvature, slope) = self.normal(fit, width);
            for _ in 0..8 {
                let mut damped = curvature.clone();
                for index in 0..fit.len() {
                    // What nothing depends on stays where it is.
                    let own = damped[(index, index)];
                    damped[(index, index)] = if own > 0.0 { own * (1.0 + damping) } else { 1.0 };
                }
                let step = damped.cholesky().map(|solver| solver.solve(&slope));
                let tried = step.map(|step| {
                    fit.iter().zip(step.iter()).map(|(now, step)| now - step).collect::<Vec<_>>()
                });
                if let Some(tried) = tried
                    && self.loss(&tried, width) < loss
                {
                    *fit = tried;
                    damping = (damping / 5.0_f64).max(1e-9);
                    break;
                }
                damping *= 5.0;
            }
        }
        width
    }

    /// Curvature and slope of half the loss, as reweighted squares see them.
    fn normal(&self, fit: &[f64], width: f64) -> (DMatrix<f64>, DVector<f64>) {
        let count = fit.len();
        let (mut curvature, mut slope) = (DMatrix::zeros(count, count), DVector::zeros(count));
        self.walk(fit, |error, row| {
            let weight = 1.0 / (1.0 + (error / width).powi(2));
            for i in 0..count {
                slope[i] += weight * row[i] * error;
                for j in 0..=i {
                    curvature[(i, j)] += weight * row[i] * row[j];
                }
            }
        });
        curvature.fill_upper_triangle_with_lower_triangle();
        (curvature, slope)
    }
}

/// A quantile of sorted values, 0 of none.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let index = (part * sorted.len() as f64) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAINS: [f64; 2] = [0.02, -0.005];
    const LOW: f64 = 0.4;

    /// A hand that lags behind its command, which stops at [`LOW`]; in two episodes of three a wall
    /// stops the hand itself.
    fn episode(index: usize) -> LoggedEpisode {
        let frames = 70;
        let (mut states, mut actions) = (vec![0.5], Vec::new());
        let (mut command, mut state) = (0.5_f64, 0.5_f64);
        for t in 0..frames {
            let phase = index as f64 * 1.7 + t as f64 * 0.13;
            let action = [(phase.sin() * 1.4).clamp(-1.0, 1.0), (phase * 2.3).cos()];
            actions.extend(action.map(|a| a as f32));
            command += GAINS[0] * action[0] + GAINS[1] * action[1];
            command = command.max(LOW);
            state += 0.4 * (command - state);
            if !index.is_multiple_of(3) {
                state = state.min(0.56);
            }
            if t + 1 < frames {
                states.push(state as f32);
            }
        }
        LoggedEpisode {
            index,
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
    fn gains_and_the_limit_that_is_there_are_found_in_spite_of_a_wall() {
        let episodes = (0..40).map(episode).collect::<Vec<_>>();
        let fit = Tracking::fit(&episodes, (0, 1), &[0.012, 0.0]).unwrap();
        for (gain, truth) in fit.gains.iter().zip(GAINS) {
            assert!((gain - truth).abs() < 2e-4, "{:?}", fit.gains);
        }
        assert!((fit.low.unwrap() - LOW).abs() < 1e-3, "{:?}", fit.low);
        assert_eq!(fit.high, None);
    }

    #[test]
    fn slopes_are_those_of_the_errors() {
        let episodes = (1..3).map(episode).collect::<Vec<_>>();
        let courses = Courses {
            states: episodes
                .iter()
                .map(|e| e.states.iter().map(|&x| f64::from(x)).collect())
                .collect(),
            actions: episodes.iter().map(|e| e.actions.as_slice()).collect(),
            controls: 2,
        };
        let mut fit = vec![0.019, -0.004, 0.41, 0.6, 0.003];
        fit.extend([0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.06]);
        let errors = |fit: &[f64]| {
            let mut errors = Vec::new();
            courses.walk(fit, |error, _| errors.push(error));
            errors
        };
        let mut slopes = Vec::new();
        courses.walk(&fit, |_, slope| slopes.push(slope.to_vec()));
        for index in 0..fit.len() {
            let mut moved = [fit.clone(), fit.clone()];
            moved[0][index] -= 1e-6;
            moved[1][index] += 1e-6;
            let [before, after] = moved.map(|fit| errors(&fit));
            for ((before, after), slope) in before.iter().zip(&after).zip(&slopes) {
                let measured = (after - before) / 2e-6;
                assert!((measured - slope[index]).abs() < 1e-4, "{index}: {measured} {slope:?}");
            }
        }
    }

    #[test]
    fn too_few_frames_tell_nothing() {
        assert!(Tracking::fit(&[episode(1)], (0, 1), &[0.012, 0.0]).is_none());
    }
}
