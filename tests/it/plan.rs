//! `rehearse plan`, through the binary, with the checkpoint that ships.

use std::fs;
use std::path::PathBuf;

use crate::support::{Run, rehearse, root};

fn example(file: &str) -> PathBuf {
    root().join("examples/metaworld").join(file)
}

/// Runs `rehearse plan` on a configuration with few candidates.
fn plan(folder: &tempfile::TempDir, configuration: &str, rest: &[&str]) -> Run {
    let path = folder.path().join("planner.toml");
    fs::write(&path, configuration).unwrap();
    let starts = example("starts").display().to_string();
    let fixed = ["plan", path.to_str().unwrap(), "--start", &starts];
    rehearse(fixed.into_iter().chain(rest.iter().copied()))
}

fn configuration(imagine: &str, objective: &str) -> String {
    format!(
        "checkpoint = \"{}\"\nimagine = \"{imagine}\"\n\
         bounds = [[-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]]\n\
         [search]\nblocks = 2\nblock_steps = 4\niterations = 3\n\
         optimizer = {{ kind = \"cem\", candidates = 6, elites = 2 }}\n\
         [[objective]]\nkind = \"{objective}\"\nweight = 1.0\n",
        example("metaworld.safetensors").display()
    )
}

#[test]
fn a_plan_comes_with_its_diagnostics_and_its_video() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let recording = folder.path().join("plan.rrd");
    let rest =
        ["--out", out.to_str().unwrap(), "--save", recording.to_str().unwrap(), "--episode", "3"];
    for imagine in ["full", "foreseen"] {
        let configuration = configuration(imagine, "success");
        let json = [&rest[..], &["--format", "json"]].concat();
        let run = plan(&folder, &configuration, &json);
        assert_eq!(run.code, 0, "{run:?}");
        let planned = run.json();
        assert_eq!(planned["imagine"], imagine);
        assert_eq!(planned["instruction"], "open the drawer");
        assert_eq!(planned["channels"].as_array().unwrap().len(), 4);
        let actions = planned["actions"].as_array().unwrap();
        assert_eq!(actions.len(), 8);
        for action in actions {
            let action = action.as_array().unwrap();
            assert!(action.iter().all(|value| value.as_f64().unwrap().abs() <= 1.0), "{action:?}");
        }
        assert_eq!(planned["predicted"]["states"].as_array().unwrap().len(), 8);
        let costs = planned["iterations"].as_array().unwrap();
        let costs = costs.iter().map(|it| it["best_cost"].as_f64().unwrap()).collect::<Vec<_>>();
        // The elite of an iteration stays among the candidates of the next.
        assert!(costs.len() == 3 && costs.is_sorted_by(|a, b| a >= b), "{costs:?}");
        assert!((costs[2] - planned["cost"].as_f64().unwrap()).abs() < 1e-5);

        let film = image::open(out.join("film.png")).unwrap().to_rgb8();
        // Eight frames of 64×64 side by side, two pixels apart.
        assert_eq!(film.dimensions(), (8 * 66 - 2, 64));
        let written: serde_json::Value =
            serde_json::from_slice(&fs::read(out.join("plan.json")).unwrap()).unwrap();
        assert_eq!(written["actions"], planned["actions"]);
        assert!(fs::metadata(&recording).unwrap().len() > 10_000);

        // The same seed gives the same plan, another one another.
        let again = plan(&folder, &configuration, &json).json();
        assert_eq!(again["actions"], planned["actions"]);
        let other = plan(&folder, &configuration, &[&json[..], &["--seed", "9"]].concat()).json();
        assert_ne!(other["actions"], planned["actions"]);
    }
    let table = plan(&folder, &configuration("foreseen", "success"), &rest);
    for words in ["success at its end", "mean shift", "imagine s", "open the drawer"] {
        assert!(table.stdout.contains(words), "{words}: {table:?}");
    }
}

#[test]
fn a_goal_is_a_picture_of_the_camera() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |side: u32| {
        let path = folder.path().join(format!("{side}.png"));
        image::RgbImage::from_pixel(side, side, image::Rgb([90, 60, 30])).save(&path).unwrap();
        path.display().to_string()
    };
    let (fits, small) = (picture(128), picture(64));
    let wanted = configuration("foreseen", "goal_image");
    let run = plan(&folder, &wanted, &["--goal", &fits, "--format", "json"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()["terms"][0]["kind"], "goal_image");

    let refusals = [
        (&wanted, vec!["--goal", &*small], "image of camera \"front\" has 64×64"),
        (&wanted, vec![], "the goal's picture"),
        (&configuration("foreseen", "success"), vec!["--goal", &*fits], "goal_image"),
        (&configuration("foreseen", "uncertainty"), vec![], "foresight draws nothing"),
        (&configuration("foretold", "success"), vec![], "foretold"),
        (&wanted, vec!["--goal", "side=x.png"], "front"),
        (&wanted, vec!["--goal", &*fits, "--episode", "100000"], "100000"),
    ];
    for (configuration, rest, says) in refusals {
        let run = plan(&folder, configuration, &rest);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains(says) && run.stderr.lines().count() == 1, "{says}: {run:?}");
    }
}

#[test]
fn a_checkpoint_is_planned_with_once_its_actions_have_bounds() {
    let checkpoint = example("metaworld.safetensors").display().to_string();
    let starts = example("starts").display().to_string();
    let fixed = ["plan", &checkpoint, "--start", &starts, "--budget-ms", "1", "--format", "json"];
    let run = rehearse(fixed);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("states no bounds"), "{run:?}");
    let run = rehearse(fixed.into_iter().chain(["--bounds", "-1,1"]));
    assert_eq!(run.code, 0, "{run:?}");
    let planned = run.json();
    assert_eq!(planned["imagine"], "foreseen");
    // The budget is spent by the first iteration, which is always done.
    assert_eq!(planned["iterations"].as_array().unwrap().len(), 1);
}
