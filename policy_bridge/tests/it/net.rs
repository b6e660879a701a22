//! Sessions of their own for each test: a port that the system chooses, loopback only.

use rehearse_policy_bridge::zenoh::{Connection, Name, Server, ServerOptions, Session, open};
use rehearse_scenarios::interface::Policy;
use zenoh::Wait as _;

/// A session that listens on a port of its own.
pub fn listening(shared_memory: bool) -> (Session, String) {
    let listen = vec!["tcp/127.0.0.1:0".to_owned()];
    let session =
        open(&Connection { listen, shared_memory, ..Connection::default() }).expect("listen");
    let locators = session.info().locators().wait();
    let locator = locators.first().expect("a session that listens has a locator").to_string();
    (session, locator)
}

/// A session that is connected to `locator`, and listens nowhere of note.
pub fn connected(locator: &str, shared_memory: bool) -> Session {
    let connect = vec![locator.to_owned()];
    open(&Connection { connect, shared_memory, ..Connection::default() }).expect("connect")
}

/// Two sessions that see each other.
pub fn pair() -> (Session, Session) {
    let (server, locator) = listening(false);
    (server, connected(&locator, false))
}

pub fn name(name: &str) -> Name {
    Name::new(name).expect("a test's name")
}

pub fn serve_policy(session: &Session, at: &str, policy: impl Policy + 'static) -> Server {
    let options = ServerOptions::named(name(at));
    Server::policy(session, Box::new(policy), options).expect("serve")
}
