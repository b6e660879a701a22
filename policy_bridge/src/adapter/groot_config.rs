//! What a GR00T server states of its modalities, compared with a manifest.

use super::manifest::{Dialect, Manifest};
use crate::wire::Value;

/// The part of a `ModalityConfig` that matters here.
struct Modality {
    /// How many steps of it a request or a reply holds.
    steps: usize,
    keys: Vec<String>,
}

/// Compares the answer to `get_modality_config` with a manifest.
///
/// # Errors
/// A sentence that names both sides.
pub(super) fn check_config(config: &Value<'_>, manifest: &Manifest) -> Result<(), String> {
    let fields = config.fields("modality config").map_err(|error| error.to_string())?;
    for name in ["video", "state", "language", "action"] {
        let Some(value) = fields.get(name) else { continue };
        let modality = read(value, manifest.server.dialect)?;
        let sent: Vec<&str> = match name {
            "video" => manifest.images.iter().map(|image| image.key.as_str()).collect(),
            "state" => manifest.states.iter().map(|state| state.key.as_str()).collect(),
            "language" => vec![manifest.server.prompt.as_str()],
            _ => manifest.actions.iter().map(|action| action.key.as_str()).collect(),
        };
        let plain = |key: &str| {
            let prefix = if name == "language" { "language." } else { name };
            let rest = key.strip_prefix(prefix).unwrap_or(key);
            rest.strip_prefix('.').unwrap_or(rest).to_owned()
        };
        let mut expected: Vec<String> = modality.keys.iter().map(|key| plain(key)).collect();
        let mut stated: Vec<String> = sent.into_iter().map(plain).collect();
        expected.sort();
        stated.sort();
        if expected != stated {
            return Err(format!("its {name} has {expected:?}, the manifest {stated:?}"));
        }
        let steps = if name == "action" { manifest.server.chunk } else { 1 };
        if modality.steps != steps {
            let problem = if name == "action" { "server.chunk is" } else { "this sends" };
            return Err(format!("its {name} has {} steps, {problem} {steps}", modality.steps));
        }
    }
    Ok(())
}

/// Reads a `ModalityConfig`: a map in N1.6, a JSON string in N1.5.
fn read(value: &Value<'_>, dialect: Dialect) -> Result<Modality, String> {
    let wrong = || "its modality config is not as GR00T writes it".to_owned();
    let json = value.fields("").ok().and_then(|fields| fields.get("as_json")).ok_or_else(wrong)?;
    match (json, dialect) {
        (Value::Str(text), Dialect::GrootN15) => {
            let parsed: serde_json::Value = serde_json::from_str(text).map_err(|_json| wrong())?;
            let steps = parsed.get("delta_indices").and_then(serde_json::Value::as_array);
            let keys = parsed.get("modality_keys").and_then(serde_json::Value::as_array);
            let keys = keys.ok_or_else(wrong)?.iter();
            Ok(Modality {
                steps: steps.ok_or_else(wrong)?.len(),
                keys: keys.filter_map(|key| key.as_str().map(str::to_owned)).collect(),
            })
        }
        (Value::Map(_), Dialect::GrootN16) => {
            let fields = json.fields("").map_err(|_map| wrong())?;
            let items = |name: &str| fields.get(name).and_then(|value| value.items(name).ok());
            let keys = items("modality_keys").ok_or_else(wrong)?.iter();
            Ok(Modality {
                steps: items("delta_indices").ok_or_else(wrong)?.len(),
                keys: keys.filter_map(|key| key.text("").ok().map(str::to_owned)).collect(),
            })
        }
        (Value::Str(_), _) => Err("it is a GR00T N1.5: use dialect = \"groot_n15\"".to_owned()),
        (Value::Map(_), _) => Err("it is a GR00T N1.6: use dialect = \"groot_n16\"".to_owned()),
        _ => Err(wrong()),
    }
}
