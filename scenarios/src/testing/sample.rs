//! Small rigs, observations and recordings for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::embodiment::{Camera, Channel, Embodiment};
use crate::interface::{Start, TrialHandle};
use crate::local::Recording;
use crate::observation::{Image, Observation};
use crate::seed::Seed;
use crate::time::{Rate, SimTime};

/// A rig with one 4×6 camera `front`, proprioception `x`, and actions `dx` and `gripper` in
/// [-1, 1], at 10 Hz.
#[expect(clippy::missing_panics_doc, reason = "10 Hz is a rate")]
pub fn sample_rig() -> Embodiment {
    let bounded = |name: &str| Channel { bounds: Some([-1.0, 1.0]), ..Channel::named(name) };
    Embodiment {
        robot: Some("sample".into()),
        rate: Rate::from_hz(10.0).expect("10 Hz is a rate"),
        cameras: vec![Camera { name: "front".into(), height: 4, width: 6 }],
        proprioception: vec![Channel::named("x")],
        actions: vec![bounded("dx"), bounded("gripper")],
    }
}

/// The observation number `index` of the sample rig; all differ.
fn sample_observation(index: usize) -> Observation {
    let rig = sample_rig();
    let pixels: Vec<u8> =
        (0..4 * 6 * 3).map(|byte| ((byte * 7 + index * 31) % 251) as u8).collect();
    let image = Image::from_rgb(4, 6, pixels).expect("4×6×3 bytes");
    Observation {
        images: BTreeMap::from([("front".to_owned(), image)]),
        proprioception: vec![index as f32 * 0.1],
        instruction: Arc::from("do it"),
        time: SimTime::ZERO + (rig.rate.time_of_step(index as u64) - SimTime::ZERO),
    }
}

/// `count` different observations of the sample rig, one control step apart.
pub fn sample_observations(count: usize) -> Vec<Observation> {
    (0..count).map(sample_observation).collect()
}

/// Recordings of the sample rig with the given numbers of actions; each succeeds at its end.
pub fn sample_recordings(lengths: &[usize]) -> Vec<Recording> {
    lengths
        .iter()
        .enumerate()
        .map(|(recording, &length)| {
            let observations =
                (0..=length).map(|step| sample_observation(recording * 100 + step)).collect();
            let actions = (0..length).map(|step| vec![step as f32 / length as f32, -0.5]).collect();
            let success = (0..length).map(|step| Some(f32::from(step + 1 == length))).collect();
            Recording::new(observations, actions, success).expect("lengths go together")
        })
        .collect()
}

/// `count` starts of the sample rig, at indices 0, 1, … of task `sample`.
pub fn sample_starts(count: usize) -> Vec<Start> {
    (0..count)
        .map(|index| Start {
            trial: TrialHandle(index as u64),
            task: Arc::from("sample"),
            index: index as u64,
            instruction: Arc::from("do it"),
            observation: Some(sample_observation(index * 100)),
            seed: Seed::root(5).child("start").index(index as u64),
        })
        .collect()
}
