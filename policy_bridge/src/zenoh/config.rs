//! Opening a session: closed by default, and whatever the user's own zenoh file says.

use std::path::PathBuf;

use ::zenoh::{Config, Session, Wait as _};
use serde_json::{Value, json};

use super::error::BridgeError;

/// Where processes of one machine meet when nobody says otherwise.
pub const RENDEZVOUS: &str = "tcp/127.0.0.1:7447";

/// How to reach others. The default reaches processes of this machine, and nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// A zenoh configuration file in JSON5: TLS, users, access control, anything. What it does
    /// not state is filled in with this crate's defaults (loopback only, no multicast scouting,
    /// no admin space, capped messages).
    pub config: Option<PathBuf>,
    /// Endpoints to connect to, as `tcp/192.168.0.7:7447`. Empty: what the file says, or the
    /// [`RENDEZVOUS`].
    pub connect: Vec<String>,
    /// Endpoints to listen on. Empty: what the file says, or loopback.
    pub listen: Vec<String>,
    /// Whether large messages go through shared memory to peers of this machine. On by default.
    pub shared_memory: bool,
}

impl Default for Connection {
    fn default() -> Self {
        Self { config: None, connect: vec![], listen: vec![], shared_memory: true }
    }
}

/// Most bytes of a message on the transport: above the protocol's own limit for a payload, so
/// that a payload that is too large is refused with an answer.
const MAX_TRANSPORT_MESSAGE: u64 = 128 * 1024 * 1024;

fn defaults() -> Value {
    json!({
        "mode": "peer",
        "listen": { "endpoints": { "router": [RENDEZVOUS], "peer": ["tcp/127.0.0.1:0"] } },
        "connect": { "retry": { "period_init_ms": 100, "period_max_ms": 1000 } },
        "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": true } },
        "adminspace": { "enabled": false },
        "transport": {
            "unicast": { "max_sessions": 256 },
            "link": { "rx": { "max_message_size": MAX_TRANSPORT_MESSAGE } },
        },
    })
}

/// Opens a session.
///
/// Without a configuration file, `connect` or `listen`, the session meets the other processes of
/// this machine at the [`RENDEZVOUS`]: the first one listens there, the others connect to it and
/// find each other by gossip.
///
/// # Errors
/// [`BridgeError`] if the file cannot be read or zenoh refuses.
pub fn open(connection: &Connection) -> Result<Session, BridgeError> {
    let Connection { config, connect, listen, shared_memory } = connection;
    let mut settings = defaults();
    merge(
        &mut settings,
        &json!({
            "transport": { "shared_memory": { "enabled": shared_memory } }
        }),
    );
    let meets = config.is_none() && connect.is_empty() && listen.is_empty();
    if let Some(path) = config {
        let text = std::fs::read_to_string(path)
            .map_err(|source| BridgeError::ReadConfig { path: path.clone(), source })?;
        let stated: Value = json5::from_str(&text)
            .map_err(|source| BridgeError::ParseConfig { path: path.clone(), source })?;
        merge(&mut settings, &stated);
    }
    for (side, endpoints) in [("connect", connect), ("listen", listen)] {
        if !endpoints.is_empty() {
            settings[side]["endpoints"] = json!(endpoints);
        }
    }
    if !meets {
        return open_with(&settings);
    }
    let mut first = settings.clone();
    first["listen"]["endpoints"] = json!([RENDEZVOUS]);
    open_with(&first).or_else(|_taken| {
        settings["connect"]["endpoints"] = json!([RENDEZVOUS]);
        open_with(&settings)
    })
}

fn open_with(settings: &Value) -> Result<Session, BridgeError> {
    let config = Config::from_json5(&settings.to_string())
        .map_err(BridgeError::zenoh("read its configuration"))?;
    ::zenoh::open(config).wait().map_err(BridgeError::zenoh("open a session"))
}

/// Puts what `stated` says over `base`, object by object.
fn merge(base: &mut Value, stated: &Value) {
    match (base, stated) {
        (Value::Object(base), Value::Object(stated)) => {
            for (key, value) in stated {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, stated) => *base = stated.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_file_wins_and_what_it_leaves_open_stays_closed() {
        let mut settings = defaults();
        merge(
            &mut settings,
            &json!({
                "listen": { "endpoints": ["tls/0.0.0.0:7447"] },
                "scouting": { "gossip": { "enabled": false } },
            }),
        );
        assert_eq!(settings["listen"]["endpoints"], json!(["tls/0.0.0.0:7447"]));
        assert_eq!(settings["scouting"]["gossip"]["enabled"], json!(false));
        assert_eq!(settings["scouting"]["multicast"]["enabled"], json!(false));
        assert_eq!(settings["adminspace"]["enabled"], json!(false));
        assert!(Config::from_json5(&settings.to_string()).is_ok());
    }

    #[test]
    fn a_file_that_is_missing_or_broken_is_named() {
        let missing = Connection { config: Some("no/such.json5".into()), ..Connection::default() };
        assert!(open(&missing).unwrap_err().to_string().contains("no/such.json5"));
        let broken = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(broken.path(), "{ mode: ").unwrap();
        let broken = Connection { config: Some(broken.path().into()), ..Connection::default() };
        assert!(matches!(open(&broken), Err(BridgeError::ParseConfig { .. })));
    }
}
