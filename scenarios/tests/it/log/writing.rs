//! What is written is read back; what is converted keeps its numbers.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array2;
use rehearse_scenarios::embodiment::{Camera, Channel, Embodiment, Reference, Unit};
use rehearse_scenarios::log::{
    Column, ConvertOptions, Dtype, EpisodeEnd, Feature, Frame, LogSettings, LogWriter, RobotLog,
    TrialRow, Version, check, convert,
};
use rehearse_scenarios::observation::Image;
use rehearse_scenarios::time::Rate;
use rehearse_scenarios::video::Codec;

use super::fixture;

fn rig(cameras: &[&str]) -> Embodiment {
    let camera = |name: &&str| Camera { name: (*name).to_owned(), height: 32, width: 48 };
    Embodiment {
        robot: Some("arm".into()),
        rate: Rate::from_hz(10.0).unwrap(),
        cameras: cameras.iter().map(camera).collect(),
        proprioception: vec![
            Channel { unit: Some(Unit::Metre), ..Channel::named("x") },
            Channel::named("gripper"),
        ],
        actions: vec![Channel {
            bounds: Some([-1.0, 1.0]),
            reference: Some(Reference::Delta),
            ..Channel::named("dx")
        }],
    }
}

/// A grey picture that tells its camera, episode and frame.
fn picture(camera: usize, episode: usize, frame: usize) -> Image {
    let level = 20 + camera * 60 + episode * 25 + frame * 3;
    Image::from_rgb(32, 48, vec![level as u8; 32 * 48 * 3]).unwrap()
}

fn further() -> Vec<Feature> {
    vec![
        Feature::vector("next.success", Dtype::Bool, 1),
        Feature::vector("next.reward", Dtype::Float32, 1),
        Feature::vector("count", Dtype::UInt16, 1),
        Feature { shape: vec![2, 3], ..Feature::vector("matrix", Dtype::Float64, 6) },
        Feature::vector("contacts", Dtype::Bool, 2),
    ]
}

fn end(episode: usize, frames: usize) -> EpisodeEnd {
    let cell = |i: usize| (episode * 100 + i) as f64;
    let columns = BTreeMap::from([
        (
            "count".to_owned(),
            Column::Integer(Array2::from_shape_fn((frames, 1), |(i, _)| cell(i) as i64)),
        ),
        (
            "matrix".to_owned(),
            Column::Float(Array2::from_shape_fn((frames, 6), |(i, j)| cell(i) + j as f64 / 7.0)),
        ),
        (
            "contacts".to_owned(),
            Column::Bool(Array2::from_shape_fn((frames, 2), |(i, j)| (i + j) % 2 == 0)),
        ),
    ]);
    EpisodeEnd {
        success: Some((0..frames).map(|i| i + 1 == frames).collect()),
        reward: Some((0..frames).map(|i| i as f32 / 3.0).collect()),
        columns,
        result: Some(TrialRow {
            episode: 999,
            task: "lift-v1".into(),
            policy: format!("policy {}", episode % 2),
            success: (episode % 2) as f64,
            length: None,
            split: Some(if episode == 2 { "test" } else { "train" }.into()),
        }),
    }
}

const CAMERAS: [&str; 2] = ["front", "wrist"];
const LENGTHS: [usize; 4] = [5, 3, 4, 1];

fn state(episode: usize, frame: usize) -> [f32; 2] {
    [episode as f32 + frame as f32 / 3.0, -(frame as f32)]
}

fn action(episode: usize, frame: usize) -> [f32; 1] {
    [(episode * 10 + frame) as f32 / 100.0]
}

fn instruction(episode: usize) -> &'static str {
    ["lift the cup", "put it down", "lift the cup", "wait"][episode]
}

fn write(folder: &Path, settings: LogSettings) {
    let mut writer = LogWriter::create(folder, &rig(&CAMERAS), &further(), settings).unwrap();
    for (episode, &frames) in LENGTHS.iter().enumerate() {
        writer.begin_episode(instruction(episode)).unwrap();
        for frame in 0..frames {
            let images = (0..)
                .zip(CAMERAS)
                .map(|(camera, name)| (name.to_owned(), picture(camera, episode, frame)))
                .collect();
            let (state, action) = (&state(episode, frame), &action(episode, frame));
            writer.push(&Frame { images: &images, state, action }).unwrap();
        }
        writer.end_episode(end(episode, frames)).unwrap();
    }
    let written = writer.finish().unwrap();
    assert_eq!((written.episodes, written.frames), (4, 13));
}

fn assert_read_back(folder: &Path) {
    assert_eq!(check(folder), []);
    let log = RobotLog::open(folder).unwrap();
    assert_eq!(log.embodiment(), &rig(&CAMERAS));
    assert_eq!(log.tasks(), ["lift the cup", "put it down", "wait"]);
    for (episode, &frames) in LENGTHS.iter().enumerate() {
        let meta = log.episode(episode).unwrap();
        assert_eq!((meta.length, meta.instruction()), (frames, instruction(episode)));
        let table = log.table(episode).unwrap();
        for frame in 0..frames {
            assert_eq!(table.state.row(frame).to_vec(), state(episode, frame));
            assert_eq!(table.action.row(frame).to_vec(), action(episode, frame));
            for (camera, name) in CAMERAS.iter().enumerate() {
                let image = log.frame(episode, name, frame).unwrap();
                let expected = i32::from(picture(camera, episode, frame).pixels()[0]);
                let got = i32::from(image.pixels()[0]);
                // One grey level is lost to limited range, one to compression.
                assert!((expected - got).abs() <= 2, "{name}, {episode}, {frame}: {got}");
            }
        }
        let EpisodeEnd { success, reward, columns, result } = end(episode, frames);
        assert_eq!(table.success, success);
        assert_eq!(table.reward, reward);
        assert_eq!(table.columns, columns);
        let result = TrialRow { episode, length: Some(frames), ..result.unwrap() };
        assert_eq!(meta.split, result.split);
        assert_eq!(meta.result, Some(result));
    }
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn what_is_written_is_read_back() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("log");
    write(&folder, LogSettings::default());
    assert_read_back(&folder);
    assert_eq!(files(parent.path()), 1, "nothing is left beside the dataset");
    assert_eq!(files(&folder.join("data/chunk-000")), 1);
    assert_eq!(files(&folder.join("videos/observation.images.wrist/chunk-000")), 1);
}

#[test]
fn files_that_are_full_are_followed_by_others_and_chunks_too() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("log");
    let small = LogSettings {
        data_file_mb: 0,
        video_file_mb: 0,
        files_per_chunk: 2,
        codec: Codec::H264,
        crf: 20,
        ..LogSettings::default()
    };
    write(&folder, small);
    assert_read_back(&folder);
    for chunk in ["chunk-000", "chunk-001"] {
        assert_eq!(files(&folder.join("data").join(chunk)), 2);
        assert_eq!(files(&folder.join("videos/observation.images.front").join(chunk)), 2);
    }
}

#[test]
fn the_older_version_is_written_too() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("log");
    let old = LogSettings { version: Version::V21, files_per_chunk: 3, ..LogSettings::default() };
    write(&folder, old);
    assert_read_back(&folder);
    assert!(folder.join("data/chunk-001/episode_000003.parquet").exists());
    assert!(folder.join("videos/chunk-000/observation.images.front/episode_000002.mp4").exists());
}

#[test]
fn the_same_episodes_make_the_same_bytes() {
    let parent = tempfile::tempdir().unwrap();
    let bytes = |name: &str| {
        let folder = parent.path().join(name);
        write(&folder, LogSettings::default());
        [
            "data/chunk-000/file-000.parquet",
            "meta/episodes/chunk-000/file-000.parquet",
            "meta/info.json",
            "meta/stats.json",
        ]
        .map(|file| std::fs::read(folder.join(file)).unwrap())
    };
    assert!(bytes("first") == bytes("second"));
}

/// States, actions, tasks and further columns of two logs, episode by episode.
fn assert_same_numbers(a: &Path, b: &Path) {
    let (a, b) = (RobotLog::open(a).unwrap(), RobotLog::open(b).unwrap());
    assert_eq!(a.episodes().len(), b.episodes().len());
    assert_eq!(a.tasks(), b.tasks());
    assert_eq!(a.embodiment(), b.embodiment());
    for (x, y) in a.episodes().iter().zip(b.episodes()) {
        assert_eq!((x.index, &x.tasks, x.length), (y.index, &y.tasks, y.length));
        assert_eq!(a.table(x.index).unwrap(), b.table(y.index).unwrap());
    }
}

#[test]
fn a_v21_dataset_goes_to_v30_and_back_without_loss_of_a_number() {
    let parent = tempfile::tempdir().unwrap();
    let (new, old) = (parent.path().join("new"), parent.path().join("old"));
    convert(&fixture("tiny_v21"), &new, &ConvertOptions::default(), &mut |_, _| {}).unwrap();
    assert_eq!(check(&new), []);
    assert_same_numbers(&fixture("tiny_v21"), &new);
    assert_same_numbers(&fixture("tiny_v30"), &new);
    let settings = LogSettings { version: Version::V21, ..LogSettings::default() };
    convert(&new, &old, &ConvertOptions { settings, ..ConvertOptions::default() }, &mut |_, _| {})
        .unwrap();
    assert_eq!(check(&old), []);
    assert_eq!(RobotLog::open(&old).unwrap().info().version, Version::V21);
    assert_same_numbers(&fixture("tiny_v21"), &old);
}

#[test]
fn a_part_may_be_kept_and_images_resized() {
    let parent = tempfile::tempdir().unwrap();
    let (log, part) = (parent.path().join("log"), parent.path().join("part"));
    write(&log, LogSettings::default());
    let options = ConvertOptions {
        split: Some("train".into()),
        task: Some("lift the cup".into()),
        resize: Some((16, 24)),
        ..ConvertOptions::default()
    };
    let mut heard = Vec::new();
    convert(&log, &part, &options, &mut |done, of| heard.push((done, of))).unwrap();
    assert!(heard.is_sorted() && heard.last().is_some_and(|(done, of)| done == of), "{heard:?}");
    assert_eq!(check(&part), []);
    let (log, part) = (RobotLog::open(&log).unwrap(), RobotLog::open(&part).unwrap());
    assert_eq!(part.episodes().len(), 1);
    assert_eq!(part.table(0).unwrap(), log.table(0).unwrap());
    let image = part.frame(0, "wrist", 4).unwrap();
    assert_eq!((image.height(), image.width()), (16, 24));
    let by_result = ConvertOptions { task: Some("lift-v1".into()), ..ConvertOptions::default() };
    convert(log.folder(), &parent.path().join("all"), &by_result, &mut |_, _| {}).unwrap();
    let none = ConvertOptions { split: Some("val".into()), ..ConvertOptions::default() };
    assert!(convert(log.folder(), &parent.path().join("none"), &none, &mut |_, _| {}).is_err());
    assert!(!parent.path().join("none").exists());
}

#[test]
fn an_unfinished_dataset_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("log");
    let mut writer =
        LogWriter::create(&folder, &rig(&["top"]), &[], LogSettings::default()).unwrap();
    writer.begin_episode("wait").unwrap();
    let images = BTreeMap::from([("top".to_owned(), picture(0, 0, 0))]);
    writer.push(&Frame { images: &images, state: &[0.0; 2], action: &[0.0] }).unwrap();
    assert!(!folder.exists());
    assert_eq!(files(parent.path()), 1, "a hidden folder");
    drop(writer);
    assert_eq!(files(parent.path()), 0);
}

#[test]
fn a_folder_that_holds_something_is_never_written_over() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("note"), "mine").unwrap();
    let error =
        LogWriter::create(parent.path(), &rig(&[]), &[], LogSettings::default()).unwrap_err();
    assert!(error.to_string().contains("there already"), "{error}");
}

#[test]
fn frames_that_do_not_fit_the_rig_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("log");
    let mut writer =
        LogWriter::create(&folder, &rig(&["top"]), &further(), LogSettings::default()).unwrap();
    let images = BTreeMap::from([("top".to_owned(), picture(0, 0, 0))]);
    let good = Frame { images: &images, state: &[0.0; 2], action: &[0.0] };
    assert!(writer.push(&good).is_err(), "no episode is open");
    assert!(writer.end_episode(EpisodeEnd::default()).is_err());
    writer.begin_episode("wait").unwrap();
    assert!(writer.begin_episode("wait").is_err());
    let small = BTreeMap::from([("top".to_owned(), Image::from_rgb(2, 2, vec![0; 12]).unwrap())]);
    let other = BTreeMap::from([("side".to_owned(), picture(0, 0, 0))]);
    let none = BTreeMap::new();
    for (what, frame) in [
        ("state", Frame { state: &[0.0; 3], ..good }),
        ("action", Frame { action: &[f32::NAN], ..good }),
        ("top", Frame { images: &small, ..good }),
        ("side", Frame { images: &other, ..good }),
        ("top", Frame { images: &none, ..good }),
    ] {
        let error = writer.push(&frame).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    assert!(writer.end_episode(EpisodeEnd::default()).is_err(), "no frames");
}
