//! Checkpoints: what is loaded, what is refused, and what fidelity says of one.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rehearse_scenarios::log::RobotLog;
use rehearse_world_model::ModelError;
use rehearse_world_model::checkpoint::{check_rig, load, manifest_path, read_manifest};
use rehearse_world_model::experts::Residence;
use rehearse_world_model::fidelity::{Fidelity, FidelityOptions, FidelityRow, fidelity};
use rehearse_world_model::model::WorldModel;
use rehearse_world_model::perception::{CLIP, ClipMeasure, FrameMeasure, Measures};

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
    let measure = |model: &WorldModel, options: &FidelityOptions| {
        fidelity(model, &log, options, Measures::default(), &mut |_| {}).unwrap()
    };
    let all = measure(&model, &options);
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
    let found = measure(&model, &train).counterfactual.unwrap();
    assert!((1..=3).contains(&found.starts), "{found:?}");
    assert_eq!((found.episodes, found.chance), (2 * found.starts, 0.5));
    assert!((0.0..=1.0).contains(&found.told) && found.hand_error > 0.0, "{found:?}");

    // One expert at a time gives the same numbers, and so does the same seed again.
    let (active, _) = load(&checkpoint, &Device::Cpu, Residence::Active).unwrap();
    assert_eq!(measure(&active, &options), all);
    networks(&model, &log, &all);

    refusals(&checkpoint);
}

/// Stands for a network: a frame's distance is 1 where it differs at all, a clip's feature its mean.
struct Stand {
    digest: &'static str,
    smallest: usize,
}

impl FrameMeasure for Stand {
    fn digest(&self) -> &str {
        self.digest
    }

    fn smallest(&self) -> usize {
        self.smallest
    }

    fn distances(
        &self,
        recorded: &Tensor,
        imagined: &Tensor,
    ) -> rehearse_world_model::Result<Vec<f64>> {
        assert_eq!(recorded.dims(), imagined.dims());
        let frames = |x: &Tensor| x.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
        let pairs = frames(recorded).into_iter().zip(frames(imagined));
        Ok(pairs.map(|(a, b)| f64::from(u8::from(a != b))).collect())
    }
}

impl ClipMeasure for Stand {
    fn digest(&self) -> &str {
        self.digest
    }

    fn features(&self, clip: &Tensor) -> rehearse_world_model::Result<Vec<f32>> {
        assert_eq!(clip.dims(), [CLIP, 3, 16, 16]);
        let values = clip.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
        Ok(vec![values.iter().sum::<f32>() / values.len() as f32])
    }

    fn distance(
        &self,
        recorded: &[Vec<f32>],
        imagined: &[Vec<f32>],
    ) -> rehearse_world_model::Result<f64> {
        assert_eq!(recorded.len(), imagined.len());
        let gaps = recorded.iter().zip(imagined).map(|(a, b)| f64::from((a[0] - b[0]).abs()));
        Ok(gaps.sum())
    }
}

/// Measures that are brought add their columns and leave the rest as it is.
fn networks(model: &WorldModel, log: &RobotLog, without: &Fidelity) {
    let options = FidelityOptions::default();
    let run = |options: &FidelityOptions, smallest: usize| {
        let lpips = Stand { digest: "frames", smallest };
        let fvd = Stand { digest: "clips", smallest };
        let measures = Measures { lpips: Some(&lpips), fvd: Some(&fvd) };
        fidelity(model, log, options, measures, &mut |_| {})
    };
    let with = run(&options, 16).unwrap();
    for (row, bare) in with.rows.iter().zip(&without.rows) {
        assert_eq!(row.lpips.is_some(), row.frames > 0, "{row:?}");
        assert_eq!(row.fvd.is_some(), row.depth == "all", "{row:?}");
        let stripped = FidelityRow { lpips: None, fvd: None, ..row.clone() };
        assert_eq!(&stripped, bare);
    }
    // What is imagined is never exact.
    let row =
        |model: &str| with.rows.iter().find(|r| r.model == model && r.depth == "all").unwrap();
    assert_eq!(row("mixture").lpips, Some(1.0));
    assert!(row("first-frame-held").fvd > row("previous-frame-held").fvd);
    // The test episodes have 24 and 32 frames after the start.
    let networks = with.networks.unwrap();
    assert_eq!(networks.clips, Some(3));
    assert_eq!(
        (networks.lpips.as_deref(), networks.fvd.as_deref()),
        (Some("frames"), Some("clips"))
    );
    assert!(with.notes.iter().all(|note| !note.contains("not computed")), "{:?}", with.notes);

    let small = run(&options, 17).unwrap_err().to_string();
    assert!(small.contains("16×16") && small.contains("at least 17×17"), "{small}");
    let few = run(&FidelityOptions { episodes: Some(1), ..options }, 16).unwrap_err();
    assert!(matches!(few, ModelError::TooFewClips { got: 1, needed: 2, .. }), "{few}");
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
