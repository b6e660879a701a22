//! `rehearse train`, from a log to a checkpoint that other commands take, and its errors.

use std::fs;

use tempfile::TempDir;

use crate::support::{Run, rehearse, root};

/// A recipe of a few steps, for the shipped courses of action.
const RECIPE: &str = r#"
seed = 3
tokenizer_frames = 200
state = { steps = 40, batch = 4, rate = 0.01 }
base = { steps = 6, batch = 8, rate = 0.01, muon = true }
specialise = { steps = 3, batch = 8, rate = 0.01, muon = true }
router = { steps = 4, batch = 8, rate = 0.01 }
judge = { steps = 4, batch = 8, rate = 0.01 }
splits = { train = "test" }
[model]
tokens = { height = 16, width = 16, patch = 8, coefficients = 8 }
expert = { width = 32, layers = 2, heads = 2, condition = 16 }
instruction = { width = 8, words = 4, buckets = 32 }
state = { width = 24, view = 24, scene = 8, forecast = 4 }
router = { width = 16, heads = 2 }
judge = { width = 16 }
"#;

struct Place(TempDir);

impl Place {
    fn new(recipe: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("recipe.toml"), recipe).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn train(&self, more: &[&str]) -> Run {
        let logs = root().join("examples/metaworld/courses").display().to_string();
        let (recipe, folder) = (self.path("recipe.toml"), self.path("training"));
        let fixed = ["train", &recipe, "--logs", &logs, "--folder", &folder];
        rehearse(fixed.iter().copied().chain(more.iter().copied()))
    }
}

#[test]
fn a_log_becomes_a_checkpoint_whose_curves_can_be_seen() {
    let place = Place::new(RECIPE);
    let run = place.train(&[]);
    assert_eq!(run.code, 0, "{run:?}");
    let checkpoint = place.path("training/model.safetensors");
    assert_eq!(run.stdout.trim(), checkpoint);
    assert!(run.stderr.contains("state: 40/40, loss "), "{run:?}");
    let trained = fs::read(&checkpoint).unwrap();

    let again = place.train(&["--resume"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stderr.contains("going on after 8 finished stages"), "{again:?}");
    assert!(fs::read(&checkpoint).unwrap() == trained, "what is done stays as it is");

    let viewed = rehearse(["view", &place.path("training")]);
    assert_eq!(viewed.code, 0, "{viewed:?}");
    assert_eq!(&fs::read(place.path("training/curves.rrd")).unwrap()[..3], b"RRF");
    let of_no_trial = rehearse(["view", &place.path("training"), "--trial", "a"]);
    assert_eq!(of_no_trial.code, 2, "{of_no_trial:?}");
    assert!(of_no_trial.stderr.contains("leave --trial out"), "{of_no_trial:?}");

    let logs = root().join("examples/metaworld/courses").display().to_string();
    let replayed = rehearse(["fidelity", &checkpoint, "--logs", &logs, "--format", "json"]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    assert!(replayed.json()["rows"][0]["psnr"].as_f64().unwrap() > 0.0, "{replayed:?}");
}

#[test]
fn what_cannot_be_trained_is_said_in_a_line() {
    for (from, to, expected) in [
        ("\"test\"", "\"none\"", "none"),
        ("width = 32", "width = 33", "expert.heads"),
        ("rate = 0.01 }\nbase", "rate = 11.0 }\nbase", "rate"),
        ("seed = 3", "sed = 3", "sed"),
    ] {
        let run = Place::new(&RECIPE.replacen(from, to, 1)).train(&[]);
        assert_eq!(run.code, 2, "{run:?}");
        let last = run.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: ") && last.contains(expected), "{run:?}");
    }
}
