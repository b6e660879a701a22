//! A websocket connection per trial.
//!
//! So what a server remembers per connection stays apart, and requests of several trials wait
//! side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use rehearse_scenarios::interface::TrialHandle;
use rehearse_scenarios::outcome::Fault;
use tungstenite::Bytes;

use super::manifest::Manifest;
use super::websocket::{Broken, Connection, Frame};

/// Who speaks first on a new connection.
#[derive(Clone, Debug)]
pub(super) enum Greeting {
    /// The server, of itself.
    ServerSpeaks,
    /// The client, with this; the server answers.
    ClientSays(Bytes),
}

/// The connections of the trials that are on.
pub(super) struct Sessions {
    url: String,
    timeout: Duration,
    greeting: Greeting,
    reopens: bool,
    open: BTreeMap<TrialHandle, Session>,
}

struct Session {
    connection: Option<Connection>,
    /// What is said on every new connection of the trial.
    opening: Option<Bytes>,
}

impl Sessions {
    /// No connection yet. `reopens` says whether a trial may go on over another connection than
    /// it began with.
    pub fn new(url: &str, manifest: &Manifest, greeting: Greeting, reopens: bool) -> Self {
        Self {
            url: url.to_owned(),
            timeout: Duration::from_millis(manifest.server.timeout_ms),
            greeting,
            reopens,
            open: BTreeMap::new(),
        }
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connects for a moment and returns what the server says.
    pub fn greeting(&self) -> Result<Bytes, Broken> {
        self.connect(None).map(|(_connection, greeting)| greeting)
    }

    /// Connects for a trial; `opening` is said on every connection that it will have.
    pub fn begin(&mut self, trial: TrialHandle, opening: Option<Bytes>) -> Result<(), Fault> {
        let (connection, _greeting) =
            self.connect(opening.clone()).map_err(|broken| broken.fault(&self.url))?;
        self.open.insert(trial, Session { connection: Some(connection), opening });
        Ok(())
    }

    /// Sends a message without an answer, if the connection is there.
    pub fn tell(&mut self, trial: TrialHandle, message: Bytes) {
        let session = self.open.get_mut(&trial);
        if let Some(connection) = session.and_then(|session| session.connection.as_mut())
            && let Err(broken) = connection.send(message)
        {
            tracing::debug!(url = self.url, %broken, "a last word was not heard");
        }
    }

    /// Sends a message for each trial and then waits for each answer.
    ///
    /// A connection that went without a word is opened anew and asked again, once, where a trial
    /// may: an idle server may have closed it while the request was on its way.
    pub fn exchange(&mut self, messages: Vec<(TrialHandle, Bytes)>) -> Vec<Result<Frame, Fault>> {
        let sent: Vec<_> = messages
            .into_iter()
            .map(|(trial, message)| {
                let sent = self.send(trial, message.clone());
                (trial, message, sent)
            })
            .collect();
        sent.into_iter()
            .map(|(trial, message, sent)| {
                let mut answer = sent.and_then(|()| self.receive(trial));
                if self.reopens && matches!(answer, Err(Broken::Gone(_))) {
                    self.close(trial);
                    answer = self.send(trial, message).and_then(|()| self.receive(trial));
                }
                answer.map_err(|broken| {
                    // Whatever comes now is not for the next request.
                    self.close(trial);
                    broken.fault(&self.url)
                })
            })
            .collect()
    }

    /// Closes a trial's connection; the trial stays.
    pub fn close(&mut self, trial: TrialHandle) {
        if let Some(session) = self.open.get_mut(&trial) {
            session.connection = None;
        }
    }

    /// Forgets a trial.
    pub fn end(&mut self, trial: TrialHandle) {
        self.open.remove(&trial);
    }

    fn connect(&self, opening: Option<Bytes>) -> Result<(Connection, Bytes), Broken> {
        let mut connection = Connection::open(&self.url, self.timeout)?;
        if let Greeting::ClientSays(words) = &self.greeting {
            connection.send(words.clone())?;
        }
        let greeting = match connection.receive()? {
            Frame::Binary(greeting) => greeting,
            Frame::Text(text) => {
                let text: String = text.chars().take(500).collect();
                return Err(Broken::Gone(format!("it greets with a text: {text}")));
            }
        };
        if let Some(opening) = opening {
            connection.send(opening)?;
        }
        Ok((connection, greeting))
    }

    fn send(&mut self, trial: TrialHandle, message: Bytes) -> Result<(), Broken> {
        let Some(session) = self.open.get_mut(&trial) else {
            return Err(Broken::Gone("the trial has no session".to_owned()));
        };
        let opening = session.opening.clone();
        let idle = session.connection.take().and_then(Connection::unless_stale);
        let mut connection = match idle {
            Some(connection) => connection,
            None if self.reopens => self.connect(opening)?.0,
            None => {
                return Err(Broken::Gone(
                    "it closed the connection that held the trial's state".to_owned(),
                ));
            }
        };
        let sent = connection.send(message);
        if let Some(session) = self.open.get_mut(&trial) {
            session.connection = Some(connection);
        }
        sent
    }

    fn receive(&mut self, trial: TrialHandle) -> Result<Frame, Broken> {
        let session = self.open.get_mut(&trial);
        session
            .and_then(|session| session.connection.as_mut())
            .map_or_else(|| Err(Broken::Gone("no connection".to_owned())), Connection::receive)
    }
}
