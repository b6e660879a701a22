//! `rehearse fidelity`, on the shipped checkpoint and courses of action from one start.

use crate::support::{rehearse, root};

/// The expert's actions, the same backwards, and none, each from one start of two tasks.
#[test]
fn the_shipped_model_obeys_actions() {
    let example = root().join("examples/metaworld");
    let (checkpoint, courses) = (example.join("metaworld.safetensors"), example.join("courses"));
    let strips = tempfile::tempdir().unwrap();
    let run = rehearse([
        "fidelity".as_ref(),
        checkpoint.as_os_str(),
        "--logs".as_ref(),
        courses.as_os_str(),
        "--filmstrips".as_ref(),
        strips.path().as_os_str(),
        "--format".as_ref(),
        "json".as_ref(),
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    let found = &run.json()["counterfactual"];
    assert_eq!((found["starts"].as_u64(), found["episodes"].as_u64()), (Some(2), Some(6)));
    // Which recording each imagined episode belongs to, and how far the courses differ.
    assert_eq!(found["told"], 1.0, "{found}");
    assert!(found["hand_error"].as_f64().unwrap() < 0.1, "{found}");
    assert!(found["picture_error"].as_f64().unwrap() < 0.6, "{found}");
    assert_eq!(strips.path().read_dir().unwrap().count(), 6);
}
