//! A client's side of one server: its id, its trials, its request numbers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ::zenoh::liveliness::LivelinessToken;
use ::zenoh::{Session, Wait as _};
use rehearse_scenarios::interface::{InterfaceError, TrialHandle};
use rehearse_scenarios::outcome::Fault;

use super::client::ClientOptions;
use super::discovery::peers;
use super::error::BridgeError;
use super::exchange::{Answer, ExchangeError, Outgoing, Terms, exchange};
use super::keys::{Kind, Name, Operation, operation_key, random_id};
use super::watch::{Watch, announce_client};
use crate::wire::{
    ErrorCode, ErrorReply, Limits, RequestAttachment, VERSION, WireError, policy::encode_end,
};

/// A client's side of one server.
pub(super) struct Link {
    session: Session,
    kind: Kind,
    name: Name,
    client: [u8; 16],
    watch: Watch,
    next_request: u64,
    open: BTreeSet<TrialHandle>,
    pub(super) options: ClientOptions,
    _token: LivelinessToken,
}

/// What a server says of itself, as bytes, and how long it took.
pub(super) struct Info {
    pub(super) payload: Vec<u8>,
    pub(super) round_trip: Duration,
}

impl Link {
    pub(super) fn connect(
        session: &Session,
        kind: Kind,
        name: &Name,
        options: ClientOptions,
    ) -> Result<Self, BridgeError> {
        let client = random_id()?;
        let token = announce_client(session, &client)?;
        let watch = Watch::new(session, kind, name)?;
        if !watch.wait(options.connect_timeout) {
            let there = peers(session, Duration::from_secs(1))?
                .into_iter()
                .filter(|peer| peer.kind == kind)
                .map(|peer| peer.name.to_string())
                .collect();
            let waited = options.connect_timeout;
            return Err(BridgeError::NotFound { kind, name: name.clone(), waited, there });
        }
        Ok(Self {
            session: session.clone(),
            kind,
            name: name.clone(),
            client,
            watch,
            next_request: 1,
            open: BTreeSet::new(),
            options,
            _token: token,
        })
    }

    /// Asks the server what it is.
    pub(super) fn info(&self) -> Result<Info, BridgeError> {
        info(&self.session, self.kind, &self.name, self.options.connect_timeout)
    }

    /// Reads what `decode` makes of bytes that the server sent.
    pub(super) fn read<T>(
        &self,
        bytes: &[u8],
        decode: impl FnOnce(&[u8], &Limits) -> Result<T, WireError>,
    ) -> Result<T, BridgeError> {
        decode(bytes, &self.options.limits).map_err(|source| BridgeError::Wire {
            kind: self.kind,
            name: self.name.clone(),
            source,
        })
    }

    /// Sends requests and waits for all of their answers.
    pub(super) fn exchange(
        &mut self,
        operation: Operation,
        outgoing: Vec<Outgoing>,
    ) -> Vec<Result<Answer, ExchangeError>> {
        let first_request = self.next_request;
        self.next_request += outgoing.len() as u64;
        let ClientOptions { deadline, open_deadline, reconnect, max_in_flight, .. } = self.options;
        let terms = Terms {
            session: &self.session,
            watch: &self.watch,
            key: &operation_key(self.kind, &self.name, operation),
            client: self.client,
            deadline: if operation == Operation::Open { open_deadline } else { deadline },
            reconnect,
            max_in_flight,
        };
        exchange(&terms, first_request, outgoing)
    }

    /// Marks trials as open.
    ///
    /// # Errors
    /// [`InterfaceError::DuplicateTrial`] if one is open or appears twice; none is opened then.
    pub(super) fn open_trials(
        &mut self,
        trials: impl Iterator<Item = TrialHandle> + Clone,
    ) -> Result<(), InterfaceError> {
        let mut new = BTreeSet::new();
        for trial in trials.clone() {
            if self.open.contains(&trial) || !new.insert(trial) {
                return Err(InterfaceError::DuplicateTrial { trial });
            }
        }
        self.open.extend(trials);
        Ok(())
    }

    /// Checks that trials are open and none appears twice.
    pub(super) fn check_open(
        &self,
        trials: impl Iterator<Item = TrialHandle>,
    ) -> Result<(), InterfaceError> {
        let mut seen = BTreeSet::new();
        for trial in trials {
            if !self.open.contains(&trial) {
                return Err(InterfaceError::UnknownTrial { trial });
            }
            if !seen.insert(trial) {
                return Err(InterfaceError::DuplicateTrial { trial });
            }
        }
        Ok(())
    }

    /// Ends trials here and on the server, without waiting for it.
    pub(super) fn end(&mut self, trials: &[TrialHandle]) {
        let ended: Vec<_> =
            trials.iter().copied().filter(|trial| self.open.remove(trial)).collect();
        if ended.is_empty() || self.watch.alive().is_err() {
            return;
        }
        let request = self.next_request;
        self.next_request += 1;
        let payload = encode_end(&ended);
        let attachment = RequestAttachment {
            version: VERSION,
            client: self.client,
            request,
            trials: ended,
            deadline_ms: 1_000,
        };
        let sent = self
            .session
            .get(operation_key(self.kind, &self.name, Operation::End))
            .payload(payload)
            .attachment(attachment.encode())
            .timeout(Duration::from_secs(1))
            .callback(drop)
            .wait();
        if let Err(error) = sent {
            // The server frees what this client held when the client's token goes, at the latest.
            tracing::debug!("ending trials of {} {}: {error}", self.kind, self.name);
        }
    }

    /// What voids a trial whose request failed.
    pub(super) fn fault(&self, error: &ExchangeError) -> Fault {
        let timeout = match error {
            ExchangeError::Timeout { .. } => true,
            ExchangeError::Refused(ErrorReply { code, .. }) => *code == ErrorCode::Deadline,
            ExchangeError::DiedInFlight
            | ExchangeError::Away { .. }
            | ExchangeError::NoRoute { .. }
            | ExchangeError::Garbled(_)
            | ExchangeError::Zenoh(_) => false,
        };
        let kind = if timeout { self.kind.late() } else { self.kind.broken() };
        Fault::new(kind, format!("{} {}: {error}", self.kind, self.name))
    }

    /// What voids a trial for a reason that is not the connection's.
    pub(super) fn broken(&self, message: &str) -> Fault {
        Fault::new(self.kind.broken(), format!("{} {}: {message}", self.kind, self.name))
    }

    /// The batch as a whole cannot be served.
    pub(super) fn failed(&self, message: impl Into<String>) -> InterfaceError {
        InterfaceError::Failed {
            side: format!("{} {}", self.kind, self.name),
            message: message.into(),
            source: None,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let open: Vec<_> = self.open.iter().copied().collect();
        self.end(&open);
    }
}

/// Asks a server what it is.
pub(super) fn info(
    session: &Session,
    kind: Kind,
    name: &Name,
    timeout: Duration,
) -> Result<Info, BridgeError> {
    let asked = Instant::now();
    let replies = session
        .get(operation_key(kind, name, Operation::Info))
        .timeout(timeout)
        .wait()
        .map_err(BridgeError::zenoh("ask for info"))?;
    let no_info = |reason: String| BridgeError::NoInfo { kind, name: name.clone(), reason };
    let reply = replies
        .recv()
        .map_err(|_closed| no_info(format!("no answer within {:.1} s", timeout.as_secs_f64())))?;
    let round_trip = asked.elapsed();
    match reply.into_result() {
        Ok(sample) => Ok(Info { payload: sample.payload().to_bytes().into_owned(), round_trip }),
        Err(error) => {
            let bytes = error.payload().to_bytes();
            Err(no_info(match ErrorReply::decode(&bytes) {
                Ok(refusal) => refusal.to_string(),
                Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
            }))
        }
    }
}
