//! Requests to a world and its replies, as bytes.

use std::borrow::Borrow;
use std::sync::Arc;

use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::{Channel, Embodiment};
use rehearse_scenarios::interface::{Advance, PerTrial, Segment, Start, Step, TrialHandle};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::FaultKind;

use super::encode::Encoder;
use super::error::WireError;
use super::image::ImageForm;
use super::limits::Limits;
use super::observation::{check_text, observation_from_value, observation_size, write_observation};
use super::policy::{
    ServerInfo, actions_from_value, read_info, seed_from_value, write_actions, write_info_head,
    write_info_tail,
};
pub use super::reply::{decode_end, encode_end};
use super::reply::{read_items, read_results, write_results};
use super::value::{Fields, Value};

/// What a served world states about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldInfo {
    /// Name, as in tables and keys.
    pub name: String,
    /// The facts of the rig that it shows.
    pub embodiment: Embodiment,
    /// Most trials that it takes in one request.
    pub max_batch: usize,
    /// A digest of its weights or code, where it states one, for the record.
    pub digest: Option<String>,
}

/// Writes the reply to `info`.
///
/// # Errors
/// [`WireError`] if the embodiment cannot be written.
pub fn encode_info(info: &WorldInfo, server: &ServerInfo) -> Result<Vec<u8>, WireError> {
    let WorldInfo { name, embodiment, max_batch, digest } = info;
    let mut out = Encoder::default();
    out.map(8 + usize::from(digest.is_some()));
    write_info_head(&mut out, server, name, embodiment)?;
    out.str("max_batch");
    out.uint(*max_batch as u64);
    if let Some(digest) = digest {
        out.str("digest");
        out.str(digest);
    }
    write_info_tail(&mut out, server);
    Ok(out.into_bytes())
}

/// Reads the reply to `info`.
///
/// # Errors
/// [`WireError`] with the first field that is missing or wrong.
pub fn decode_info(bytes: &[u8], limits: &Limits) -> Result<(WorldInfo, ServerInfo), WireError> {
    let value = Value::decode(bytes, limits)?;
    let fields = value.fields("info")?;
    let (name, embodiment, max_batch, server) = read_info(fields)?;
    let digest = match fields.get("digest") {
        Some(digest) => Some(digest.text("digest")?.to_owned()),
        None => None,
    };
    Ok((WorldInfo { name, embodiment, max_batch, digest }, server))
}

/// Writes a `reset` request.
///
/// # Errors
/// [`WireError`] with the first field that does not fit.
pub fn encode_reset<S: Borrow<Start>>(
    starts: &[S],
    embodiment: &Embodiment,
    form: ImageForm,
) -> Result<Vec<u8>, WireError> {
    let size = |observation| observation_size(observation, embodiment);
    let bytes: usize =
        starts.iter().filter_map(|start| start.borrow().observation.as_ref()).map(size).sum();
    let mut out = Encoder::with_capacity(bytes);
    out.map(1);
    out.str("trials");
    out.array(starts.len());
    for start in starts {
        let Start { trial, task, index, instruction, observation, seed } = start.borrow();
        check_text("task", task)?;
        check_text("instruction", instruction)?;
        out.map(5 + usize::from(observation.is_some()));
        out.str("trial");
        out.uint(trial.0);
        out.str("task");
        out.str(task);
        out.str("index");
        out.uint(*index);
        out.str("instruction");
        out.str(instruction);
        if let Some(observation) = observation {
            out.str("observation");
            write_observation(&mut out, observation, embodiment, form)?;
        }
        out.str("seed");
        out.bin(&seed.to_bytes());
    }
    Ok(out.into_bytes())
}

/// Reads a `reset` request.
///
/// # Errors
/// [`WireError`] with the first field that is missing or wrong.
pub fn decode_reset(
    bytes: &[u8],
    embodiment: &Embodiment,
    limits: &Limits,
) -> Result<Vec<Start>, WireError> {
    read_items(bytes, limits, |trial, fields| {
        let task = fields.required("task")?.text("task")?;
        check_text("task", task)?;
        let instruction = fields.required("instruction")?.text("instruction")?;
        check_text("instruction", instruction)?;
        let observation = match fields.get("observation") {
            Some(value) => Some(observation_from_value(value, embodiment)?),
            None => None,
        };
        Ok(Start {
            trial,
            task: Arc::from(task),
            index: fields.required("index")?.uint("index")?,
            instruction: Arc::from(instruction),
            observation,
            seed: seed_from_value(fields.required("seed")?)?,
        })
    })
}

/// Writes the reply to `reset`.
///
/// # Errors
/// [`WireError`] with the first field of an observation that does not fit.
pub fn encode_reset_reply(
    results: &[(TrialHandle, PerTrial<Observation>)],
    embodiment: &Embodiment,
    form: ImageForm,
) -> Result<Vec<u8>, WireError> {
    let size = |observation| observation_size(observation, embodiment);
    let bytes: usize =
        results.iter().filter_map(|(_, result)| result.as_ref().ok()).map(size).sum();
    let mut out = Encoder::with_capacity(bytes);
    write_results(
        &mut out,
        results,
        |_| 1,
        |out, observation| {
            out.str("observation");
            write_observation(out, observation, embodiment, form)
        },
    )?;
    Ok(out.into_bytes())
}

/// Reads the reply to `reset`. An observation that does not fit becomes that trial's fault
/// [`FaultKind::WorldBroke`].
///
/// # Errors
/// [`WireError`] if it cannot be told which trial an item speaks of.
pub fn decode_reset_reply(
    bytes: &[u8],
    embodiment: &Embodiment,
    limits: &Limits,
) -> Result<Vec<(TrialHandle, PerTrial<Observation>)>, WireError> {
    read_results(bytes, limits, FaultKind::WorldBroke, |fields| {
        observation_from_value(fields.required("observation")?, embodiment)
    })
}

/// Writes a `step` request.
pub fn encode_step<R: Borrow<(TrialHandle, ActionChunk)>>(requests: &[R]) -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(1);
    out.str("trials");
    out.array(requests.len());
    for request in requests {
        let (trial, chunk) = request.borrow();
        out.map(2);
        out.str("trial");
        out.uint(trial.0);
        write_actions(&mut out, chunk);
    }
    out.into_bytes()
}

/// Reads a `step` request.
///
/// # Errors
/// [`WireError`] with the first field that is missing or wrong.
pub fn decode_step(
    bytes: &[u8],
    channels: &[Channel],
    limits: &Limits,
) -> Result<Vec<(TrialHandle, ActionChunk)>, WireError> {
    read_items(bytes, limits, |trial, fields| {
        Ok((trial, actions_from_value(fields.required("actions")?, channels)?))
    })
}

/// Writes the reply to `step`.
///
/// # Errors
/// [`WireError`] with the first field of an observation that does not fit.
pub fn encode_step_reply(
    results: &[(TrialHandle, PerTrial<Advance>)],
    embodiment: &Embodiment,
    form: ImageForm,
) -> Result<Vec<u8>, WireError> {
    let bytes: usize = results
        .iter()
        .filter_map(|(_, result)| result.as_ref().ok())
        .flat_map(|advance| &advance.steps)
        .map(|step| observation_size(&step.observation, embodiment))
        .sum();
    let mut out = Encoder::with_capacity(bytes);
    let entries = |advance: &Advance| {
        1 + usize::from(!advance.segments.is_empty()) + usize::from(advance.ended)
    };
    write_results(&mut out, results, entries, |out, advance| {
        let Advance { steps, segments, ended, remark: _ } = advance;
        out.str("steps");
        out.array(steps.len());
        for Step { observation, success } in steps {
            out.map(1 + usize::from(success.is_some()));
            out.str("observation");
            write_observation(out, observation, embodiment, form)?;
            if let Some(success) = success {
                out.str("success");
                out.f64(f64::from(*success));
            }
        }
        if !segments.is_empty() {
            out.str("segments");
            out.array(segments.len());
            for segment in segments {
                write_segment(out, *segment);
            }
        }
        if *ended {
            out.str("ended");
            out.bool(true);
        }
        Ok(())
    })?;
    Ok(out.into_bytes())
}

fn write_segment(out: &mut Encoder, Segment { steps, expert }: Segment) {
    out.map(1 + usize::from(expert.is_some()));
    out.str("steps");
    out.uint(u64::from(steps));
    if let Some(expert) = expert {
        out.str("expert");
        out.uint(u64::from(expert));
    }
}

/// Reads the reply to `step`. What does not fit becomes that trial's fault
/// [`FaultKind::WorldBroke`].
///
/// # Errors
/// [`WireError`] if it cannot be told which trial an item speaks of.
pub fn decode_step_reply(
    bytes: &[u8],
    embodiment: &Embodiment,
    limits: &Limits,
) -> Result<Vec<(TrialHandle, PerTrial<Advance>)>, WireError> {
    read_results(bytes, limits, FaultKind::WorldBroke, |fields| read_advance(fields, embodiment))
}

fn read_advance(fields: Fields<'_, '_>, embodiment: &Embodiment) -> Result<Advance, WireError> {
    let steps = fields.required("steps")?.items("steps")?;
    let steps = steps
        .iter()
        .map(|step| {
            let fields = step.fields("steps[]")?;
            let observation = observation_from_value(fields.required("observation")?, embodiment)?;
            let success = match fields.get("success") {
                Some(value) => Some(probability(value)?),
                None => None,
            };
            Ok(Step { observation, success })
        })
        .collect::<Result<_, WireError>>()?;
    let segments = match fields.get("segments") {
        Some(value) => {
            value.items("segments")?.iter().map(segment_from_value).collect::<Result<_, _>>()?
        }
        None => vec![],
    };
    let ended = match fields.get("ended") {
        None => false,
        Some(Value::Bool(ended)) => *ended,
        Some(other) => {
            return Err(WireError::field("ended", "a truth value", other.type_name()));
        }
    };
    Ok(Advance { steps, segments, ended, remark: None })
}

fn probability(value: &Value<'_>) -> Result<f32, WireError> {
    let number = value.number("success")?;
    if (0.0..=1.0).contains(&number) {
        return Ok(number as f32);
    }
    Err(WireError::field("success", "a number in [0, 1]", number.to_string()))
}

fn segment_from_value(value: &Value<'_>) -> Result<Segment, WireError> {
    let fields = value.fields("segments[]")?;
    let small = |value: &Value<'_>, what: &str| {
        let number = value.uint(what)?;
        u32::try_from(number)
            .map_err(|_range| WireError::field(what, "at most 32 bits", number.to_string()))
    };
    let expert = match fields.get("expert") {
        Some(value) => Some(small(value, "segments[].expert")?),
        None => None,
    };
    Ok(Segment { steps: small(fields.required("steps")?, "segments[].steps")?, expert })
}
