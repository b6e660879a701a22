//! The T5 of a folder, on the CPU.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::t5::{Config, T5EncoderModel};
use serde_json::Value;
use tokenizers::Tokenizer;

use super::KnownT5;
use crate::error::{ModelError, Result};

/// Widest features.
const WIDEST: usize = 16_384;
/// Layouts whose encoder is that of T5; T5 1.1 and Flan-T5 state the first.
const LAYOUTS: [&str; 2] = ["t5", "mt5"];
/// Feed-forward layers that are computed as Hugging Face computes them.
const LAYERS: [&str; 3] = ["relu", "gated-gelu", "gated-silu"];

/// A T5 that was opened. It computes on the CPU wherever the world model does, so that its features
/// do not depend on that.
#[derive(Debug)]
pub struct T5 {
    known: KnownT5,
    folder: PathBuf,
    tokenizer: Tokenizer,
    model: T5EncoderModel,
}

impl T5 {
    /// Opens the encoder of a folder with `config.json`, `model.safetensors` and `tokenizer.json`.
    ///
    /// # Errors
    /// [`ModelError::Io`] for a missing file, [`ModelError::T5`] for one that is not of a T5.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let mut read = |name: &str| {
            let path = folder.join(name);
            let bytes = std::fs::read(&path).map_err(ModelError::io("read the T5", &path))?;
            hasher.update(blake3::hash(&bytes).as_bytes());
            Ok::<_, ModelError>((path, bytes))
        };
        let (path, config) = read("config.json")?;
        let config = parse(&config).map_err(|reason| ModelError::T5 { path, reason })?;
        let (path, weights) = read("model.safetensors")?;
        let model = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)
            .and_then(|vb| T5EncoderModel::load(vb, &config))
            .map_err(|error| ModelError::T5 { path, reason: error.to_string() })?;
        let (path, tokenizer) = read("tokenizer.json")?;
        let tokenizer = Tokenizer::from_bytes(tokenizer)
            .map_err(|error| ModelError::T5 { path, reason: error.to_string() })?;
        let digest = hasher.finalize().to_hex().to_string();
        let known = KnownT5 { digest, width: config.d_model };
        Ok(Self { known, folder: folder.to_owned(), tokenizer, model })
    }

    /// What a checkpoint remembers of it.
    pub fn known(&self) -> &KnownT5 {
        &self.known
    }

    /// Features of an instruction, one row a token, the end of the text included. Of a text of more
    /// than `tokens`, the first are read, and the end.
    ///
    /// # Shapes
    /// - returns: `(tokens of the instruction, width)`
    ///
    /// # Errors
    /// [`ModelError::T5`] if the files do not fit each other.
    pub fn features(&mut self, instruction: &str, tokens: usize) -> Result<Tensor> {
        let fail = |reason: String| ModelError::T5 { path: self.folder.clone(), reason };
        let text = self.tokenizer.encode_fast(instruction, true);
        let mut read = text.map_err(|error| fail(error.to_string()))?.get_ids().to_vec();
        if read.len() > tokens {
            read.drain(tokens.saturating_sub(1)..read.len() - 1);
        }
        if read.is_empty() {
            return Err(fail(format!("no token for the instruction {instruction:?}")));
        }
        let read = Tensor::new(read, &Device::Cpu)?.unsqueeze(0)?;
        let made = self.model.forward(&read).and_then(|made| made.squeeze(0));
        let made = made.map_err(|error| fail(error.to_string()))?;
        if made.abs()?.sum_all()?.to_scalar::<f32>()?.is_finite() {
            return Ok(made);
        }
        Err(fail(format!("features of the instruction {instruction:?} are not finite")))
    }
}

/// A configuration of an encoder that is computed here as it was trained.
fn parse(text: &[u8]) -> Result<Config, String> {
    let stated: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    for (key, accepted) in [("model_type", &LAYOUTS[..]), ("feed_forward_proj", &LAYERS[..])] {
        if let Some(value) = stated.get(key)
            && !accepted.iter().any(|accepted| value == accepted)
        {
            return Err(format!("{key} is {value}, and must be one of {accepted:?}"));
        }
    }
    let config: Config = serde_json::from_value(stated).map_err(|error| error.to_string())?;
    let Config { d_model, relative_attention_num_buckets: buckets, .. } = config;
    let farthest = config.relative_attention_max_distance;
    if !(1..=WIDEST).contains(&d_model) {
        return Err(format!("d_model is {d_model}, and must be in 1..={WIDEST}"));
    }
    if buckets < 4 || farthest <= buckets / 4 {
        return Err(format!("{buckets} buckets of distances do not reach to {farthest}"));
    }
    Ok(config)
}
