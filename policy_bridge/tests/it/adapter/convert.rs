//! Conversions of whole requests and replies, worked by hand, and there and back.

use std::collections::BTreeMap;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_PI_2, PI};

use proptest::prelude::*;
use rehearse_policy_bridge::adapter::{
    Converter, Held, ImageFacts, Item, Layout, Manifest, Picture, Resize, Table,
};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::observation::Image;
use rehearse_scenarios::outcome::FaultKind;
use rehearse_scenarios::time::SimTime;

use super::fake;

fn state(manifest: Manifest, proprioception: Vec<f32>) -> Vec<f64> {
    let request =
        Converter::new(manifest).request(&fake::observation(&[], proprioception)).unwrap();
    match &request.entries[0] {
        (key, Item::Vector(_, values)) if key == "state" => values.clone(),
        other => panic!("{other:?}"),
    }
}

fn reply(rows: &[[f64; 5]]) -> BTreeMap<String, Table> {
    let values = rows.concat();
    BTreeMap::from([("actions".to_owned(), Table { rows: rows.len(), columns: 5, values })])
}

// The rig's numbers are f32: 90° comes out 2.5e-6 off.
fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn a_state_is_shown_as_the_server_knows_it() {
    let half = FRAC_1_SQRT_2 as f32;
    // x 0.3 in [0.2, 0.6] -> -0.5; 90° about z with a negative scalar -> 270° about -z;
    // a quarter turn -> 90°; a filler; a quarter open -> three quarters closed of [-1, 1].
    let own = vec![0.3, 0.0, 0.0, -half, -half, FRAC_PI_2 as f32, 0.02];
    let shown = state(fake::manifest("conventions.toml"), own.clone());
    assert!(close(&shown, &[-0.5, 0.0, 0.0, -1.5 * PI, 90.0, 0.0, 0.5]), "{shown:?}");
    let shortest =
        fake::changed("conventions.toml", &[("antipode = \"keep\"", "antipode = \"shortest\"")]);
    let shown = state(shortest, own);
    assert!(close(&shown[1..4], &[0.0, 0.0, FRAC_PI_2]), "{shown:?}");
}

#[test]
fn actions_are_meant_as_the_rig_knows_them() {
    let converter = Converter::new(fake::manifest("conventions.toml"));
    let mut held = Held::default();
    let rows = [
        [1.0, 0.0, 0.0, FRAC_PI_2, 0.3],
        [-1.0, FRAC_PI_2, 0.0, FRAC_PI_2, -0.2],
        [0.0, 0.0, 0.0, 0.0, -0.2],
    ];
    let chunk = converter.chunk(&reply(&rows), SimTime::ZERO, &mut held).unwrap();
    let row = |chunk: &ActionChunk, step: usize| -> Vec<f64> {
        chunk.step(step).unwrap().iter().map(|&value| f64::from(value)).collect()
    };
    assert!(close(&row(&chunk, 0), &[0.05, 0.0, 0.0, FRAC_PI_2, 0.0]), "{chunk:?}");
    // Rz(90°)·Rx(90°) is a third of a turn about (1, 1, 1). The gripper still holds.
    let third = 2.0 * PI / 3.0 / 3f64.sqrt();
    assert!(close(&row(&chunk, 1), &[-0.05, third, third, third, 0.0]), "{chunk:?}");
    assert!(close(&row(&chunk, 2), &[0.0, 0.0, 0.0, 0.0, 0.08]), "{chunk:?}");

    // One action was executed: the first command holds for one more step of the next chunk.
    let open = [[0.0, 0.0, 0.0, 0.0, -0.2]; 3];
    let mut once = held.clone();
    let chunk =
        converter.chunk(&reply(&open), SimTime::from_nanos(100_000_000), &mut once).unwrap();
    let gripper = |chunk: &ActionChunk| (0..3).map(|step| row(chunk, step)[4]).collect::<Vec<_>>();
    assert!(close(&gripper(&chunk), &[0.0, 0.08, 0.08]), "{chunk:?}");
    // All three were: it has opened already, and must stay so for a step.
    let shut = [[0.0, 0.0, 0.0, 0.0, 0.2]; 3];
    let chunk =
        converter.chunk(&reply(&shut), SimTime::from_nanos(300_000_000), &mut held).unwrap();
    assert!(close(&gripper(&chunk), &[0.08, 0.0, 0.0]), "{chunk:?}");
}

#[test]
fn a_bad_reply_is_a_malformed_action() {
    let converter = Converter::new(fake::manifest("conventions.toml"));
    let nan = [[f64::NAN, 0.0, 0.0, 0.0, 0.0]; 3];
    let grip = [[0.0, 0.0, 0.0, 0.0, f64::NAN]; 3];
    let far = [[9.0, 0.0, 0.0, 0.0, 0.0]; 3];
    let cases = [
        (reply(&nan), "not finite"),
        (reply(&grip), "not finite"),
        (reply(&far), "outside [-0.1, 0.1] of channel \"dx\""),
        (reply(&[[0.0; 5]; 2]), "is 2×5, the manifest states 3×5"),
        (BTreeMap::new(), "no \"actions\""),
    ];
    for (reply, problem) in cases {
        let fault = converter.chunk(&reply, SimTime::ZERO, &mut Held::default()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::MalformedAction);
        assert!(fault.message.contains(problem), "{problem}: {fault}");
    }
}

#[test]
fn an_observation_that_does_not_fit_is_the_worlds_fault() {
    let converter = Converter::new(fake::manifest("droid.toml"));
    let mut blind = fake::droid_observation();
    blind.images.remove("wrist");
    let mut numb = fake::droid_observation();
    numb.proprioception.pop();
    let mut lost = fake::droid_observation();
    lost.proprioception[0] = f32::NAN;
    for seen in [blind, numb, lost] {
        assert_eq!(converter.request(&seen).unwrap_err().kind, FaultKind::WorldBroke);
    }
}

#[test]
fn padding_is_openpis() {
    let cases = fake::json("parity.json");
    let bytes = |value: &serde_json::Value| -> Vec<u8> {
        value.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect()
    };
    for case in cases["resized"].as_array().unwrap() {
        let side = |value: &serde_json::Value| value.as_u64().unwrap() as u32;
        let image =
            Image::from_rgb(side(&case["height"]), side(&case["width"]), bytes(&case["pixels"]));
        let facts = ImageFacts {
            key: "image".into(),
            camera: "front".into(),
            height: side(&case["to"][0]),
            width: side(&case["to"][1]),
            layout: Layout::Hwc,
            resize: Resize::Pad,
            centre_crop: 1.0,
            upside_down: false,
        };
        let picture = Picture::of(&image.unwrap(), &facts);
        let expected = bytes(&case["resized"]);
        assert_eq!(picture.pixels.len(), expected.len());
        let off = picture.pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        // Pillow's weights are fixed-point.
        assert!(off <= 2, "off by {off} from Pillow, {}×{}", facts.height, facts.width);
    }
}

fn continuous() -> Converter {
    Converter::new(fake::changed(
        "conventions.toml",
        &[(
            "command = { kind = \"binary\", threshold = 0.0, sticky = 2 }",
            "command = { kind = \"continuous\" }",
        )],
    ))
}

proptest! {
    #[test]
    fn a_chunk_comes_back(
        rows in prop::collection::vec((-0.05..0.05f32, prop::array::uniform3(-1.7..1.7f32), 0.0..0.08f32), 3)
    ) {
        let values = rows.iter().flat_map(|(x, r, g)| [*x, r[0], r[1], r[2], *g]).collect();
        let chunk = ActionChunk::from_values(5, values).unwrap();
        let converter = continuous();
        let reply = converter.reply(&chunk).unwrap().into_iter().collect();
        let back = converter.chunk(&reply, SimTime::ZERO, &mut Held::default()).unwrap();
        for (a, b) in chunk.view().iter().zip(back.view()) {
            prop_assert!((a - b).abs() < 1e-5, "{:?} {:?}", chunk, back);
        }
    }

    #[test]
    fn proprioception_comes_back(
        x in -1.0..1.0f32, rotation in prop::array::uniform3(-1.7..1.7f64), elbow in -3.0..3.0f32, opening in 0.0..0.08f32
    ) {
        let angle = rotation.iter().map(|part| part * part).sum::<f64>().sqrt().max(1e-9);
        let q = |part: f64| (part / angle * (angle / 2.0).sin()) as f32;
        let own = vec![x, q(rotation[0]), q(rotation[1]), q(rotation[2]), (angle / 2.0).cos() as f32, elbow, opening];
        let converter = continuous();
        let request = converter.request(&fake::observation(&[], own.clone())).unwrap();
        let vectors = request.entries.into_iter().filter_map(|(key, item)| match item {
            Item::Vector(_, values) => Some((key, values)),
            _ => None,
        });
        let back = converter.proprioception(&vectors.collect()).unwrap();
        for (a, b) in own.iter().zip(&back) {
            prop_assert!((a - b).abs() < 1e-5, "{:?} {:?}", own, back);
        }
    }
}
