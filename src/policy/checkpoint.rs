//! A cloned policy on disk: one safetensors file, with a manifest in its metadata.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::safetensors::Load as _;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rehearse_scenarios::embodiment::Embodiment;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::cloned::ClonedPolicy;
use super::config::CloneConfig;
use super::error::{PolicyError, Result};
use super::model::{CloneModel, Shape};
use super::normalisation::Normalisation;

/// The version of the format that is written, and the only one that is read.
pub const FORMAT: u32 = 1;

/// The manifest's key in the metadata.
const KEY: &str = "manifest";

/// What a cloned policy is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Version of the program that trained it.
    pub version: String,
    /// The recipe.
    pub config: CloneConfig,
    /// The rig that it was trained on.
    pub embodiment: Embodiment,
    /// Units of inputs and outputs.
    pub normalisation: Normalisation,
    /// What it learnt from.
    pub data: DataRecord,
    /// Mean error of an action over the last steps, where its bounds are [-1, 1].
    pub loss: f64,
}

/// What a policy learnt from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecord {
    /// BLAKE3 over the files of the logs, in hex.
    pub digest: String,
    /// Episodes.
    pub episodes: usize,
    /// Frames in them.
    pub frames: usize,
    /// Instructions of these episodes.
    pub instructions: Vec<String>,
}

/// Writes a policy; matrices are rounded to 8 bits of mantissa.
///
/// # Errors
/// [`PolicyError::Io`], or a tensor error.
pub fn save(path: &Path, tensors: &BTreeMap<String, Tensor>, manifest: &Manifest) -> Result<()> {
    let stored = tensors
        .iter()
        .map(|(name, tensor)| {
            let dtype = if tensor.rank() >= 2 { DType::BF16 } else { DType::F32 };
            Ok((name.clone(), tensor.to_dtype(dtype)?))
        })
        .collect::<candle_core::Result<BTreeMap<_, _>>>()?;
    let text = serde_json::to_string(manifest).map_err(candle_core::Error::wrap)?;
    let metadata = HashMap::from([(KEY.to_owned(), text)]);
    let bytes =
        safetensors::serialize(&stored, Some(metadata)).map_err(candle_core::Error::wrap)?;
    let part = path.with_extension("part");
    fs::write(&part, &bytes)
        .and_then(|()| fs::rename(&part, path))
        .map_err(PolicyError::io("write the policy", path))
}

/// Loads a policy, which states the file's digest.
///
/// # Errors
/// [`PolicyError::Io`] if the file is missing, [`PolicyError::Checkpoint`] if it is no cloned
/// policy of this format, or its tensors do not fit its recipe.
pub fn load(path: &Path) -> Result<ClonedPolicy> {
    let bytes = fs::read(path).map_err(PolicyError::io("read the policy", path))?;
    let fail = |reason: String| PolicyError::Checkpoint { path: path.to_owned(), reason };
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|error| fail(error.to_string()))?;
    let text = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(KEY))
        .ok_or_else(|| fail("it has no manifest: it is no cloned policy".to_owned()))?;
    let manifest = read_manifest(text).map_err(fail)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| fail(error.to_string()))?;
    let mut tensors = HashMap::new();
    for (name, view) in file.tensors() {
        let tensor = view.load(&Device::Cpu)?.to_dtype(DType::F32)?;
        let sum = tensor.abs()?.sum_all()?.to_scalar::<f32>()?;
        if !sum.is_finite() {
            return Err(fail(format!("tensor {name} is not finite")));
        }
        tensors.insert(name, tensor);
    }
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let shape = Shape::of(&manifest.config, &manifest.embodiment);
    let model = CloneModel::new(shape, &vb)
        .map_err(|error| fail(format!("the tensors do not fit the recipe: {error}")))?;
    ClonedPolicy::new(model, manifest, blake3::hash(&bytes).to_hex().to_string())
}

fn read_manifest(text: &str) -> Result<Manifest, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("the manifest is no JSON: {error}"))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(FORMAT)) {
        let got = format.map_or("none".to_owned(), |format| format.to_string());
        return Err(format!("format {got}, this program reads {FORMAT}"));
    }
    let manifest: Manifest =
        serde_json::from_value(value).map_err(|error| format!("the manifest: {error}"))?;
    manifest.config.validate().map_err(|error| format!("the recipe: {error}"))?;
    manifest.embodiment.validate().map_err(|error| format!("the rig: {error}"))?;
    let rig = &manifest.embodiment;
    if !manifest.normalisation.is_sound(rig.proprioception.len(), rig.actions.len()) {
        return Err("the units of its channels are damaged".to_owned());
    }
    Ok(manifest)
}
