//! openpi's websocket protocol as a client, with `RoboArena`'s and `vLLM-Omni`'s variants.
//!
//! Sources: openpi `src/openpi/serving/websocket_policy_server.py`, `RoboArena`
//! `roboarena/policy_server.py`, `vLLM-Omni` `vllm_omni/entrypoints/openpi/connection.py`.

use std::collections::BTreeMap;

use rehearse_scenarios::interface::{Begin, TrialHandle};
use rehearse_scenarios::outcome::{Fault, FaultKind};

use super::convert::Request;
use super::error::AdapterError;
use super::manifest::{Dialect, Manifest};
use super::message::{ArrayStyle, nested, tables, write_map};
use super::remote::{Answer, Remote};
use super::sessions::{Greeting, Sessions};
use super::websocket::Frame;
use crate::wire::{Encoder, Limits, Value};

pub(super) struct OpenpiRemote {
    dialect: Dialect,
    keys: Vec<String>,
    ids: BTreeMap<TrialHandle, String>,
    sessions: Sessions,
}

impl OpenpiRemote {
    /// Connects once, to see that the server is there and is what the manifest says.
    pub fn connect(url: &str, manifest: &Manifest) -> Result<Self, AdapterError> {
        let refused = |problem: String| AdapterError::Server { server: url.to_owned(), problem };
        // openpi keeps nothing per connection, the other two go by the session's id: a new
        // connection carries on where the last one was.
        let sessions = Sessions::new(url, manifest, Greeting::ServerSpeaks, true);
        let metadata = sessions.greeting().map_err(|broken| refused(broken.to_string()))?;
        let metadata = Value::decode(&metadata, &Limits::default())
            .map_err(|error| refused(format!("its first frame is no metadata: {error}")))?;
        check_metadata(&metadata, manifest).map_err(refused)?;
        let keys = manifest.actions.iter().map(|action| action.key.clone()).collect();
        Ok(Self { dialect: manifest.server.dialect, keys, ids: BTreeMap::new(), sessions })
    }

    fn encode(&self, request: &Request, session: &str) -> Vec<u8> {
        let mut out = Encoder::default();
        let entries = nested(request);
        match self.dialect {
            Dialect::Roboarena => {
                write_map(&mut out, &entries, 2, ArrayStyle::BinaryKeys);
                out.str("session_id");
                out.str(session);
                out.str("endpoint");
                out.str("infer");
            }
            Dialect::VllmOmni => {
                write_map(&mut out, &entries, 1, ArrayStyle::BinaryKeys);
                out.str("session_id");
                out.str(session);
            }
            _ => write_map(&mut out, &entries, 0, ArrayStyle::BinaryKeys),
        }
        out.into_bytes()
    }

    fn read(&mut self, trial: TrialHandle, frame: Frame) -> Answer {
        let bytes = match frame {
            Frame::Binary(bytes) => bytes,
            Frame::Text(traceback) => {
                // openpi closes the connection after a traceback.
                self.sessions.close(trial);
                return Err(self.crashed(&last_line(&traceback)));
            }
        };
        let malformed = |message: String| {
            Fault::new(FaultKind::MalformedAction, format!("{}: {message}", self.sessions.url()))
        };
        let reply = Value::decode(&bytes, &Limits::default())
            .map_err(|error| malformed(error.to_string()))?;
        if let Some(message) = said_error(&reply) {
            return Err(self.crashed(&message));
        }
        tables(&reply, self.keys.iter().map(String::as_str)).map_err(malformed)
    }

    fn crashed(&self, message: &str) -> Fault {
        Fault::new(FaultKind::PolicyCrashed, format!("{}: {message}", self.sessions.url()))
    }

    /// Asks the server to forget the last episode, where the dialect has a word for it.
    fn reset(&mut self, trial: TrialHandle, session: &str) -> Result<(), Fault> {
        let mut out = Encoder::default();
        out.map(2);
        out.str("endpoint");
        out.str("reset");
        out.str("session_id");
        out.str(session);
        let answers = self.sessions.exchange(vec![(trial, out.into_bytes().into())]);
        for answer in answers {
            match answer? {
                // RoboArena answers in a text, vLLM-Omni in a map.
                Frame::Text(text) if text == "reset successful" => {}
                Frame::Text(text) => {
                    let said = last_line(&text);
                    return Err(self.crashed(&format!("reset was answered by {said}")));
                }
                Frame::Binary(bytes) => match Value::decode(&bytes, &Limits::default()) {
                    Ok(reply) => {
                        if let Some(message) = said_error(&reply) {
                            return Err(self.crashed(&message));
                        }
                    }
                    Err(error) => return Err(self.crashed(&format!("reset: {error}"))),
                },
            }
        }
        Ok(())
    }
}

impl Remote for OpenpiRemote {
    fn begin(&mut self, begin: &Begin) -> Result<(), Fault> {
        self.sessions.begin(begin.trial, None)?;
        // Unlike the handle, the seed differs between runs that share a server.
        let id = format!("{:016x}-{}", begin.seed.to_u64(), begin.trial.0);
        let begun = match self.dialect {
            Dialect::Roboarena | Dialect::VllmOmni => self.reset(begin.trial, &id),
            _ => Ok(()),
        };
        match begun {
            Ok(()) => drop(self.ids.insert(begin.trial, id)),
            Err(_) => self.sessions.end(begin.trial),
        }
        begun
    }

    fn ask(&mut self, requests: &[(TrialHandle, Request)]) -> Vec<Answer> {
        let messages = requests
            .iter()
            .map(|(trial, request)| {
                let id = self.ids.get(trial).map_or("", String::as_str);
                (*trial, self.encode(request, id).into())
            })
            .collect();
        let frames = self.sessions.exchange(messages);
        requests
            .iter()
            .zip(frames)
            .map(|((trial, _), frame)| frame.and_then(|frame| self.read(*trial, frame)))
            .collect()
    }

    fn end(&mut self, trial: TrialHandle) {
        self.ids.remove(&trial);
        self.sessions.end(trial);
    }
}

/// The message of an error that a server sends as a map (`vLLM-Omni`).
fn said_error(reply: &Value<'_>) -> Option<String> {
    let fields = reply.fields("").ok()?;
    let kind = fields.get("type").and_then(|kind| kind.text("").ok());
    (kind == Some("error")).then(|| {
        let message = fields.get("message").and_then(|message| message.text("").ok());
        message.unwrap_or("an error without a message").to_owned()
    })
}

/// The last line of a traceback, which says what happened; cut to what a person reads.
pub(super) fn last_line(text: &str) -> String {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("an empty text").chars().take(500).collect()
}

/// Compares what the server says of itself with the manifest.
fn check_metadata(metadata: &Value<'_>, manifest: &Manifest) -> Result<(), String> {
    let fields = metadata.fields("metadata").map_err(|error| error.to_string())?;
    let number = |name: &str| fields.get(name).and_then(|value| value.uint(name).ok());
    let chunk = manifest.server.chunk as u64;
    if let Some(horizon) = number("action_horizon").filter(|&horizon| horizon != chunk) {
        return Err(format!("it states action_horizon {horizon}, server.chunk is {chunk}"));
    }
    let resolution = fields.get("image_resolution").and_then(|value| match value {
        Value::Array(sides) => match sides.as_slice() {
            [height, width] => Some((height.uint("").ok()?, width.uint("").ok()?)),
            _ => None,
        },
        _ => None,
    });
    if let Some((height, width)) = resolution {
        let other = manifest
            .images
            .iter()
            .find(|image| (u64::from(image.height), u64::from(image.width)) != (height, width));
        if let Some(image) = other {
            return Err(format!(
                "it states images of {height}×{width}, the manifest sends {:?} as {}×{}",
                image.key, image.height, image.width
            ));
        }
    }
    let wrist = manifest.images.iter().filter(|image| image.key.contains("wrist")).count() as u64;
    let external = manifest.images.len() as u64 - wrist;
    if let Some(needed) = number("n_external_cameras").filter(|&needed| needed > external) {
        return Err(format!("it needs {needed} external cameras, the manifest has {external}"));
    }
    let needs = |name: &str| matches!(fields.get(name), Some(Value::Bool(true)));
    if needs("needs_wrist_camera") && wrist == 0 {
        return Err("it needs a wrist camera, the manifest has none".to_owned());
    }
    Ok(())
}
