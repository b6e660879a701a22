//! Watching a server's liveliness token: a death notice the moment it goes.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::zenoh::liveliness::LivelinessToken;
use ::zenoh::pubsub::Subscriber;
use ::zenoh::sample::SampleKind;
use ::zenoh::{Session, Wait as _};

use super::error::BridgeError;
use super::exchange::Signal;
use super::keys::{Kind, Name, client_key, token_key};

/// Whether a server is there, since when not, and whom to tell.
pub(super) struct Watch {
    shared: Arc<Shared>,
    _subscriber: Subscriber<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    alive: bool,
    lost: Option<Instant>,
    told: Option<SyncSender<Signal>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, alive: bool) {
        let mut state = self.state();
        state.alive = alive;
        state.lost = (!alive).then(Instant::now);
        if let Some(told) = &state.told {
            // It only wakes the exchange, which then reads the state: a full channel will do too.
            drop(told.try_send(if alive { Signal::Back } else { Signal::Gone }));
        }
        drop(state);
        self.changed.notify_all();
    }
}

impl Watch {
    pub(super) fn new(session: &Session, kind: Kind, name: &Name) -> Result<Self, BridgeError> {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let subscriber = session
            .liveliness()
            .declare_subscriber(token_key(kind, name))
            .history(true)
            .callback(move |sample| told.set(sample.kind() == SampleKind::Put))
            .wait()
            .map_err(BridgeError::zenoh("watch a liveliness token"))?;
        Ok(Self { shared, _subscriber: subscriber })
    }

    /// Waits until the server is there; false if it is not within `patience`.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let state = self.shared.state();
        let waited = self.shared.changed.wait_timeout_while(state, patience, |state| !state.alive);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.alive
    }

    /// Whether the server is there and, if not, since when it has been missed.
    pub(super) fn alive(&self) -> Result<(), Instant> {
        let state = self.shared.state();
        if state.alive { Ok(()) } else { Err(state.lost.unwrap_or_else(Instant::now)) }
    }

    /// Has changes sent to `told`, from now on and until the next call.
    pub(super) fn tell(&self, told: Option<SyncSender<Signal>>) {
        self.shared.state().told = told;
    }
}

/// Declares that a client is there, for servers to free its trials when it goes.
pub(super) fn announce_client(
    session: &Session,
    client: &[u8; 16],
) -> Result<LivelinessToken, BridgeError> {
    session
        .liveliness()
        .declare_token(client_key(client))
        .wait()
        .map_err(BridgeError::zenoh("declare a liveliness token"))
}
