//! Facts of a rig on the wire: the same keys as in a JSON manifest.

use std::borrow::Cow;

use rehearse_scenarios::embodiment::{Camera, Channel, Embodiment};
use serde::Serialize;
use serde_json::Value as Json;

use super::encode::Encoder;
use super::error::WireError;
use super::value::Value;

/// The JSON that says the same as `value`. Binary has no JSON and is refused.
///
/// # Errors
/// [`WireError::Field`] for binary, and for floats that are not finite.
pub fn json_from_value(value: &Value<'_>) -> Result<Json, WireError> {
    let number = |value: f64| {
        serde_json::Number::from_f64(value)
            .map(Json::Number)
            .ok_or_else(|| WireError::field("number", "finite", value.to_string()))
    };
    Ok(match value {
        Value::Nil => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Uint(value) => Json::from(*value),
        Value::Int(value) => Json::from(*value),
        Value::F32(value) => number(f64::from(*value))?,
        Value::F64(value) => number(*value)?,
        Value::Str(text) => Json::String(text.to_string()),
        Value::Bin(_) => return Err(WireError::field("value", "text or numbers", "binary")),
        Value::Array(items) => {
            Json::Array(items.iter().map(json_from_value).collect::<Result<_, _>>()?)
        }
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, value)| Ok((key.text("key")?.to_owned(), json_from_value(value)?)))
                .collect::<Result<_, WireError>>()?,
        ),
    })
}

/// The value that says the same as `json`.
pub fn value_from_json(json: &Json) -> Value<'static> {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => Value::Uint(value),
            (None, Some(value)) => Value::Int(value),
            (None, None) => Value::F64(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Str(Cow::Owned(text.clone())),
        Json::Array(items) => Value::Array(items.iter().map(value_from_json).collect()),
        Json::Object(entries) => Value::Map(
            entries
                .iter()
                .map(|(key, value)| (Value::string(key), value_from_json(value)))
                .collect(),
        ),
    }
}

pub(super) fn write_embodiment(
    out: &mut Encoder,
    embodiment: &Embodiment,
) -> Result<(), WireError> {
    let Embodiment { robot, rate, cameras, proprioception, actions } = embodiment;
    out.map(4 + usize::from(robot.is_some()));
    if let Some(robot) = robot {
        out.str("robot");
        out.str(robot);
    }
    out.str("rate");
    out.f64(rate.as_hz());
    out.str("cameras");
    out.array(cameras.len());
    for Camera { name, height, width } in cameras {
        out.map(3);
        out.str("name");
        out.str(name);
        out.str("height");
        out.uint(u64::from(*height));
        out.str("width");
        out.uint(u64::from(*width));
    }
    for (list, channels) in [("proprioception", proprioception), ("actions", actions)] {
        out.str(list);
        out.array(channels.len());
        for channel in channels {
            write_channel(out, channel)?;
        }
    }
    Ok(())
}

fn write_channel(out: &mut Encoder, channel: &Channel) -> Result<(), WireError> {
    let Channel { name, kind, unit, bounds, reference, frame, rotation, gripper } = channel;
    let bounds = bounds.map(|bounds| Value::Array(bounds.map(Value::F64).to_vec()));
    let stated = [
        ("kind", word(kind.as_ref())?),
        ("unit", word(unit.as_ref())?),
        ("bounds", bounds),
        ("reference", word(reference.as_ref())?),
        ("frame", word(frame.as_ref())?),
        ("rotation", word(rotation.as_ref())?),
        ("gripper", word(gripper.as_ref())?),
    ];
    out.map(1 + stated.iter().filter(|(_, value)| value.is_some()).count());
    out.str("name");
    out.str(name);
    for (key, value) in &stated {
        if let Some(value) = value {
            out.str(key);
            out.value(value);
        }
    }
    Ok(())
}

/// The word that stands for a fact in manifests, or `None` if it is not stated.
fn word(fact: Option<&impl Serialize>) -> Result<Option<Value<'static>>, WireError> {
    let Some(fact) = fact else { return Ok(None) };
    let json = serde_json::to_value(fact).map_err(|error| unfit(&error))?;
    Ok(Some(value_from_json(&json)))
}

pub(super) fn embodiment_from_value(value: &Value<'_>) -> Result<Embodiment, WireError> {
    let embodiment: Embodiment =
        serde_json::from_value(json_from_value(value)?).map_err(|error| unfit(&error))?;
    embodiment.validate().map_err(|error| {
        WireError::field("embodiment", "an embodiment that holds together", error.to_string())
    })?;
    Ok(embodiment)
}

fn unfit(error: &serde_json::Error) -> WireError {
    WireError::field("embodiment", "the facts of a rig", error.to_string())
}
