//! A trained model on disk: safetensors beside a JSON manifest.
//!
//! `NAME.safetensors` holds the tensors, `NAME.json` says what they are: format, config,
//! embodiment, a digest of the tensors, what they were trained on, and what was measured.
//! Loading checks all of it. Both files are replaced whole. Where a T5 reads the instructions,
//! `NAME.t5` is its folder, or a link to it; it is needed for instructions only that training did
//! not meet (see [`t5`](crate::t5)).

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rehearse_scenarios::census::{Census, Relation};
use rehearse_scenarios::embodiment::Embodiment;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::config::ModelConfig;
use crate::error::{ModelError, Result};
use crate::expert::Expert;
use crate::experts::{Experts, Residence};
use crate::model::{WorldModel, expert_shape};

/// The version of the format that is written, and the only one that is read.
pub const FORMAT: u32 = 2;

/// What a checkpoint is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Sizes and constants; the preprocessing of images is in `tokens`.
    pub config: ModelConfig,
    /// The rig that it was trained on.
    pub embodiment: Embodiment,
    /// BLAKE3 of the tensor file, in hex.
    pub digest: String,
    /// How it was trained.
    pub training: TrainingRecord,
    /// What `fidelity` measured, where it was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<serde_json::Value>,
}

/// How a model was trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// Version of this program.
    pub version: String,
    /// BLAKE3 over the files of the logs, in hex.
    pub data: String,
    /// Digest of the checkpoint that training went on from, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Name of the split that was learnt from.
    pub split: String,
    /// Episodes that were learnt from.
    pub episodes: usize,
    /// Frames in them.
    pub frames: usize,
    /// Seed of every draw.
    pub seed: u64,
    /// Device by name.
    pub device: String,
    /// Seconds that training took, over all runs.
    pub secs: f64,
    /// Steps of each stage, in order, with its last loss and validation.
    pub stages: Vec<StageRecord>,
}

/// How a stage ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRecord {
    /// Name of the stage.
    pub name: String,
    /// Steps done.
    pub steps: usize,
    /// Seconds taken.
    pub secs: f64,
    /// Mean loss over the last steps.
    pub loss: f64,
    /// What validation measured at the end.
    pub validation: BTreeMap<String, f64>,
}

/// The manifest's path for a tensor file.
pub fn manifest_path(tensors: &Path) -> PathBuf {
    tensors.with_extension("json")
}

/// How matrices of networks are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// As they are computed with.
    Full,
    /// In half the space, rounded to 8 bits of mantissa.
    #[default]
    Bf16,
}

/// Writes a checkpoint.
///
/// # Errors
/// [`ModelError::Io`], [`ModelError::NotFinite`] if a tensor is not finite.
pub fn save(
    path: &Path,
    config: &ModelConfig,
    embodiment: &Embodiment,
    tensors: &BTreeMap<String, Tensor>,
    storage: Storage,
    training: TrainingRecord,
) -> Result<Manifest> {
    let mut stored = BTreeMap::new();
    for (name, tensor) in tensors {
        check_finite(name, tensor)?;
        // Bases and statistics are small, and the picture rests on them. What a T5 makes of an
        // instruction is the same whether it is kept here or made anew.
        let exact = ["tokenizer.", "statistics.", "t5."].iter().any(|part| name.starts_with(part));
        let shrink = storage == Storage::Bf16 && tensor.rank() >= 2 && !exact;
        let dtype = if shrink { DType::BF16 } else { DType::F32 };
        stored.insert(name.clone(), tensor.to_dtype(dtype)?.to_device(&Device::Cpu)?);
    }
    let bytes = to_bytes(&stored, None)?;
    let manifest = Manifest {
        format: FORMAT,
        config: config.clone(),
        embodiment: embodiment.clone(),
        digest: blake3::hash(&bytes).to_hex().to_string(),
        training,
        fidelity: None,
    };
    write_atomically(path, &bytes)?;
    write_manifest(path, &manifest)?;
    Ok(manifest)
}

/// Replaces the manifest beside a tensor file.
///
/// # Errors
/// [`ModelError::Io`] and [`ModelError::Json`].
pub fn write_manifest(path: &Path, manifest: &Manifest) -> Result<()> {
    let json = serde_json::to_vec_pretty(manifest)
        .map_err(|source| ModelError::Json { what: "the manifest".to_owned(), source })?;
    write_atomically(&manifest_path(path), &json)
}

/// Reads and checks the manifest of a checkpoint, without its tensors.
///
/// # Errors
/// [`ModelError::Io`], or [`ModelError::Checkpoint`] for an unknown version or a damaged file.
pub fn read_manifest(path: &Path) -> Result<Manifest> {
    let file = manifest_path(path);
    let text = std::fs::read(&file).map_err(ModelError::io("read the manifest", &file))?;
    let fail = |reason: String| ModelError::Checkpoint { path: file.clone(), reason };
    let value: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| fail(format!("the manifest is no JSON: {error}")))?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(FORMAT) => {}
        version => {
            let got = version.map_or("none".to_owned(), |version| version.to_string());
            return Err(fail(format!("format {got}, this program reads {FORMAT}")));
        }
    }
    let manifest: Manifest =
        serde_json::from_value(value).map_err(|error| fail(format!("the manifest: {error}")))?;
    manifest.config.validate()?;
    Ok(manifest)
}

/// Loads a checkpoint.
///
/// # Errors
/// [`ModelError::Io`] if a file is missing, [`ModelError::Checkpoint`] if the tensors are not
/// those that the manifest speaks of or do not fit its config.
pub fn load(path: &Path, device: &Device, residence: Residence) -> Result<(WorldModel, Manifest)> {
    let (manifest, bytes) = read_checked(path)?;
    let fail = |reason: String| ModelError::Checkpoint { path: path.to_owned(), reason };
    let resident = |name: &str| residence == Residence::All || !name.starts_with("experts.");
    let tensors = read_tensors(&bytes, device, resident).map_err(|e| fail(e.to_string()))?;
    let vb = VarBuilder::from_tensors(tensors, DType::F32, device);
    let Manifest { config, embodiment, .. } = &manifest;
    let built = match residence {
        Residence::All => WorldModel::new(config, embodiment, &vb),
        Residence::Active => {
            let shape = expert_shape(config, embodiment)?;
            let (path, device) = (path.to_owned(), device.clone());
            let source = move |index: usize| {
                let bytes =
                    std::fs::read(&path).map_err(ModelError::io("read the checkpoint", &path))?;
                let prefix = format!("experts.{index}.");
                let tensors = read_tensors(&bytes, &device, |name| name.starts_with(&prefix))?;
                let vb = VarBuilder::from_tensors(tensors, DType::F32, &device);
                Expert::new(shape, &vb.pp("experts").pp(index))
            };
            let experts = Experts::active(Box::new(source));
            experts.get(0)?;
            WorldModel::with_experts(config, embodiment, experts, &vb)
        }
    };
    let model = built.map_err(|error| match error {
        ModelError::Tensor(error) => fail(format!("the tensors do not fit the config: {error}")),
        other => other,
    })?;
    model.instruction.look_in(&path.with_extension("t5"));
    Ok((model, manifest))
}

/// The manifest of a checkpoint, and the bytes of the tensors that it speaks of.
fn read_checked(path: &Path) -> Result<(Manifest, Vec<u8>)> {
    let manifest = read_manifest(path)?;
    let bytes = std::fs::read(path).map_err(ModelError::io("read the checkpoint", path))?;
    let digest = blake3::hash(&bytes).to_hex().to_string();
    if digest == manifest.digest {
        return Ok((manifest, bytes));
    }
    Err(ModelError::Checkpoint {
        path: path.to_owned(),
        reason: format!(
            "the tensors are altered or cut short: digest {digest}, the manifest says {}",
            manifest.digest
        ),
    })
}

/// The tensors of a checkpoint, by name, with its manifest.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_tensors(
    path: &Path,
    device: &Device,
) -> Result<(BTreeMap<String, Tensor>, Manifest)> {
    let (manifest, bytes) = read_checked(path)?;
    let tensors = read_tensors(&bytes, device, |_| true).map_err(|error| {
        ModelError::Checkpoint { path: path.to_owned(), reason: error.to_string() }
    })?;
    Ok((tensors.into_iter().collect(), manifest))
}

/// Loads a checkpoint that worlds and planners share.
///
/// # Errors
/// As [`load`].
pub fn load_shared(path: &Path, device: &Device, residence: Residence) -> Result<Arc<WorldModel>> {
    Ok(Arc::new(load(path, device, residence)?.0))
}

/// Holds the rig of some logs against the one of a model.
///
/// # Errors
/// [`ModelError::Embodiment`] naming both sides and every field that differs.
pub fn check_rig(model: &Embodiment, logs: &Embodiment) -> Result<()> {
    Ok(Census::compare("checkpoint", model, "logs", logs, Relation::Same).check()?)
}

fn check_finite(name: &str, tensor: &Tensor) -> Result<()> {
    let sum = tensor.to_dtype(DType::F32)?.abs()?.sum_all()?.to_scalar::<f32>()?;
    if sum.is_finite() {
        Ok(())
    } else {
        Err(ModelError::NotFinite { what: format!("tensor {name}"), place: None })
    }
}

/// The wanted tensors of a safetensors file by name, in f32.
pub(crate) fn read_tensors(
    bytes: &[u8],
    device: &Device,
    wanted: impl Fn(&str) -> bool,
) -> candle_core::Result<HashMap<String, Tensor>> {
    use candle_core::safetensors::Load as _;
    let file = SafeTensors::deserialize(bytes).map_err(candle_core::Error::wrap)?;
    let mut tensors = HashMap::new();
    for (name, view) in file.tensors() {
        if wanted(&name) {
            let tensor = view.load(device)?.to_dtype(DType::F32)?;
            tensors.insert(name, tensor);
        }
    }
    Ok(tensors)
}

/// Named tensors as the bytes of a safetensors file, in the order of their names.
///
/// # Errors
/// A tensor error, or [`ModelError::Checkpoint`] if they cannot be serialised.
pub(crate) fn to_bytes(
    tensors: &BTreeMap<String, Tensor>,
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>> {
    safetensors::serialize(tensors, metadata)
        .map_err(|error| ModelError::Tensor(candle_core::Error::wrap(error)))
}

/// Every tensor of a safetensors file, in the order of their names, with its metadata.
///
/// # Errors
/// [`ModelError::Io`] and [`ModelError::Checkpoint`].
pub(crate) fn read_all(
    path: &Path,
    device: &Device,
) -> Result<(BTreeMap<String, Tensor>, HashMap<String, String>)> {
    let bytes = std::fs::read(path).map_err(ModelError::io("read the saved state", path))?;
    let fail = |reason: String| ModelError::Checkpoint { path: path.to_owned(), reason };
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|error| fail(error.to_string()))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let tensors =
        read_tensors(&bytes, device, |_| true).map_err(|error| fail(error.to_string()))?;
    Ok((tensors.into_iter().collect(), metadata))
}

/// Writes a file beside its place and moves it there, so that a reader finds the old one or the
/// new one and never a part.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().map_err(ModelError::io("write", path))
}
