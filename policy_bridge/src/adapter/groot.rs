//! Isaac-GR00T's inference server as a client: MessagePack with `.npy` arrays over ZMQ.
//!
//! Sources: `gr00t/policy/server_client.py` (N1.6), `gr00t/eval/service.py` (N1.5).

use std::time::Duration;

use rehearse_scenarios::interface::{Begin, TrialHandle};
use rehearse_scenarios::outcome::{Fault, FaultKind};
use tokio::runtime::{Builder, Runtime};
use zeromq::{ReqSocket, Socket as _, SocketRecv as _, SocketSend as _, ZmqMessage};

use super::convert::{Item, Request, Table};
use super::error::AdapterError;
use super::groot_config::check_config;
use super::manifest::{Constant, Dialect, Manifest, Memory};
use super::message::little_endian;
use super::npy;
use super::remote::{Answer, Remote};
use super::websocket::{Broken, MAX_MESSAGE_BYTES};
use crate::wire::{DType, Encoder, Limits, Value};

pub(super) struct GrootRemote {
    url: String,
    dialect: Dialect,
    timeout: Duration,
    resets: bool,
    keys: Vec<String>,
    runtime: Runtime,
    /// Gone after a failure: a REQ socket that got no reply cannot ask again.
    socket: Option<ReqSocket>,
}

impl GrootRemote {
    /// Pings the server and compares the modalities that it states with the manifest.
    pub fn connect(url: &str, manifest: &Manifest) -> Result<Self, AdapterError> {
        let refused = |problem: String| AdapterError::Server { server: url.to_owned(), problem };
        if !url.starts_with("tcp://") {
            return Err(refused("the address must begin with tcp://".to_owned()));
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let mut remote = Self {
            url: url.to_owned(),
            dialect: manifest.server.dialect,
            timeout: Duration::from_millis(manifest.server.timeout_ms),
            resets: manifest.server.memory != Memory::Nothing,
            keys: manifest.actions.iter().map(|action| action.key.clone()).collect(),
            runtime,
            socket: None,
        };
        let call = |remote: &mut Self, endpoint| {
            remote.exchange(&bare(endpoint)).map_err(|broken| refused(broken.to_string()))
        };
        let pong = call(&mut remote, "ping")?;
        let pong = Value::decode(&pong, &Limits::default())
            .map_err(|error| refused(format!("its answer to ping cannot be read: {error}")))?;
        if let Some(message) = said_error(&pong) {
            return Err(refused(message));
        }
        let config = call(&mut remote, "get_modality_config")?;
        let config = Value::decode(&config, &Limits::default())
            .map_err(|error| refused(format!("its modality config cannot be read: {error}")))?;
        if let Some(message) = said_error(&config) {
            return Err(refused(message));
        }
        check_config(&config, manifest).map_err(refused)?;
        Ok(remote)
    }

    /// One request and its reply. After a failure the next one gets a new socket.
    fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>, Broken> {
        let Self { runtime, socket, url, timeout, .. } = self;
        let gone = |error: zeromq::ZmqError| Broken::Gone(error.to_string());
        let mut used = socket.take();
        let talk = async {
            let socket = match &mut used {
                Some(socket) => socket,
                none => {
                    let mut fresh = ReqSocket::new();
                    fresh.connect(url).await.map_err(gone)?;
                    none.insert(fresh)
                }
            };
            socket.send(ZmqMessage::from(request.to_vec())).await.map_err(gone)?;
            socket.recv().await.map_err(gone)
        };
        let reply = runtime
            .block_on(async { tokio::time::timeout(*timeout, talk).await })
            .map_err(|_elapsed| Broken::Late(*timeout))??;
        *socket = used;
        let bytes = match reply.into_vec().as_slice() {
            [frame] => frame.to_vec(),
            frames => return Err(Broken::Gone(format!("a reply of {} frames", frames.len()))),
        };
        if bytes.len() > MAX_MESSAGE_BYTES {
            let problem =
                format!("a reply of {} bytes, the limit is {MAX_MESSAGE_BYTES}", bytes.len());
            return Err(Broken::Gone(problem));
        }
        Ok(bytes)
    }

    fn encode(&self, requests: &[(TrialHandle, Request)]) -> Vec<u8> {
        let mut out = Encoder::default();
        out.map(2);
        out.str("endpoint");
        out.str("get_action");
        out.str("data");
        let first = requests.first().map_or(&[][..], |(_, request)| request.entries.as_slice());
        let rows = |index: usize| {
            requests.iter().filter_map(move |(_, request)| Some(&request.entries.get(index)?.1))
        };
        if self.dialect == Dialect::GrootN15 {
            out.map(first.len());
            for (index, (key, _)) in first.iter().enumerate() {
                out.str(key);
                write_rows(&mut out, rows(index), &[1]);
            }
            return out.into_bytes();
        }
        out.map(2);
        out.str("observation");
        // Keys are `video.<camera>`, `state.<part>`, `language.<whatever, dots too>`.
        let mut groups: Vec<(&str, Vec<(&str, usize)>)> = vec![];
        for (index, (key, _)) in first.iter().enumerate() {
            let (group, name) = key.split_once('.').unwrap_or((key, ""));
            match groups.iter_mut().find(|(other, _)| *other == group) {
                Some((_, names)) => names.push((name, index)),
                None => groups.push((group, vec![(name, index)])),
            }
        }
        out.map(groups.len());
        for (group, names) in groups {
            out.str(group);
            out.map(names.len());
            for (name, index) in names {
                out.str(name);
                write_rows(&mut out, rows(index), &[requests.len(), 1]);
            }
        }
        out.str("options");
        out.nil();
        out.into_bytes()
    }

    fn read(&self, bytes: &[u8], trials: usize) -> Result<Vec<Answer>, Fault> {
        let malformed = |message: String| {
            Fault::new(FaultKind::MalformedAction, format!("{}: {message}", self.url))
        };
        let reply = Value::decode(bytes, &Limits::default())
            .map_err(|error| malformed(error.to_string()))?;
        if let Some(message) = said_error(&reply) {
            let message = format!("{}: {message}", self.url);
            return Err(Fault::new(FaultKind::PolicyCrashed, message));
        }
        // N1.6 answers [actions, info], N1.5 the actions.
        let actions = match &reply {
            Value::Array(parts) => parts.first().unwrap_or(&reply),
            other => other,
        };
        let fields = actions.fields("the reply").map_err(|error| malformed(error.to_string()))?;
        let mut answers = vec![Ok(std::collections::BTreeMap::new()); trials];
        for key in &self.keys {
            let Some(value) = fields.get(key) else { continue };
            let tables = self
                .tables(value, trials)
                .map_err(|problem| malformed(format!("{key:?}: {problem}")))?;
            for (answer, table) in answers.iter_mut().zip(tables) {
                if let Ok(found) = answer {
                    found.insert(key.clone(), table);
                }
            }
        }
        Ok(answers)
    }

    fn tables(&self, value: &Value<'_>, trials: usize) -> Result<Vec<Table>, String> {
        let text = |error: crate::wire::WireError| error.to_string();
        let file = value
            .fields("action")
            .and_then(|fields| fields.required("as_npy")?.bytes("as_npy"))
            .map_err(text)?;
        let array = npy::read(file)?;
        let values: Vec<f64> =
            array.to_f32("action").map_err(text)?.into_iter().map(f64::from).collect();
        let shape = match (self.dialect, array.shape.as_slice()) {
            (Dialect::GrootN16, [batch, rest @ ..]) if *batch == trials => rest,
            (Dialect::GrootN16, shape) => {
                return Err(format!("shape {shape:?} for {trials} trials"));
            }
            (_, shape) => shape,
        };
        let each = values.len() / trials.max(1);
        (0..trials)
            .map(|trial| Table::new(shape, values[trial * each..(trial + 1) * each].to_vec()))
            .collect()
    }
}

impl Remote for GrootRemote {
    fn begin(&mut self, _begin: &Begin) -> Result<(), Fault> {
        if !self.resets || self.dialect == Dialect::GrootN15 {
            return Ok(());
        }
        let mut out = Encoder::default();
        out.map(2);
        out.str("endpoint");
        out.str("reset");
        out.str("data");
        out.map(1);
        out.str("options");
        out.nil();
        let reply = self.exchange(&out.into_bytes());
        let reply = reply.map_err(|broken| broken.fault(&self.url))?;
        let crashed = |message: String| {
            Fault::new(FaultKind::PolicyCrashed, format!("{}: reset: {message}", self.url))
        };
        let reply = Value::decode(&reply, &Limits::default());
        match reply.as_ref().map(said_error) {
            Ok(None) => Ok(()),
            Ok(Some(message)) => Err(crashed(message)),
            Err(error) => Err(crashed(error.to_string())),
        }
    }

    fn ask(&mut self, requests: &[(TrialHandle, Request)]) -> Vec<Answer> {
        let message = self.encode(requests);
        let answers = self
            .exchange(&message)
            .map_err(|broken| broken.fault(&self.url))
            .and_then(|reply| self.read(&reply, requests.len()));
        answers.unwrap_or_else(|fault| vec![Err(fault); requests.len()])
    }

    fn end(&mut self, _trial: TrialHandle) {}
}

/// A request of an endpoint without input.
fn bare(endpoint: &str) -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(1);
    out.str("endpoint");
    out.str(endpoint);
    out.into_bytes()
}

fn said_error(reply: &Value<'_>) -> Option<String> {
    let fields = reply.fields("").ok()?;
    let message = fields.get("error")?.text("error").ok();
    Some(message.unwrap_or("an error without a message").chars().take(500).collect())
}

/// Writes one entry of every trial, stacked under the axes `lead`: texts as lists of their length,
/// arrays as an `.npy` file.
fn write_rows<'r>(out: &mut Encoder, rows: impl Iterator<Item = &'r Item> + Clone, lead: &[usize]) {
    let Some(first) = rows.clone().next() else { return out.nil() };
    let (dtype, shape) = match first {
        Item::Picture(picture) => (DType::U8, picture.shape().to_vec()),
        Item::Vector(dtype, values) => (little_endian(*dtype, &[]).0, vec![values.len()]),
        Item::Text(_) => {
            // (batch, 1) for N1.6, (1,) for N1.5.
            if lead.len() > 1 {
                out.array(rows.clone().count());
            }
            for row in rows {
                out.array(1);
                out.str(if let Item::Text(text) = row { text } else { "" });
            }
            return;
        }
        Item::Constant(constant) => {
            return match constant {
                Constant::Bool(value) => out.bool(*value),
                Constant::Integer(value) => out.int(*value),
                Constant::Number(value) => out.f64(*value),
                Constant::Text(text) => out.str(text),
            };
        }
    };
    let mut data = vec![];
    for row in rows {
        match row {
            Item::Picture(picture) => data.extend_from_slice(&picture.pixels),
            Item::Vector(dtype, values) => data.extend(little_endian(*dtype, values).1),
            Item::Text(_) | Item::Constant(_) => {}
        }
    }
    let shape: Vec<usize> = lead.iter().copied().chain(shape).collect();
    out.map(2);
    out.str("__ndarray_class__");
    out.bool(true);
    out.str("as_npy");
    out.bin(&npy::write(dtype, &shape, &data));
}
