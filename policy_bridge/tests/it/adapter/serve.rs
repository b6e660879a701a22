//! A policy of ours behind openpi's protocol.

use std::sync::{Arc, Mutex};

use rehearse_policy_bridge::adapter::{Manifest, OpenpiServer};
use rehearse_policy_bridge::wire::{Array, Limits, Value};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::interface::{
    Begin, InterfaceError, PerTrial, Policy, PolicyInfo, TrialHandle,
};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind};
use tungstenite::{Message, connect};

use super::fake::{self, golden, manifest};

/// What a policy was asked.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Begin(u64, String),
    Act(u64, Observation),
    End(u64),
}

/// Answers with the proprioception twice; below zero it fails.
struct Mirror {
    info: PolicyInfo,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Mirror {
    fn new(manifest: &Manifest) -> (Box<Self>, Arc<Mutex<Vec<Call>>>) {
        let calls = Arc::default();
        let info = PolicyInfo {
            name: "mirror".into(),
            embodiment: manifest.embodiment.clone(),
            chunk: 2,
            max_batch: 1,
            digest: None,
        };
        (Box::new(Self { info, calls: Arc::clone(&calls) }), calls)
    }
}

impl Policy for Mirror {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        let mut calls = self.calls.lock().unwrap();
        calls.extend(
            trials.iter().map(|begin| Call::Begin(begin.trial.0, begin.instruction.to_string())),
        );
        Ok(vec![Ok(()); trials.len()])
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        let mut calls = self.calls.lock().unwrap();
        calls.extend(requests.iter().map(|(trial, seen)| Call::Act(trial.0, seen.clone())));
        Ok(requests
            .iter()
            .map(|(_, seen)| match seen.proprioception[0] {
                x if x < 0.0 => Err(Fault::new(FaultKind::PolicyCrashed, "out of memory")),
                _ => Ok(ActionChunk::from_values(8, seen.proprioception.repeat(2)).unwrap()),
            })
            .collect())
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        self.calls.lock().unwrap().extend(trials.iter().map(|trial| Call::End(trial.0)));
    }
}

#[test]
fn openpis_client_is_answered_as_openpi_answers() {
    let manifest = manifest("droid.toml");
    let (mirror, calls) = Mirror::new(&manifest);
    let server = OpenpiServer::bind("127.0.0.1:0", mirror, manifest).unwrap();
    let (mut client, _) = connect(format!("ws://{}", server.address())).unwrap();
    assert_eq!(client.read().unwrap(), Message::binary(golden("openpi_metadata_empty")));
    let request = golden("openpi_droid_observation");
    for _ in 0..2 {
        client.send(Message::binary(request.clone())).unwrap();
        let Message::Binary(bytes) = client.read().unwrap() else { panic!("no binary frame") };
        let reply = Value::decode(&bytes, &Limits::default()).unwrap();
        let fields = reply.fields("").unwrap();
        let actions = Array::from_value(fields.required("actions").unwrap(), "actions").unwrap();
        assert_eq!(actions.shape, [2, 8]);
        assert_eq!(
            actions.to_f32("").unwrap()[..8],
            [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.5]
        );
        let timing = fields.required("server_timing").unwrap().fields("").unwrap();
        assert!(timing.required("infer_ms").unwrap().number("").unwrap() >= 0.0);
    }
    // Another instruction is another trial.
    let mut other = request.clone();
    let at = other.len() - 3;
    other[at..].copy_from_slice(b"pan");
    client.send(Message::binary(other)).unwrap();
    client.read().unwrap();
    client.close(None).unwrap();
    drop(client);
    drop(server);
    let calls = calls.lock().unwrap().clone();
    let first = fake::droid_observation();
    let mut second = first.clone();
    second.time = manifest_rate(2);
    let mut third = first.clone();
    third.instruction = "pick up the pan".into();
    assert_eq!(
        calls,
        [
            Call::Begin(0, "pick up the cup".into()),
            Call::Act(0, first),
            Call::Act(0, second),
            Call::End(0),
            Call::Begin(1, "pick up the pan".into()),
            Call::Act(1, third),
            Call::End(1),
        ]
    );
}

fn manifest_rate(steps: u64) -> rehearse_scenarios::time::SimTime {
    manifest("droid.toml").embodiment.rate.time_of_step(steps)
}

#[test]
fn what_goes_wrong_is_a_text_and_then_the_end() {
    let manifest = manifest("droid.toml");
    let (mirror, _calls) = Mirror::new(&manifest);
    let server = OpenpiServer::bind("127.0.0.1:0", mirror, manifest).unwrap();
    let good = golden("openpi_droid_observation");
    let at =
        |needle: &[u8]| good.windows(needle.len()).position(|window| window == needle).unwrap();
    let replaced = |from: &[u8], to: &[u8]| {
        let place = at(from);
        let mut bytes = good.clone();
        bytes[place..place + to.len()].copy_from_slice(to);
        bytes
    };
    // The first joint's 0.0, behind the shape of its array's data: -1.0 little-endian.
    let joint = at(b"observation/joint_position") + 26 + 1 + 2 + 11 + 1 + 2 + 4 + 2;
    let mut failing = good.clone();
    failing[joint + 6..joint + 8].copy_from_slice(&[0xf0, 0xbf]);
    let cases = [
        (b"\xc1".to_vec(), "0xc1"),
        (b"\x80".to_vec(), "no \"observation/exterior_image_1_left\""),
        (replaced(b"prompt", b"prOmpt"), "no \"prompt\""),
        (replaced(b"\x93\x02\x02\x03", b"\x93\x04\x01\x03"), "[4, 1, 3], expected [2, 2, 3]"),
        (failing, "out of memory"),
    ];
    for (request, text) in cases {
        let (mut client, _) = connect(format!("ws://{}", server.address())).unwrap();
        client.read().unwrap();
        client.send(Message::binary(request)).unwrap();
        let Message::Text(said) = client.read().unwrap() else { panic!("{text}: no text frame") };
        assert!(said.contains(text), "{text}: {said}");
        assert!(matches!(client.read(), Ok(Message::Close(_))), "{text}");
    }
}

#[test]
fn a_manifest_that_cannot_be_run_backwards_is_refused() {
    let refuse = |changes: &[(&str, &str)], text: &str| {
        let (mirror, _calls) = Mirror::new(&manifest("droid.toml"));
        let error = OpenpiServer::bind("127.0.0.1:0", mirror, fake::changed("droid.toml", changes))
            .err()
            .unwrap();
        assert!(error.to_string().contains(text), "{text}: {error}");
    };
    refuse(&[("resize = \"exact\"", "resize = \"stretch\"")], "must have resize = \"exact\"");
    refuse(&[("dialect = \"openpi\"", "dialect = \"vllm_omni\"")], "must be \"openpi\"");
    refuse(&[("chunk = 2", "chunk = 3")], "embodiment and chunk must be those");
    refuse(&[("robot = \"franka\"", "robot = \"panda\"")], "embodiment and chunk must be those");
}
