//! How a run goes, and how it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// When a trial counts as a success, and how long it goes on then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRule {
    /// Least belief of the world that the task is done, in (0, 1]. Default 0.5.
    pub threshold: f32,
    /// Consecutive steps for which the belief must reach the threshold, at least 1. More make a
    /// judge that flickers less optimistic. Default 1.
    pub steps: u32,
    /// Steps that a trial goes on after its success, unless the horizon or the world ends it
    /// first, so that what follows is seen too. Default 0.
    pub after: u32,
}

impl Default for SuccessRule {
    fn default() -> Self {
        Self { threshold: 0.5, steps: 1, after: 0 }
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
