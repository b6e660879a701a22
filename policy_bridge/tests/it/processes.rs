//! Two processes, killed at random: no trial is lost.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::Rng as _;
use rehearse_policy_bridge::closed_loop::{Cancel, Event, Lane, LoopOptions, ObserverError, run};
use rehearse_policy_bridge::zenoh::{
    ClientOptions, Connection, RemotePolicy, RemoteWorld, ServedWorld, Server, ServerOptions, open,
};
use rehearse_scenarios::interface::{Begin, Policy as _, TrialHandle};
use rehearse_scenarios::local::NoisePolicy;
use rehearse_scenarios::outcome::{FaultKind, Outcome};
use rehearse_scenarios::seed::Seed;

use crate::net::{connected, listening, name, serve_policy};
use crate::toy::{AddingWorld, Book, info, trials};

/// What a child process is to do, and where to find its parent.
const ROLE: &str = "REHEARSE_TEST_ROLE";
const LOCATOR: &str = "REHEARSE_TEST_LOCATOR";

/// Not a test: what the tests below run as a process of its own.
#[test]
#[ignore = "run as a child process by the other tests"]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let connect = vec![std::env::var(LOCATOR).unwrap()];
    let session = open(&Connection { connect, ..Connection::default() }).unwrap();
    let options = |at: &str| ServerOptions::named(name(at));
    let server = match role.as_str() {
        "policy" => serve_policy(&session, "noise", NoisePolicy::new(info("noise", 4, 8)).unwrap()),
        "world" => {
            let world = Box::new(AddingWorld::new(1e9));
            let served = ServedWorld { world, max_batch: 8, digest: None };
            Server::world(&session, served, options("adding")).unwrap()
        }
        _ => {
            // A client that begins trials and never ends them.
            let policy = RemotePolicy::connect(&session, &name("few"), patient());
            let mut policy = policy.unwrap();
            let begins: Vec<_> = (0..4).map(begin).collect();
            assert!(policy.begin(&begins).unwrap().iter().all(Result::is_ok));
            println!("ready");
            loop {
                std::thread::park();
            }
        }
    };
    println!("ready");
    server.wait();
}

fn begin(trial: u64) -> Begin {
    Begin { trial: TrialHandle(trial), instruction: "go".into(), seed: Seed::root(trial) }
}

fn patient() -> ClientOptions {
    ClientOptions {
        connect_timeout: Duration::from_secs(30),
        reconnect: Duration::from_secs(30),
        ..ClientOptions::default()
    }
}

/// A process that is killed without mercy, at the latest when this is dropped.
struct Process(Child);

impl Process {
    fn start(role: &str, locator: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::child", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .env(LOCATOR, locator)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let ready = output.lines().any(|line| line.unwrap().ends_with("ready"));
        assert!(ready, "the {role} process ended before it was ready");
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

const TRIALS: u64 = 200;

/// Runs 200 trials while the process of `role` is killed and restarted after random trials.
fn survive(role: &'static str, kinds: &[FaultKind]) {
    let (session, locator) = listening(true);
    let mut policy_process = Process::start("policy", &locator);
    let mut world_process = Process::start("world", &locator);
    let policy = RemotePolicy::connect(&session, &name("noise"), patient()).unwrap();
    let mut world = RemoteWorld::connect(&session, &name("adding"), patient()).unwrap();

    let mut rng = Seed::root(5).child(role).rng();
    let mut book = Book::default();
    let mut until_kill = 7;
    let mut kills = 0;
    let mut observer = |event: Event<'_>| -> Result<(), ObserverError> {
        if matches!(event, Event::Ended { .. }) {
            until_kill -= 1;
        }
        if until_kill == 0 && kills < 5 {
            kills += 1;
            until_kill = rng.random_range(5..40);
            let process = if role == "policy" { &mut policy_process } else { &mut world_process };
            *process = Process::start_after_kill(process, role, &locator);
        }
        rehearse_policy_bridge::closed_loop::Observer::observe(&mut book, event)
    };
    let lane =
        Lane { in_flight: Some(12), ..Lane::new(Box::new(policy), 2, trials("noise", TRIALS, 8)) };
    let options = LoopOptions::default();
    let summary = run(&mut world, vec![lane], &options, &mut observer, &Cancel::default()).unwrap();
    assert_eq!(kills, 5);
    assert_eq!(book.episodes.len() as u64, TRIALS, "{summary}");
    let mut voids = 0;
    for (id, episode) in &book.episodes {
        match &episode.outcome {
            Outcome::Void { fault } => {
                voids += 1;
                assert!(kinds.contains(&fault.kind), "{id}: {fault}");
            }
            _ => assert_eq!(episode.len(), 8, "{id}"),
        }
    }
    // Each kill voids what was in flight at most.
    assert!(voids <= 5 * 12, "{summary}");
}

impl Process {
    fn start_after_kill(old: &mut Self, role: &str, locator: &str) -> Self {
        old.kill();
        Self::start(role, locator)
    }
}

#[test]
fn killing_the_policy_at_random_loses_no_trial() {
    survive("policy", &[FaultKind::PolicyCrashed]);
}

#[test]
fn killing_the_world_at_random_loses_no_trial() {
    survive("world", &[FaultKind::WorldBroke]);
}

#[test]
fn a_killed_client_leaves_nothing_behind_on_the_server() {
    let (here, locator) = listening(false);
    let options = ServerOptions { max_trials: 4, ..ServerOptions::named(name("few")) };
    let policy = Box::new(NoisePolicy::new(info("few", 4, 8)).unwrap());
    let _server = Server::policy(&here, policy, options).unwrap();
    let mut client = Process::start("client", &locator);

    let there = connected(&locator, false);
    let mut other = RemotePolicy::connect(&there, &name("few"), patient()).unwrap();
    let refused = other.begin(&[begin(0)]).unwrap();
    let fault = refused[0].as_ref().unwrap_err();
    assert!(fault.message.contains("too many open trials"), "{fault}");

    client.kill();
    // The server hears of the death by itself; asking again until then is all there is to do.
    let freed = (1..10_000).any(|trial| other.begin(&[begin(trial)]).unwrap()[0].is_ok());
    assert!(freed, "the killed client's trials were not freed");
}
