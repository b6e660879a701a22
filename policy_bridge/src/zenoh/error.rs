//! Why a connection, a server or a client could not be set up.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::{Kind, Name, NameError};
use crate::wire::WireError;

/// Why a connection, a server or a client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// zenoh refused.
    #[error("zenoh failed to {what}")]
    Zenoh {
        /// What was asked of it.
        what: &'static str,
        /// Its reason.
        #[source]
        source: ::zenoh::Error,
    },
    /// A configuration file that cannot be read.
    #[error("zenoh configuration cannot be read: {}", path.display())]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A configuration file that is no JSON5.
    #[error("zenoh configuration is no JSON5: {}", path.display())]
    ParseConfig {
        /// The file.
        path: PathBuf,
        /// Why, and where.
        #[source]
        source: json5::Error,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Another server has the name.
    #[error("{kind} {name:?} is already served on this network: choose another name or stop the other server", name = name.as_str())]
    NameTaken {
        /// What is served.
        kind: Kind,
        /// The name.
        name: Name,
    },
    /// Nobody serves the name.
    #[error(
        "no {kind} {name:?} within {:.1} s; there is {}",
        waited.as_secs_f64(),
        present(there),
        name = name.as_str()
    )]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// The name.
        name: Name,
        /// How long.
        waited: Duration,
        /// Names of that kind that are there.
        there: Vec<String>,
    },
    /// The server is there but does not say what it serves.
    #[error("{kind} {name:?} did not say what it is: {reason}", name = name.as_str())]
    NoInfo {
        /// What was asked.
        kind: Kind,
        /// Its name.
        name: Name,
        /// What happened instead.
        reason: String,
    },
    /// Bytes that are not of the protocol.
    #[error("{kind} {name:?} does not keep the protocol", name = name.as_str())]
    Wire {
        /// What was read.
        kind: Kind,
        /// Its name.
        name: Name,
        /// What is wrong.
        #[source]
        source: WireError,
    },
    /// What is to be served contradicts itself.
    #[error("{kind} {name:?} cannot be served: {reason}", name = name.as_str())]
    Unfit {
        /// What was to be served.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Why.
        reason: String,
    },
    /// The operating system refused.
    #[error("failed to {what}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn present(names: &[String]) -> String {
    if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
}

impl BridgeError {
    pub(super) fn zenoh(what: &'static str) -> impl FnOnce(::zenoh::Error) -> Self {
        move |source| Self::Zenoh { what, source }
    }
}
