//! How a run goes, and how it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::success::SuccessRule;

/// How a run goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoopOptions {
    /// When a trial counts as a success.
    pub success: SuccessRule,
    /// Most trials that the world is asked about at once. Default 64.
    pub world_batch: usize,
}

impl Default for LoopOptions {
    fn default() -> Self {
        Self { success: SuccessRule::default(), world_batch: 64 }
    }
}

/// Stops a run from another thread. Trials in flight are given up without an outcome.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the run to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
