//! A build that reads no T5.

use std::path::Path;

use candle_core::Tensor;

use super::KnownT5;
use crate::error::{ModelError, Result};

/// A T5 that was opened: in this build, none.
#[derive(Debug)]
pub enum T5 {}

impl T5 {
    /// Refuses.
    ///
    /// # Errors
    /// [`ModelError::T5`] that says how to build what reads one.
    pub fn open(folder: &Path) -> Result<Self> {
        let reason = "this program was built without T5: build it with `--features t5`".to_owned();
        Err(ModelError::T5 { path: folder.to_owned(), reason })
    }

    /// What a checkpoint remembers of it.
    pub fn known(&self) -> &KnownT5 {
        match *self {}
    }

    /// Features of an instruction.
    ///
    /// # Errors
    /// None: there is nothing to ask.
    pub fn features(&mut self, _instruction: &str, _tokens: usize) -> Result<Tensor> {
        match *self {}
    }
}
