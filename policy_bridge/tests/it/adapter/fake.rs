//! Servers of other projects, as far as a test needs them, on free ports of the loopback.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rehearse_policy_bridge::adapter::{Manifest, connect};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::interface::{Begin, Policy, TrialHandle};
use rehearse_scenarios::observation::{Image, Observation};
use rehearse_scenarios::outcome::Fault;
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::SimTime;
use tungstenite::{Message, WebSocket};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/adapter").join(name)
}

pub fn text(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).unwrap()
}

pub fn json(name: &str) -> serde_json::Value {
    serde_json::from_str(&text(name)).unwrap()
}

pub fn manifest(name: &str) -> Manifest {
    Manifest::load(&fixture(name)).unwrap()
}

/// A manifest with some of its text replaced; what is replaced must be there.
pub fn changed(name: &str, changes: &[(&str, &str)]) -> Manifest {
    let mut text = text(name);
    for (from, to) in changes {
        assert!(text.contains(from), "{name} has no {from:?}");
        text = text.replace(from, to);
    }
    Manifest::parse(&text, Path::new(name)).unwrap()
}

pub fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A frame that another program packed.
pub fn golden(name: &str) -> Vec<u8> {
    let frames = json("wire_frames.json");
    unhex(frames["frames"][name]["hex"].as_str().unwrap())
}

/// Serves websocket connections, each by `script` in a thread of its own, which is told its number.
pub fn websocket(
    script: impl Fn(usize, &mut WebSocket<TcpStream>) + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let script = Arc::new(script);
    let serve = move || {
        for (number, stream) in listener.incoming().enumerate() {
            let script = Arc::clone(&script);
            let converse = move || {
                if let Ok(mut socket) = tungstenite::accept(stream.unwrap()) {
                    script(number, &mut socket);
                }
            };
            thread::Builder::new().name("fake".to_owned()).spawn(converse).unwrap();
        }
    };
    thread::Builder::new().name("fake".to_owned()).spawn(serve).unwrap();
    url
}

/// The next binary message, or `None` once the client has gone.
pub fn next(socket: &mut WebSocket<TcpStream>) -> Option<Vec<u8>> {
    loop {
        match socket.read() {
            Ok(Message::Binary(bytes)) => return Some(bytes.to_vec()),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

pub fn say(socket: &mut WebSocket<TcpStream>, bytes: impl Into<Vec<u8>>) {
    socket.send(Message::binary(bytes.into())).unwrap();
}

pub fn begin(trial: u64) -> Begin {
    Begin {
        trial: TrialHandle(trial),
        instruction: "pick up the cup".into(),
        seed: Seed::root(trial),
    }
}

/// 2×2 images of the numbers `from` on, and proprioception.
pub fn observation(cameras: &[(&str, u8)], proprioception: Vec<f32>) -> Observation {
    let images = cameras
        .iter()
        .map(|&(name, from)| {
            let pixels: Vec<u8> = (0..12).map(|index| (from + index) % 12).collect();
            (name.to_owned(), Image::from_rgb(2, 2, pixels).unwrap())
        })
        .collect::<BTreeMap<_, _>>();
    Observation {
        images,
        proprioception,
        instruction: Arc::from("pick up the cup"),
        time: SimTime::ZERO,
    }
}

/// The observation of the golden DROID frame.
pub fn droid_observation() -> Observation {
    let state = vec![0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.5];
    observation(&[("side", 0), ("wrist", 6)], state)
}

/// Connects, begins trial 1 and asks once.
pub fn ask_once(url: &str, manifest: Manifest, seen: &Observation) -> Result<ActionChunk, Fault> {
    let mut policy = connect("other", url, manifest).unwrap();
    policy.begin(&[begin(1)]).unwrap().remove(0)?;
    policy.act(&[(TrialHandle(1), seen.clone())]).unwrap().remove(0)
}
