//! What a policy sees of what a world shows: the cameras and channels that it uses, nothing else.

use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::observation::Observation;

/// Picks what a policy uses out of what a world shows.
pub(super) struct Projection {
    /// Names of the cameras to keep; `None` keeps all.
    cameras: Option<Vec<String>>,
    /// Indices of the channels to keep, in the policy's order; `None` keeps all.
    channels: Option<Vec<usize>>,
}

impl Projection {
    /// The projection from a world's embodiment to a policy's; the census has found that the
    /// policy uses nothing that the world lacks.
    pub(super) fn new(world: &Embodiment, policy: &Embodiment) -> Self {
        let used = |name: &String| policy.camera(name).is_some();
        let cameras = (!world.cameras.iter().all(|camera| used(&camera.name)))
            .then(|| policy.cameras.iter().map(|camera| camera.name.clone()).collect());
        let channels: Vec<usize> = policy
            .proprioception
            .iter()
            .filter_map(|channel| {
                world.proprioception.iter().position(|other| other.name == channel.name)
            })
            .collect();
        let all = channels.iter().copied().eq(0..world.proprioception.len());
        Self { cameras, channels: (!all).then_some(channels) }
    }

    /// What the policy sees of `observation`. Images are shared, not copied.
    pub(super) fn apply(&self, observation: &Observation) -> Observation {
        let mut seen = observation.clone();
        if let Some(cameras) = &self.cameras {
            seen.images.retain(|name, _| cameras.contains(name));
        }
        if let Some(channels) = &self.channels {
            let values = &observation.proprioception;
            seen.proprioception =
                channels.iter().filter_map(|&channel| values.get(channel).copied()).collect();
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use rehearse_scenarios::embodiment::{Camera, Channel};
    use rehearse_scenarios::observation::Image;
    use rehearse_scenarios::time::{Rate, SimTime};

    #[test]
    fn a_policy_sees_what_it_uses_in_its_own_order() {
        let world = Embodiment {
            robot: None,
            rate: Rate::from_hz(10.0).unwrap(),
            cameras: ["front", "wrist"]
                .map(|name| Camera { name: name.into(), height: 1, width: 1 })
                .to_vec(),
            proprioception: ["x", "y", "gripper"].map(Channel::named).to_vec(),
            actions: vec![Channel::named("dx")],
        };
        let mut policy = world.clone();
        policy.cameras.remove(0);
        policy.proprioception = ["gripper", "x"].map(Channel::named).to_vec();
        let image = Image::from_rgb(1, 1, vec![1, 2, 3]).unwrap();
        let observation = Observation {
            images: ["front", "wrist"].map(|name| (name.into(), image.clone())).into(),
            proprioception: vec![1.0, 2.0, 3.0],
            instruction: Arc::from("go"),
            time: SimTime::ZERO,
        };
        let seen = Projection::new(&world, &policy).apply(&observation);
        assert_eq!(seen.images.keys().collect::<Vec<_>>(), ["wrist"]);
        assert_eq!(seen.proprioception, [3.0, 1.0]);
        assert_eq!(Projection::new(&world, &world).apply(&observation), observation);
    }
}
