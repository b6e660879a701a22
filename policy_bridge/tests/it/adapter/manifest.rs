//! Manifests: what is missing, unknown or contradictory is refused with its file and key.

use std::path::Path;

use rehearse_policy_bridge::adapter::{AdapterError, Manifest};

use super::fake;

#[test]
fn whole_manifests_load() {
    for name in ["droid", "groot_n15", "groot_n16", "vla_eval", "rest", "conventions"] {
        let manifest = fake::manifest(&format!("{name}.toml"));
        assert_eq!(manifest.format, 1, "{name}");
    }
}

#[test]
fn a_manifest_that_is_not_there_is_named() {
    let error = Manifest::load(Path::new("nowhere.toml")).unwrap_err();
    assert!(matches!(&error, AdapterError::Unreadable { .. }), "{error}");
    assert!(error.to_string().ends_with("nowhere.toml"), "{error}");
}

#[test]
fn what_is_wrong_is_named_with_its_file_and_key() {
    let cases: &[(&str, &str, &str, &str)] = &[
        // Missing, unknown, of the wrong type.
        ("unit = \"deg\"\n", "", "state[0].part[2]", "unit"),
        ("rate = 10.0\nchunk", "chunk", "server", "rate"),
        ("timeout_ms = 5000", "timeout_ms = 5000\nretries = 3", "server", "retries"),
        ("dialect = \"openpi\"", "dialect = \"opnpi\"", "server.dialect", "opnpi"),
        ("chunk = 3", "chunk = \"three\"", "server.chunk", "string"),
        ("order = \"extrinsic_xyz\"", "order = \"zyx\"", "action[0].part[1]", "zyx"),
        (", antipode = \"keep\"", "", "state[0].part[1]", "antipode"),
        ("format = 1", "format = 1\n= ", "the top", ""),
        // Contradictions.
        ("format = 1", "format = 2", "format", "reads 1"),
        ("rate = 10.0\nchunk", "rate = 5.0\nchunk", "server.rate", "5 Hz against"),
        ("chunk = 3", "chunk = 0", "server.chunk", "at least 1"),
        (
            "max_batch = 1",
            "max_batch = 2\nextra = { prompt = \"x\" }",
            "server.extra",
            "used twice",
        ),
        ("channels = [\"x\"]", "channels = [\"y\"]", "state[0].part[0].channels", "have no \"y\""),
        ("unit = \"deg\"", "unit = \"m\"", "state[0].part[2].unit", "Radian"),
        (
            "frame = \"base\"\nnormalization = { kind = \"quantiles\"",
            "frame = \"gripper\"\nnormalization = { kind = \"quantiles\"",
            "state[0].part[0].frame",
            "gripper",
        ),
        ("q01 = [0.2]", "q01 = [0.6]", "state[0].part[0].normalization", "span nothing"),
        ("q01 = [0.2]", "q01 = [0.2, 0.3]", "state[0].part[0].normalization", "2 and 1"),
        (
            "reference = \"delta\"\nframe",
            "reference = \"absolute\"\nframe",
            "action[0].part[0].reference",
            "Delta",
        ),
        (
            "kind = \"axis_angle\", antipode = \"keep\"",
            "kind = \"roll_pitch_yaw\", order = \"intrinsic_xyz\"",
            "",
            "",
        ),
        (
            "channels = [\"rx\", \"ry\", \"rz\"]",
            "channels = [\"rx\", \"ry\"]",
            "action[0].part[1].channels",
            "3 numbers, got 2",
        ),
        ("channels = [\"dx\"]", "channels = []", "action[0].part[0].normalization", "0 values"),
        ("threshold = 0.0", "threshold = 2.0", "action[0].part[2].command", "threshold 2"),
        ("sticky = 2", "sticky = 0", "action[0].part[2].command", "sticky 0"),
        (", bounds = [0.0, 0.08], reference", ", reference", "state[0].part[4]", "bounds"),
        (", gripper = \"high_is_open\"", "", "state[0].part[4]", "polarity"),
    ];
    for (from, to, key, problem) in cases {
        let text = fake::text("conventions.toml");
        assert!(text.contains(from), "{from}");
        let result = Manifest::parse(&text.replacen(from, to, 1), Path::new("my.toml"));
        if key.is_empty() {
            assert!(result.is_ok(), "{from} -> {to}");
            continue;
        }
        let error = result.expect_err(&format!("{from} -> {to} was accepted"));
        let (AdapterError::Syntax { key: found, .. } | AdapterError::Manifest { key: found, .. }) =
            &error
        else {
            panic!("{error}");
        };
        assert!(found.starts_with(key), "{from} -> {to}: {error}");
        let text = error.to_string();
        assert!(text.contains(problem) && text.ends_with("my.toml"), "{from} -> {to}: {text}");
    }
}

#[test]
fn a_camera_of_another_size_needs_a_way_to_resize() {
    let text =
        fake::text("droid.toml").replacen("height = 2\nwidth = 2", "height = 4\nwidth = 4", 1);
    let error = Manifest::parse(&text, Path::new("my.toml")).unwrap_err();
    assert!(error.to_string().contains("image[0].resize"), "{error}");
    let padded = text.replacen("resize = \"exact\"", "resize = \"pad\"", 1);
    assert!(Manifest::parse(&padded, Path::new("my.toml")).is_ok());
    let cropped = padded.replacen("centre_crop = 1.0", "centre_crop = 1.1", 1);
    let error = Manifest::parse(&cropped, Path::new("my.toml")).unwrap_err();
    assert!(error.to_string().contains("image[0].centre_crop"), "{error}");
}

#[test]
fn an_action_channel_is_set_once() {
    let text = fake::text("conventions.toml").replacen(
        "channels = [\"dx\"]",
        "channels = [\"opening\"]",
        1,
    );
    assert!(Manifest::parse(&text, Path::new("my.toml")).is_err());
    let text = fake::text("droid.toml");
    let twice = text.replacen(
        "[\"joint_1\", \"joint_2\", \"joint_3\", \"joint_4\", \"joint_5\", \"joint_6\", \"joint_7\"]\nunit = \"rad\"\nreference = \"absolute\"\nnormalization = { kind = \"none\" }\n[[action.part]]",
        "[\"joint_1\", \"joint_1\", \"joint_3\", \"joint_4\", \"joint_5\", \"joint_6\", \"joint_7\"]\nunit = \"rad\"\nreference = \"absolute\"\nnormalization = { kind = \"none\" }\n[[action.part]]",
        1,
    );
    assert_ne!(text, twice);
    let error = Manifest::parse(&twice, Path::new("my.toml")).unwrap_err();
    assert!(error.to_string().contains("\"joint_1\" is set 2 times"), "{error}");
}
