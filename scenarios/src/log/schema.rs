//! The features of a dataset that is being written.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::{LogError, Place};
use super::feature::{CAMERA_PREFIX, Dtype, Feature};
use super::info::{ACTION, STANDARD_COLUMNS, STATE};
use crate::embodiment::{Channel, Embodiment};

/// The features of a dataset: cameras, state, action, what was declared, and what all have.
pub(super) fn features(embodiment: &Embodiment, further: &[Feature]) -> Vec<Feature> {
    let channels = |name: &str, channels: &[Channel]| Feature {
        names: channels.iter().map(|channel| channel.name.clone()).collect(),
        ..Feature::vector(name, Dtype::Float32, channels.len())
    };
    let mut features: Vec<_> = embodiment
        .cameras
        .iter()
        .map(|camera| Feature {
            name: format!("{CAMERA_PREFIX}{}", camera.name),
            dtype: Dtype::Video,
            shape: vec![camera.height as usize, camera.width as usize, 3],
            names: ["height", "width", "channels"].map(str::to_owned).into(),
            codec: None,
        })
        .collect();
    if !embodiment.proprioception.is_empty() {
        features.push(channels(STATE, &embodiment.proprioception));
    }
    features.push(channels(ACTION, &embodiment.actions));
    features.extend_from_slice(further);
    let [timestamp, rest @ ..] = STANDARD_COLUMNS;
    features.push(Feature::vector(timestamp, Dtype::Float32, 1));
    features.extend(rest.map(|name| Feature::vector(name, Dtype::Int64, 1)));
    features
}

/// Checks that every feature can be written; `further` are those that the caller declared.
pub(super) fn check_features(
    features: &[Feature],
    further: &[Feature],
    folder: &Path,
) -> Result<(), LogError> {
    let mut seen = BTreeSet::new();
    for feature in features {
        let place = Place::file(folder).field(&feature.name);
        if feature.name.is_empty() || feature.name.contains(['/', '\\']) {
            return Err(place.invalid("a feature's name may not be empty or hold a slash"));
        }
        if !seen.insert(&feature.name) {
            return Err(place.invalid("the feature is declared twice"));
        }
        let written = feature.dtype.is_numeric() && feature.width().is_some_and(|width| width > 0);
        if further.contains(feature) && !written {
            return Err(place.invalid(format!(
                "a column of {} and shape {:?} cannot be written",
                feature.dtype.as_str(),
                feature.shape
            )));
        }
    }
    Ok(())
}
