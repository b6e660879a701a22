//! Every kind of damage is an error that names file, episode and field, and `check` finds it.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Int64Array, ListArray, RecordBatch};
use arrow::datatypes::{Field, Float32Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rehearse_scenarios::log::{LogError, RobotLog, check};

use super::{copy_of, fixture};

const DATA: &str = "data/chunk-000/file-000.parquet";
const EPISODES: &str = "meta/episodes/chunk-000/file-000.parquet";
const VIDEO: &str = "videos/observation.images.top/chunk-000/file-000.mp4";
const CAMERA: &str = "observation.images.top";

/// Asserts that `check` tells of exactly this place, among others.
#[track_caller]
fn assert_told(folder: &Path, file: &str, episode: Option<usize>, field: Option<&str>) {
    let problems = check(folder);
    let told = problems.iter().any(|problem| {
        problem.file.ends_with(file)
            && problem.episode == episode
            && problem.field.as_deref() == field
            && !problem.message.is_empty()
    });
    assert!(told, "{file}, {episode:?}, {field:?} is not among {problems:#?}");
}

fn cut(path: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(bytes).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Rewrites a Parquet file with one column changed.
fn edit_column(path: &Path, column: &str, edit: impl FnOnce(&ArrayRef) -> ArrayRef) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows = arrow::compute::concat_batches(&schema, &batches).unwrap();
    let mut edit = Some(edit);
    let columns = rows.columns().iter().zip(schema.fields()).map(|(array, field)| {
        let array = match (field.name() == column, &mut edit) {
            (true, edit) => edit.take().unwrap()(array),
            (false, _) => Arc::clone(array),
        };
        (field.name().clone(), array, true)
    });
    let rows = RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap();
    assert!(edit.is_none(), "no column {column}");
    let mut writer =
        ArrowWriter::try_new(fs::File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

fn edit_integers(path: &Path, column: &str, edit: impl FnOnce(&mut Vec<i64>)) {
    edit_column(path, column, |array| {
        let mut values = array.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
        edit(&mut values);
        Arc::new(Int64Array::from(values))
    });
}

fn edit_info(folder: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = folder.join("meta/info.json");
    let mut info = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut info);
    fs::write(&path, info.to_string()).unwrap();
}

#[test]
fn a_truncated_video() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    let video = folder.join(VIDEO);
    for share in [0.9, 0.5, 0.01, 0.0] {
        cut(&video, (length(&video) as f64 * share) as u64);
        let log = RobotLog::open(&folder).unwrap();
        let error = log.frame(1, "top", 0).unwrap_err();
        let place = error.place().unwrap();
        assert!(place.file.ends_with(VIDEO) && place.episode == Some(1), "{error}");
        assert_told(&folder, VIDEO, Some(0), Some(CAMERA));
    }
    fs::remove_file(&video).unwrap();
    assert_told(&folder, VIDEO, Some(0), Some(CAMERA));
}

#[test]
fn a_table_without_its_footer() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    let table = folder.join(DATA);
    let whole = length(&table);
    for bytes in [whole - 1, whole - 9, whole / 2, 5, 0] {
        cut(&table, bytes);
        let log = RobotLog::open(&folder).unwrap();
        let error = log.table(2).unwrap_err();
        let place = error.place().unwrap();
        assert!(place.file.ends_with(DATA) && place.episode == Some(2), "{error}");
        assert_told(&folder, DATA, Some(0), Some("footer"));
    }
    fs::remove_file(&table).unwrap();
    assert_told(&folder, DATA, Some(0), None);
}

#[test]
fn metadata_without_its_footer() {
    for file in [EPISODES, "meta/tasks.parquet"] {
        let (_parent, folder) = copy_of(&fixture("tiny_v30"));
        cut(&folder.join(file), length(&folder.join(file)) - 4);
        assert!(RobotLog::open(&folder).is_err());
        assert_told(&folder, file, None, Some("footer"));
    }
}

#[test]
fn a_table_and_a_video_of_different_lengths() {
    let (_parent, folder) = copy_of(&fixture("tiny_v21"));
    let videos = folder.join("videos/chunk-000/observation.images.top");
    // Episode 2 has 10 frames, episode 0 has 8.
    fs::copy(videos.join("episode_000000.mp4"), videos.join("episode_000002.mp4")).unwrap();
    assert_told(&folder, "episode_000002.mp4", Some(2), Some(CAMERA));
    fs::copy(videos.join("episode_000001.mp4"), videos.join("episode_000000.mp4")).unwrap();
    assert_told(&folder, "episode_000000.mp4", None, Some(CAMERA));
}

#[test]
fn actions_that_are_not_finite() {
    for value in [f32::NAN, f32::INFINITY] {
        let (_parent, folder) = copy_of(&fixture("tiny_v30"));
        edit_column(&folder.join(DATA), "action", |array| {
            let lists = array.as_fixed_size_list();
            let mut values = lists.values().as_primitive::<Float32Type>().values().to_vec();
            // Frame 3 of episode 1, whose first frame is row 8; dimension 2 of 7.
            values[(8 + 3) * 7 + 2] = value;
            let field = Arc::new(Field::new("element", lists.value_type(), true));
            let offsets = arrow::buffer::OffsetBuffer::from_lengths(vec![7; lists.len()]);
            let values = Arc::new(Float32Array::from(values));
            Arc::new(ListArray::new(field, offsets, values, None))
        });
        let log = RobotLog::open(&folder).unwrap();
        assert!(log.table(0).is_ok());
        let error = log.table(1).unwrap_err();
        assert!(matches!(error, LogError::NotFinite { frame: 3, dimension: 2, .. }), "{error}");
        assert_told(&folder, DATA, Some(1), Some("action"));
    }
}

#[test]
fn a_frame_rate_of_zero() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    edit_info(&folder, |info| info["fps"] = 0.into());
    assert_told(&folder, "meta/info.json", None, Some("fps"));
}

#[test]
fn a_missing_camera() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    edit_info(&folder, |info| {
        let camera = info["features"][CAMERA].clone();
        info["features"]["observation.images.wrist"] = camera;
    });
    let field = "videos/observation.images.wrist/chunk_index";
    assert_told(&folder, EPISODES, None, Some(field));
}

#[test]
fn templates_that_leave_the_folder() {
    for (key, template) in
        [("data_path", "../{file_index}.parquet"), ("video_path", "/tmp/{video_key}.mp4")]
    {
        let (_parent, folder) = copy_of(&fixture("tiny_v30"));
        edit_info(&folder, |info| info[key] = template.into());
        assert!(matches!(RobotLog::open(&folder), Err(LogError::Template { .. })));
        assert_told(&folder, "meta/info.json", None, Some(key));
    }
}

#[test]
fn an_episode_of_no_frames() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    edit_integers(&folder.join(EPISODES), "length", |lengths| lengths[1] = 0);
    assert_told(&folder, EPISODES, Some(1), Some("length"));
    let (_parent, folder) = copy_of(&fixture("tiny_v21"));
    let path = folder.join("meta/episodes.jsonl");
    let text = fs::read_to_string(&path).unwrap().replace("\"length\": 9", "\"length\": 0");
    fs::write(&path, text).unwrap();
    assert_told(&folder, "meta/episodes.jsonl", Some(1), Some("length"));
}

#[test]
fn more_and_fewer_rows_than_claimed() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    // The last episode claims 4 frames more than there are rows.
    edit_integers(&folder.join(EPISODES), "length", |lengths| lengths[2] += 4);
    edit_integers(&folder.join(EPISODES), "dataset_to_index", |ends| ends[2] += 4);
    assert_told(&folder, DATA, None, None);
    assert_told(&folder, DATA, Some(2), None);
    assert_told(&folder, "meta/info.json", None, Some("total_frames"));
    // A v2.1 table with more rows than its episode has frames.
    let (_parent, folder) = copy_of(&fixture("tiny_v21"));
    let tables = folder.join("data/chunk-000");
    fs::copy(tables.join("episode_000002.parquet"), tables.join("episode_000000.parquet")).unwrap();
    assert_told(&folder, "episode_000000.parquet", None, None);
    assert_told(&folder, "episode_000000.parquet", Some(0), Some("episode_index"));
}

#[test]
fn rows_of_another_episode() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    edit_integers(&folder.join(DATA), "episode_index", |indices| indices[8] = 0);
    assert_told(&folder, DATA, Some(1), Some("episode_index"));
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    edit_integers(&folder.join(DATA), "task_index", |indices| indices[0] = 7);
    assert_told(&folder, DATA, Some(0), Some("task_index"));
}

#[test]
fn a_column_that_is_missing_or_of_another_width() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    edit_info(&folder, |info| {
        info["features"]["next.reward"] = serde_json::json!({"dtype": "float32", "shape": [1]});
        info["features"]["action"]["shape"] = serde_json::json!([6]);
    });
    assert_told(&folder, DATA, Some(0), Some("next.reward"));
    edit_info(&folder, |info| {
        info["features"].as_object_mut().unwrap().remove("next.reward");
    });
    assert_told(&folder, DATA, Some(0), Some("action"));
}

#[test]
fn results_that_do_not_fit() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    let file = "meta/trials.csv";
    let rows =
        "episode_index,task,policy,success,length,split\n0,t,p,1,7,\n2,t,p,0,10,\n9,t,p,1,,\n";
    fs::write(folder.join(file), rows).unwrap();
    assert_told(&folder, file, Some(0), Some("length"));
    assert_told(&folder, file, Some(9), Some("episode_index"));
    assert_eq!(check(&folder).len(), 2);
}

#[test]
fn facts_of_the_rig_that_contradict_the_log() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    let mut rig = RobotLog::open(&folder).unwrap().embodiment().clone();
    rig.cameras[0].height = 65;
    rig.actions[0].name = "other".into();
    let path = folder.join("meta/embodiment.json");
    fs::write(&path, serde_json::to_string(&rig).unwrap()).unwrap();
    assert_told(&folder, "meta/embodiment.json", None, Some("cameras"));
    assert_told(&folder, "meta/embodiment.json", None, Some("actions"));
    fs::write(&path, "{").unwrap();
    assert_told(&folder, "meta/embodiment.json", None, None);
}

#[test]
fn several_problems_are_told_at_once() {
    let (_parent, folder) = copy_of(&fixture("tiny_v30"));
    edit_info(&folder, |info| info["total_frames"] = 5.into());
    edit_integers(&folder.join(DATA), "frame_index", |indices| indices[20] = 0);
    cut(&folder.join(VIDEO), 100);
    cut(&folder.join("meta/tasks.parquet"), 10);
    assert_told(&folder, "meta/info.json", None, Some("total_frames"));
    assert_told(&folder, VIDEO, Some(0), Some(CAMERA));
    assert_told(&folder, "meta/tasks.parquet", None, Some("footer"));
    assert!(check(&folder).len() >= 4);
}
