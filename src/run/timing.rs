//! Where the time of a run goes: to the world, to the policies, to the loop around them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{
    Advance, Begin, InterfaceError, PerTrial, Policy, PolicyInfo, Start, TrialHandle, World,
};
use rehearse_scenarios::observation::Observation;
use serde::{Deserialize, Serialize};

use super::RunError;

/// Buckets of a spread, 16 an octave from a microsecond on: a quantile is off by 4 % at most.
const BUCKETS: usize = 512;
const PER_OCTAVE: f64 = 16.0;

/// What one process of a run cost: a line of `sessions.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Trials that ended in it.
    pub trials: u64,
    /// Control steps in them.
    pub steps: u64,
    /// Seconds from the first trial to the last, by the wall clock.
    pub secs: f64,
    /// Seconds of it that the world took.
    pub world_secs: f64,
    /// Requests to the world, each for a batch of trials.
    pub world_requests: u64,
    /// The policies, in the order of the suite.
    pub policies: Vec<PolicyCost>,
}

/// What one policy took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyCost {
    /// Its name in the suite.
    pub policy: String,
    /// Requests, each for a batch of trials.
    pub requests: u64,
    /// Seconds in which an answer was waited for.
    pub secs: f64,
    /// Median time of a request in seconds.
    pub median_secs: Option<f64>,
    /// The time that 95 % of requests stay below, in seconds.
    pub p95_secs: Option<f64>,
}

/// Times, counted; of constant size.
#[derive(Debug)]
pub(super) struct Spread {
    buckets: Vec<u64>,
    pub(super) count: u64,
    pub(super) total: Duration,
}

impl Spread {
    fn add(&mut self, time: Duration) {
        let octaves = (time.as_secs_f64() * 1e6).max(1.0).log2();
        self.buckets[((PER_OCTAVE * octaves) as usize).min(BUCKETS - 1)] += 1;
        self.count += 1;
        self.total += time;
    }

    /// The time in seconds that a share of all stays below.
    fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(((bucket as f64 + 0.5) / PER_OCTAVE).exp2() * 1e-6)
    }
}

impl Default for Spread {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, total: Duration::ZERO }
    }
}

/// A stopwatch that can be read from elsewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopwatch(Arc<Mutex<Spread>>);

impl Stopwatch {
    fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(start.elapsed());
        result
    }

    /// Requests, and seconds in all.
    pub(super) fn total(&self) -> (u64, f64) {
        let spread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (spread.count, spread.total.as_secs_f64())
    }

    pub(super) fn cost(&self, policy: &str) -> PolicyCost {
        let (requests, secs) = self.total();
        let spread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        PolicyCost {
            policy: policy.to_owned(),
            requests,
            secs,
            median_secs: spread.quantile(0.5),
            p95_secs: spread.quantile(0.95),
        }
    }
}

/// Adds a line to `sessions.jsonl`.
pub(super) fn note(folder: &Path, session: &Session) -> Result<(), RunError> {
    let path = folder.join("sessions.jsonl");
    let mut line = serde_json::to_vec(session).map_err(|error| RunError::damaged(&path, error))?;
    line.push(b'\n');
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(&line))
        .map_err(RunError::file("write", &path))
}

/// All sessions of a run directory that came to their end.
pub(super) fn sessions(folder: &Path) -> Result<Vec<Session>, RunError> {
    let path = folder.join("sessions.jsonl");
    if !path.exists() {
        return Ok(vec![]);
    }
    let text = std::fs::read_to_string(&path).map_err(RunError::file("read", &path))?;
    // A torn line is that of a process that was killed.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// A world with a stopwatch.
pub(super) struct TimedWorld {
    pub(super) world: Box<dyn World>,
    pub(super) watch: Stopwatch,
}

impl World for TimedWorld {
    fn embodiment(&self) -> &Embodiment {
        self.world.embodiment()
    }

    fn reset(&mut self, starts: &[Start]) -> Result<Vec<PerTrial<Observation>>, InterfaceError> {
        let Self { world, watch } = self;
        watch.time(|| world.reset(starts))
    }

    fn step(
        &mut self,
        requests: &[(TrialHandle, ActionChunk)],
    ) -> Result<Vec<PerTrial<Advance>>, InterfaceError> {
        let Self { world, watch } = self;
        watch.time(|| world.step(requests))
    }

    fn close(&mut self, trials: &[TrialHandle]) {
        self.world.close(trials);
    }
}

/// A policy with a stopwatch.
pub(super) struct TimedPolicy {
    pub(super) policy: Box<dyn Policy>,
    pub(super) watch: Stopwatch,
}

impl Policy for TimedPolicy {
    fn info(&self) -> &PolicyInfo {
        self.policy.info()
    }

    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        self.policy.begin(trials)
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        let Self { policy, watch } = self;
        watch.time(|| policy.act(requests))
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        self.policy.end(trials);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_bucket() {
        let mut spread = Spread::default();
        for millis in 1..=100 {
            spread.add(Duration::from_millis(millis));
        }
        let near = |share: f64, secs: f64| {
            let found = spread.quantile(share).unwrap();
            assert!((found / secs - 1.0).abs() < 0.045, "{found} for {secs}");
        };
        near(0.5, 0.050);
        near(0.95, 0.095);
        assert_eq!(Spread::default().quantile(0.5), None);
    }
}
