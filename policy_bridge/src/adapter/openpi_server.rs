//! Any policy, served as openpi serves one, so that openpi's clients can ask it.
//!
//! Each connection is a trial, and a new instruction on it begins the next. openpi's protocol has
//! neither seed nor time: the seed is drawn from the number of the trial, and an observation's
//! time supposes that all actions of the chunks before it were executed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rehearse_scenarios::interface::{Begin, InterfaceError, PerTrial, Policy, TrialHandle};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::seed::Seed;
use tungstenite::{Error, Message, WebSocket};

use super::convert::Converter;
use super::error::AdapterError;
use super::manifest::{Dialect, FloatType, Manifest, Resize};
use super::message::{ArrayStyle, at, write_vector};
use super::picture::Picture;
use super::websocket::settings;
use crate::wire::{Array, DType, Encoder, Limits, Value};

/// How often a connection that waits for its client looks whether the server is closing.
const POLL: Duration = Duration::from_millis(100);

/// Most clients at a time; a further one is turned away.
const MAX_CONNECTIONS: usize = 256;

/// A policy on an openpi websocket, until it is dropped.
pub struct OpenpiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    policy: Mutex<Box<dyn Policy>>,
    converter: Converter,
    closing: AtomicBool,
    trials: AtomicU64,
}

impl OpenpiServer {
    /// Serves `policy` at `address`; port 0 takes any that is free.
    ///
    /// The manifest is that of an openpi server which takes images as they are
    /// (`resize = "exact"`) and never a gripper that sticks: the conversions are run backwards.
    ///
    /// # Errors
    /// [`AdapterError::Server`] if the manifest cannot be run backwards, states another rig than
    /// the policy's, or the address cannot be listened on.
    pub fn bind(
        address: &str,
        policy: Box<dyn Policy>,
        manifest: Manifest,
    ) -> Result<Self, AdapterError> {
        let refused =
            |problem: String| AdapterError::Server { server: address.to_owned(), problem };
        if manifest.server.dialect != Dialect::Openpi {
            return Err(refused("the manifest's dialect must be \"openpi\"".to_owned()));
        }
        if let Some(image) = manifest.images.iter().find(|image| image.resize != Resize::Exact) {
            let problem = format!("image {:?} must have resize = \"exact\" here", image.key);
            return Err(refused(problem));
        }
        let info = policy.info();
        if manifest.embodiment != info.embodiment || manifest.server.chunk != info.chunk {
            let problem = format!(
                "the manifest's embodiment and chunk must be those that policy {:?} states",
                info.name
            );
            return Err(refused(problem));
        }
        let listener = TcpListener::bind(address).map_err(|error| refused(error.to_string()))?;
        let address = listener.local_addr().map_err(|error| refused(error.to_string()))?;
        let shared = Arc::new(Shared {
            policy: Mutex::new(policy),
            converter: Converter::new(manifest),
            closing: AtomicBool::new(false),
            trials: AtomicU64::new(0),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("openpi-server".to_owned())
                .spawn(move || accept(&listener, &shared))
                .map_err(|error| refused(error.to_string()))?
        };
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the server is closed from elsewhere, which never happens of itself.
    pub fn wait(mut self) {
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

impl Drop for OpenpiServer {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        if let Some(accepting) = self.accepting.take() {
            // Wakes the listener, which then sees that it is to close.
            drop(TcpStream::connect(self.address));
            drop(accepting.join());
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections: Vec<JoinHandle<()>> = vec![];
    for stream in listener.incoming() {
        if shared.closing.load(Ordering::Acquire) {
            break;
        }
        connections.retain(|connection| !connection.is_finished());
        let Ok(stream) = stream else { continue };
        if connections.len() >= MAX_CONNECTIONS {
            tracing::warn!("{MAX_CONNECTIONS} clients are connected, a further one is turned away");
            continue;
        }
        let shared = Arc::clone(shared);
        let spawned = thread::Builder::new()
            .name("openpi-connection".to_owned())
            .spawn(move || serve(stream, &shared));
        match spawned {
            Ok(connection) => connections.push(connection),
            Err(error) => tracing::warn!(%error, "no thread for a connection"),
        }
    }
    for connection in connections {
        drop(connection.join());
    }
}

fn serve(stream: TcpStream, shared: &Shared) {
    let ready = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(POLL * 50)));
    if let Err(error) = ready {
        tracing::warn!(%error, "a connection could not be set up");
        return;
    }
    let Ok(mut socket) = tungstenite::accept_with_config(stream, Some(settings())) else {
        return; // A health check, or no websocket client.
    };
    let mut trial = None;
    let outcome = converse(&mut socket, shared, &mut trial);
    if let Some(Trial { handle, .. }) = trial {
        shared.with_policy(|policy| policy.end(&[handle]));
    }
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended");
    }
}

struct Trial {
    handle: TrialHandle,
    instruction: Arc<str>,
    steps: u64,
}

fn converse(
    socket: &mut WebSocket<TcpStream>,
    shared: &Shared,
    trial: &mut Option<Trial>,
) -> Result<(), Error> {
    socket.get_ref().set_read_timeout(Some(POLL))?;
    socket.send(Message::binary(b"\x80".as_slice()))?;
    loop {
        let message = match socket.read() {
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                if shared.closing.load(Ordering::Acquire) {
                    return socket.close(None);
                }
                continue;
            }
            other => other?,
        };
        let Message::Binary(bytes) = message else { continue };
        let started = Instant::now();
        match answer(&bytes, shared, trial, started) {
            Ok(reply) => socket.send(Message::binary(reply))?,
            Err(problem) => {
                // As openpi does: the error as a text, then the connection is closed.
                socket.send(Message::text(problem))?;
                return socket.close(None);
            }
        }
    }
}

fn answer(
    bytes: &[u8],
    shared: &Shared,
    trial: &mut Option<Trial>,
    started: Instant,
) -> Result<Vec<u8>, String> {
    let converter = &shared.converter;
    let request = Value::decode(bytes, &Limits::default()).map_err(|error| error.to_string())?;
    let (instruction, mut observation) = observe(&request, converter)?;
    let same = trial.as_ref().is_some_and(|trial| trial.instruction == instruction);
    if !same {
        if let Some(Trial { handle, .. }) = trial.take() {
            shared.with_policy(|policy| policy.end(&[handle]));
        }
        let number = shared.trials.fetch_add(1, Ordering::Relaxed);
        let begin = Begin {
            trial: TrialHandle(number),
            instruction: Arc::clone(&instruction),
            seed: Seed::root(0).child("openpi server").index(number),
        };
        one(shared.with_policy(|policy| policy.begin(std::slice::from_ref(&begin))))?;
        *trial = Some(Trial { handle: begin.trial, instruction, steps: 0 });
    }
    let Some(Trial { handle, steps, .. }) = trial else {
        return Err("no trial".to_owned());
    };
    observation.time = converter.manifest().embodiment.rate.time_of_step(*steps);
    let acted = one(shared.with_policy(|policy| policy.act(&[(*handle, observation)])));
    let chunk = acted.inspect_err(|_fault| *trial = None)?;
    if let Some(trial) = trial {
        trial.steps += chunk.steps() as u64;
    }
    let reply = converter.reply(&chunk)?;
    let mut out = Encoder::default();
    out.map(reply.len() + 1);
    for ((key, table), facts) in reply.iter().zip(&converter.manifest().actions) {
        out.str(key);
        let shape = [table.rows, table.columns];
        write_vector(&mut out, facts.dtype, &shape, &table.values, ArrayStyle::BinaryKeys);
    }
    out.str("server_timing");
    out.map(1);
    out.str("infer_ms");
    out.f64(started.elapsed().as_secs_f64() * 1e3);
    Ok(out.into_bytes())
}

impl Shared {
    fn with_policy<T>(&self, ask: impl FnOnce(&mut dyn Policy) -> T) -> T {
        // A policy that panicked in another trial may still answer this one.
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        ask(policy.as_mut())
    }
}

fn one<T>(answers: Result<Vec<PerTrial<T>>, InterfaceError>) -> Result<T, String> {
    let answers = answers.map_err(|error| error.to_string())?;
    let answer = answers.into_iter().next().ok_or("the policy did not answer")?;
    answer.map_err(|fault| fault.to_string())
}

/// The observation that a request holds, with its instruction.
fn observe(request: &Value<'_>, converter: &Converter) -> Result<(Arc<str>, Observation), String> {
    let manifest = converter.manifest();
    let fields = request.fields("the observation").map_err(|error| error.to_string())?;
    let array = |key: &str| {
        let value = at(fields, key).ok_or_else(|| format!("the observation has no {key:?}"))?;
        Array::from_value(value, key).map_err(|error| error.to_string())
    };
    let mut images = BTreeMap::new();
    for facts in &manifest.images {
        let pixels = array(&facts.key)?;
        if pixels.dtype != DType::U8 {
            return Err(format!(
                "image {:?} is {}, expected |u1",
                facts.key,
                pixels.dtype.as_str()
            ));
        }
        let image = Picture::to_image(&pixels.shape, &pixels.data, facts)?;
        images.insert(facts.camera.clone(), image);
    }
    let mut vectors = BTreeMap::new();
    for facts in &manifest.states {
        let numbers = array(&facts.key)?;
        let values = match (facts.dtype, numbers.dtype) {
            (FloatType::F32 | FloatType::F64, DType::F32 | DType::F64) => {
                numbers.to_f32(&facts.key).map_err(|error| error.to_string())?
            }
            (_, other) => return Err(format!("{:?} is {}", facts.key, other.as_str())),
        };
        if !values.iter().all(|value| value.is_finite()) {
            return Err(format!("{:?} has a value that is not finite", facts.key));
        }
        vectors.insert(facts.key.clone(), values.into_iter().map(f64::from).collect());
    }
    let proprioception = converter.proprioception(&vectors)?;
    let prompt = &manifest.server.prompt;
    let instruction = at(fields, prompt)
        .ok_or_else(|| format!("the observation has no {prompt:?}"))?
        .text(prompt)
        .map_err(|error| error.to_string())?;
    let instruction: Arc<str> = instruction.into();
    let observation = Observation {
        images,
        proprioception,
        instruction: Arc::clone(&instruction),
        time: rehearse_scenarios::time::SimTime::ZERO,
    };
    Ok((instruction, observation))
}
