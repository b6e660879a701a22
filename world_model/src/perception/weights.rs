//! The weights of a network, as their file names them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use crate::checkpoint::read_tensors;
use crate::error::{ModelError, Result};

/// A safetensors file whose tensors are looked up by name and held against a shape.
pub(super) struct Weights {
    /// BLAKE3 of the file, in hex.
    pub digest: String,
    network: &'static str,
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
}

impl Weights {
    /// Reads the weights of `network`, in f32. Tensors that are not asked for are passed over.
    pub fn read(network: &'static str, path: &Path, device: &Device) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(ModelError::io("read the weights", path))?;
        let tensors = read_tensors(&bytes, device, |_| true).map_err(|error| {
            let reason = format!("no safetensors file: {error}");
            ModelError::Weights { network, path: path.to_owned(), reason }
        })?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        Ok(Self { digest, network, path: path.to_owned(), tensors })
    }

    /// A tensor of this shape, in which `None` is any size but 0.
    pub fn get(&self, name: &str, shape: &[Option<usize>]) -> Result<Tensor> {
        let fail = |reason: String| ModelError::Weights {
            network: self.network,
            path: self.path.clone(),
            reason,
        };
        let Some(tensor) = self.tensors.get(name) else {
            let found = self.tensors.len();
            return Err(fail(format!("none of the {found} tensors is {name}: another network's?")));
        };
        let fits = |(&size, expected): (&usize, &Option<usize>)| match expected {
            Some(expected) => size == *expected,
            None => size > 0,
        };
        let dims = tensor.dims();
        if dims.len() == shape.len() && dims.iter().zip(shape).all(fits) {
            return Ok(tensor.clone());
        }
        let expected = shape
            .iter()
            .map(|size| size.map_or("any".to_owned(), |size| size.to_string()))
            .collect::<Vec<_>>()
            .join(", ");
        Err(fail(format!("tensor {name} has the shape {dims:?}, expected [{expected}]")))
    }
}
