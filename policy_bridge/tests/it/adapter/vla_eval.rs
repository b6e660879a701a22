//! AI2's vla-eval harness.

use std::sync::mpsc::sync_channel;

use rehearse_policy_bridge::adapter::connect;
use rehearse_policy_bridge::wire::{Encoder, Limits, Value};
use rehearse_scenarios::interface::{Policy as _, TrialHandle};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::FaultKind;
use rehearse_scenarios::time::SimTime;

use super::fake::{self, begin, golden, manifest, next, observation, say};

fn message(kind: &str, seq: u64, payload: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(4);
    out.str("type");
    out.str(kind);
    out.str("payload");
    payload(&mut out);
    out.str("seq");
    out.uint(seq);
    out.str("timestamp");
    out.f64(1e9);
    out.into_bytes()
}

fn hello(version: u64) -> Vec<u8> {
    message("hello", 0, |out| {
        out.map(2);
        out.str("model_server");
        out.str("Pi0ModelServer");
        out.str("protocol_version");
        out.uint(version);
    })
}

fn kind_and_seq(bytes: &[u8]) -> (String, u64) {
    let value = Value::decode(bytes, &Limits::default()).unwrap();
    let fields = value.fields("").unwrap();
    let kind = fields.required("type").unwrap().text("").unwrap().to_owned();
    (kind, fields.required("seq").unwrap().uint("").unwrap())
}

fn actions(seq: u64) -> Vec<u8> {
    message("action", seq, |out| {
        out.map(1);
        out.str("actions");
        // String keys, as vla-eval writes them.
        out.map(4);
        out.str("__ndarray__");
        out.bool(true);
        out.str("data");
        out.bin(&(0..14).flat_map(|value: u8| f32::from(value).to_le_bytes()).collect::<Vec<_>>());
        out.str("dtype");
        out.str("<f4");
        out.str("shape");
        out.array(2);
        out.uint(2);
        out.uint(7);
    })
}

fn seen(nanos: i64) -> Observation {
    Observation { time: SimTime::from_nanos(nanos), ..observation(&[("agent", 0)], vec![0.0; 7]) }
}

#[test]
fn frames_are_vla_evals_byte_for_byte() {
    let (tell, told) = sync_channel(64);
    let url = fake::websocket(move |_, socket| {
        while let Some(bytes) = next(socket) {
            let (kind, seq) = kind_and_seq(&bytes);
            match kind.as_str() {
                "hello" => say(socket, hello(1)),
                "observation" => say(socket, actions(seq)),
                _ => {}
            }
            tell.send((kind, bytes)).unwrap();
        }
    });
    let mut policy = connect("other", &url, manifest("vla_eval.toml")).unwrap();
    policy.begin(&[begin(1)]).unwrap().remove(0).unwrap();
    for nanos in [0, 1_500_000_000] {
        let chunk = policy.act(&[(TrialHandle(1), seen(nanos))]).unwrap().remove(0).unwrap();
        assert_eq!(chunk.view()[[1, 6]], 13.0);
    }
    policy.end(&[TrialHandle(1)]);
    let mut said = vec![];
    loop {
        let (kind, bytes) = told.recv().unwrap();
        said.push((kind.clone(), bytes));
        if kind == "episode_end" {
            break;
        }
    }
    let kinds: Vec<_> = said.iter().map(|(kind, _)| kind.as_str()).collect();
    // The first hello only looked whether the server is there.
    assert_eq!(
        kinds,
        ["hello", "hello", "episode_start", "observation", "observation", "episode_end"]
    );
    assert_eq!(said[4].1, golden("vla_eval_observation"));
}

#[test]
fn errors_and_answers_to_other_messages_are_faults() {
    let url = fake::websocket(|number, socket| {
        while let Some(bytes) = next(socket) {
            match (kind_and_seq(&bytes), number) {
                ((kind, _), _) if kind == "hello" => say(socket, hello(1)),
                ((kind, seq), 1) if kind == "observation" => {
                    let error = "observation_failed: RuntimeError: CUDA out of memory";
                    say(
                        socket,
                        message("error", seq, |out| {
                            out.map(1);
                            out.str("error");
                            out.str(error);
                        }),
                    );
                }
                ((kind, seq), 2) if kind == "observation" => say(socket, actions(seq + 1)),
                ((kind, seq), 3) if kind == "observation" => {
                    say(socket, message("dance", seq, |out| out.map(0)));
                }
                ((kind, _), _) if kind == "observation" => {
                    drop(socket.get_ref().shutdown(std::net::Shutdown::Both));
                }
                _ => {}
            }
        }
    });
    let mut policy = connect("other", &url, manifest("vla_eval.toml")).unwrap();
    let trials = [1, 2, 3, 4];
    assert!(policy.begin(&trials.map(begin)).unwrap().iter().all(Result::is_ok));
    let answers = policy.act(&trials.map(|trial| (TrialHandle(trial), seen(0)))).unwrap();
    let expected = [
        (FaultKind::PolicyCrashed, "CUDA out of memory"),
        (FaultKind::PolicyCrashed, "the reply is to message 3, asked was 2"),
        (FaultKind::MalformedAction, "\"dance\""),
        (FaultKind::PolicyCrashed, "clos"),
    ];
    for (answer, (kind, text)) in answers.into_iter().zip(expected) {
        let fault = answer.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.message.contains(text), "{text}: {fault}");
    }
}

#[test]
fn an_episode_does_not_go_on_over_another_connection() {
    let (closed, was_closed) = sync_channel(64);
    let url = fake::websocket(move |_, socket| {
        while let Some(bytes) = next(socket) {
            let (kind, seq) = kind_and_seq(&bytes);
            match kind.as_str() {
                "hello" => say(socket, hello(1)),
                "observation" => {
                    say(socket, actions(seq));
                    drop(socket.close(None));
                    drop(socket.get_ref().shutdown(std::net::Shutdown::Both));
                    closed.send(()).unwrap();
                }
                _ => {}
            }
        }
    });
    let mut policy = connect("other", &url, manifest("vla_eval.toml")).unwrap();
    policy.begin(&[begin(1)]).unwrap();
    assert!(policy.act(&[(TrialHandle(1), seen(0))]).unwrap()[0].is_ok());
    was_closed.recv().unwrap();
    let fault = policy.act(&[(TrialHandle(1), seen(0))]).unwrap().remove(0).unwrap_err();
    assert!(fault.message.contains("held the trial's state"), "{fault}");
    // A server that keeps nothing may be asked over another.
    let stateless =
        fake::changed("vla_eval.toml", &[("memory = \"session\"", "memory = \"nothing\"")]);
    let mut policy = connect("other", &url, stateless).unwrap();
    policy.begin(&[begin(1)]).unwrap();
    for _ in 0..3 {
        assert!(policy.act(&[(TrialHandle(1), seen(0))]).unwrap()[0].is_ok());
        was_closed.recv().unwrap();
    }
}

#[test]
fn another_version_is_refused() {
    let url = fake::websocket(|_, socket| {
        if next(socket).is_some() {
            say(socket, hello(2));
        }
        drop(next(socket));
    });
    let error = connect("other", &url, manifest("vla_eval.toml")).err().unwrap();
    assert!(error.to_string().contains("it speaks version 2"), "{error}");
}
