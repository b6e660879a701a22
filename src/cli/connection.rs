//! Options that say how to reach policies and worlds over zenoh.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rehearse_policy_bridge::zenoh::{BridgeError, ClientOptions, Connection, Session, open};

/// How to reach policies and worlds. Without any of these options, processes of this machine find
/// each other, and nobody else does.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Endpoint to connect to, as in `tcp/192.168.0.7:7447`; may be given several times
    #[arg(long, value_name = "ENDPOINT", global = true)]
    connect: Vec<String>,
    /// Endpoint to listen on, as in `tcp/0.0.0.0:7447`; loopback only if not stated
    #[arg(long, value_name = "ENDPOINT", global = true)]
    listen: Vec<String>,
    /// A zenoh configuration file (JSON5): TLS, users, access control
    #[arg(long, value_name = "FILE", global = true)]
    zenoh: Option<PathBuf>,
    /// Send everything over the network, also to processes of this machine
    #[arg(long, global = true)]
    no_shared_memory: bool,
}

impl ConnectionArgs {
    /// Opens a session.
    ///
    /// # Errors
    /// If the configuration cannot be read, or zenoh refuses.
    pub fn open(&self) -> Result<Session, BridgeError> {
        let Self { connect, listen, zenoh, no_shared_memory } = self.clone();
        open(&Connection { config: zenoh, connect, listen, shared_memory: !no_shared_memory })
    }
}

/// How long to wait for a policy or a world.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Patience")]
pub struct PatienceArgs {
    /// Longest wait in seconds for an answer; a trial whose answer is later is void
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    deadline: f64,
    /// Longest wait in seconds for a policy or world to appear
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    patience: f64,
}

impl PatienceArgs {
    /// The options of a client.
    ///
    /// # Errors
    /// If a wait is negative or not finite.
    pub fn options(self) -> anyhow::Result<ClientOptions> {
        let seconds = |name: &str, seconds: f64| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|error| anyhow::anyhow!("--{name} {seconds}: {error}"))
        };
        let deadline = seconds("deadline", self.deadline)?;
        let defaults = ClientOptions::default();
        Ok(ClientOptions {
            deadline,
            open_deadline: deadline.max(defaults.open_deadline),
            connect_timeout: seconds("patience", self.patience)?,
            ..defaults
        })
    }
}
