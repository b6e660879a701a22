//! What a server has been asked and not yet answered: bounded, each trial in one request at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::zenoh::query::Query;
use rehearse_scenarios::interface::TrialHandle;
use rehearse_scenarios::outcome::Fault;

use super::answers::{Answer, Answers, Origin};
use super::service::{Facts, Service};
use crate::wire::{ErrorCode, ErrorReply, RequestAttachment};

/// A request that waits for the service.
pub(super) struct Job<S: Service> {
    pub(super) origin: Origin,
    /// In the order of the request.
    pub(super) trials: Vec<Entry>,
    pub(super) items: Items<S>,
    pub(super) expires: Instant,
}

/// A trial of a request.
#[derive(Clone)]
pub(super) struct Entry {
    /// The client's handle.
    pub(super) trial: TrialHandle,
    /// The service's handle, or why the trial was refused on arrival.
    pub(super) own: Result<TrialHandle, Fault>,
}

/// What a request holds, with the client's handles.
pub(super) enum Items<S: Service> {
    Open(Vec<S::Opening>),
    Ask(Vec<(TrialHandle, S::Asking)>),
}

/// A trial that is open, or about to be.
struct Slot {
    /// The handle that the service knows it by.
    own: TrialHandle,
    last: u64,
    busy: bool,
}

/// How much a server holds at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) requests: usize,
    pub(super) trials: usize,
    pub(super) answer_bytes: usize,
}

/// Repeats of one request that are answered together.
const MAX_REPEATS: usize = 8;

pub(super) struct Queue<S: Service> {
    state: Mutex<State<S>>,
    changed: Condvar,
    bounds: Bounds,
}

struct State<S: Service> {
    jobs: VecDeque<Job<S>>,
    trials: BTreeMap<([u8; 16], TrialHandle), Slot>,
    asked: BTreeMap<Origin, Vec<Query>>,
    answers: Answers,
    closing: Vec<TrialHandle>,
    next: u64,
    stopped: bool,
}

/// What the service is to do next.
pub(super) enum Work<S: Service> {
    /// Trials to close, by the service's own handles.
    Close(Vec<TrialHandle>),
    /// Requests to answer, all of one kind, at most `max_batch` trials together.
    Batch(Vec<Job<S>>),
    /// Nothing, ever again.
    Stop,
}

impl<S: Service> Queue<S> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            trials: BTreeMap::new(),
            asked: BTreeMap::new(),
            answers: Answers::new(bounds.answer_bytes),
            closing: vec![],
            next: 0,
            stopped: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), bounds }
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request needs reading at all: `Some` is its answer, or nothing to do now.
    pub(super) fn known(&self, origin: Origin, query: &Query) -> Option<Result<(), Answer>> {
        let mut state = self.state();
        if let Some(answer) = state.answers.get(origin) {
            return Some(Err(answer));
        }
        if let Some(repeats) = state.asked.get_mut(&origin) {
            if repeats.len() < MAX_REPEATS {
                repeats.push(query.clone());
            }
            return Some(Ok(()));
        }
        if state.stopped {
            return Some(Err(refusal(ErrorCode::Failed, "the server is stopping")));
        }
        if state.jobs.len() >= self.bounds.requests {
            let message = format!("{} requests are waiting already", self.bounds.requests);
            return Some(Err(refusal(ErrorCode::Busy, &message)));
        }
        None
    }

    /// Puts a request in the queue.
    ///
    /// # Errors
    /// The answer, if the request is refused.
    pub(super) fn push(
        &self,
        attachment: &RequestAttachment,
        items: Items<S>,
        query: Query,
        facts: &Facts,
    ) -> Result<(), Answer> {
        let RequestAttachment { client, request, trials, deadline_ms, .. } = attachment;
        let (client, request) = (*client, *request);
        let mut state = self.state();
        for trial in trials {
            let Some(slot) = state.trials.get(&(client, *trial)) else { continue };
            if request <= slot.last {
                return Err(refusal(
                    ErrorCode::AnswerLost,
                    "the request was answered, and the answer is no longer held",
                ));
            }
            if slot.busy {
                let message = format!("trial {} has a request in progress", trial.0);
                return Err(refusal(ErrorCode::Malformed, &message));
            }
        }
        let opening = matches!(items, Items::Open(_));
        let mut entries = Vec::with_capacity(trials.len());
        for &trial in trials {
            let own = state
                .admit((client, trial), request, opening, self.bounds.trials)
                .map_err(|reason| Fault::new(facts.kind.broken(), reason));
            entries.push(Entry { trial, own });
        }
        let origin = (client, request);
        let expires = Instant::now() + Duration::from_millis(u64::from(*deadline_ms));
        state.asked.insert(origin, vec![query]);
        state.jobs.push_back(Job { origin, trials: entries, items, expires });
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Ends trials of a client: what is queued for them is cancelled when its turn comes.
    pub(super) fn end(&self, client: [u8; 16], trials: &[TrialHandle]) {
        let mut state = self.state();
        for trial in trials {
            if let Some(slot) = state.trials.remove(&(client, *trial)) {
                state.closing.push(slot.own);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Ends all trials of a client that went away.
    pub(super) fn end_client(&self, client: [u8; 16]) {
        let mut state = self.state();
        let range = (client, TrialHandle(0))..=(client, TrialHandle(u64::MAX));
        let ended: Vec<_> = state.trials.range(range).map(|(key, slot)| (*key, slot.own)).collect();
        for (key, own) in ended {
            state.trials.remove(&key);
            state.closing.push(own);
        }
        state.answers.forget(&client);
        drop(state);
        self.changed.notify_one();
    }

    /// Lets [`Queue::next`] return [`Work::Stop`] and refuses everything from now on.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        let asked = std::mem::take(&mut state.asked);
        state.jobs.clear();
        drop(state);
        self.changed.notify_all();
        let answer = refusal(ErrorCode::Failed, "the server is stopping");
        for query in asked.into_values().flatten() {
            answer.clone().send(&query);
        }
    }

    /// Waits for work: closing first, then opening, then asking, each batched across clients.
    pub(super) fn next(&self, max_batch: usize) -> Work<S> {
        let idle = |state: &mut State<S>| {
            !state.stopped && state.closing.is_empty() && state.jobs.is_empty()
        };
        let mut state =
            self.changed.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return Work::Stop;
        }
        if !state.closing.is_empty() {
            return Work::Close(std::mem::take(&mut state.closing));
        }
        let opening = state.jobs.iter().any(|job| matches!(job.items, Items::Open(_)));
        let mut room = max_batch;
        let (batch, rest) = std::mem::take(&mut state.jobs).into_iter().partition(|job| {
            let fits = matches!(job.items, Items::Open(_)) == opening && job.trials.len() <= room;
            if fits {
                room -= job.trials.len();
            }
            fits
        });
        state.jobs = rest;
        Work::Batch(Vec::from(batch))
    }

    /// Whether a trial is still the one that the service knows as `own`.
    pub(super) fn is_open(&self, origin: Origin, trial: TrialHandle, own: TrialHandle) -> bool {
        self.state().trials.get(&(origin.0, trial)).is_some_and(|slot| slot.own == own)
    }

    /// Answers a request, holds the answer, and frees its trials for the next request, or closes
    /// those that are `over`.
    pub(super) fn answer(
        &self,
        origin: Origin,
        trials: &[Entry],
        over: impl Fn(TrialHandle) -> bool,
        answer: &Answer,
    ) {
        let mut state = self.state();
        for Entry { trial, own } in trials {
            let key = (origin.0, *trial);
            let Some(slot) = state.trials.get_mut(&key).filter(|slot| Ok(slot.own) == *own) else {
                continue;
            };
            if over(*trial) {
                let own = slot.own;
                state.trials.remove(&key);
                state.closing.push(own);
            } else {
                slot.busy = false;
            }
        }
        state.answers.hold(origin, answer.clone());
        let queries = state.asked.remove(&origin).unwrap_or_default();
        drop(state);
        for query in queries {
            answer.clone().send(&query);
        }
    }
}

impl<S: Service> State<S> {
    /// Makes a trial busy with `request`, and gives the service's handle of it.
    fn admit(
        &mut self,
        key: ([u8; 16], TrialHandle),
        request: u64,
        opening: bool,
        most: usize,
    ) -> Result<TrialHandle, &'static str> {
        let full = self.trials.len() >= most;
        match (opening, self.trials.get_mut(&key)) {
            (true, Some(_)) => Err("the trial is open already"),
            (true, None) if full => Err("the server has too many open trials"),
            (true, None) => {
                let own = TrialHandle(self.next);
                self.next += 1;
                self.trials.insert(key, Slot { own, last: request, busy: true });
                Ok(own)
            }
            (false, None) => Err("the trial is not open: the server was restarted, or gave it up"),
            (false, Some(slot)) => {
                slot.busy = true;
                slot.last = request;
                Ok(slot.own)
            }
        }
    }
}

/// An answer that refuses a request.
pub(super) fn refusal(code: ErrorCode, message: &str) -> Answer {
    Answer::refused(&ErrorReply::new(code, message))
}
