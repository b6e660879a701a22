//! Who is there.

use std::time::Duration;

use ::zenoh::{Session, Wait as _};

use super::error::BridgeError;
use super::keys::{Kind, Name};

/// A policy or a world that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
}

/// All policies and worlds that are there, in order.
///
/// `timeout` bounds the wait for those who do not answer; the list comes as soon as all have.
///
/// # Errors
/// [`BridgeError::Zenoh`] if the session is closed.
pub fn peers(session: &Session, timeout: Duration) -> Result<Vec<Peer>, BridgeError> {
    let mut found = vec![];
    for kind in Kind::ALL {
        let prefix = format!("rehearse/v1/alive/{kind}/");
        let tokens = session
            .liveliness()
            .get(format!("{prefix}*"))
            .timeout(timeout)
            .wait()
            .map_err(BridgeError::zenoh("ask who is there"))?;
        while let Ok(reply) = tokens.recv() {
            let Ok(sample) = reply.result() else { continue };
            let name = sample.key_expr().as_str().strip_prefix(&prefix).map(Name::new);
            if let Some(Ok(name)) = name {
                found.push(Peer { kind, name });
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}
