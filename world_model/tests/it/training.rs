//! Training from a log to a checkpoint, cut short and resumed.

use std::path::Path;

use rehearse_scenarios::log::RobotLog;
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::train::{CurvePoint, Progress, Silent, TrainConfig, Trained, train};
use rehearse_world_model::{ModelError, Result};

use crate::rig::{recipe, write_log};

fn run(config: &TrainConfig, log: &Path, folder: &Path, resume: bool) -> Result<Trained> {
    let log = RobotLog::open(log).unwrap();
    let checkpoint = folder.join("model.safetensors");
    train(config, &log, folder, &checkpoint, DeviceChoice::Cpu, resume, &mut Silent)
}

#[test]
fn training_that_was_killed_in_any_stage_ends_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    write_log(&log, 8);
    let config = recipe();
    let whole = folder.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    let digest = run(&config, &log, &whole, false).unwrap().manifest.digest;

    // A kill leaves the state file of that moment: a copy of it, taken at each save, is one.
    let cut = folder.path().join("cut");
    std::fs::create_dir(&cut).unwrap();
    let mut copies = Copies { folder: cut.clone(), taken: Vec::new() };
    let opened = RobotLog::open(&log).unwrap();
    let checkpoint = cut.join("model.safetensors");
    train(&config, &opened, &cut, &checkpoint, DeviceChoice::Cpu, false, &mut copies).unwrap();
    let stages = copies.taken.len();
    assert!(stages >= 4, "{stages} copies");
    // One cut in the state model, one in an expert, one in a head.
    for state in copies.taken.into_iter().step_by(3) {
        std::fs::write(cut.join("state.safetensors"), state).unwrap();
        let resumed = run(&config, &log, &cut, true).unwrap();
        assert_eq!(resumed.manifest.digest, digest);
    }
}

/// Keeps a copy of the saved state whenever a point of the curves is made.
struct Copies {
    folder: std::path::PathBuf,
    taken: Vec<Vec<u8>>,
}

impl Progress for Copies {
    fn point(&mut self, _point: &CurvePoint) {
        if let Ok(state) = std::fs::read(self.folder.join("state.safetensors")) {
            self.taken.push(state);
        }
    }

    fn note(&mut self, _note: &str) {}
}

#[test]
fn a_state_of_another_recipe_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    write_log(&log, 4);
    let mut config = recipe();
    run(&config, &log, folder.path(), false).unwrap();
    config.seed += 1;
    let error = run(&config, &log, folder.path(), true).unwrap_err();
    assert!(matches!(error, ModelError::Checkpoint { .. }), "{error}");
}

#[test]
fn a_loss_that_is_not_finite_stops_with_the_last_good_state() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    write_log(&log, 4);
    let mut config = recipe();
    config.state.rate = 10.0;
    config.state.clip = 1e9;
    config.state.steps = 400;
    config.state.decay = 10.0;
    match run(&config, &log, folder.path(), false) {
        Err(ModelError::Diverged { stage, saved, .. }) => {
            assert_eq!(stage, "state");
            assert!(saved.exists());
        }
        other => panic!("expected a divergence, got {other:?}"),
    }
}

#[test]
fn a_split_without_episodes_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    write_log(&log, 4);
    let mut config = recipe();
    config.splits.train = "nowhere".to_owned();
    let error = run(&config, &log, folder.path(), false).unwrap_err();
    assert_eq!(error.to_string(), "the logs have no episodes in split \"nowhere\"");
}
