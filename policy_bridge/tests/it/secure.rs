//! The worked example of a secured bridge: who has no credentials gets nothing in or out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rehearse_policy_bridge::zenoh::{
    BridgeError, ClientOptions, Connection, RemotePolicy, Server, ServerOptions, Session, open,
    peers,
};
use rehearse_scenarios::interface::{Begin, Policy as _, TrialHandle};
use rehearse_scenarios::local::NoisePolicy;
use rehearse_scenarios::seed::Seed;
use zenoh::Wait as _;

use crate::net::{name, serve_policy};
use crate::toy::info;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/secure_bridge");

/// A folder with the example's files, as its README says to set it up: certificates and
/// passwords made, paths filled in.
struct Setup {
    folder: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = {
            let mut params = CertificateParams::new(vec![]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let write =
            |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        write("ca.pem", &authority.pem());
        write("server.pem", &server.pem());
        write("server.key", &key.serialize_pem());
        write("users.txt", "runner:correct-horse\nlab:battery-staple\n");
        Self { folder }
    }

    /// The example's file with its placeholders filled in.
    fn config(&self, file: &str, fill: &[(&str, &str)]) -> PathBuf {
        let mut text = std::fs::read_to_string(Path::new(EXAMPLE).join(file)).unwrap();
        text = text.replace("/etc/rehearse", self.folder.path().to_str().unwrap());
        for (from, to) in fill {
            assert!(text.contains(from), "{file} has no {from}");
            text = text.replace(from, to);
        }
        let path = self.folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn server(&self) -> (Session, String) {
        let config = self.config("server.json5", &[("tls/0.0.0.0:7447", "tls/127.0.0.1:0")]);
        let session = open(&Connection { config: Some(config), ..Connection::default() }).unwrap();
        let locators = session.info().locators().wait();
        let port = locators[0].address().as_str().rsplit(':').next().unwrap().to_owned();
        (session, format!("localhost:{port}"))
    }

    fn client(&self, address: &str, fill: &[(&str, &str)]) -> Result<Session, BridgeError> {
        let mut fill = fill.to_vec();
        fill.push(("policy-host:7447", address));
        let config = self.config("client.json5", &fill);
        open(&Connection { config: Some(config), ..Connection::default() })
    }
}

fn hasty() -> ClientOptions {
    ClientOptions { connect_timeout: Duration::from_secs(1), ..ClientOptions::default() }
}

fn patient() -> ClientOptions {
    ClientOptions { connect_timeout: Duration::from_secs(30), ..ClientOptions::default() }
}

#[test]
fn who_has_the_password_and_the_certificate_gets_in() {
    let setup = Setup::new();
    let (here, address) = setup.server();
    let _server = serve_policy(&here, "full", NoisePolicy::new(info("full", 4, 2)).unwrap());
    let there = setup.client(&address, &[]).unwrap();
    let mut policy = RemotePolicy::connect(&there, &name("full"), patient()).unwrap();
    let begin = Begin { trial: TrialHandle(1), instruction: "go".into(), seed: Seed::root(1) };
    assert!(policy.begin(&[begin]).unwrap()[0].is_ok());
}

#[test]
fn who_lacks_credentials_gets_nothing_in_or_out() {
    let setup = Setup::new();
    let (here, address) = setup.server();
    let _server = serve_policy(&here, "full", NoisePolicy::new(info("full", 4, 2)).unwrap());
    let plain = || {
        let connect = vec![format!("tls/{address}")];
        open(&Connection { connect, ..Connection::default() })
    };
    let intruders: [(&str, Result<Session, BridgeError>); 3] = [
        ("a wrong password", setup.client(&address, &[("correct-horse", "wrong-horse")])),
        ("no certificate authority and no password", plain()),
        ("an unknown user", setup.client(&address, &[("\"runner\"", "\"nobody\"")])),
    ];
    for (who, session) in intruders {
        // A session that cannot connect may open all the same; it is alone then.
        let Ok(session) = session else { continue };
        assert!(peers(&session, Duration::from_secs(1)).unwrap().is_empty(), "{who} saw a name");
        let reached = RemotePolicy::connect(&session, &name("full"), hasty());
        assert!(matches!(reached, Err(BridgeError::NotFound { .. })), "{who} got an answer");
        // Nor can it serve anything that others would see.
        let policy = Box::new(NoisePolicy::new(info("trap", 4, 2)).unwrap());
        let _trap = Server::policy(&session, policy, ServerOptions::named(name("trap")));
        let seen = peers(&here, Duration::from_secs(1)).unwrap();
        assert!(seen.iter().all(|peer| peer.name != name("trap")), "{who} got a name in");
    }
}

#[test]
fn a_user_may_do_what_the_list_says_and_no_more() {
    let setup = Setup::new();
    let (here, address) = setup.server();
    let _server = serve_policy(&here, "full", NoisePolicy::new(info("full", 4, 2)).unwrap());
    // `runner` may ask policies; it may not offer one in the lab's name.
    let there = setup.client(&address, &[]).unwrap();
    RemotePolicy::connect(&there, &name("full"), patient()).unwrap();
    let policy = Box::new(NoisePolicy::new(info("trap", 4, 2)).unwrap());
    let _trap = Server::policy(&there, policy, ServerOptions::named(name("trap")));
    let seen = peers(&here, Duration::from_secs(1)).unwrap();
    assert!(seen.iter().all(|peer| peer.name != name("trap")), "runner served a policy");
    assert!(RemotePolicy::connect(&here, &name("trap"), hasty()).is_err());
}
