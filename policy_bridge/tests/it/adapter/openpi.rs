//! openpi's websocket and its variants.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rehearse_policy_bridge::adapter::{AdapterError, connect};
use rehearse_policy_bridge::wire::{Encoder, Limits, Value};
use rehearse_scenarios::interface::{InterfaceError, Policy as _, TrialHandle};
use rehearse_scenarios::outcome::FaultKind;
use tungstenite::Message;

use super::fake::{self, begin, droid_observation, golden, manifest, next, say};

fn channel<T>() -> (SyncSender<T>, Receiver<T>) {
    sync_channel(64)
}

#[test]
fn frames_are_openpis_byte_for_byte() {
    let (tell, told) = channel();
    let url = fake::websocket(move |_, socket| {
        say(socket, golden("openpi_metadata_empty"));
        while let Some(request) = next(socket) {
            tell.send(request).unwrap();
            say(socket, golden("openpi_action_reply"));
        }
    });
    let chunk = fake::ask_once(&url, manifest("droid.toml"), &droid_observation()).unwrap();
    assert_eq!(told.recv().unwrap(), golden("openpi_droid_observation"));
    // The reply is -1 to 1 in 16 steps; a gripper beyond its range is shut or open.
    for (index, value) in chunk.view().iter().enumerate() {
        let expected = -1.0 + 2.0 * index as f32 / 15.0;
        let expected = if index % 8 == 7 { expected.clamp(0.0, 1.0) } else { expected };
        assert!((value - expected).abs() < 1e-6, "{index}: {value}");
    }
}

#[test]
fn trials_are_asked_side_by_side_and_answered_each_its_own() {
    let url = fake::websocket(|number, socket| {
        say(socket, b"\x80".as_slice());
        while let Some(request) = next(socket) {
            assert_eq!(request, golden("openpi_droid_observation"));
            say(socket, reply(&[2, 8], (0..16).map(|_| number as f32 / 8.0)));
        }
    });
    let mut policy = connect("other", &url, manifest("droid.toml")).unwrap();
    assert_eq!(policy.info().max_batch, 8);
    assert!(policy.begin(&[begin(1), begin(2), begin(3)]).unwrap().iter().all(Result::is_ok));
    let seen = droid_observation();
    let requests = [3, 1, 2].map(|trial| (TrialHandle(trial), seen.clone()));
    let chunks = policy.act(&requests).unwrap();
    let first = |index: usize| chunks[index].as_ref().unwrap().view()[[0, 0]];
    // Connection 0 was the greeting; 1, 2, 3 are the trials in the order they began.
    assert_eq!([first(0), first(1), first(2)], [0.375, 0.125, 0.25]);
    policy.end(&[TrialHandle(3), TrialHandle(9)]);
    let error = policy.act(&[(TrialHandle(3), seen.clone())]).unwrap_err();
    assert!(matches!(error, InterfaceError::UnknownTrial { trial: TrialHandle(3) }));
    let twice = [(TrialHandle(1), seen.clone()), (TrialHandle(1), seen)];
    assert!(matches!(policy.act(&twice).unwrap_err(), InterfaceError::DuplicateTrial { .. }));
}

fn reply(shape: &[usize], values: impl ExactSizeIterator<Item = f32>) -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(1);
    out.str("actions");
    out.array_f32(shape, values);
    out.into_bytes()
}

#[test]
fn a_traceback_is_a_fault_of_its_trial_with_its_last_line() {
    let url = fake::websocket(|number, socket| {
        say(socket, b"\x80".as_slice());
        while next(socket).is_some() {
            if number == 1 {
                let traceback =
                    "Traceback (most recent call last):\n  File \"policy.py\"\nKeyError: 'state'\n";
                socket.send(Message::text(traceback)).unwrap();
                drop(socket.close(None));
            } else {
                say(socket, golden("openpi_action_reply"));
            }
        }
    });
    let mut policy = connect("other", &url, manifest("droid.toml")).unwrap();
    policy.begin(&[begin(1), begin(2)]).unwrap();
    let requests = [1, 2].map(|trial| (TrialHandle(trial), droid_observation()));
    let mut answers = policy.act(&requests).unwrap();
    assert!(answers.remove(1).is_ok());
    let fault = answers.remove(0).unwrap_err();
    assert_eq!(fault.kind, FaultKind::PolicyCrashed);
    assert!(fault.message.ends_with("KeyError: 'state'"), "{fault}");
}

#[test]
fn an_idle_connection_that_was_closed_is_opened_anew_quietly() {
    let (closed, was_closed) = channel();
    let url = fake::websocket(move |number, socket| {
        say(socket, b"\x80".as_slice());
        if number == 0 {
            return;
        }
        // One answer per connection, then the server hangs up, as after 30 idle seconds.
        if next(socket).is_some() {
            say(socket, golden("openpi_action_reply"));
            drop(socket.close(None));
            drop(socket.flush());
            drop(socket.get_ref().shutdown(std::net::Shutdown::Both));
            closed.send(()).unwrap();
        }
    });
    let mut policy = connect("other", &url, manifest("droid.toml")).unwrap();
    policy.begin(&[begin(1)]).unwrap();
    for _ in 0..3 {
        let answers = policy.act(&[(TrialHandle(1), droid_observation())]).unwrap();
        assert!(answers[0].is_ok(), "{answers:?}");
        was_closed.recv().unwrap();
    }
}

#[test]
fn a_server_that_dies_whenever_it_is_asked_is_a_crash() {
    let url = fake::websocket(|_, socket| {
        say(socket, b"\x80".as_slice());
        drop(next(socket));
        drop(socket.get_ref().shutdown(std::net::Shutdown::Both));
    });
    let fault = fake::ask_once(&url, manifest("droid.toml"), &droid_observation()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::PolicyCrashed);
    assert!(fault.message.contains(&url), "{fault}");
}

#[test]
fn a_server_that_says_nothing_is_a_timeout() {
    let url = fake::websocket(|_, socket| {
        say(socket, b"\x80".as_slice());
        while next(socket).is_some() {}
    });
    let impatient = fake::changed("droid.toml", &[("timeout_ms = 5000", "timeout_ms = 60")]);
    let fault = fake::ask_once(&url, impatient, &droid_observation()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::PolicyTimeout);
    assert!(fault.message.ends_with("no answer in 0.060 s"), "{fault}");
}

#[test]
fn bad_replies_are_malformed_actions() {
    let mut wrong_dtype = reply(&[2, 8], (0..16).map(|_| 0.0));
    let at = wrong_dtype.windows(3).position(|window| window == b"<f4").unwrap();
    wrong_dtype[at..at + 3].copy_from_slice(b"|O8");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (reply(&[2, 7], (0..14).map(|_| 0.0)), "is 2×7, the manifest states 2×8"),
        (reply(&[1, 2, 8], (0..16).map(|_| 0.0)), "[1, 2, 8]"),
        (reply(&[2, 8], (0..16).map(|_| f32::NAN)), "not finite"),
        (wrong_dtype, "|O8"),
        (golden("openpi_action_reply")[..100].to_vec(), "truncated"),
        (b"\x80".to_vec(), "no \"actions\""),
        (b"\x93\x01\x02\x03".to_vec(), "map"),
        (vec![], "truncated"),
    ];
    for (bytes, problem) in cases {
        let url = fake::websocket(move |_, socket| {
            say(socket, b"\x80".as_slice());
            while next(socket).is_some() {
                say(socket, bytes.clone());
            }
        });
        let fault = fake::ask_once(&url, manifest("droid.toml"), &droid_observation()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::MalformedAction, "{problem}: {fault}");
        assert!(fault.message.contains(problem), "{problem}: {fault}");
    }
}

#[test]
fn a_reply_of_ten_gigabytes_is_not_taken() {
    let url = fake::websocket(|_, socket| {
        say(socket, b"\x80".as_slice());
        if next(socket).is_some() {
            // A binary frame's head that claims 10 GB.
            let mut head = vec![0x82, 127];
            head.extend_from_slice(&(10u64 << 30).to_be_bytes());
            drop(socket.get_mut().write_all(&head));
            drop(next(socket));
        }
    });
    let fault = fake::ask_once(&url, manifest("droid.toml"), &droid_observation()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::PolicyCrashed);
    assert!(fault.message.contains("67108864 bytes, which is the limit"), "{fault}");
}

#[test]
fn nobody_there_is_said_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = connect("other", &url, manifest("droid.toml")).err().unwrap();
    assert!(matches!(error, AdapterError::Server { .. }));
    assert!(error.to_string().contains("cannot connect"), "{error}");
    let error = connect("other", "http://127.0.0.1:1", manifest("droid.toml")).err().unwrap();
    assert!(error.to_string().contains("ws://"), "{error}");
}

const ROBOARENA: &[(&str, &str)] = &[
    ("dialect = \"openpi\"", "dialect = \"roboarena\""),
    ("max_batch = 8", "max_batch = 1"),
    ("memory = \"nothing\"", "memory = \"trial\""),
];

fn roboarena_metadata(side: u64) -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(6);
    out.str("image_resolution");
    out.array(2);
    out.uint(side);
    out.uint(side);
    out.str("needs_wrist_camera");
    out.bool(true);
    out.str("n_external_cameras");
    out.uint(1);
    out.str("needs_stereo_camera");
    out.bool(false);
    out.str("needs_session_id");
    out.bool(true);
    out.str("action_space");
    out.str("joint_position");
    out.into_bytes()
}

#[test]
fn roboarenas_variant_resets_and_answers_bare_arrays() {
    let (tell, told) = channel();
    let url = fake::websocket(move |_, socket| {
        say(socket, roboarena_metadata(2));
        while let Some(request) = next(socket) {
            let value = Value::decode(&request, &Limits::default()).unwrap();
            let fields = value.fields("").unwrap();
            let text = |key: &str| fields.required(key).unwrap().text("").unwrap().to_owned();
            let endpoint = text("endpoint");
            tell.send((endpoint.clone(), text("session_id"), fields.entries().len())).unwrap();
            if endpoint == "reset" {
                socket.send(Message::text("reset successful")).unwrap();
            } else {
                let mut out = Encoder::default();
                out.array_f32(&[2, 8], (0..16).map(|index| index as f32 / 16.0));
                say(socket, out.into_bytes());
            }
        }
    });
    let mut policy = connect("other", &url, fake::changed("droid.toml", ROBOARENA)).unwrap();
    assert!(policy.begin(&[begin(1)]).unwrap()[0].is_ok());
    // The server knows one trial at a time.
    let fault = policy.begin(&[begin(2)]).unwrap().remove(0).unwrap_err();
    assert!(fault.message.contains("memory = \"trial\""), "{fault}");
    let chunk = policy.act(&[(TrialHandle(1), droid_observation())]).unwrap().remove(0).unwrap();
    assert_eq!(chunk.view()[[1, 0]], 0.5);
    policy.end(&[TrialHandle(1)]);
    assert!(policy.begin(&[begin(2)]).unwrap()[0].is_ok());
    let said: Vec<_> = told.try_iter().collect();
    let endpoints: Vec<_> = said.iter().map(|(endpoint, ..)| endpoint.as_str()).collect();
    assert_eq!(endpoints, ["reset", "infer", "reset"]);
    assert_eq!(said[0].1, said[1].1);
    assert_ne!(said[0].1, said[2].1);
    assert_eq!(said[1].2, 7);
}

#[test]
fn a_server_that_states_something_else_is_refused() {
    let url = fake::websocket(|_, socket| {
        say(socket, roboarena_metadata(224));
        drop(next(socket));
    });
    let error = connect("other", &url, fake::changed("droid.toml", ROBOARENA)).err().unwrap();
    assert!(error.to_string().contains("states images of 224×224"), "{error}");
}

#[test]
fn vllm_omnis_variant_resets_in_a_map_and_errs_in_one() {
    let url = fake::websocket(|_, socket| {
        let mut out = Encoder::default();
        out.map(2);
        out.str("action_horizon");
        out.uint(2);
        out.str("action_dim");
        out.uint(8);
        say(socket, out.into_bytes());
        let mut asked = 0;
        while let Some(request) = next(socket) {
            let value = Value::decode(&request, &Limits::default()).unwrap();
            let fields = value.fields("").unwrap();
            assert!(fields.get("session_id").is_some());
            let mut out = Encoder::default();
            if fields.get("endpoint").is_some() {
                out.map(1);
                out.str("status");
                out.str("reset successful");
            } else if asked == 0 {
                asked += 1;
                out.array_f32(&[2, 8], (0..16).map(|_| 0.25));
            } else {
                out.map(2);
                out.str("type");
                out.str("error");
                out.str("message");
                out.str("engine is dead");
            }
            say(socket, out.into_bytes());
        }
    });
    let omni = [
        ("dialect = \"openpi\"", "dialect = \"vllm_omni\""),
        ("memory = \"nothing\"", "memory = \"session\""),
    ];
    let mut policy = connect("other", &url, fake::changed("droid.toml", &omni)).unwrap();
    assert!(policy.begin(&[begin(1)]).unwrap()[0].is_ok());
    let ask = [(TrialHandle(1), droid_observation())];
    assert_eq!(policy.act(&ask).unwrap()[0].as_ref().unwrap().view()[[1, 7]], 0.25);
    let fault = policy.act(&ask).unwrap().remove(0).unwrap_err();
    assert!(fault.message.ends_with("engine is dead"), "{fault}");
    let longer = [omni[0], omni[1], ("chunk = 2", "chunk = 16")];
    let error = connect("other", &url, fake::changed("droid.toml", &longer)).err().unwrap();
    assert!(error.to_string().contains("action_horizon 2"), "{error}");
}
