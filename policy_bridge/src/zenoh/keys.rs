//! Names, and the keys made of them.

use std::fmt;

use rehearse_scenarios::outcome::FaultKind;

/// What is served under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A policy.
    Policy,
    /// A world.
    World,
    /// A judge.
    Judge,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Policy, Self::World, Self::Judge];

    /// `policy`, `world` or `judge`, as in keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::World => "world",
            Self::Judge => "judge",
        }
    }

    /// What voids a trial that such a server fails.
    pub(super) const fn broken(self) -> FaultKind {
        match self {
            Self::Policy => FaultKind::PolicyCrashed,
            Self::World => FaultKind::WorldBroke,
            Self::Judge => FaultKind::JudgeBroke,
        }
    }

    /// What voids a trial that such a server does not answer in time.
    pub(super) const fn late(self) -> FaultKind {
        match self {
            Self::Policy => FaultKind::PolicyTimeout,
            Self::World => FaultKind::WorldTimeout,
            Self::Judge => FaultKind::JudgeBroke,
        }
    }

    /// The word in keys for `operation`.
    pub(super) const fn word(self, operation: Operation) -> &'static str {
        match (self, operation) {
            (_, Operation::Info) => "info",
            (Self::Policy | Self::Judge, Operation::Open) => "begin",
            (Self::Policy, Operation::Ask) => "act",
            (Self::Judge, Operation::Ask) => "judge",
            (Self::Policy | Self::Judge, Operation::End) => "end",
            (Self::World, Operation::Open) => "reset",
            (Self::World, Operation::Ask) => "step",
            (Self::World, Operation::End) => "close",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can be asked of a server; the words differ by [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Info,
    Open,
    Ask,
    End,
}

impl Operation {
    pub(super) const ALL: [Self; 4] = [Self::Info, Self::Open, Self::Ask, Self::End];
}

/// A name under which a policy, world or judge is served: 1 to 64 characters out of `A-Z a-z 0-9 . _ -`,
/// the first a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A name that cannot be a part of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no name: 1 to 64 characters out of A-Z a-z 0-9 . _ -, the first a letter or a digit"
)]
pub struct NameError {
    /// What was given.
    pub name: String,
}

impl Name {
    /// Checks a name.
    ///
    /// ```
    /// use rehearse_policy_bridge::zenoh::Name;
    ///
    /// assert!(Name::new("pi0-droid_2.1").is_ok());
    /// assert!(Name::new("a/b").is_err() && Name::new("*").is_err() && Name::new("").is_err());
    /// ```
    ///
    /// # Errors
    /// [`NameError`] with what was given.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        let fits = (1..=64).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if fits { Ok(Self(name)) } else { Err(NameError { name }) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Key of an operation of a server.
pub(super) fn operation_key(kind: Kind, name: &Name, operation: Operation) -> String {
    format!("rehearse/v1/{kind}/{name}/{}", kind.word(operation))
}

/// Key of a server's liveliness token.
pub(super) fn token_key(kind: Kind, name: &Name) -> String {
    format!("rehearse/v1/alive/{kind}/{name}")
}

/// Key of a client's liveliness token.
pub(super) fn client_key(client: &[u8; 16]) -> String {
    format!("{CLIENT_KEYS}{:032x}", u128::from_be_bytes(*client))
}

/// Key that a run publishes its events at.
pub(super) fn run_key(run: &str) -> String {
    format!("rehearse/v1/run/{run}/events")
}

/// What all clients' tokens begin with.
pub(super) const CLIENT_KEYS: &str = "rehearse/v1/alive/client/";

/// The client whose token has the key `key`.
pub(super) fn client_from_key(key: &str) -> Option<[u8; 16]> {
    let hex = key.strip_prefix(CLIENT_KEYS).filter(|hex| hex.len() == 32)?;
    u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes)
}

/// Sixteen bytes from the operating system's source of randomness: who is who, never a draw that
/// a result depends on.
pub(super) fn random_id() -> Result<[u8; 16], super::error::BridgeError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| super::error::BridgeError::System {
        what: "draw an id",
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_the_protocol_states_them() {
        let name = Name::new("full").unwrap();
        assert_eq!(
            operation_key(Kind::Policy, &name, Operation::Ask),
            "rehearse/v1/policy/full/act"
        );
        assert_eq!(
            operation_key(Kind::World, &name, Operation::End),
            "rehearse/v1/world/full/close"
        );
        assert_eq!(
            operation_key(Kind::Judge, &name, Operation::Ask),
            "rehearse/v1/judge/full/judge"
        );
        assert_eq!(token_key(Kind::World, &name), "rehearse/v1/alive/world/full");
        assert_eq!(run_key("metaworld-4"), "rehearse/v1/run/metaworld-4/events");
        let client = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];
        let key = client_key(&client);
        assert_eq!(key, "rehearse/v1/alive/client/000102030405060708090a0b0c0d0eff");
        assert_eq!(client_from_key(&key), Some(client));
        assert_eq!(client_from_key("rehearse/v1/alive/client/xyz"), None);
    }
}
