//! Policies cloned from a small log.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rehearse::policy::{CloneConfig, ClonedPolicy, clone_policy, load};
use rehearse::scenarios::action::ActionChunk;
use rehearse::scenarios::embodiment::{Camera, Channel, Embodiment};
use rehearse::scenarios::interface::{Begin, Policy as _, TrialHandle};
use rehearse::scenarios::log::{EpisodeEnd, Frame, LogSettings, LogWriter, RobotLog, TrialRow};
use rehearse::scenarios::observation::{Image, Observation};
use rehearse::scenarios::outcome::FaultKind;
use rehearse::scenarios::seed::Seed;
use rehearse::scenarios::testing::check_policy;
use rehearse::scenarios::time::{Rate, SimTime};
use rehearse::scenarios::video::Codec;

use crate::support::rehearse;

const RECIPE: &str = "name = \"tiny\"\nseed = 3\nsteps = 8\nbatch = 4\nimage = 16\npatch = 8\n\
                      width = 32\nlayers = 1\nchunk = 3\n";

fn rig() -> Embodiment {
    let bounded = |name: &str| Channel { bounds: Some([-1.0, 1.0]), ..Channel::named(name) };
    Embodiment {
        robot: None,
        rate: Rate::from_hz(10.0).unwrap(),
        cameras: vec![Camera { name: "front".into(), height: 32, width: 32 }],
        proprioception: vec![Channel::named("x")],
        actions: vec![bounded("dx"), bounded("gripper")],
    }
}

fn image(shade: u8) -> Image {
    let pixels: Vec<u8> =
        (0..32 * 32 * 3).map(|byte| shade.wrapping_add((byte / 3 % 32 * 4) as u8)).collect();
    Image::from_rgb(32, 32, pixels).unwrap()
}

/// Six episodes of 10 frames; what is done follows from where the hand is.
fn tiny_log(folder: &Path) -> PathBuf {
    let path = folder.join("log");
    let settings = LogSettings { codec: Codec::H264, ..LogSettings::default() };
    let mut writer = LogWriter::create(&path, &rig(), &[], settings).unwrap();
    for episode in 0..6_u8 {
        let task = ["open", "close"][usize::from(episode % 2)];
        writer.begin_episode(task).unwrap();
        for frame in 0..10_u8 {
            let x = f32::from(frame) / 10.0;
            writer
                .push(&Frame {
                    images: &BTreeMap::from([("front".to_owned(), image(episode * 20 + frame))]),
                    state: &[x],
                    action: &[0.5 - x, if episode % 2 == 0 { 1.0 } else { -1.0 }],
                })
                .unwrap();
        }
        let result = TrialRow {
            episode: 0,
            task: task.to_owned(),
            policy: ["expert", "noise"][usize::from(episode / 3)].to_owned(),
            success: f64::from(u8::from(episode < 4)),
            length: None,
            split: Some("train".to_owned()),
        };
        writer.end_episode(EpisodeEnd { result: Some(result), ..EpisodeEnd::default() }).unwrap();
    }
    writer.finish().unwrap();
    path
}

fn recipe(more: &str) -> CloneConfig {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    fs::write(&path, format!("{RECIPE}{more}")).unwrap();
    CloneConfig::read(&path).unwrap()
}

/// Clones a policy from the log in `folder`, which is made if it is not there.
fn cloned(folder: &Path, more: &str) -> ClonedPolicy {
    let path = folder.join("log");
    if !path.exists() {
        tiny_log(folder);
    }
    let log = RobotLog::open(&path).unwrap();
    let out = folder.join("policy.safetensors");
    clone_policy(&recipe(more), &log, Some(&folder.join("cache")), &out, &mut |_| ()).unwrap();
    load(&out).unwrap()
}

fn seen(shade: u8, x: f32, instruction: &str) -> Observation {
    Observation {
        images: BTreeMap::from([("front".to_owned(), image(shade))]),
        proprioception: vec![x],
        instruction: Arc::from(instruction),
        time: SimTime::ZERO,
    }
}

/// The policy's answers, each in a trial of its own.
fn answers(policy: &mut ClonedPolicy, observations: &[Observation]) -> Vec<ActionChunk> {
    let requests: Vec<_> =
        observations.iter().zip(0..).map(|(o, trial)| (TrialHandle(trial), o.clone())).collect();
    let begins: Vec<Begin> = requests
        .iter()
        .map(|(trial, o)| Begin {
            trial: *trial,
            instruction: Arc::clone(&o.instruction),
            seed: Seed::root(1).index(trial.0),
        })
        .collect();
    policy.begin(&begins).unwrap();
    policy.act(&requests).unwrap().into_iter().map(Result::unwrap).collect()
}

#[test]
fn a_cloned_policy_keeps_the_contract_of_policies() {
    let folder = tempfile::tempdir().unwrap();
    let observations: Vec<_> = (0..5_u8)
        .map(|i| seen(i * 40, f32::from(i) * 0.2, ["open", "close", "wipe"][usize::from(i % 3)]))
        .collect();
    for more in ["", "noise = 0.4\ngain = 0.6\n"] {
        drop(cloned(folder.path(), more));
        let file = folder.path().join("policy.safetensors");
        check_policy(|| load(&file).unwrap(), &observations);
    }
}

#[test]
fn the_same_recipe_gives_the_same_bytes_at_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let log = tiny_log(folder.path());
    let file = folder.path().join("recipe.toml");
    fs::write(&file, RECIPE).unwrap();
    let train = |threads: &str| {
        let out = folder.path().join(format!("{threads}.safetensors"));
        let run = Command::new(env!("CARGO_BIN_EXE_rehearse"))
            .args(["policy", "clone"])
            .arg(&file)
            .arg("--logs")
            .arg(&log)
            .arg("--out")
            .arg(&out)
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        assert!(run.status.success(), "{run:?}");
        let curve = String::from_utf8(run.stdout).unwrap();
        let last: serde_json::Value = serde_json::from_str(curve.lines().last().unwrap()).unwrap();
        assert_eq!(last["step"], 8);
        fs::read(out).unwrap()
    };
    assert!(train("1") == train("2"), "the weights differ");
}

#[test]
fn a_blind_policy_acts_alike_whatever_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let shown = [seen(0, 0.3, "open"), seen(200, 0.3, "open"), seen(0, 0.9, "open")];
    let sighted = answers(&mut cloned(folder.path(), ""), &shown);
    assert_ne!(sighted[0], sighted[1]);
    let blind = answers(&mut cloned(folder.path(), "blind = true\n"), &shown);
    assert_eq!(blind[0], blind[1]);
    assert_ne!(blind[0], blind[2], "it still feels where it is");
}

#[test]
fn gain_weakens_the_motion_and_not_the_gripper() {
    let folder = tempfile::tempdir().unwrap();
    let shown = [seen(20, 0.2, "open")];
    let whole = answers(&mut cloned(folder.path(), ""), &shown);
    let half = answers(&mut cloned(folder.path(), "gain = 0.5\n"), &shown);
    for (whole, half) in whole[0].view().rows().into_iter().zip(half[0].view().rows()) {
        assert!((whole[0] * 0.5 - half[0]).abs() < 1e-6, "{whole} {half}");
        assert_eq!(whole[1], half[1]);
    }
}

#[test]
fn a_policy_learns_what_its_recipe_names() {
    let folder = tempfile::tempdir().unwrap();
    for (data, episodes) in [
        ("", 6),
        ("[data]\nbehaviours = [\"noise\"]\n", 3),
        ("[data]\ntasks = [\"open\"]\n", 3),
        ("[data]\nsuccesses = true\n", 4),
        ("[data]\nepisodes = 1\n", 2),
    ] {
        let policy = cloned(folder.path(), data);
        assert_eq!(policy.manifest().data.episodes, episodes, "{data}");
        assert_eq!(policy.manifest().data.frames, episodes * 10);
    }
}

#[test]
fn an_observation_that_does_not_fit_voids_its_own_trial() {
    let folder = tempfile::tempdir().unwrap();
    let mut policy = cloned(folder.path(), "");
    let mut lost = seen(0, 0.0, "open");
    lost.images.clear();
    let requests = [(TrialHandle(0), lost), (TrialHandle(1), seen(0, 0.0, "open"))];
    let begin = |trial| Begin { trial, instruction: Arc::from("open"), seed: Seed::root(0) };
    policy.begin(&requests.clone().map(|(trial, _)| begin(trial))).unwrap();
    let answers = policy.act(&requests).unwrap();
    assert_eq!(answers[0].as_ref().unwrap_err().kind, FaultKind::PolicyCrashed);
    assert!(answers[1].is_ok());
}

#[test]
fn files_that_are_no_cloned_policy_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(cloned(folder.path(), ""));
    let bytes = fs::read(folder.path().join("policy.safetensors")).unwrap();
    let refused = |bytes: &[u8]| {
        let file = folder.path().join("damaged.safetensors");
        fs::write(&file, bytes).unwrap();
        load(&file).unwrap_err().to_string()
    };
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut altered = bytes.clone();
        altered[at..at + to.len()].copy_from_slice(to.as_bytes());
        refused(&altered)
    };
    assert!(refused(&bytes[..bytes.len() - 9]).starts_with("cloned policy: "));
    assert!(refused(b"").starts_with("cloned policy: "));
    assert!(replaced("\"manifest\"", "\"manifesd\"").contains("no manifest"));
    assert!(replaced("\\\"format\\\":1", "\\\"format\\\":2").contains("format 2"));
    assert!(replaced("\\\"chunk\\\":3", "\\\"chunk\\\":4").contains("do not fit"));
    assert!(replaced("\\\"patch\\\":8", "\\\"patch\\\":7").contains("patch is 7"));
    let missing = load(&folder.path().join("none")).unwrap_err().to_string();
    assert!(missing.starts_with("read the policy: "), "{missing}");
}

#[test]
fn recipes_that_cannot_be_used_are_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = tiny_log(folder.path());
    let file = folder.path().join("recipe.toml");
    for (more, says) in [
        ("stepps = 3\n", "stepps"),
        ("shift = 40\n", "shift is 40"),
        ("[data]\nbehaviours = [\"nobody\"]\n", "behaviour nobody"),
        ("[data]\nsplit = \"test\"\n", "split \"test\""),
    ] {
        fs::write(&file, format!("{RECIPE}{more}")).unwrap();
        let out = folder.path().join("none.safetensors");
        let arguments =
            ["policy", "clone", file.to_str().unwrap(), "--logs", log.to_str().unwrap(), "--out"];
        let run = rehearse(arguments.into_iter().chain([out.to_str().unwrap()]));
        assert_eq!(run.code, 2, "{run:?}");
        let error = run.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or("");
        assert!(error.contains(says) || run.stderr.contains(says), "{more}: {run:?}");
        assert!(!out.exists());
    }
}
