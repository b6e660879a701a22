//! What is read equals what pyarrow reads: `tools/gen_log.py` wrote the expectation.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};
use ndarray::Array2;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rehearse_scenarios::log::{LogError, RobotLog, Version, check};
use rehearse_scenarios::observation::Image;
use serde_json::Value;

use super::{copy_of, fixture};

/// Sum over i of (i + 1) times the bits of the i-th value, modulo 2^64.
fn digest<'a>(values: impl IntoIterator<Item = &'a f32>) -> String {
    (1_u64..)
        .zip(values)
        .fold(0_u64, |sum, (i, value)| sum.wrapping_add(i.wrapping_mul(u64::from(value.to_bits()))))
        .to_string()
}

fn digest_rows(values: &Array2<f32>) -> String {
    digest(values.iter())
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn assert_reads_as_pyarrow(folder: &Path, expected: &Value) {
    let log = RobotLog::open(folder).unwrap();
    assert_eq!(log.info().total_frames as u64, expected["frames"].as_u64().unwrap());
    assert_eq!(log.tasks(), texts(&expected["tasks"]));
    let episodes = expected["episodes"].as_array().unwrap();
    assert_eq!(log.episodes().len(), episodes.len());
    for (episode, expected) in log.episodes().iter().zip(episodes) {
        let table = log.table(episode.index).unwrap();
        assert_eq!(episode.length as u64, expected["length"].as_u64().unwrap());
        assert_eq!(table.frames(), episode.length);
        assert_eq!(episode.tasks, texts(&expected["tasks"]));
        let index = episode.index;
        assert_eq!(digest_rows(&table.state), expected["state"], "states of episode {index}");
        assert_eq!(digest_rows(&table.action), expected["action"], "actions of episode {index}");
        let success = table.success.map(|flags| flags.iter().filter(|&&flag| flag).count() as u64);
        assert_eq!(success, expected.get("success_frames").and_then(Value::as_u64));
        let reward = table.reward.map(|reward| digest(&reward));
        assert_eq!(reward.as_deref(), expected.get("reward").and_then(Value::as_str));
    }
    let mut results: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for row in log.real_results() {
        let [count, successes] = results.entry(format!("{}/{}", row.policy, row.task)).or_default();
        *count += 1;
        *successes += u64::from(row.is_success());
    }
    let expected: BTreeMap<String, [u64; 2]> = expected
        .get("results")
        .map(|results| serde_json::from_value(results.clone()).unwrap())
        .unwrap_or_default();
    assert_eq!(results, expected);
}

#[test]
fn a_dataset_of_lerobot_is_read_as_pyarrow_reads_it() {
    assert_reads_as_pyarrow(&fixture("tiny_v30"), &expected()["tiny_v30"]);
}

/// The larger datasets lie beside a developer's checkout; without them this says nothing.
#[test]
fn the_larger_datasets_are_read_as_pyarrow_reads_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/logs");
    for name in ["droid", "metaworld"] {
        if folder.join(name).exists() {
            assert_reads_as_pyarrow(&folder.join(name), &expected()[name]);
        }
    }
}

#[test]
fn both_versions_hold_the_same_episodes() {
    let (new, old) = (fixture("tiny_v30"), fixture("tiny_v21"));
    let (new, old) = (RobotLog::open(&new).unwrap(), RobotLog::open(&old).unwrap());
    assert_eq!((new.info().version, old.info().version), (Version::V30, Version::V21));
    assert_eq!(new.embodiment(), old.embodiment());
    assert_eq!(new.tasks(), old.tasks());
    for (a, b) in new.episodes().iter().zip(old.episodes()) {
        assert_eq!((a.index, &a.tasks, a.length), (b.index, &b.tasks, b.length));
        assert_eq!(new.table(a.index).unwrap(), old.table(b.index).unwrap());
        for frame in 0..a.length {
            let (x, y) = (new.frame(a.index, "top", frame), old.frame(b.index, "top", frame));
            assert!(x.unwrap() == y.unwrap(), "frame {frame} of episode {}", a.index);
        }
    }
}

#[test]
fn sound_datasets_have_no_problems() {
    assert_eq!(check(&fixture("tiny_v30")), []);
    assert_eq!(check(&fixture("tiny_v21")), []);
}

#[test]
fn a_stream_of_frames_is_the_frames_one_by_one() {
    let log = RobotLog::open(&fixture("tiny_v30")).unwrap();
    for (episode, range) in [(0, 0..8), (1, 3..7), (2, 9..10), (2, 4..4)] {
        let stream: Vec<_> =
            log.frames(episode, "top", range.clone()).unwrap().map(Result::unwrap).collect();
        let single: Vec<_> = range
            .map(|frame| log.frame(episode, "observation.images.top", frame).unwrap())
            .collect();
        assert!(stream == single, "frames of episode {episode}");
    }
}

#[test]
fn pictures_that_lie_in_the_tables_are_read() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    let log = RobotLog::open(&folder).unwrap();
    let pictures: Vec<_> = log
        .episodes()
        .iter()
        .flat_map(|episode| log.frames(episode.index, "top", 0..episode.length).unwrap())
        .map(Result::unwrap)
        .collect();
    let bytes: BinaryArray = pictures.iter().map(|picture| Some(png(picture))).collect();
    let path = folder.join("data/chunk-000/file-000.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let rows: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows = arrow::compute::concat_batches(&rows[0].schema(), &rows).unwrap();
    let field = Arc::new(Field::new("bytes", DataType::Binary, true));
    let cells = StructArray::from(vec![(field, Arc::new(bytes) as ArrayRef)]);
    let mut columns: Vec<(String, ArrayRef)> = rows
        .schema()
        .fields()
        .iter()
        .zip(rows.columns())
        .map(|(field, column)| (field.name().clone(), Arc::clone(column)))
        .collect();
    columns.push(("observation.images.top".into(), Arc::new(cells)));
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let info = folder.join("meta/info.json");
    let text = std::fs::read_to_string(&info).unwrap();
    std::fs::write(&info, text.replace("\"dtype\": \"video\"", "\"dtype\": \"image\"")).unwrap();

    assert_eq!(check(&folder), []);
    let tables = RobotLog::open(&folder).unwrap();
    let mut expected = pictures.iter();
    for episode in tables.episodes() {
        for picture in tables.frames(episode.index, "top", 0..episode.length).unwrap() {
            assert!(&picture.unwrap() == expected.next().unwrap());
        }
    }
    assert!(tables.frame(2, "top", 9).unwrap() == pictures[26]);
}

fn png(picture: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(picture.pixels(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

#[test]
fn an_observation_is_what_a_policy_would_have_seen() {
    let log = RobotLog::open(&fixture("tiny_v30")).unwrap();
    let seen = log.observation(1, 4).unwrap();
    assert_eq!(&*seen.instruction, log.episodes()[1].instruction());
    assert_eq!(seen.proprioception, log.table(1).unwrap().state.row(4).to_vec());
    assert_eq!(seen.time.as_nanos(), 800_000_000);
    assert!(seen.images["top"] == log.frame(1, "top", 4).unwrap());
}

#[test]
fn what_is_not_there_is_named() {
    let log = RobotLog::open(&fixture("tiny_v30")).unwrap();
    assert!(matches!(log.table(3), Err(LogError::NoEpisode { episode: 3, episodes: 3, .. })));
    assert!(matches!(log.frame(0, "top", 8), Err(LogError::NoFrame { frame: 8, frames: 8, .. })));
    let error = log.frame(0, "wrist", 0).unwrap_err();
    assert!(matches!(&error, LogError::NoCamera { cameras, .. } if cameras == &["top"]));
    let nowhere = RobotLog::open(Path::new("no/such/folder")).unwrap_err();
    assert_eq!(nowhere.path(), Path::new("no/such/folder/meta/info.json"));
}

#[test]
fn a_log_may_be_read_from_many_threads() {
    let log = RobotLog::open(&fixture("tiny_v30")).unwrap();
    let alone: Vec<_> = (0..3).map(|episode| log.table(episode).unwrap()).collect();
    std::thread::scope(|scope| {
        for episode in [0, 1, 2, 0, 1, 2] {
            let (log, alone) = (&log, &alone);
            scope.spawn(move || assert_eq!(log.table(episode).unwrap(), alone[episode]));
        }
    });
}
