//! A small robot and a log of it: a bright square that the actions move.

use std::collections::BTreeMap;
use std::path::Path;

use rand::Rng as _;
use rehearse_scenarios::embodiment::{Camera, Channel, Embodiment};
use rehearse_scenarios::log::{
    Dtype, EpisodeEnd, Feature, Frame, LogSettings, LogWriter, RobotLog, TrialRow,
};
use rehearse_scenarios::observation::Image;
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::Rate;
use rehearse_world_model::Result;
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::train::{Job, Logs, Silent, TrainConfig, Trained, train};

/// Side of the picture.
const SIDE: u32 = 16;

pub fn rig() -> Embodiment {
    let bounded = |name: &str| Channel { bounds: Some([-1.0, 1.0]), ..Channel::named(name) };
    Embodiment {
        robot: Some("square".into()),
        rate: Rate::from_hz(10.0).unwrap(),
        cameras: vec![Camera { name: "top".into(), height: SIDE, width: SIDE }],
        proprioception: vec![Channel::named("x"), Channel::named("y")],
        actions: vec![bounded("dx"), bounded("dy"), bounded("gripper")],
    }
}

/// Writes `episodes` episodes, every fourth of them in split `test`.
pub fn write_log(folder: &Path, episodes: usize) {
    let success = Feature::vector("next.success", Dtype::Bool, 1);
    let mut writer = LogWriter::create(folder, &rig(), &[success], LogSettings::default()).unwrap();
    for episode in 0..episodes {
        let mut rng = Seed::root(11).index(episode as u64).rng();
        let frames = 24 + (episode * 7) % 20;
        writer.begin_episode("push the square").unwrap();
        let (mut x, mut y) = (4.0_f32, 6.0 + (episode % 3) as f32);
        let drift = rng.random_range(-0.2_f32..0.5);
        let mut done = Vec::new();
        for frame in 0..frames {
            let action =
                [drift + rng.random_range(-0.4..0.4), 0.1, if frame % 16 < 8 { 1.0 } else { -1.0 }];
            let images = BTreeMap::from([("top".to_owned(), picture(x, y))]);
            writer
                .push(&Frame { images: &images, state: &[x / 16.0, y / 16.0], action: &action })
                .unwrap();
            x = (x + action[0]).clamp(1.0, 13.0);
            y = (y + 0.5 * action[1]).clamp(1.0, 13.0);
            done.push(x > 9.0);
        }
        let succeeded = done.last() == Some(&true);
        let split = if episode % 4 == 3 { "test" } else { "train" };
        let result = TrialRow {
            episode,
            task: "push".to_owned(),
            policy: if episode % 2 == 0 { "drift" } else { "slide" }.to_owned(),
            success: f64::from(u8::from(succeeded)),
            length: Some(frames),
            split: Some(split.to_owned()),
        };
        let end = EpisodeEnd { success: Some(done), result: Some(result), ..EpisodeEnd::default() };
        writer.end_episode(end).unwrap();
    }
    writer.finish().unwrap();
}

fn picture(x: f32, y: f32) -> Image {
    let pixels = (0..SIDE)
        .flat_map(|row| (0..SIDE).map(move |column| (row as f32, column as f32)))
        .flat_map(|(row, column)| {
            let inside = (1.0 - (column - x).abs().max((row - y).abs()) / 3.0).clamp(0.0, 1.0);
            [40 + (200.0 * inside) as u8, 60, 90]
        })
        .collect::<Vec<_>>();
    Image::from_rgb(SIDE, SIDE, pixels).unwrap()
}

/// A recipe of a few steps for a model of a few thousand weights.
pub fn recipe() -> TrainConfig {
    toml::from_str(
        r"
        seed = 3
        tokenizer_frames = 200
        save_secs = 0
        state = { steps = 6, batch = 4, rate = 0.01 }
        base = { steps = 6, batch = 64, rate = 0.01, muon = true }
        refine = { steps = 3, batch = 32, rate = 0.01, muon = true }
        specialise = { steps = 3, batch = 32, rate = 0.01, muon = true }
        router = { steps = 4, batch = 8, rate = 0.01 }
        judge = { steps = 4, batch = 8, rate = 0.01 }
        splits = { validation = 0.2 }
        [model]
        tokens = { height = 16, width = 16, patch = 8, coefficients = 8 }
        expert = { width = 32, layers = 2, heads = 2, condition = 16 }
        instruction = { width = 8, words = 4, buckets = 32 }
        state = { width = 24, view = 24, scene = 8, forecast = 4 }
        router = { width = 16, heads = 2 }
        judge = { width = 16 }
        ",
    )
    .unwrap()
}

/// Trains in `folder`, silently, into `model.safetensors`.
pub fn run(
    config: &TrainConfig,
    logs: &[&Path],
    init: Option<&Path>,
    folder: &Path,
    resume: bool,
) -> Result<Trained> {
    with_job(config, logs, init, folder, |job| train(Job { resume, ..job }, &mut Silent))
}

/// What [`run`] runs, for something else.
pub fn with_job<T>(
    config: &TrainConfig,
    logs: &[&Path],
    init: Option<&Path>,
    folder: &Path,
    then: impl FnOnce(Job<'_>) -> Result<T>,
) -> Result<T> {
    let logs = Logs::new(logs.iter().map(|log| RobotLog::open(log).unwrap()).collect())?;
    let checkpoint = &folder.join("model.safetensors");
    let device = DeviceChoice::Cpu;
    then(Job { config, logs: &logs, init, folder, checkpoint, device, resume: false })
}
