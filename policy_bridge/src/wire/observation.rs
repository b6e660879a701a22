//! Observations on the wire, checked against an embodiment on both sides.

use std::collections::BTreeMap;
use std::sync::Arc;

use rehearse_scenarios::embodiment::{Camera, Embodiment};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::time::SimTime;

use super::array::Array;
use super::encode::Encoder;
use super::error::WireError;
use super::image::{ImageForm, image_from_value, write_image};
use super::limits::MAX_TEXT_BYTES;
use super::value::Value;

/// Checks an observation against an embodiment: every camera there and of its size, as many
/// finite values as there are proprioceptive channels. Further cameras are passed over.
///
/// # Errors
/// [`WireError`] with the first field that does not fit.
pub fn check_observation(
    observation: &Observation,
    embodiment: &Embodiment,
) -> Result<(), WireError> {
    for camera in &embodiment.cameras {
        let field = || format!("images.{}", camera.name);
        let Some(image) = observation.images.get(&camera.name) else {
            return Err(WireError::Missing { field: field() });
        };
        if (image.height(), image.width()) != (camera.height, camera.width) {
            return Err(WireError::field(
                field(),
                format!("{}×{} pixels", camera.height, camera.width),
                format!("{}×{}", image.height(), image.width()),
            ));
        }
    }
    check_state(&observation.proprioception, embodiment)?;
    check_text("prompt", &observation.instruction)
}

fn check_state(state: &[f32], embodiment: &Embodiment) -> Result<(), WireError> {
    let expected = embodiment.proprioception.len();
    if state.len() != expected {
        return Err(WireError::field(
            "state",
            format!("{expected} values"),
            format!("{} values", state.len()),
        ));
    }
    match state.iter().zip(&embodiment.proprioception).find(|(value, _)| !value.is_finite()) {
        None => Ok(()),
        Some((value, channel)) => Err(WireError::field(
            format!("state.{}", channel.name),
            "a finite number",
            value.to_string(),
        )),
    }
}

/// Refuses text above [`MAX_TEXT_BYTES`].
pub(super) fn check_text(what: &'static str, text: &str) -> Result<(), WireError> {
    if text.len() > MAX_TEXT_BYTES {
        let got = text.len() as u64;
        return Err(WireError::TooLarge { what, limit: MAX_TEXT_BYTES, got });
    }
    Ok(())
}

/// Bytes that the part of an observation that `embodiment` states takes when written raw, about,
/// and not less.
pub fn observation_size(observation: &Observation, embodiment: &Embodiment) -> usize {
    let image = |camera: &Camera| {
        camera.height as usize * camera.width as usize * 3 + camera.name.len() + 96
    };
    let images: usize = embodiment.cameras.iter().map(image).sum();
    images + observation.proprioception.len() * 4 + observation.instruction.len() + 192
}

/// Writes the part of an observation that `embodiment` states, after checking it.
///
/// # Errors
/// As [`check_observation`].
pub fn write_observation(
    out: &mut Encoder,
    observation: &Observation,
    embodiment: &Embodiment,
    form: ImageForm,
) -> Result<(), WireError> {
    check_observation(observation, embodiment)?;
    out.map(4);
    out.str("images");
    out.map(embodiment.cameras.len());
    let used = |name: &str| embodiment.camera(name).is_some();
    for (name, image) in observation.images.iter().filter(|(name, _)| used(name)) {
        out.str(name);
        write_image(out, image, form)?;
    }
    out.str("state");
    let state = &observation.proprioception;
    out.array_f32(&[state.len()], state.iter().copied());
    out.str("prompt");
    out.str(&observation.instruction);
    out.str("time_ns");
    out.int(observation.time.as_nanos());
    Ok(())
}

/// Reads an observation of `embodiment`.
///
/// # Errors
/// [`WireError`] with the first field that does not fit.
pub fn observation_from_value(
    value: &Value<'_>,
    embodiment: &Embodiment,
) -> Result<Observation, WireError> {
    let fields = value.fields("observation")?;
    let given = fields.required("images")?.fields("images")?;
    let mut images = BTreeMap::new();
    for camera in &embodiment.cameras {
        let field = format!("images.{}", camera.name);
        let Some(value) = given.get(&camera.name) else {
            return Err(WireError::Missing { field });
        };
        let image = image_from_value(value, camera.height, camera.width, &field)?;
        images.insert(camera.name.clone(), image);
    }
    let state = Array::from_value(fields.required("state")?, "state")?;
    if state.shape.len() != 1 {
        let got = format!("{} dimensions", state.shape.len());
        return Err(WireError::field("state", "an array of one dimension", got));
    }
    let proprioception = state.to_f32("state")?;
    check_state(&proprioception, embodiment)?;
    let prompt = fields.required("prompt")?.text("prompt")?;
    check_text("prompt", prompt)?;
    let nanos = match fields.required("time_ns")? {
        Value::Uint(value) => i64::try_from(*value).ok(),
        Value::Int(value) => Some(*value),
        _ => None,
    };
    let Some(nanos) = nanos else {
        return Err(WireError::field("time_ns", "a 64-bit integer", "something else"));
    };
    let (instruction, time) = (Arc::from(prompt), SimTime::from_nanos(nanos));
    Ok(Observation { images, proprioception, instruction, time })
}
