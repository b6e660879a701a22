//! Who says how far a trial came, through the binary.

use std::fs;
use std::path::Path;

use crate::place::Place;
use crate::support::rehearse;

const RUBRIC: &str = r#"
    [[criterion]]
    name = "somewhere"
    within = { x = [-100.0, 100.0] }
    [[criterion]]
    name = "nowhere"
    within = { x = [100.0, 101.0] }
    after = ["somewhere"]
    [[criterion]]
    name = "beyond"
    within = { gripper = [-100.0, 100.0] }
    after = ["nowhere"]
"#;

#[test]
fn a_rubric_gives_failures_credit_and_leaves_rates_alone() {
    let place = Place::new(2);
    let suite = fs::read_to_string(place.path("suite.toml")).unwrap();
    let graded = suite.replace("[[variation]]", "rubric = \"towel.toml\"\n[[variation]]");
    fs::write(place.path("graded.toml"), &graded).unwrap();
    fs::write(place.path("towel.toml"), RUBRIC).unwrap();
    let run = place.run("graded.toml", "run", &[]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("progress"), "{run:?}");
    let report = rehearse(["report", &place.path("run"), "--format", "json"]).json();
    for policy in report["policies"].as_array().unwrap() {
        // All fail; of three criteria and the success they reach the first.
        assert_eq!((&policy["rate"], &policy["failure"]), (&0.0.into(), &4.into()), "{policy}");
        assert_eq!(policy["progress"]["value"], 0.25, "{policy}");
        let reached: Vec<_> = policy["criteria"]
            .as_array()
            .unwrap()
            .iter()
            .map(|criterion| criterion["reached"].as_u64().unwrap())
            .collect();
        assert_eq!(reached, [4, 0, 0]);
    }
    // The table holds it as partial credit, which every other command understands.
    let scores = rehearse(["score", &place.path("run"), "--format", "json"]);
    assert_eq!(scores.code, 0, "{scores:?}");
    assert!(scores.stdout.contains("0.25"), "{scores:?}");
    let page = fs::read_to_string(Path::new(&place.path("run")).join("report.html")).unwrap();
    assert!(page.contains("mean progress") && page.contains("<td>4 of 4</td>"), "{page}");

    // Another rubric makes another run, and one that cannot be used stops it before the first trial.
    fs::write(place.path("towel.toml"), RUBRIC.replace("101.0", "102.0")).unwrap();
    let other = place.run("graded.toml", "run", &["--resume"]);
    assert_eq!(other.code, 5, "{other:?}");
    assert!(other.stderr.contains("another rubric"), "{other:?}");
    fs::write(place.path("towel.toml"), RUBRIC.replace("gripper", "finger")).unwrap();
    let refused = place.run("graded.toml", "refused", &[]);
    assert_eq!(refused.code, 3, "{refused:?}");
    let expected = "towel.toml: criterion[2].within.finger: the world has no such channel";
    assert!(refused.stderr.contains(expected), "{refused:?}");
    assert!(!Path::new(&place.path("refused")).exists());
}
