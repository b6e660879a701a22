//! The driver's side of one lane: what its policy is to be asked, and how its trials came out.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rehearse_scenarios::census::{Census, Relation};
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{PolicyInfo, TrialHandle};
use rehearse_scenarios::outcome::Fault;

use super::error::LoopError;
use super::latency::{Latency, StaleActions};
use super::projection::Projection;
use super::trial::{Lane, Trial};
use super::worker::{Report, Work, work};

/// The driver's side of one lane.
pub(super) struct Line {
    pub(super) info: PolicyInfo,
    pub(super) projection: Projection,
    pub(super) execute: usize,
    pub(super) latency: Latency,
    pub(super) delay_steps: usize,
    pub(super) census: Census,
    /// What waits to be asked.
    pub(super) waiting: Work,
    /// Trials in flight.
    pub(super) open: usize,
    /// Why the policy is asked nothing more.
    pub(super) dead: Option<Fault>,
    trials: std::iter::Peekable<Box<dyn Iterator<Item = Trial> + Send>>,
    taken: u64,
    in_flight: usize,
    patience: Option<Duration>,
    asked: Option<Instant>,
    orders: SyncSender<Work>,
    thread: JoinHandle<()>,
}

/// Most trials of a lane in flight where the user does not say.
const MOST_IN_FLIGHT: usize = 128;

impl Line {
    /// Checks a lane against the world and starts its thread.
    ///
    /// # Errors
    /// [`LoopError`] if the policy does not fit the world, or a setting cannot be.
    pub(super) fn start(
        index: usize,
        lane: Lane,
        world: &Embodiment,
        reports: &SyncSender<Report>,
    ) -> Result<Self, LoopError> {
        let Lane { policy, trials, execute, latency, in_flight, batch, patience } = lane;
        let info = policy.info().clone();
        let name = info.name.clone();
        let setting = |setting, expected: &str, got: String| LoopError::Setting {
            setting,
            policy: name.clone(),
            expected: expected.to_owned(),
            got,
        };
        if execute == 0 {
            return Err(setting("execute", "at least 1", "0".to_owned()));
        }
        let delay_steps = latency.steps(world.rate);
        if latency.stale == StaleActions::Drop && delay_steps >= info.chunk {
            let expected = format!("below the {} steps of a chunk", info.chunk);
            return Err(setting("latency_ms", &expected, format!("{delay_steps} steps")));
        }
        let other = format!("policy {:?}", info.name);
        let census = Census::compare("world", world, other, &info.embodiment, Relation::Uses);
        census.check()?;
        let in_flight = match (info.max_batch, in_flight) {
            // It may hold the state of the one trial that is on.
            (1, _) => 1,
            (_, Some(most)) => most,
            (batch, None) => batch.saturating_mul(2).min(MOST_IN_FLIGHT),
        };
        let projection = Projection::new(world, &info.embodiment);
        let (orders, inbox) = sync_channel(1);
        let batch = batch.unwrap_or(info.max_batch).max(1);
        let thread = spawn(index, batch, policy, inbox, reports.clone())
            .map_err(|source| LoopError::Thread { policy: name.clone(), source })?;
        Ok(Self {
            info,
            projection,
            execute,
            latency,
            delay_steps,
            census,
            waiting: Work::default(),
            open: 0,
            dead: None,
            trials: trials.peekable(),
            taken: 0,
            in_flight: in_flight.max(1),
            patience,
            asked: None,
            orders,
            thread,
        })
    }

    /// The next trial, with its handle, if there is room for one more in flight.
    pub(super) fn next_trial(&mut self, lane: usize) -> Option<(TrialHandle, Trial)> {
        if self.open >= self.in_flight {
            return None;
        }
        let trial = self.trials.next()?;
        // The same trial has the same handle however lanes interleave.
        let handle = TrialHandle((lane as u64) << 40 | self.taken);
        self.taken += 1;
        Some((handle, trial))
    }

    /// Whether every trial was taken.
    pub(super) fn is_exhausted(&mut self) -> bool {
        self.trials.peek().is_none()
    }

    /// Hands what waits to the policy if it is idle.
    pub(super) fn dispatch(&mut self) {
        if self.asked.is_some() || self.dead.is_some() || self.waiting.is_empty() {
            return;
        }
        // The thread takes the next order as soon as it has reported to be idle, so this does
        // not block; a thread that ended has reported why.
        if self.orders.try_send(std::mem::take(&mut self.waiting)).is_ok() {
            self.asked = Some(Instant::now());
        }
    }

    /// Takes note that the policy answers: its patience starts anew.
    pub(super) fn heard(&mut self) {
        self.asked = Some(Instant::now());
    }

    pub(super) fn idle(&mut self) {
        self.asked = None;
    }

    /// When the policy counts as hung, if it is being asked.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.asked
            .filter(|_| self.dead.is_none())
            .zip(self.patience)
            .map(|(asked, patience)| asked + patience)
    }

    /// Lets the thread go: it ends once its policy has answered. A dead policy is not waited for.
    pub(super) fn finish(self) {
        let Self { waiting, dead, orders, thread, .. } = self;
        if dead.is_none() && !waiting.end.is_empty() {
            // The thread may have ended: then there is nothing left to end.
            drop(orders.send(Work { end: waiting.end, ..Work::default() }));
        }
        drop(orders);
        if dead.is_none() {
            // Panics of the policy are caught in the thread.
            drop(thread.join());
        }
    }
}

fn spawn(
    index: usize,
    batch: usize,
    policy: Box<dyn rehearse_scenarios::interface::Policy>,
    orders: Receiver<Work>,
    reports: SyncSender<Report>,
) -> std::io::Result<JoinHandle<()>> {
    let name = format!("policy {}", policy.info().name);
    std::thread::Builder::new()
        .name(name)
        .spawn(move || work(index, batch, policy, &orders, &reports))
}
