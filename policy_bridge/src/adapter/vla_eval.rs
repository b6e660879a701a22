//! AI2's vla-eval harness as a client: MessagePack over websocket, with a connection per episode.
//!
//! Source: allenai/vla-evaluation-harness `src/vla_eval/protocol/messages.py`,
//! `src/vla_eval/connection.py`, protocol version 1.

use std::collections::BTreeMap;

use rehearse_scenarios::interface::{Begin, TrialHandle};
use rehearse_scenarios::outcome::{Fault, FaultKind};
use rehearse_scenarios::time::SimTime;

use super::convert::Request;
use super::error::AdapterError;
use super::manifest::{Manifest, Memory};
use super::message::{ArrayStyle, nested, tables, write_map};
use super::openpi::last_line;
use super::remote::{Answer, Remote};
use super::sessions::{Greeting, Sessions};
use super::websocket::Frame;
use crate::wire::{Encoder, Limits, Value};

const VERSION: u64 = 1;

pub(super) struct VlaEvalRemote {
    keys: Vec<String>,
    /// The number of the last message of each trial. 0 was the hello, 1 the start.
    sent: BTreeMap<TrialHandle, u64>,
    sessions: Sessions,
}

impl VlaEvalRemote {
    /// Exchanges hellos once, to see that the server is there and speaks this version.
    pub fn connect(url: &str, manifest: &Manifest) -> Result<Self, AdapterError> {
        let refused = |problem: String| AdapterError::Server { server: url.to_owned(), problem };
        let hello = message("hello", 0, SimTime::ZERO, |out| {
            out.map(2);
            out.str("harness_version");
            out.str(concat!("rehearse ", env!("CARGO_PKG_VERSION")));
            out.str("protocol_version");
            out.uint(VERSION);
        });
        // What the server remembers of an episode goes with its connection.
        let reopens = manifest.server.memory == Memory::Nothing;
        let greeting = Greeting::ClientSays(hello.into());
        let sessions = Sessions::new(url, manifest, greeting, reopens);
        let answer = sessions.greeting().map_err(|broken| refused(broken.to_string()))?;
        let answer = Value::decode(&answer, &Limits::default())
            .map_err(|error| refused(format!("its hello cannot be read: {error}")))?;
        let (kind, payload, _seq) =
            parts(&answer).ok_or_else(|| refused("it did not answer with a message".to_owned()))?;
        if kind != "hello" {
            return Err(refused(format!("it answered hello with {kind}")));
        }
        let version = payload
            .fields("payload")
            .ok()
            .and_then(|payload| payload.get("protocol_version")?.uint("").ok());
        if let Some(version) = version.filter(|&version| version != VERSION) {
            return Err(refused(format!("it speaks version {version}, this speaks {VERSION}")));
        }
        let keys = manifest.actions.iter().map(|action| action.key.clone()).collect();
        Ok(Self { keys, sent: BTreeMap::new(), sessions })
    }

    fn read(&mut self, trial: TrialHandle, seq: u64, frame: Frame) -> Answer {
        let fault = |kind, message: &str| {
            Err(Fault::new(kind, format!("{}: {message}", self.sessions.url())))
        };
        let bytes = match frame {
            Frame::Binary(bytes) => bytes,
            Frame::Text(text) => return fault(FaultKind::PolicyCrashed, &last_line(&text)),
        };
        let reply = match Value::decode(&bytes, &Limits::default()) {
            Ok(reply) => reply,
            Err(error) => return fault(FaultKind::MalformedAction, &error.to_string()),
        };
        let Some((kind, payload, answered)) = parts(&reply) else {
            return fault(FaultKind::MalformedAction, "the reply is no message");
        };
        match kind {
            "action" if answered != seq => {
                // Whatever comes next on this connection is for another request too.
                self.sessions.close(trial);
                let message = format!("the reply is to message {answered}, asked was {seq}");
                let url = self.sessions.url();
                Err(Fault::new(FaultKind::PolicyCrashed, format!("{url}: {message}")))
            }
            "action" => tables(payload, self.keys.iter().map(String::as_str))
                .or_else(|problem| fault(FaultKind::MalformedAction, &problem)),
            "error" => {
                let said = payload
                    .fields("payload")
                    .ok()
                    .and_then(|payload| payload.get("error")?.text("").ok());
                fault(FaultKind::PolicyCrashed, &last_line(said.unwrap_or("an error")))
            }
            other => fault(FaultKind::MalformedAction, &format!("a message of type {other:?}")),
        }
    }
}

impl Remote for VlaEvalRemote {
    fn begin(&mut self, begin: &Begin) -> Result<(), Fault> {
        let start = message("episode_start", 1, SimTime::ZERO, |out| {
            out.map(1);
            out.str("task");
            out.map(1);
            out.str("name");
            out.str(&begin.instruction);
        });
        self.sessions.begin(begin.trial, Some(start.into()))?;
        self.sent.insert(begin.trial, 1);
        Ok(())
    }

    fn ask(&mut self, requests: &[(TrialHandle, Request)]) -> Vec<Answer> {
        let messages = requests
            .iter()
            .map(|(trial, request)| {
                let seq = self.sent.entry(*trial).or_default();
                *seq += 1;
                let bytes = message("observation", *seq, request.time, |out| {
                    write_map(out, &nested(request), 0, ArrayStyle::StringKeys);
                });
                (*trial, bytes.into())
            })
            .collect();
        let frames = self.sessions.exchange(messages);
        requests
            .iter()
            .zip(frames)
            .map(|((trial, _), frame)| {
                let seq = self.sent.get(trial).copied().unwrap_or_default();
                frame.and_then(|frame| self.read(*trial, seq, frame))
            })
            .collect()
    }

    fn end(&mut self, trial: TrialHandle) {
        let last = self.sent.remove(&trial).unwrap_or_default();
        let word = message("episode_end", last + 1, SimTime::ZERO, |out| out.map(0));
        self.sessions.tell(trial, word.into());
        self.sessions.end(trial);
    }
}

/// A message. Its time stamp, which servers do not use, is the simulated time.
fn message(kind: &str, seq: u64, time: SimTime, payload: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(4);
    out.str("type");
    out.str(kind);
    out.str("payload");
    payload(&mut out);
    out.str("seq");
    out.uint(seq);
    out.str("timestamp");
    out.f64(time.as_secs_f64());
    out.into_bytes()
}

/// Type, payload and number of a message.
fn parts<'v, 'a>(message: &'v Value<'a>) -> Option<(&'v str, &'v Value<'a>, u64)> {
    let fields = message.fields("message").ok()?;
    let kind = fields.get("type")?.text("type").ok()?;
    Some((kind, fields.get("payload")?, fields.get("seq")?.uint("seq").ok()?))
}
