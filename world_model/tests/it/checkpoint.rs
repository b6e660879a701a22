//! Checkpoints: what is loaded, what is refused, and what fidelity says of one.

use std::path::{Path, PathBuf};

use candle_core::Device;
use rehearse_scenarios::log::RobotLog;
use rehearse_world_model::ModelError;
use rehearse_world_model::checkpoint::{check_rig, load, manifest_path, read_manifest};
use rehearse_world_model::experts::Residence;
use rehearse_world_model::fidelity::{FidelityOptions, fidelity};

use crate::rig::{recipe, rig, run, write_log};

fn trained(folder: &Path) -> (PathBuf, RobotLog) {
    let log = folder.join("log");
    write_log(&log, 8);
    let checkpoint = run(&recipe(), &[&log], None, folder, false).unwrap().checkpoint;
    (checkpoint, RobotLog::open(&log).unwrap())
}

#[test]
fn a_checkpoint_is_checked_when_it_is_loaded_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (checkpoint, log) = trained(folder.path());
    let (model, manifest) = load(&checkpoint, &Device::Cpu, Residence::All).unwrap();
    assert_eq!(manifest.embodiment, rig());
    assert_eq!(manifest.training.split, "train");
    assert!(manifest.training.stages.iter().any(|stage| stage.name == "expert-16"));

    let options = FidelityOptions::default();
    let all = fidelity(&model, &log, &options, &mut |_| {}).unwrap();
    assert_eq!(all.episodes, 2);
    let row = |model: &str, depth: &str| {
        all.rows.iter().find(|row| row.model == model && row.depth == depth).unwrap()
    };
    let previous = row("previous-frame-held", "all").psnr.unwrap();
    assert!(previous > row("first-frame-held", "all").psnr.unwrap());
    assert_eq!(row("mixture", "all").frames, row("fixed-8", "all").frames);
    assert!(
        row("mixture", "all").state_p95.unwrap() >= row("mixture", "all").state_median.unwrap()
    );
    let decisions: usize = all.router.confusion.iter().flatten().sum();
    assert!(decisions > 0);
    let outcomes: usize = all.judge.iter().flat_map(|j| j.imagined_confusion).flatten().sum();
    assert_eq!(outcomes, 2);

    // Of the two test episodes each begins elsewhere; of the six others, pairs begin alike, as far
    // as compression leaves them so.
    assert_eq!(all.counterfactual, None);
    let train = FidelityOptions { split: "train".to_owned(), ..options.clone() };
    let found = fidelity(&model, &log, &train, &mut |_| {}).unwrap().counterfactual.unwrap();
    assert!((1..=3).contains(&found.starts), "{found:?}");
    assert_eq!((found.episodes, found.chance), (2 * found.starts, 0.5));
    assert!((0.0..=1.0).contains(&found.told) && found.hand_error > 0.0, "{found:?}");

    // One expert at a time gives the same numbers, and so does the same seed again.
    let (active, _) = load(&checkpoint, &Device::Cpu, Residence::Active).unwrap();
    assert_eq!(fidelity(&active, &log, &options, &mut |_| {}).unwrap(), all);

    refusals(&checkpoint);
}

fn refusals(checkpoint: &Path) {
    let bytes = std::fs::read(checkpoint).unwrap();
    let refused = |what: &str| {
        let error = load(checkpoint, &Device::Cpu, Residence::All).unwrap_err();
        assert!(matches!(error, ModelError::Checkpoint { .. }), "{what}: {error}");
        assert!(error.to_string().contains(what), "{what}: {error}");
    };
    std::fs::write(checkpoint, &bytes[..bytes.len() - 5]).unwrap();
    refused("altered or cut short");
    let mut flipped = bytes.clone();
    if let Some(last) = flipped.last_mut() {
        *last ^= 1;
    }
    std::fs::write(checkpoint, &flipped).unwrap();
    refused("altered or cut short");
    std::fs::write(checkpoint, &bytes).unwrap();

    let path = manifest_path(checkpoint);
    let manifest = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, manifest.replacen("\"format\": 2", "\"format\": 9", 1)).unwrap();
    refused("format 9, this program reads 2");
    std::fs::write(&path, &manifest[..manifest.len() / 2]).unwrap();
    refused("the manifest is no JSON");
    let wider = manifest.replacen("\"coefficients\": 8", "\"coefficients\": 9", 1);
    std::fs::write(&path, wider).unwrap();
    refused("do not fit the config");
    std::fs::write(&path, manifest).unwrap();
    assert!(read_manifest(checkpoint).is_ok());
}

#[test]
fn logs_of_another_rig_are_refused_by_field() {
    let mut other = rig();
    other.actions[1].name = "dz".to_owned();
    let error = check_rig(&rig(), &other).unwrap_err();
    assert!(error.to_string().contains("dz"), "{error}");
    assert!(check_rig(&rig(), &rig()).is_ok());
}
