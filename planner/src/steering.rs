//! Plans over places: a block says where the hand is to go, and a proportional controller that
//! sees the predicted hand goes there.
//!
//! A search over actions has to find out how far a push carries, and most of its candidates move
//! as no log ever did. Going from place to place is how demonstrations move; a model that learnt
//! from them knows more of it.

use candle_core::{Device, Tensor};
use rehearse_scenarios::embodiment::Embodiment;
use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};

/// An action channel that is planned over by the place that it moves the hand to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waypoint {
    /// Name of the action channel.
    pub action: String,
    /// Name of the proprioceptive channel that it moves.
    pub state: String,
    /// Range of places, in the unit of the proprioceptive channel.
    pub range: [f32; 2],
    /// Action for each unit of distance, in the units of both channels; the action is kept within
    /// its bounds.
    pub gain: f32,
}

/// How commands become actions: a command is a place where there is a waypoint, and an action else.
#[derive(Clone, Debug)]
pub struct Steering {
    /// The proprioceptive channel that each action channel moves; any where there is no waypoint.
    state: Tensor,
    /// 1 where there is a waypoint, `(1, action channels)`.
    placed: Tensor,
    gain: Tensor,
    low: Tensor,
    high: Tensor,
    waypoints: Vec<(usize, usize)>,
}

impl Steering {
    /// Steering by `waypoints` on a rig all of whose action channels have bounds.
    ///
    /// # Errors
    /// [`PlanError::Setting`] for a channel that the rig lacks or that is named twice, a range
    /// that is none or a gain of 0; [`PlanError::Unbounded`].
    pub fn new(rig: &Embodiment, waypoints: &[Waypoint], device: &Device) -> Result<Self> {
        let refuse = |name, got: &str, accepted| {
            Err(PlanError::Setting { name, got: got.to_owned(), accepted })
        };
        let channels = rig.actions.len();
        let (mut state, mut placed) = (vec![0_u32; channels], vec![0_f32; channels]);
        let mut gain = vec![0_f32; channels];
        let mut found = Vec::with_capacity(waypoints.len());
        for waypoint in waypoints {
            let Waypoint { action, state: moved, range: [low, high], gain: by } = waypoint;
            let Some(at) = rig.actions.iter().position(|channel| channel.name == *action) else {
                return refuse("waypoint.action", action, "an action channel of the rig");
            };
            let Some(of) = rig.proprioception.iter().position(|channel| channel.name == *moved)
            else {
                return refuse("waypoint.state", moved, "a proprioceptive channel of the rig");
            };
            if placed[at] != 0.0 {
                return refuse("waypoint.action", action, "a channel of one waypoint only");
            }
            if !(low < high && (high - low).is_finite()) {
                let got = format!("{low} to {high}");
                return refuse("waypoint.range", &got, "a lower and an upper place");
            }
            if !(by.is_finite() && *by != 0.0) {
                return refuse("waypoint.gain", &by.to_string(), "finite and not 0");
            }
            (state[at], placed[at], gain[at]) = (of as u32, 1.0, *by);
            found.push((at, of));
        }
        let bounds = rig
            .actions
            .iter()
            .map(|channel| {
                channel.bounds.ok_or_else(|| PlanError::Unbounded { channel: channel.name.clone() })
            })
            .collect::<Result<Vec<_>>>()?;
        let row = |values: Vec<f32>| Tensor::new(values, device)?.unsqueeze(0);
        Ok(Self {
            state: Tensor::new(state, device)?,
            placed: row(placed)?,
            gain: row(gain)?,
            low: row(bounds.iter().map(|&[low, _]| low as f32).collect())?,
            high: row(bounds.iter().map(|&[_, high]| high as f32).collect())?,
            waypoints: found,
        })
    }

    /// The rig as a search sees it: the range of a waypoint in the place of its action's bounds.
    pub fn commanded(rig: &Embodiment, waypoints: &[Waypoint]) -> Embodiment {
        let mut rig = rig.clone();
        for channel in &mut rig.actions {
            if let Some(waypoint) = waypoints.iter().find(|w| w.action == channel.name) {
                channel.bounds = Some(waypoint.range.map(f64::from));
            }
        }
        rig
    }

    /// For each waypoint, its action channel and the proprioceptive channel that it moves.
    pub fn waypoints(&self) -> &[(usize, usize)] {
        &self.waypoints
    }

    /// One step's actions from its commands, `(batch, action channels)`, and the proprioception
    /// before it, `(batch, channels)`.
    ///
    /// # Errors
    /// [`PlanError::Tensor`] if a shape disagrees.
    pub fn actions(&self, commands: &Tensor, state: &Tensor) -> candle_core::Result<Tensor> {
        let here = state.index_select(&self.state, 1)?;
        let toward = (commands - here)?.broadcast_mul(&self.gain)?;
        let moved = (toward - commands)?.broadcast_mul(&self.placed)?;
        (commands + moved)?.broadcast_maximum(&self.low)?.broadcast_minimum(&self.high)
    }
}

#[cfg(test)]
mod tests {
    use rehearse_scenarios::embodiment::Channel;
    use rehearse_scenarios::time::Rate;

    use super::*;

    fn rig() -> Embodiment {
        let bounded = |name: &str| Channel { bounds: Some([-1.0, 1.0]), ..Channel::named(name) };
        Embodiment {
            robot: None,
            rate: Rate::from_hz(10.0).unwrap(),
            cameras: vec![],
            proprioception: vec![Channel::named("grip"), Channel::named("x")],
            actions: vec![bounded("dx"), bounded("gripper")],
        }
    }

    fn to_x() -> Waypoint {
        Waypoint { action: "dx".into(), state: "x".into(), range: [0.0, 0.5], gain: 10.0 }
    }

    #[test]
    fn a_hand_is_sent_to_its_place_within_the_bounds_of_its_actions() {
        let steering = Steering::new(&rig(), &[to_x()], &Device::Cpu).unwrap();
        let commands = Tensor::new(&[[0.3_f32, -1.0], [0.3, 1.0]], &Device::Cpu).unwrap();
        let state = Tensor::new(&[[7.0_f32, 0.25], [7.0, 0.6]], &Device::Cpu).unwrap();
        let actions = steering.actions(&commands, &state).unwrap().to_vec2::<f32>().unwrap();
        // 5 cm to go at a gain of 10 is half a unit; 30 cm the other way is the bound.
        assert!((actions[0][0] - 0.5).abs() < 1e-6, "{actions:?}");
        assert_eq!(actions[1][0], -1.0);
        // A channel without a waypoint is an action as ever.
        assert_eq!([actions[0][1], actions[1][1]], [-1.0, 1.0]);
        let seen = Steering::commanded(&rig(), &[to_x()]);
        assert_eq!(seen.actions[0].bounds, Some([0.0, 0.5]));
        assert_eq!(seen.actions[1].bounds, Some([-1.0, 1.0]));
    }

    #[test]
    fn what_cannot_be_steered_by_is_refused() {
        let other = |change: fn(&mut Waypoint)| {
            let mut waypoint = to_x();
            change(&mut waypoint);
            Steering::new(&rig(), &[waypoint], &Device::Cpu)
        };
        assert!(other(|w| w.action = "dy".into()).is_err());
        assert!(other(|w| w.state = "y".into()).is_err());
        assert!(other(|w| w.range = [0.5, 0.0]).is_err());
        assert!(other(|w| w.gain = 0.0).is_err());
        assert!(Steering::new(&rig(), &[to_x(), to_x()], &Device::Cpu).is_err());
    }
}
