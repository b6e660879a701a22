//! Isaac-GR00T's inference server.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use rehearse_policy_bridge::adapter::connect;
use rehearse_policy_bridge::wire::{Encoder, Limits, Value};
use rehearse_scenarios::interface::{Policy as _, TrialHandle};
use rehearse_scenarios::outcome::FaultKind;
use zeromq::{RepSocket, Socket as _, SocketRecv as _, SocketSend as _, ZmqMessage};

use super::fake::{self, begin, golden, manifest, observation};

/// Serves a REP socket; `answer` is told the endpoint and the request, and says nothing by `None`.
fn zmq(
    answer: impl Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> (String, Receiver<Vec<u8>>) {
    let (ready, at) = sync_channel(1);
    let (tell, told) = sync_channel(64);
    let serve = async move {
        let mut socket = RepSocket::new();
        ready.send(socket.bind("tcp://127.0.0.1:0").await.unwrap().to_string()).unwrap();
        while let Ok(message) = socket.recv().await {
            let request = message.get(0).unwrap().to_vec();
            let value = Value::decode(&request, &Limits::default()).unwrap();
            let endpoint = value
                .fields("")
                .unwrap()
                .required("endpoint")
                .unwrap()
                .text("")
                .unwrap()
                .to_owned();
            tell.send(request.clone()).unwrap();
            match answer(&endpoint, &request) {
                Some(reply) => drop(socket.send(ZmqMessage::from(reply)).await),
                None => std::future::pending().await,
            }
        }
    };
    let run = move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
    };
    thread::Builder::new().name("fake".to_owned()).spawn(run).unwrap();
    (at.recv().unwrap(), told)
}

fn config(video: &[&str], steps: u64, as_text: bool) -> Vec<u8> {
    let modality = |out: &mut Encoder, name: &str, keys: &[&str], steps: u64| {
        out.str(name);
        out.map(2);
        out.str("__ModalityConfig_class__");
        out.bool(true);
        out.str("as_json");
        if as_text {
            let steps: Vec<u64> = (0..steps).collect();
            out.str(
                &serde_json::json!({ "delta_indices": steps, "modality_keys": keys }).to_string(),
            );
            return;
        }
        out.map(2);
        out.str("delta_indices");
        out.array(steps as usize);
        (0..steps).for_each(|step| out.uint(step));
        out.str("modality_keys");
        out.array(keys.len());
        keys.iter().for_each(|key| out.str(key));
    };
    let mut out = Encoder::default();
    out.map(3);
    let prefix = |modality: &str, key: &str| {
        if as_text { format!("{modality}.{key}") } else { key.to_owned() }
    };
    let video: Vec<String> = video.iter().map(|key| prefix("video", key)).collect();
    let arm = |modality: &str| prefix(modality, "left_arm");
    modality(&mut out, "video", &video.iter().map(String::as_str).collect::<Vec<_>>(), 1);
    modality(&mut out, "state", &[&arm("state")], 1);
    modality(&mut out, "action", &[&arm("action")], steps);
    out.into_bytes()
}

fn n16(endpoint: &str) -> Option<Vec<u8>> {
    Some(match endpoint {
        "ping" => golden("gr00t_ping_reply"),
        "get_modality_config" => config(&["ego_view"], 16, false),
        "get_action" => golden("gr00t_get_action_reply"),
        _ => golden("gr00t_error_reply"),
    })
}

#[test]
fn frames_are_gr00ts_byte_for_byte() {
    let (url, told) = zmq(|endpoint, _| n16(endpoint));
    let seen = observation(&[("ego", 0)], vec![0.0; 7]);
    let chunk = fake::ask_once(&url, manifest("groot_n16.toml"), &seen).unwrap();
    assert_eq!((chunk.steps(), chunk.dimensions()), (16, 7));
    assert_eq!(told.recv().unwrap(), golden("gr00t_ping_request"));
    assert_eq!(told.recv().unwrap(), b"\x81\xa8endpoint\xb3get_modality_config");
    assert_eq!(told.recv().unwrap(), golden("gr00t_get_action_request"));
}

/// `(2, 16, 7)`: the first trial's numbers are 1, the second's 2.
fn two_chunks() -> Vec<u8> {
    let mut header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 16, 7), }".to_owned();
    header.push_str(&" ".repeat(117 - header.len()));
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend((0..224).flat_map(|index| if index < 112 { 1f32 } else { 2.0 }.to_le_bytes()));
    let mut out = Encoder::default();
    out.array(2);
    out.map(1);
    out.str("left_arm");
    out.map(2);
    out.str("__ndarray_class__");
    out.bool(true);
    out.str("as_npy");
    out.bin(&file);
    out.map(0);
    out.into_bytes()
}

#[test]
fn several_trials_are_one_batch() {
    let (url, _told) = zmq(|endpoint, request| match endpoint {
        "get_action" => {
            let text = String::from_utf8_lossy(request).into_owned();
            assert!(text.contains("(2, 1, 2, 2, 3)") && text.contains("(2, 1, 7)"), "{text}");
            Some(two_chunks())
        }
        other => n16(other),
    });
    let mut policy = connect("other", &url, manifest("groot_n16.toml")).unwrap();
    policy.begin(&[begin(1), begin(2)]).unwrap();
    let seen = observation(&[("ego", 0)], vec![0.0; 7]);
    let asked = [2, 1].map(|trial| (TrialHandle(trial), seen.clone()));
    let chunks: Vec<_> = policy.act(&asked).unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!((chunks[0].view()[[0, 0]], chunks[1].view()[[15, 6]]), (1.0, 2.0));
}

#[test]
fn errors_wrong_shapes_and_silence_are_faults_and_the_next_request_goes_on() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let (url, _told) = zmq(move |endpoint, _| match endpoint {
        "get_action" => match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Some(golden("gr00t_error_reply")),
            1 => Some(two_chunks()),
            2 => Some(b"\xc1".to_vec()),
            3 => n16(endpoint),
            _ => None,
        },
        other => n16(other),
    });
    let impatient = fake::changed("groot_n16.toml", &[("timeout_ms = 5000", "timeout_ms = 400")]);
    let mut policy = connect("other", &url, impatient).unwrap();
    let seen = observation(&[("ego", 0)], vec![0.0; 7]);
    let expected = [
        Some((FaultKind::PolicyCrashed, "Unknown endpoint: x")),
        Some((FaultKind::MalformedAction, "for 1 trials")),
        Some((FaultKind::MalformedAction, "0xc1")),
        None,
        Some((FaultKind::PolicyTimeout, "no answer in 0.400 s")),
    ];
    for expected in expected {
        policy.end(&[TrialHandle(1)]);
        policy.begin(&[begin(1)]).unwrap().remove(0).unwrap();
        let answer = policy.act(&[(TrialHandle(1), seen.clone())]).unwrap().remove(0);
        match expected {
            None => assert!(answer.is_ok(), "{answer:?}"),
            Some((kind, text)) => {
                let fault = answer.unwrap_err();
                assert_eq!(fault.kind, kind, "{fault}");
                assert!(fault.message.contains(text), "{text}: {fault}");
            }
        }
    }
}

#[test]
fn modalities_that_differ_are_refused() {
    let refuse = |reply: Vec<u8>, name: &str, text: &str| {
        let (url, _told) = zmq(move |endpoint, _| match endpoint {
            "get_modality_config" => Some(reply.clone()),
            other => n16(other),
        });
        let error = connect("other", &url, manifest(name)).err().unwrap().to_string();
        assert!(error.contains(text), "{text}: {error}");
    };
    refuse(config(&["ego_view", "wrist"], 16, false), "groot_n16.toml", "its video has");
    refuse(config(&["ego_view"], 8, false), "groot_n16.toml", "its action has 8 steps");
    refuse(config(&["ego_view"], 16, true), "groot_n16.toml", "use dialect = \"groot_n15\"");
    refuse(config(&["ego_view"], 2, false), "groot_n15.toml", "use dialect = \"groot_n16\"");
}

#[test]
fn n15_is_flat_and_not_batched() {
    let (url, told) = zmq(|endpoint, _| match endpoint {
        "get_modality_config" => Some(config(&["ego_view"], 2, true)),
        "get_action" => {
            let mut header =
                "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 7), }".to_owned();
            header.push_str(&" ".repeat(117 - header.len()));
            header.push('\n');
            let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
            file.extend_from_slice(header.as_bytes());
            file.extend((0..14).flat_map(|index| f64::from(index).to_le_bytes()));
            let mut out = Encoder::default();
            out.map(1);
            out.str("action.left_arm");
            out.map(2);
            out.str("__ndarray_class__");
            out.bool(true);
            out.str("as_npy");
            out.bin(&file);
            Some(out.into_bytes())
        }
        other => n16(other),
    });
    let seen = observation(&[("ego", 0)], vec![0.0; 7]);
    let chunk = fake::ask_once(&url, manifest("groot_n15.toml"), &seen).unwrap();
    assert_eq!(chunk.view()[[1, 6]], 13.0);
    let request = told.iter().nth(2).unwrap();
    let value = Value::decode(&request, &Limits::default()).unwrap();
    let data = value.fields("").unwrap().required("data").unwrap().fields("data").unwrap();
    let keys: Vec<_> = data.entries().iter().map(|(key, _)| key.text("").unwrap()).collect();
    assert_eq!(
        keys,
        ["video.ego_view", "state.left_arm", "annotation.human.action.task_description"]
    );
    assert!(String::from_utf8_lossy(&request).contains("'shape': (1, 2, 2, 3)"));
}
