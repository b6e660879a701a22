//! Remote policies and worlds keep the same contracts as local ones.

use rehearse_policy_bridge::zenoh::{
    BridgeError, ClientOptions, Kind, Peer, RemotePolicy, RemoteWorld, ServedWorld, Server,
    ServerOptions, peers,
};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::interface::{Policy as _, PolicyInfo};
use rehearse_scenarios::local::{NoisePolicy, ReplayWorld};
use rehearse_scenarios::testing::{
    check_policy, check_world, sample_observations, sample_recordings, sample_rig, sample_starts,
};
use std::time::Duration;

use crate::net::{name, pair, serve_policy};

fn info(max_batch: usize) -> PolicyInfo {
    PolicyInfo {
        name: "noise".into(),
        embodiment: sample_rig(),
        chunk: 4,
        max_batch,
        digest: Some("sha256:00".into()),
    }
}

fn short() -> ClientOptions {
    ClientOptions { connect_timeout: Duration::from_secs(20), ..ClientOptions::default() }
}

#[test]
fn a_remote_policy_keeps_the_contract_of_policies() {
    let (here, there) = pair();
    for max_batch in [64, 2] {
        let at = format!("noise-{max_batch}");
        let _server = serve_policy(&here, &at, NoisePolicy::new(info(max_batch)).unwrap());
        let connect = || RemotePolicy::connect(&there, &name(&at), short()).unwrap();
        check_policy(connect, &sample_observations(6));
        let stated = connect().info().clone();
        assert_eq!(stated, PolicyInfo { name: at.clone(), ..info(max_batch) });
    }
}

#[test]
fn a_remote_world_keeps_the_contract_of_worlds() {
    let (here, there) = pair();
    let served = ServedWorld {
        world: Box::new(ReplayWorld::new(sample_rig(), sample_recordings(&[9, 7, 8]))),
        max_batch: 2,
        digest: None,
    };
    let at = name("replay");
    let _server = Server::world(&here, served, ServerOptions::named(at.clone())).unwrap();
    let chunk = ActionChunk::from_values(2, vec![0.1; 8]).unwrap();
    let connect = || RemoteWorld::connect(&there, &at, short()).unwrap();
    check_world(connect, &sample_starts(3), &chunk);
}

#[test]
fn who_is_there_is_found_and_who_is_not_is_named() {
    let (here, there) = pair();
    let server = serve_policy(&here, "one", NoisePolicy::new(info(1)).unwrap());
    let found = RemotePolicy::connect(&there, &name("one"), short()).unwrap();
    assert!(found.software().starts_with("rehearse-policy-bridge"));
    let patience = Duration::from_secs(5);
    let one = Peer { kind: Kind::Policy, name: name("one") };
    assert_eq!(peers(&there, patience).unwrap(), [one]);

    let hasty = ClientOptions { connect_timeout: Duration::ZERO, ..short() };
    let error = RemotePolicy::connect(&there, &name("two"), hasty).unwrap_err();
    assert!(error.to_string().ends_with("there is one"), "{error}");
    drop(server);
}

#[test]
fn a_name_is_served_once() {
    let (here, there) = pair();
    let _first = serve_policy(&here, "one", NoisePolicy::new(info(1)).unwrap());
    RemotePolicy::connect(&there, &name("one"), short()).unwrap();
    let second = Server::policy(
        &there,
        Box::new(NoisePolicy::new(info(1)).unwrap()),
        ServerOptions::named(name("one")),
    );
    assert!(matches!(second, Err(BridgeError::NameTaken { .. })), "{second:?}");
}
