//! The facts of the rig that recorded a log.

use std::path::Path;

use super::error::{LogError, Place};
use super::feature::Feature;
use super::files::read_text;
use super::info::{ACTION, Info, STATE, info_path};
use crate::embodiment::{Camera, Channel, Embodiment};

/// Name of the optional file that states units, bounds and references, within the dataset.
///
/// `info.json` has no place for them, and nothing is guessed: without this file they stay unstated.
pub(super) const EMBODIMENT_FILE: &str = "meta/embodiment.json";

/// The embodiment of a log: `meta/embodiment.json` if there is one, else what `info.json` states.
pub(super) fn read_embodiment(
    folder: &Path,
    info: &Info,
    problems: &mut Vec<LogError>,
) -> Embodiment {
    let path = folder.join(EMBODIMENT_FILE);
    let derived = from_info(info);
    let stated = match read_text(&path) {
        Ok(text) => serde_json::from_str::<Embodiment>(&text)
            .map_err(|source| LogError::Json { place: Box::new(Place::file(&path)), source }),
        Err(LogError::Missing { .. }) => Ok(derived.clone()),
        Err(error) => Err(error),
    };
    let embodiment = stated.unwrap_or_else(|error| {
        problems.push(error);
        derived.clone()
    });
    compare(&embodiment, &derived, info, &path, problems);
    if let Err(source) = embodiment.validate()
        // Said already, of `info.json`.
        && info.feature(ACTION).is_some()
    {
        let place = Box::new(Place::file(info_path(folder)).field("features"));
        problems.push(LogError::Embodiment { place, source });
    }
    embodiment
}

/// What `info.json` alone states.
pub(super) fn from_info(info: &Info) -> Embodiment {
    let cameras = info
        .cameras()
        .filter_map(|feature| {
            let (height, width) = feature.image_size()?;
            Some(Camera { name: feature.camera_name().to_owned(), height, width })
        })
        .collect();
    Embodiment {
        robot: info.robot_type.clone(),
        rate: info.rate,
        cameras,
        proprioception: info
            .feature(STATE)
            .map(|state| channels(state, "state"))
            .unwrap_or_default(),
        actions: info.feature(ACTION).map(|action| channels(action, "action")).unwrap_or_default(),
    }
}

/// One channel per value; `state_0`, `state_1` where the file names none.
fn channels(feature: &Feature, unnamed: &str) -> Vec<Channel> {
    let width = feature.width().unwrap_or_default();
    if names_channels(feature) {
        feature.names.iter().map(Channel::named).collect()
    } else {
        (0..width).map(|index| Channel::named(format!("{unnamed}_{index}"))).collect()
    }
}

fn names_channels(feature: &Feature) -> bool {
    feature.width() == Some(feature.names.len())
}

/// Two files about one rig must agree wherever both speak.
fn compare(
    stated: &Embodiment,
    derived: &Embodiment,
    info: &Info,
    path: &Path,
    problems: &mut Vec<LogError>,
) {
    let place = |field: &str| Place::file(path).field(field);
    if stated.rate != derived.rate {
        problems.push(place("rate").mismatch("rate", derived.rate, stated.rate));
    }
    if stated.cameras != derived.cameras {
        let list = |cameras: &[Camera]| {
            cameras.iter().map(Camera::to_string).collect::<Vec<_>>().join(", ")
        };
        problems.push(place("cameras").mismatch(
            "cameras",
            list(&derived.cameras),
            list(&stated.cameras),
        ));
    }
    for (field, feature, stated, derived) in [
        ("proprioception", STATE, &stated.proprioception, &derived.proprioception),
        ("actions", ACTION, &stated.actions, &derived.actions),
    ] {
        if stated.len() != derived.len() {
            problems.push(place(field).mismatch("channels", derived.len(), stated.len()));
        } else if info.feature(feature).is_some_and(names_channels)
            && let Some((stated, derived)) =
                stated.iter().zip(derived).find(|(stated, derived)| stated.name != derived.name)
        {
            problems.push(place(field).mismatch("channel", &derived.name, &stated.name));
        }
    }
}
