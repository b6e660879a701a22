//! What is to be run: trials, and the policy that they are run with.

use std::sync::Arc;
use std::time::Duration;

use rehearse_scenarios::interface::Policy;
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::seed::Seed;

use super::latency::Latency;

/// One trial to be run.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Stable id, which its episode bears: `suite/scenario/policy/repeat`.
    pub id: String,
    /// The task, as the logs name it.
    pub task: Arc<str>,
    /// Index of the start among the task's starts, from 0.
    pub index: u64,
    /// The instruction that the policy is given.
    pub instruction: Arc<str>,
    /// The first observation, where the start is a frame of a log or an image.
    pub observation: Option<Observation>,
    /// Seed of the world's noise, the same for all policies that meet this start.
    pub world_seed: Seed,
    /// Seed of the policy's own draws.
    pub policy_seed: Seed,
    /// Most actions that are executed, at least 1.
    pub horizon: u32,
}

/// A policy and the trials that are run with it.
pub struct Lane {
    /// The policy.
    pub policy: Box<dyn Policy>,
    /// Its trials, in the order in which they start. Taken one by one as room comes free, so a
    /// hundred thousand of them cost no memory.
    pub trials: Box<dyn Iterator<Item = Trial> + Send>,
    /// Actions executed of each chunk before the policy is asked again, at least 1. More than a
    /// chunk holds means the whole chunk.
    pub execute: usize,
    /// What the policy's thinking costs in simulated time.
    pub latency: Latency,
    /// Most trials of this lane in flight at once. `None`: twice the policy's `max_batch`, at
    /// most 128, so that the world has one half to step while the policy thinks about the other.
    /// Always one where `max_batch` is 1: such a policy may hold the state of the one trial that
    /// is on.
    pub in_flight: Option<usize>,
    /// Most trials handed to the policy in one call. `None`: its `max_batch`. A
    /// [`RemotePolicy`](crate::zenoh::RemotePolicy) splits batches itself and sends the parts at
    /// the same time, so more is better for it.
    pub batch: Option<usize>,
    /// Longest wait for one answer of the policy, by the wall clock, after which it counts as
    /// hung: its trials in flight and all that were to follow are void. A remote policy keeps
    /// its own, finer deadlines. `None`: wait for ever.
    pub patience: Option<Duration>,
}

impl Lane {
    /// A lane that executes `execute` actions of each chunk, without latency.
    pub fn new(
        policy: Box<dyn Policy>,
        execute: usize,
        trials: impl Iterator<Item = Trial> + Send + 'static,
    ) -> Self {
        Self {
            policy,
            trials: Box::new(trials),
            execute,
            latency: Latency::NONE,
            in_flight: None,
            batch: None,
            patience: None,
        }
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("policy", self.policy.info())
            .field("execute", &self.execute)
            .field("latency", &self.latency)
            .finish_non_exhaustive()
    }
}
