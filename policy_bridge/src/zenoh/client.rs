//! How a client behaves towards its server.

use std::time::Duration;

use crate::wire::{ImageForm, Limits};

/// How a client behaves towards its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Longest wait for an answer to `act` or `step`, from the moment it is sent. Too short makes
    /// slow answers void; too long makes a hung server cost that much per trial in flight.
    /// Default 30 s.
    pub deadline: Duration,
    /// Longest wait for an answer to `begin` or `reset`. Default 60 s: a first inference compiles,
    /// a simulator loads its scene.
    pub open_deadline: Duration,
    /// Longest wait for the server to appear when connecting. Default 5 s.
    pub connect_timeout: Duration,
    /// Longest wait for a lost server to come back before what is asked of it fails. What was in
    /// flight when it went fails at once. Default 2 s.
    pub reconnect: Duration,
    /// Most requests in flight at once; further ones wait. Default 16.
    pub max_in_flight: usize,
    /// How images are written. Raw by default; JPEG loses detail and so may change results.
    pub images: ImageForm,
    /// Bounds on what an answer may hold.
    pub limits: Limits,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            open_deadline: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(5),
            reconnect: Duration::from_secs(2),
            max_in_flight: 16,
            images: ImageForm::Raw,
            limits: Limits::default(),
        }
    }
}
