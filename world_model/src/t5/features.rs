//! What a T5 makes of instructions, each kept once it is known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::{KnownT5, T5};
use crate::error::{ModelError, Result};

/// What the names of features begin with, among the tensors of a model; the instruction follows.
const PREFIX: &str = "t5";

/// Features of instructions: those that training left, and those of instructions met since.
pub struct Features {
    t5: KnownT5,
    /// Most tokens of an instruction.
    tokens: usize,
    /// The model's tensors, below [`PREFIX`].
    kept: VarBuilder<'static>,
    /// Where the T5 lies, of a model that was loaded.
    folder: OnceLock<PathBuf>,
    met: Mutex<Met>,
}

/// Instructions met since training, and what reads them.
#[derive(Default)]
struct Met {
    t5: Option<T5>,
    features: BTreeMap<String, Tensor>,
}

impl Features {
    /// Features among the tensors of `vb`, wherever it points to.
    pub fn new(t5: &KnownT5, tokens: usize, vb: &VarBuilder<'static>) -> Self {
        let kept = vb.root().pp(PREFIX);
        let (folder, met) = (OnceLock::new(), Mutex::default());
        Self { t5: t5.clone(), tokens, kept, folder, met }
    }

    /// Name of the tensor that holds the features of an instruction.
    pub fn name(instruction: &str) -> String {
        format!("{PREFIX}.{instruction}")
    }

    /// Says where the T5 is, for instructions that it has not yet read.
    pub fn look_in(&self, folder: &Path) {
        self.folder.get_or_init(|| folder.to_owned());
    }

    /// Width of the features.
    pub fn width(&self) -> usize {
        self.t5.width
    }

    /// The features of an instruction, one row a token.
    ///
    /// # Shapes
    /// - returns: `(tokens of the instruction, width)`
    ///
    /// # Errors
    /// [`ModelError::Unread`] if training met no such instruction and there is no T5 to read it;
    /// [`ModelError::T5`] if the one that there is cannot be used, or is another;
    /// [`ModelError::Size`] if the tensors do not fit the config.
    pub fn of(&self, instruction: &str) -> Result<Tensor> {
        if self.kept.contains_tensor(instruction) {
            return self.checked(instruction, self.kept.get_unchecked(instruction)?);
        }
        // The map is whole at every point where a panic could poison the lock.
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let Met { t5, features } = &mut *met;
        if let Some(features) = features.get(instruction) {
            return Ok(features.clone());
        }
        let t5 = match t5 {
            Some(t5) => t5,
            None => t5.insert(self.open(instruction)?),
        };
        let made = t5.features(instruction, self.tokens)?.to_device(self.kept.device())?;
        let made = self.checked(instruction, made)?;
        features.insert(instruction.to_owned(), made.clone());
        Ok(made)
    }

    fn checked(&self, instruction: &str, features: Tensor) -> Result<Tensor> {
        match *features.dims() {
            [count, width] if (1..=self.tokens).contains(&count) && width == self.t5.width => {
                Ok(features)
            }
            _ => Err(ModelError::size(
                format!("the T5's view of the instruction {instruction:?}"),
                format!("1 to {} × {}", self.tokens, self.t5.width),
                format!("{:?}", features.dims()),
            )),
        }
    }

    /// The T5 that training read by.
    fn open(&self, instruction: &str) -> Result<T5> {
        let Some(folder) = self.folder.get().filter(|folder| folder.exists()) else {
            return Err(ModelError::Unread {
                instruction: instruction.to_owned(),
                digest: self.t5.digest.clone(),
                folder: self.folder.get().cloned(),
            });
        };
        let t5 = T5::open(folder)?;
        if *t5.known() == self.t5 {
            return Ok(t5);
        }
        let (digest, trained) = (&t5.known().digest, &self.t5.digest);
        let reason = format!("its digest is {digest}, the model was trained with {trained}");
        Err(ModelError::T5 { path: folder.clone(), reason })
    }
}

impl std::fmt::Debug for Features {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { t5, tokens, folder, .. } = self;
        f.debug_struct("Features")
            .field("t5", t5)
            .field("tokens", tokens)
            .field("folder", folder)
            .finish_non_exhaustive()
    }
}
