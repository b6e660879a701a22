//! Requests to a policy and its replies, as bytes.

use std::borrow::Borrow;
use std::sync::Arc;

use ndarray::Array2;
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::{Channel, Embodiment};
use rehearse_scenarios::interface::{Begin, PerTrial, PolicyInfo, TrialHandle};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::FaultKind;
use rehearse_scenarios::seed::Seed;

use super::array::Array;
use super::attachment::id_from_value;
use super::embodiment::{embodiment_from_value, write_embodiment};
use super::encode::Encoder;
use super::error::WireError;
use super::image::ImageForm;
use super::limits::{Limits, VERSION};
use super::observation::{check_text, observation_from_value, observation_size, write_observation};
pub use super::reply::{decode_end, encode_end};
use super::reply::{read_items, read_results, write_results};
use super::value::{Fields, Value};

/// What a server says of itself, beside what it serves.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerInfo {
    /// Id of the server, drawn when it started.
    pub server: [u8; 16],
    /// Program and version, for the record.
    pub software: String,
    /// Image forms that it takes.
    pub images: Vec<ImageForm>,
    /// Most bytes of a payload that it takes.
    pub max_message: usize,
}

/// Writes the reply to `info`.
///
/// # Errors
/// [`WireError`] if the embodiment cannot be written.
pub fn encode_info(info: &PolicyInfo, server: &ServerInfo) -> Result<Vec<u8>, WireError> {
    let PolicyInfo { name, embodiment, chunk, max_batch, digest } = info;
    let mut out = Encoder::default();
    out.map(9 + usize::from(digest.is_some()));
    write_info_head(&mut out, server, name, embodiment)?;
    out.str("chunk");
    out.uint(*chunk as u64);
    out.str("max_batch");
    out.uint(*max_batch as u64);
    if let Some(digest) = digest {
        out.str("digest");
        out.str(digest);
    }
    write_info_tail(&mut out, server);
    Ok(out.into_bytes())
}

pub(super) fn write_info_head(
    out: &mut Encoder,
    server: &ServerInfo,
    name: &str,
    embodiment: &Embodiment,
) -> Result<(), WireError> {
    out.str("protocol");
    out.uint(VERSION);
    out.str("server");
    out.bin(&server.server);
    out.str("software");
    out.str(&server.software);
    out.str("name");
    out.str(name);
    out.str("embodiment");
    write_embodiment(out, embodiment)
}

pub(super) fn write_info_tail(out: &mut Encoder, server: &ServerInfo) {
    out.str("images");
    out.array(server.images.len());
    for form in &server.images {
        out.str(form.as_str());
    }
    out.str("max_message");
    out.uint(server.max_message as u64);
}

/// Reads the reply to `info`.
///
/// # Errors
/// [`WireError`] with the first field that is missing or wrong.
pub fn decode_info(bytes: &[u8], limits: &Limits) -> Result<(PolicyInfo, ServerInfo), WireError> {
    let value = Value::decode(bytes, limits)?;
    let fields = value.fields("info")?;
    let (name, embodiment, max_batch, server) = read_info(fields)?;
    let chunk = count(fields, "chunk")?;
    let digest = match fields.get("digest") {
        Some(digest) => Some(digest.text("digest")?.to_owned()),
        None => None,
    };
    Ok((PolicyInfo { name, embodiment, chunk, max_batch, digest }, server))
}

pub(super) fn read_info(
    fields: Fields<'_, '_>,
) -> Result<(String, Embodiment, usize, ServerInfo), WireError> {
    let (name, max_batch, server) = read_server(fields)?;
    let embodiment = embodiment_from_value(fields.required("embodiment")?)?;
    Ok((name, embodiment, max_batch, server))
}

/// What every server says of itself: its name, the most trials in a request, and the rest.
pub(super) fn read_server(
    fields: Fields<'_, '_>,
) -> Result<(String, usize, ServerInfo), WireError> {
    let protocol = fields.required("protocol")?.uint("protocol")?;
    if protocol != VERSION {
        return Err(WireError::field("protocol", VERSION.to_string(), protocol.to_string()));
    }
    let forms = fields.required("images")?.items("images")?;
    let server = ServerInfo {
        server: id_from_value(fields.required("server")?, "server")?,
        software: fields.required("software")?.text("software")?.to_owned(),
        images: forms
            .iter()
            .filter_map(|form| form.text("images").ok().and_then(ImageForm::from_name))
            .collect(),
        max_message: count(fields, "max_message")?,
    };
    let name = fields.required("name")?.text("name")?.to_owned();
    Ok((name, count(fields, "max_batch")?, server))
}

fn count(fields: Fields<'_, '_>, name: &str) -> Result<usize, WireError> {
    match fields.required(name)?.uint(name)? {
        0 => Err(WireError::field(name, "at least 1", "0")),
        count => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
    }
}

/// Writes a `begin` request.
///
/// # Errors
/// [`WireError::TooLarge`] for an instruction that is too long.
pub fn encode_begin<B: Borrow<Begin>>(trials: &[B]) -> Result<Vec<u8>, WireError> {
    let mut out = Encoder::default();
    out.map(1);
    out.str("trials");
    out.array(trials.len());
    for begin in trials {
        let Begin { trial, instruction, seed } = begin.borrow();
        check_text("instruction", instruction)?;
        out.map(3);
        out.str("trial");
        out.uint(trial.0);
        out.str("instruction");
        out.str(instruction);
        out.str("seed");
        out.bin(&seed.to_bytes());
    }
    Ok(out.into_bytes())
}

/// Reads a `begin` request.
///
/// # Errors
/// [`WireError`] with the first field that is missing or wrong.
pub fn decode_begin(bytes: &[u8], limits: &Limits) -> Result<Vec<Begin>, WireError> {
    read_items(bytes, limits, |trial, fields| {
        let instruction = fields.required("instruction")?.text("instruction")?;
        check_text("instruction", instruction)?;
        let seed = seed_from_value(fields.required("seed")?)?;
        Ok(Begin { trial, instruction: Arc::from(instruction), seed })
    })
}

pub(super) fn seed_from_value(value: &Value<'_>) -> Result<Seed, WireError> {
    let bytes = value.bytes("seed")?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_length| {
        WireError::field("seed", "32 bytes", format!("{} bytes", bytes.len()))
    })?;
    Ok(Seed::from_bytes(bytes))
}

/// Writes the reply to `begin`.
///
/// # Errors
/// None in practice; as the other writers.
pub fn encode_begin_reply(results: &[(TrialHandle, PerTrial<()>)]) -> Result<Vec<u8>, WireError> {
    let mut out = Encoder::default();
    write_results(&mut out, results, |()| 0, |_, ()| Ok(()))?;
    Ok(out.into_bytes())
}

/// Reads the reply to `begin`.
///
/// # Errors
/// [`WireError`] if it cannot be told which trial an item speaks of.
pub fn decode_begin_reply(
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<(TrialHandle, PerTrial<()>)>, WireError> {
    read_results(bytes, limits, FaultKind::PolicyCrashed, |_| Ok(()))
}

/// Writes an `act` request with what `embodiment` states of each observation.
///
/// # Errors
/// [`WireError`] with the first field of an observation that does not fit.
pub fn encode_act<R: Borrow<(TrialHandle, Observation)>>(
    requests: &[R],
    embodiment: &Embodiment,
    form: ImageForm,
) -> Result<Vec<u8>, WireError> {
    let bytes: usize =
        requests.iter().map(|request| observation_size(&request.borrow().1, embodiment)).sum();
    let mut out = Encoder::with_capacity(bytes);
    out.map(1);
    out.str("trials");
    out.array(requests.len());
    for request in requests {
        let (trial, observation) = request.borrow();
        out.map(2);
        out.str("trial");
        out.uint(trial.0);
        out.str("observation");
        write_observation(&mut out, observation, embodiment, form)?;
    }
    Ok(out.into_bytes())
}

/// Reads an `act` request.
///
/// # Errors
/// [`WireError`] with the first field that is missing or wrong.
pub fn decode_act(
    bytes: &[u8],
    embodiment: &Embodiment,
    limits: &Limits,
) -> Result<Vec<(TrialHandle, Observation)>, WireError> {
    read_items(bytes, limits, |trial, fields| {
        Ok((trial, observation_from_value(fields.required("observation")?, embodiment)?))
    })
}

/// Writes the reply to `act`.
///
/// # Errors
/// None in practice; as the other writers.
pub fn encode_act_reply(
    results: &[(TrialHandle, PerTrial<ActionChunk>)],
) -> Result<Vec<u8>, WireError> {
    let mut out = Encoder::default();
    write_results(
        &mut out,
        results,
        |_| 1,
        |out, chunk| {
            write_actions(out, chunk);
            Ok(())
        },
    )?;
    Ok(out.into_bytes())
}

/// Reads the reply to `act`. What is no valid chunk for `channels` becomes that trial's fault
/// [`FaultKind::MalformedAction`].
///
/// # Errors
/// [`WireError`] if it cannot be told which trial an item speaks of.
pub fn decode_act_reply(
    bytes: &[u8],
    channels: &[Channel],
    limits: &Limits,
) -> Result<Vec<(TrialHandle, PerTrial<ActionChunk>)>, WireError> {
    read_results(bytes, limits, FaultKind::MalformedAction, |fields| {
        actions_from_value(fields.required("actions")?, channels)
    })
}

/// Writes the entry `actions`.
pub(super) fn write_actions(out: &mut Encoder, chunk: &ActionChunk) {
    out.str("actions");
    out.array_f32(&[chunk.steps(), chunk.dimensions()], chunk.view().iter().copied());
}

/// Reads an action chunk and checks it against `channels`.
///
/// # Errors
/// [`WireError::Field`] for another shape or dtype, values that are not finite or out of bounds.
pub fn actions_from_value(
    value: &Value<'_>,
    channels: &[Channel],
) -> Result<ActionChunk, WireError> {
    let array = Array::from_value(value, "actions")?;
    let wrong = |got: String| {
        let expected = format!("an array of shape [steps, {}]", channels.len());
        WireError::field("actions", expected, got)
    };
    let &[steps, dimensions] = array.shape.as_slice() else {
        return Err(wrong(format!("shape {:?}", array.shape)));
    };
    let values = Array2::from_shape_vec((steps, dimensions), array.to_f32("actions")?)
        .map_err(|error| wrong(error.to_string()))?;
    let chunk = ActionChunk::new(values).map_err(|error| wrong(error.to_string()))?;
    chunk.check(channels).map_err(|error| wrong(error.to_string()))?;
    Ok(chunk)
}
