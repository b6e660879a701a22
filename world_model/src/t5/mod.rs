//! A frozen T5 that reads instructions.
//!
//! What it makes of an instruction, its features, never changes. Training computes the features of
//! every instruction of the logs once, and the checkpoint holds them as `t5.INSTRUCTION`. To
//! imagine, the T5 itself is needed for other instructions only; it is then looked for beside the
//! checkpoint, in a folder (or a link to one) that is named like it, with the ending `t5`.

#[cfg(not(feature = "t5"))]
mod absent;
#[cfg(feature = "t5")]
mod encoder;
mod features;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[cfg(not(feature = "t5"))]
pub use absent::T5;
#[cfg(feature = "t5")]
pub use encoder::T5;
pub use features::Features;

/// Which T5 reads the instructions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "the folder of a T5, in quotes")]
pub enum T5Source {
    /// As a recipe names it: a folder with `config.json`, `model.safetensors` and
    /// `tokenizer.json`, as on Hugging Face; relative to the recipe's own.
    Folder(PathBuf),
    /// As a checkpoint remembers it.
    Known(KnownT5),
}

/// What a checkpoint remembers of its T5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownT5 {
    /// BLAKE3 over the digests of its three files, in the order of their names; in hex.
    pub digest: String,
    /// Width of its features, its `d_model`.
    pub width: usize,
}
