//! The trials that a world or a policy holds open.

use std::collections::{BTreeMap, BTreeSet};

use crate::interface::{InterfaceError, TrialHandle};

/// State per open trial, with the checks that every world and policy owes its caller.
#[derive(Clone, Debug)]
pub struct OpenTrials<T>(BTreeMap<TrialHandle, T>);

impl<T> Default for OpenTrials<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> OpenTrials<T> {
    /// Checks that a batch of new trials is new, and names each once.
    ///
    /// # Errors
    /// [`InterfaceError::DuplicateTrial`].
    pub fn check_new(
        &self,
        trials: impl Iterator<Item = TrialHandle>,
    ) -> Result<(), InterfaceError> {
        let mut batch = BTreeSet::new();
        for trial in trials {
            if self.0.contains_key(&trial) || !batch.insert(trial) {
                return Err(InterfaceError::DuplicateTrial { trial });
            }
        }
        Ok(())
    }

    /// Checks that every trial of a batch is open, and appears once.
    ///
    /// # Errors
    /// [`InterfaceError::UnknownTrial`] and [`InterfaceError::DuplicateTrial`].
    pub fn check_open(
        &self,
        trials: impl Iterator<Item = TrialHandle>,
    ) -> Result<(), InterfaceError> {
        let mut batch = BTreeSet::new();
        for trial in trials {
            if !self.0.contains_key(&trial) {
                return Err(InterfaceError::UnknownTrial { trial });
            }
            if !batch.insert(trial) {
                return Err(InterfaceError::DuplicateTrial { trial });
            }
        }
        Ok(())
    }

    /// Opens a trial.
    pub fn open(&mut self, trial: TrialHandle, state: T) {
        self.0.insert(trial, state);
    }

    /// The state of an open trial.
    ///
    /// # Errors
    /// [`InterfaceError::UnknownTrial`].
    pub fn get_mut(&mut self, trial: TrialHandle) -> Result<&mut T, InterfaceError> {
        self.0.get_mut(&trial).ok_or(InterfaceError::UnknownTrial { trial })
    }

    /// Closes a trial, if it is open.
    pub fn close(&mut self, trial: TrialHandle) -> Option<T> {
        self.0.remove(&trial)
    }

    /// Trials that are open.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no trial is open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
