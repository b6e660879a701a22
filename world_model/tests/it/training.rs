//! Training from a log to a checkpoint, cut short and resumed.

use candle_core::Device;
use rehearse_scenarios::log::RobotLog;
use rehearse_world_model::ModelError;
use rehearse_world_model::checkpoint::load;
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::experts::Residence;
use rehearse_world_model::train::{
    CurvePoint, Group, Job, Logs, Progress, Silent, left_out, train,
};

use crate::rig::{recipe, run, with_job, write_log};

#[test]
fn training_that_was_killed_in_any_stage_ends_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    write_log(&log, 8);
    let config = recipe();
    let whole = folder.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    let digest = run(&config, &[&log], None, &whole, false).unwrap().manifest.digest;

    // A kill leaves the state file of that moment: a copy of it, taken at each save, is one.
    let cut = folder.path().join("cut");
    std::fs::create_dir(&cut).unwrap();
    let mut copies = Copies { folder: cut.clone(), taken: Vec::new() };
    let job = Job {
        config: &config,
        logs: &Logs::new(vec![RobotLog::open(&log).unwrap()]).unwrap(),
        init: None,
        folder: &cut,
        checkpoint: &cut.join("model.safetensors"),
        device: DeviceChoice::Cpu,
        resume: false,
    };
    train(job, &mut copies).unwrap();
    let stages = copies.taken.len();
    assert!(stages >= 4, "{stages} copies");
    // One cut in the state model, one in an expert, one in a head.
    for state in copies.taken.into_iter().step_by(3) {
        std::fs::write(cut.join("state.safetensors"), state).unwrap();
        let resumed = run(&config, &[&log], None, &cut, true).unwrap();
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
    run(&config, &[&log], None, folder.path(), false).unwrap();
    config.seed += 1;
    let error = run(&config, &[&log], None, folder.path(), true).unwrap_err();
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
    match run(&config, &[&log], None, folder.path(), false) {
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
    let error = run(&config, &[&log], None, folder.path(), false).unwrap_err();
    assert_eq!(error.to_string(), "the logs have no episodes in split \"nowhere\"");
}

#[test]
fn several_logs_are_learnt_from_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    write_log(&one, 4);
    write_log(&two, 8);
    let trained = run(&recipe(), &[&one, &two], None, folder.path(), false).unwrap();
    // Three quarters of twelve episodes are for training, a fifth of these is held back.
    assert_eq!(trained.manifest.training.episodes, 7);
    let error = Logs::new(vec![]).unwrap_err();
    assert!(matches!(error, ModelError::EmptySplit { .. }), "{error}");
}

#[test]
fn the_judge_is_taught_anew_without_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    write_log(&log, 48);
    let mut config = recipe();
    config.splits.validation = 0.5;
    let anew = || with_job(&config, &[&log], None, folder.path(), |job| left_out(job, &mut Silent));
    let error = anew().unwrap_err();
    assert!(error.to_string().contains("not at its end"), "{error}");
    run(&config, &[&log], None, folder.path(), true).unwrap();
    // Eighteen episodes are held back; four of the other policy are too few to ask about, and the
    // only task leaves nothing to learn from.
    let found = anew().unwrap();
    let [only] = &found[..] else { panic!("{found:?}") };
    assert_eq!((only.group, &*only.name, only.episodes), (Group::Policy, "drift", 14));
    assert_ne!(only.taught, only.untaught);
    assert_eq!(anew().unwrap(), found);
}

#[test]
fn training_goes_on_from_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    write_log(&log, 8);
    let [first, second, third] = ["1", "2", "3"].map(|name| folder.path().join(name));
    let trained = run(&recipe(), &[&log], None, &first, false).unwrap();
    let from = Some(trained.checkpoint.as_path());

    // Without a step, everything stays but the experts, which all become their mean.
    let mut still = recipe();
    still.refine = None;
    let stages = [&mut still.state, &mut still.base, &mut still.specialise];
    stages.into_iter().chain([&mut still.router, &mut still.judge]).for_each(|s| s.steps = 0);
    let kept = run(&still, &[&log], from, &second, false).unwrap();
    assert_eq!(kept.manifest.training.init.as_ref(), Some(&trained.manifest.digest));
    let tensors = |path| candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let (before, after) = (tensors(&trained.checkpoint), tensors(&kept.checkpoint));
    let values = |tensor: &candle_core::Tensor| {
        let flat = tensor.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap();
        flat.to_vec1::<f32>().unwrap()
    };
    let mut names = before.keys().collect::<Vec<_>>();
    names.sort();
    for name in names {
        // What is fitted rather than learnt is fitted anew.
        let fitted = name.starts_with("judge.platt") || name.starts_with("judge.imagined");
        if !name.starts_with("experts.") && !fitted {
            assert_eq!(values(&before[name]), values(&after[name]), "{name}");
        }
    }
    let name = "blocks.0.up.bias";
    let of = |all: &std::collections::HashMap<String, _>, expert: usize| {
        values(&all[&format!("experts.{expert}.{name}")])
    };
    for place in 0..of(&before, 0).len() {
        let mean = (0..4).map(|expert| of(&before, expert)[place]).sum::<f32>() / 4.0;
        assert!((of(&after, 2)[place] - mean).abs() < 1e-6, "{place}");
    }
    load(&kept.checkpoint, &Device::Cpu, Residence::All).unwrap();

    // A part of another size starts anew, and the others stay.
    still.model.state.width += 1;
    let wider = run(&still, &[&log], from, &third, false).unwrap();
    let wider = tensors(&wider.checkpoint);
    assert_eq!(of(&wider, 2), of(&after, 2));
    assert_ne!(wider["state.output.weight"].dims(), before["state.output.weight"].dims());
    still.model.tokens.coefficients -= 1;
    let error = run(&still, &[&log], from, &third, false).unwrap_err();
    assert!(error.to_string().contains("[model.tokens]"), "{error}");
}
