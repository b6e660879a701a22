//! Requests out, answers in: deadlines, repeats of what was never answered, and death notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ::zenoh::bytes::ZBytes;
use ::zenoh::query::{ConsolidationMode, QueryTarget, Reply};
use ::zenoh::{Session, Wait as _};
use rehearse_scenarios::interface::TrialHandle;

use super::watch::Watch;
use crate::wire::{ErrorCode, ErrorReply, ReplyAttachment, RequestAttachment, VERSION, WireError};

/// What an exchange waits for.
pub(super) enum Signal {
    /// A first reply to an attempt.
    Reply { slot: usize, attempt: u32, reply: Box<Reply> },
    /// No (further) reply will come to an attempt.
    Done { slot: usize, attempt: u32 },
    /// The server's token went.
    Gone,
    /// The server's token came.
    Back,
}

/// A request to be sent.
pub(super) struct Outgoing {
    pub(super) trials: Vec<TrialHandle>,
    pub(super) payload: ZBytes,
}

/// An answer, its attachment checked.
pub(super) struct Answer {
    pub(super) server: [u8; 16],
    pub(super) payload: ZBytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("it went away with the request in flight")]
    DiedInFlight,
    #[error("it has been away for {:.1} s", away.as_secs_f64())]
    Away { away: Duration },
    #[error("the connection failed {attempts} times")]
    NoRoute { attempts: u32 },
    #[error("no answer within {:.3} s", deadline.as_secs_f64())]
    Timeout { deadline: Duration },
    #[error("{0}")]
    Refused(ErrorReply),
    #[error("the answer does not keep the protocol: {0}")]
    Garbled(WireError),
    #[error("zenoh failed: {0}")]
    Zenoh(String),
}

/// What stays the same for all requests of an exchange.
pub(super) struct Terms<'a> {
    pub(super) session: &'a Session,
    pub(super) watch: &'a Watch,
    pub(super) key: &'a str,
    pub(super) client: [u8; 16],
    pub(super) deadline: Duration,
    pub(super) reconnect: Duration,
    pub(super) max_in_flight: usize,
}

/// Attempts to send a request whose connection went before any reply.
const MAX_ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

struct Slot {
    attachment: ZBytes,
    payload: ZBytes,
    request: u64,
    trials: Vec<TrialHandle>,
    attempt: u32,
    failures: u32,
    busy: u32,
    state: State,
    expires: Option<Instant>,
}

enum State {
    Waiting { until: Instant },
    InFlight,
    Finished(Result<Answer, ExchangeError>),
}

/// Sends requests numbered from `first_request` and waits until each has its answer or its error,
/// in the order of `outgoing`.
pub(super) fn exchange(
    terms: &Terms<'_>,
    first_request: u64,
    outgoing: Vec<Outgoing>,
) -> Vec<Result<Answer, ExchangeError>> {
    // At most two signals come of each attempt, and a slot has two attempts under way at most.
    let (sender, receiver) = sync_channel(4 * outgoing.len() + 8);
    terms.watch.tell(Some(sender.clone()));
    let now = Instant::now();
    let slots = outgoing
        .into_iter()
        .zip(first_request..)
        .map(|(Outgoing { trials, payload }, request)| Slot {
            attachment: attachment(terms, request, &trials),
            payload,
            request,
            trials,
            attempt: 0,
            failures: 0,
            busy: 0,
            state: State::Waiting { until: now },
            expires: None,
        })
        .collect();
    let mut exchange = Exchange { terms, slots, sender, receiver };
    exchange.run();
    terms.watch.tell(None);
    exchange
        .slots
        .into_iter()
        .map(|slot| match slot.state {
            State::Finished(result) => result,
            State::Waiting { .. } | State::InFlight => Err(ExchangeError::DiedInFlight),
        })
        .collect()
}

fn attachment(terms: &Terms<'_>, request: u64, trials: &[TrialHandle]) -> ZBytes {
    let deadline_ms = u32::try_from(terms.deadline.as_millis()).unwrap_or(u32::MAX);
    let trials = trials.to_vec();
    let client = terms.client;
    RequestAttachment { version: VERSION, client, request, trials, deadline_ms }.encode().into()
}

struct Exchange<'a> {
    terms: &'a Terms<'a>,
    slots: Vec<Slot>,
    sender: SyncSender<Signal>,
    receiver: Receiver<Signal>,
}

impl Exchange<'_> {
    fn run(&mut self) {
        loop {
            let now = Instant::now();
            self.expire(now);
            match self.terms.watch.alive() {
                Ok(()) => self.launch(now),
                Err(lost) => self.give_up_waiting(now, lost),
            }
            let Some(wake) = self.next_wake(now) else { return };
            match self.receiver.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(signal) => self.handle(signal),
                // The exchange holds a sender itself, so that it never disconnects.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            while let Ok(signal) = self.receiver.try_recv() {
                self.handle(signal);
            }
        }
    }

    /// When something happens by itself, or `None` once every slot is finished.
    fn next_wake(&self, now: Instant) -> Option<Instant> {
        let lost = self.terms.watch.alive().err();
        self.slots
            .iter()
            .filter_map(|slot| match slot.state {
                State::InFlight => slot.expires,
                // A slot that is due but not launched waits for room or for the server.
                State::Waiting { until } if until > now => Some(until),
                State::Waiting { .. } => {
                    Some(lost.map_or(now + LONGEST_PAUSE, |lost| lost + self.terms.reconnect))
                }
                State::Finished(_) => None,
            })
            .min()
    }

    fn expire(&mut self, now: Instant) {
        let deadline = self.terms.deadline;
        for slot in &mut self.slots {
            let running = !matches!(slot.state, State::Finished(_));
            if running && slot.expires.is_some_and(|expires| expires <= now) {
                slot.state = State::Finished(Err(ExchangeError::Timeout { deadline }));
            }
        }
    }

    fn give_up_waiting(&mut self, now: Instant, lost: Instant) {
        let away = now.saturating_duration_since(lost);
        for slot in &mut self.slots {
            match slot.state {
                State::InFlight => {
                    slot.state = State::Finished(Err(ExchangeError::DiedInFlight));
                }
                State::Waiting { .. } if away >= self.terms.reconnect => {
                    slot.state = State::Finished(Err(ExchangeError::Away { away }));
                }
                State::Waiting { .. } | State::Finished(_) => {}
            }
        }
    }

    fn launch(&mut self, now: Instant) {
        let in_flight =
            self.slots.iter().filter(|slot| matches!(slot.state, State::InFlight)).count();
        let mut room = self.terms.max_in_flight.max(1).saturating_sub(in_flight);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if room == 0 {
                break;
            }
            if matches!(slot.state, State::Waiting { until } if until <= now) {
                room -= 1;
                slot.send(index, self.terms, &self.sender, now);
            }
        }
    }

    fn handle(&mut self, signal: Signal) {
        match signal {
            Signal::Gone | Signal::Back => {}
            Signal::Reply { slot, attempt, reply } => {
                if let Some(slot) = self.current(slot, attempt) {
                    slot.answered(*reply);
                }
            }
            Signal::Done { slot, attempt } => {
                if let Some(slot) = self.current(slot, attempt) {
                    slot.unanswered();
                }
            }
        }
    }

    /// The slot, if it waits for just this attempt.
    fn current(&mut self, slot: usize, attempt: u32) -> Option<&mut Slot> {
        self.slots
            .get_mut(slot)
            .filter(|slot| slot.attempt == attempt && matches!(slot.state, State::InFlight))
    }
}

impl Slot {
    fn send(&mut self, index: usize, terms: &Terms<'_>, sender: &SyncSender<Signal>, now: Instant) {
        self.attempt += 1;
        let expires = *self.expires.get_or_insert(now + terms.deadline);
        let ticket = Ticket {
            slot: index,
            attempt: self.attempt,
            sender: sender.clone(),
            answered: AtomicBool::new(false),
        };
        let sent = terms
            .session
            .get(terms.key)
            .payload(self.payload.clone())
            .attachment(self.attachment.clone())
            .target(QueryTarget::BestMatching)
            .consolidation(ConsolidationMode::None)
            // The exchange keeps the deadline itself; zenoh only cleans up after it.
            .timeout(expires.saturating_duration_since(now) + Duration::from_secs(1))
            .callback(move |reply| ticket.forward(reply))
            .wait();
        self.state = match sent {
            Ok(()) => State::InFlight,
            Err(error) => State::Finished(Err(ExchangeError::Zenoh(error.to_string()))),
        };
    }

    fn answered(&mut self, reply: Reply) {
        let result = match reply.into_result() {
            Ok(sample) => {
                let (payload, attachment) =
                    (sample.payload().clone(), sample.attachment().cloned());
                self.check(payload, attachment).map_err(ExchangeError::Garbled)
            }
            Err(error) => match ErrorReply::decode(&error.payload().to_bytes()) {
                Ok(ErrorReply { code: ErrorCode::Busy, .. }) => {
                    self.busy += 1;
                    self.state = State::Waiting { until: Instant::now() + pause(self.busy) };
                    return;
                }
                Ok(refusal) => Err(ExchangeError::Refused(refusal)),
                // zenoh's own errors are text; its time-out comes after ours.
                Err(_) => Err(ExchangeError::Zenoh(
                    String::from_utf8_lossy(&error.payload().to_bytes()).into_owned(),
                )),
            },
        };
        self.state = State::Finished(result);
    }

    fn check(&self, payload: ZBytes, attachment: Option<ZBytes>) -> Result<Answer, WireError> {
        let attachment =
            attachment.ok_or_else(|| WireError::Missing { field: "attachment".to_owned() })?;
        let attachment = ReplyAttachment::decode(&attachment.to_bytes())?;
        let ReplyAttachment { version, server, request, trials } = attachment;
        if version != VERSION {
            return Err(WireError::field("version", VERSION.to_string(), version.to_string()));
        }
        if request != self.request {
            return Err(WireError::field("request", self.request.to_string(), request.to_string()));
        }
        if trials != self.trials {
            return Err(WireError::field("trials", "the trials asked for", "other trials"));
        }
        Ok(Answer { server, payload })
    }

    fn unanswered(&mut self) {
        self.failures += 1;
        self.state = if self.failures >= MAX_ATTEMPTS {
            State::Finished(Err(ExchangeError::NoRoute { attempts: self.failures }))
        } else {
            State::Waiting { until: Instant::now() + pause(self.failures) }
        };
    }
}

fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(10).saturating_sub(1)).min(LONGEST_PAUSE)
}

/// Passes on the first reply to an attempt and, when zenoh drops the callback, its end. Further
/// replies are dropped here, so that a server that answers without end fills no memory.
struct Ticket {
    slot: usize,
    attempt: u32,
    sender: SyncSender<Signal>,
    answered: AtomicBool,
}

impl Ticket {
    fn forward(&self, reply: Reply) {
        if !self.answered.swap(true, Ordering::Relaxed) {
            let (slot, attempt, reply) = (self.slot, self.attempt, Box::new(reply));
            // The exchange may be over: then nobody wants the reply any more.
            drop(self.sender.send(Signal::Reply { slot, attempt, reply }));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (slot, attempt) = (self.slot, self.attempt);
        drop(self.sender.send(Signal::Done { slot, attempt }));
    }
}
