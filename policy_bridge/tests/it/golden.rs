//! The bytes on the wire: openpi's own, and this protocol's, which the Python package also reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use rehearse_policy_bridge::wire::judge::{self, JudgeInfo};
use rehearse_policy_bridge::wire::policy::{
    ServerInfo, decode_act, decode_act_reply, decode_begin, decode_info, encode_act,
    encode_act_reply, encode_begin, encode_begin_reply, encode_end, encode_info,
};
use rehearse_policy_bridge::wire::world::{self, WorldInfo};
use rehearse_policy_bridge::wire::{
    Array, DType, Encoder, ErrorCode, ErrorReply, ImageForm, Limits, ReplyAttachment,
    RequestAttachment, VERSION, Value,
};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::{
    Camera, Channel, ChannelKind, Embodiment, GripperPolarity, Reference, Rotation, Unit,
};
use rehearse_scenarios::interface::{
    Advance, Begin, PolicyInfo, Segment, Start, Step, TrialHandle, Watch,
};
use rehearse_scenarios::observation::{Image, Observation};
use rehearse_scenarios::outcome::{Fault, FaultKind};
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::{Rate, SimTime};

const OPENPI: &str = include_str!("../fixtures/openpi_frames.json");

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn frames_of_openpi_are_read_and_written_byte_for_byte() {
    let frames: serde_json::Value = serde_json::from_str(OPENPI).unwrap();
    let frames = frames["frames"].as_object().unwrap();
    assert!(frames.len() >= 5);
    for (name, frame) in frames {
        let bytes = from_hex(frame["hex"].as_str().unwrap());
        let value = Value::decode(&bytes, &Limits::default()).unwrap();
        let mut out = Encoder::default();
        out.value(&value);
        assert_eq!(to_hex(&out.into_bytes()), to_hex(&bytes), "{name}");
    }
}

#[test]
fn arrays_of_openpi_hold_what_numpy_put_in() {
    let frames: serde_json::Value = serde_json::from_str(OPENPI).unwrap();
    let frame = |name: &str| from_hex(frames["frames"][name]["hex"].as_str().unwrap());
    let bytes = frame("openpi_action_reply");
    let reply = Value::decode(&bytes, &Limits::default()).unwrap();
    let actions = reply.fields("reply").unwrap().required("actions").unwrap();
    let actions = Array::from_value(actions, "actions").unwrap();
    assert_eq!((actions.shape.as_slice(), actions.dtype), (&[2, 8][..], DType::F32));
    let values = actions.to_f32("actions").unwrap();
    assert_eq!((values[0], values[15]), (-1.0, 1.0));

    let bytes = frame("openpi_noncontiguous");
    let value = Value::decode(&bytes, &Limits::default()).unwrap();
    let array = value.fields("x").unwrap().required("x").unwrap();
    assert_eq!(Array::from_value(array, "x").unwrap().shape, [3, 2]);
}

fn rig() -> Embodiment {
    Embodiment {
        robot: Some("panda".into()),
        rate: Rate::from_hz(20.0).unwrap(),
        cameras: vec![
            Camera { name: "wrist".into(), height: 1, width: 2 },
            Camera { name: "front".into(), height: 2, width: 2 },
        ],
        proprioception: vec![Channel {
            kind: Some(ChannelKind::Joint),
            unit: Some(Unit::Radian),
            ..Channel::named("joint_0")
        }],
        actions: vec![
            Channel {
                kind: Some(ChannelKind::Orientation),
                unit: Some(Unit::Radian),
                bounds: Some([-1.0, 1.0]),
                reference: Some(Reference::Delta),
                frame: Some("base".into()),
                rotation: Some(Rotation::AxisAngle),
                ..Channel::named("rx")
            },
            Channel {
                kind: Some(ChannelKind::Gripper),
                unit: Some(Unit::Dimensionless),
                gripper: Some(GripperPolarity::HighIsOpen),
                ..Channel::named("gripper")
            },
        ],
    }
}

fn observation(time: i64) -> Observation {
    let image = |height, width| {
        let pixels: Vec<u8> = (0..height * width * 3).map(|byte| byte as u8).collect();
        Image::from_rgb(height, width, pixels).unwrap()
    };
    Observation {
        images: [("front".to_owned(), image(2, 2)), ("wrist".to_owned(), image(1, 2))].into(),
        proprioception: vec![0.5],
        instruction: Arc::from("pick up the cup"),
        time: SimTime::from_nanos(time),
    }
}

fn chunk() -> ActionChunk {
    ActionChunk::from_values(2, vec![0.25, 1.0, -0.25, 0.0]).unwrap()
}

fn server() -> ServerInfo {
    ServerInfo {
        server: *b"0123456789abcdef",
        software: "rehearse-policy-bridge 0.1.0".into(),
        images: ImageForm::ALL.to_vec(),
        max_message: 64 << 20,
    }
}

fn policy_info() -> PolicyInfo {
    PolicyInfo {
        name: "full".into(),
        embodiment: rig(),
        chunk: 16,
        max_batch: 4,
        digest: Some("blake3:00".into()),
    }
}

fn seed() -> Seed {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(0..).for_each(|(byte, index)| *byte = index);
    Seed::from_bytes(bytes)
}

fn begins() -> Vec<Begin> {
    vec![Begin { trial: TrialHandle(7), instruction: Arc::from("pick up the cup"), seed: seed() }]
}

fn starts() -> Vec<Start> {
    let start = |trial, observation| Start {
        trial: TrialHandle(trial),
        task: Arc::from("cup"),
        index: 3,
        instruction: Arc::from("pick up the cup"),
        observation,
        seed: seed(),
    };
    vec![start(7, None), start(300, Some(observation(0)))]
}

fn advances() -> Vec<(TrialHandle, Result<Advance, Fault>)> {
    let step = |time, success| Step { observation: observation(time), success };
    let advance = Advance {
        steps: vec![step(50_000_000, Some(0.25)), step(100_000_000, None)],
        segments: vec![Segment { steps: 2, expert: Some(1) }],
        ended: true,
        remark: None,
    };
    let plain = Advance {
        steps: vec![step(50_000_000, None)],
        segments: vec![],
        ended: false,
        remark: None,
    };
    let fault = Fault::new(FaultKind::WorldBroke, "the simulator diverged");
    vec![(TrialHandle(7), Ok(advance)), (TrialHandle(8), Ok(plain)), (TrialHandle(300), Err(fault))]
}

fn watches() -> Vec<Watch> {
    vec![Watch {
        trial: TrialHandle(7),
        instruction: Arc::from("pick up the cup"),
        observation: observation(0),
        seed: seed(),
    }]
}

/// What judges write, whom nobody serves here.
fn judge_info_reply() -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(9);
    out.str("protocol");
    out.uint(VERSION);
    out.str("server");
    out.bin(&server().server);
    out.str("software");
    out.str("rehearse-bridge 0.1.0");
    out.str("name");
    out.str("vlm");
    out.str("cameras");
    out.array(1);
    out.str("front");
    out.str("max_batch");
    out.uint(2);
    out.str("digest");
    out.str("sha256:00");
    out.str("images");
    out.array(3);
    ImageForm::ALL.iter().for_each(|form| out.str(form.as_str()));
    out.str("max_message");
    out.uint(64 << 20);
    out.into_bytes()
}

fn judge_reply() -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(1);
    out.str("trials");
    out.array(2);
    out.map(2);
    out.str("trial");
    out.uint(7);
    out.str("votes");
    out.array(3);
    out.map(2);
    out.str("done");
    out.f64(1.0);
    out.str("reason");
    out.str("it stands on the shelf");
    out.map(0);
    out.map(1);
    out.str("done");
    out.f64(0.25);
    out.map(2);
    out.str("trial");
    out.uint(300);
    out.str("fault");
    out.map(2);
    out.str("kind");
    out.str("judge_broke");
    out.str("message");
    out.str("out of quota");
    out.into_bytes()
}

/// Every message of the protocol, by name.
fn messages() -> BTreeMap<&'static str, Vec<u8>> {
    let rig = rig();
    let trials = vec![TrialHandle(7), TrialHandle(300)];
    let crashed = Fault::new(FaultKind::PolicyCrashed, "out of memory");
    let world_info =
        WorldInfo { name: "sim".into(), embodiment: rig.clone(), max_batch: 2, digest: None };
    let request = RequestAttachment {
        version: VERSION,
        client: *b"fedcba9876543210",
        request: 12,
        trials: trials.clone(),
        deadline_ms: 30_000,
    };
    let reply = ReplyAttachment {
        version: VERSION,
        server: server().server,
        request: 12,
        trials: trials.clone(),
    };
    let seen = [(TrialHandle(7), observation(0)), (TrialHandle(300), observation(-1))];
    let shown = [(TrialHandle(7), Ok(observation(0))), (TrialHandle(300), Err(crashed.clone()))];
    BTreeMap::from([
        ("attachment_request", request.encode()),
        ("attachment_reply", reply.encode()),
        ("error", ErrorReply::new(ErrorCode::Busy, "256 requests are waiting already").encode()),
        ("policy_info_reply", encode_info(&policy_info(), &server()).unwrap()),
        ("policy_begin", encode_begin(&begins()).unwrap()),
        (
            "policy_begin_reply",
            encode_begin_reply(&[(trials[0], Ok(())), (trials[1], Err(crashed.clone()))]).unwrap(),
        ),
        ("policy_act", encode_act(&seen, &rig, ImageForm::Raw).unwrap()),
        (
            "policy_act_reply",
            encode_act_reply(&[(trials[0], Ok(chunk())), (trials[1], Err(crashed))]).unwrap(),
        ),
        ("judge_info_reply", judge_info_reply()),
        ("judge_begin", judge::encode_begin(&watches(), 3, &rig, ImageForm::Raw).unwrap()),
        ("judge_reply", judge_reply()),
        ("policy_end", encode_end(&trials)),
        ("policy_end_reply", vec![0x80]),
        ("world_info_reply", world::encode_info(&world_info, &server()).unwrap()),
        ("world_reset", world::encode_reset(&starts(), &rig, ImageForm::Raw).unwrap()),
        ("world_reset_reply", world::encode_reset_reply(&shown, &rig, ImageForm::Raw).unwrap()),
        ("world_step", world::encode_step(&[(trials[0], chunk())])),
        ("world_step_reply", world::encode_step_reply(&advances(), &rig, ImageForm::Raw).unwrap()),
    ])
}

#[test]
fn messages_are_the_bytes_that_the_protocol_states() {
    let ours: BTreeMap<_, _> =
        messages().into_iter().map(|(name, bytes)| (name.to_owned(), to_hex(&bytes))).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/protocol_v1.json");
    if std::env::var_os("REHEARSE_WRITE_FIXTURES").is_some() {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "messages": ours })).unwrap();
        std::fs::write(path, text + "\n").unwrap();
    }
    let stated: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let stated: BTreeMap<String, String> =
        serde_json::from_value(stated["messages"].clone()).unwrap();
    assert_eq!(ours, stated);
}

#[test]
fn messages_come_back_as_they_went() {
    let (limits, rig, sent) = (Limits::default(), rig(), messages());
    let info = decode_info(&sent["policy_info_reply"], &limits).unwrap();
    assert_eq!(info, (policy_info(), server()));
    let begun = decode_begin(&sent["policy_begin"], &limits).unwrap();
    assert_eq!((begun[0].trial, begun[0].seed), (TrialHandle(7), seed()));
    let seen = decode_act(&sent["policy_act"], &rig, &limits).unwrap();
    assert_eq!(seen, [(TrialHandle(7), observation(0)), (TrialHandle(300), observation(-1))]);
    let acted = decode_act_reply(&sent["policy_act_reply"], &rig.actions, &limits).unwrap();
    assert_eq!(acted[0], (TrialHandle(7), Ok(chunk())));
    assert_eq!(acted[1].1.as_ref().unwrap_err().message, "out of memory");
    let (vlm, _) = judge::decode_info(&sent["judge_info_reply"], &limits).unwrap();
    let (name, cameras, digest) = ("vlm".into(), vec!["front".into()], Some("sha256:00".into()));
    assert_eq!(vlm, JudgeInfo { name, cameras, max_batch: 2, digest });
    let judged = judge::decode_judge_reply(&sent["judge_reply"], 3, &limits).unwrap();
    let said = judged[0].1.as_ref().unwrap();
    assert!((said.belief - 1.75 / 3.0).abs() < 1e-6, "{said:?}");
    assert_eq!(said.reason.as_deref(), Some("it stands on the shelf"));
    assert_eq!(judged[1].1.as_ref().unwrap_err().kind, FaultKind::JudgeBroke);
    let started = world::decode_reset(&sent["world_reset"], &rig, &limits).unwrap();
    assert_eq!((started[0].index, started[1].observation.clone()), (3, Some(observation(0))));
    let stepped = world::decode_step_reply(&sent["world_step_reply"], &rig, &limits).unwrap();
    assert_eq!(stepped, advances());
}

#[test]
fn a_misspelt_fact_is_refused() {
    let bytes = &messages()["policy_info_reply"];
    let mut value = Value::decode(bytes, &Limits::default()).unwrap();
    let Value::Map(entries) = &mut value else { panic!("info is a map") };
    let (_, embodiment) =
        entries.iter_mut().find(|(key, _)| *key == Value::string("embodiment")).unwrap();
    let Value::Map(facts) = embodiment else { panic!("an embodiment is a map") };
    facts.push((Value::string("actionz"), Value::Array(vec![])));
    let mut out = Encoder::default();
    out.value(&value);
    let error = decode_info(&out.into_bytes(), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("actionz"), "{error}");
}
