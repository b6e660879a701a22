//! Who says how far a trial came, through the binary.

use std::fs;
use std::path::Path;

use rehearse::policy_bridge::wire::{Encoder, ReplyAttachment, RequestAttachment};
use rehearse::policy_bridge::zenoh::{Connection, Session, open};
use zenoh::Wait as _;
use zenoh::liveliness::LivelinessToken;
use zenoh::query::{Query, Queryable};

use crate::place::Place;
use crate::support::rehearse;

const RUBRIC: &str = r#"
    [[criterion]]
    name = "somewhere"
    within = { x = [-100.0, 100.0] }
    [[criterion]]
    name = "nowhere"
    within = { x = [100.0, 101.0] }
    after = ["somewhere"]
    [[criterion]]
    name = "beyond"
    within = { gripper = [-100.0, 100.0] }
    after = ["nowhere"]
"#;

#[test]
fn a_rubric_gives_failures_credit_and_leaves_rates_alone() {
    let place = Place::new(2);
    let suite = fs::read_to_string(place.path("suite.toml")).unwrap();
    let graded = suite.replace("[[variation]]", "rubric = \"towel.toml\"\n[[variation]]");
    fs::write(place.path("graded.toml"), &graded).unwrap();
    fs::write(place.path("towel.toml"), RUBRIC).unwrap();
    let run = place.run("graded.toml", "run", &[]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("progress"), "{run:?}");
    let report = rehearse(["report", &place.path("run"), "--format", "json"]).json();
    for policy in report["policies"].as_array().unwrap() {
        // All fail; of three criteria and the success they reach the first.
        assert_eq!((&policy["rate"], &policy["failure"]), (&0.0.into(), &4.into()), "{policy}");
        assert_eq!(policy["progress"]["value"], 0.25, "{policy}");
        let reached: Vec<_> = policy["criteria"]
            .as_array()
            .unwrap()
            .iter()
            .map(|criterion| criterion["reached"].as_u64().unwrap())
            .collect();
        assert_eq!(reached, [4, 0, 0]);
    }
    // The table holds it as partial credit, which every other command understands.
    let scores = rehearse(["score", &place.path("run"), "--format", "json"]);
    assert_eq!(scores.code, 0, "{scores:?}");
    assert!(scores.stdout.contains("0.25"), "{scores:?}");
    let page = fs::read_to_string(Path::new(&place.path("run")).join("report.html")).unwrap();
    assert!(page.contains("mean progress") && page.contains("<td>4 of 4</td>"), "{page}");

    // Another rubric makes another run, and one that cannot be used stops it before the first trial.
    fs::write(place.path("towel.toml"), RUBRIC.replace("101.0", "102.0")).unwrap();
    let other = place.run("graded.toml", "run", &["--resume"]);
    assert_eq!(other.code, 5, "{other:?}");
    assert!(other.stderr.contains("another rubric"), "{other:?}");
    fs::write(place.path("towel.toml"), RUBRIC.replace("gripper", "finger")).unwrap();
    let refused = place.run("graded.toml", "refused", &[]);
    assert_eq!(refused.code, 3, "{refused:?}");
    let expected = "towel.toml: criterion[2].within.finger: the world has no such channel";
    assert!(refused.stderr.contains(expected), "{refused:?}");
    assert!(!Path::new(&place.path("refused")).exists());
}

/// A judge that believes whatever it is told to, as long as this lives.
struct Believer {
    _session: Session,
    _token: LivelinessToken,
    _queryables: Vec<Queryable<()>>,
}

impl Believer {
    fn new(endpoint: &str, done: f64) -> Self {
        let connect = vec![endpoint.to_owned()];
        let session = open(&Connection { connect, ..Connection::default() }).unwrap();
        let answer = |word: &str, payload: fn(&RequestAttachment, f64) -> Vec<u8>| {
            let answer = move |query: Query| {
                let bytes = query.attachment().unwrap().to_bytes();
                let asked = RequestAttachment::decode(&bytes).unwrap();
                let payload = payload(&asked, done);
                let RequestAttachment { request, trials, .. } = asked;
                let head = ReplyAttachment { version: 1, server: SERVER, request, trials };
                let reply = query.reply(query.key_expr(), payload).attachment(head.encode());
                reply.wait().unwrap();
            };
            let key = format!("rehearse/v1/judge/believer/{word}");
            session.declare_queryable(key).callback(answer).wait().unwrap()
        };
        let info = |query: Query| drop(query.reply(query.key_expr(), info()).wait());
        let queryables = vec![
            session
                .declare_queryable("rehearse/v1/judge/believer/info")
                .callback(info)
                .wait()
                .unwrap(),
            answer("begin", |asked, _| trials(asked, None)),
            answer("judge", |asked, done| trials(asked, Some(done))),
            answer("end", |_, _| vec![0x80]),
        ];
        let token =
            session.liveliness().declare_token("rehearse/v1/alive/judge/believer").wait().unwrap();
        Self { _session: session, _token: token, _queryables: queryables }
    }
}

const SERVER: [u8; 16] = [3; 16];

fn info() -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(8);
    out.str("protocol");
    out.uint(1);
    out.str("server");
    out.bin(&SERVER);
    out.str("software");
    out.str("fake");
    out.str("name");
    out.str("believer");
    out.str("cameras");
    out.array(0);
    out.str("max_batch");
    out.uint(4);
    out.str("images");
    out.array(1);
    out.str("raw");
    out.str("max_message");
    out.uint(1 << 24);
    out.into_bytes()
}

/// The trials that were asked for, each with one vote where there is one.
fn trials(asked: &RequestAttachment, done: Option<f64>) -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(1);
    out.str("trials");
    out.array(asked.trials.len());
    for trial in &asked.trials {
        out.map(1 + usize::from(done.is_some()));
        out.str("trial");
        out.uint(trial.0);
        if let Some(done) = done {
            out.str("votes");
            out.array(1);
            out.map(2);
            out.str("done");
            out.f64(done);
            out.str("reason");
            out.str("it looks like it");
        }
    }
    out.into_bytes()
}

#[test]
fn a_judge_over_zenoh_decides_in_the_place_of_the_world() {
    let place = Place::new(2);
    let connect = ["--connect", &place.endpoint];
    let judge = Believer::new(&place.endpoint, 1.0);
    let run = place.run("suite.toml", "run", &["--judge", "believer"]);
    assert_eq!(run.code, 0, "{run:?}");
    let report = rehearse(["report", &place.path("run"), "--format", "json"]).json();
    assert_eq!(report["policies"][0]["rate"], 1.0, "{report}");
    let codes: Vec<_> =
        report["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
    assert!(codes.contains(&&"judge_unchecked".into()), "{codes:?}");
    let command = report["reproduce"]["command"].as_str().unwrap();
    assert!(command.ends_with("--judge believer"), "{command}");
    let journal = fs::read_to_string(Path::new(&place.path("run")).join("events.jsonl")).unwrap();
    assert!(journal.lines().all(|line| line.contains("\"remark\":\"it looks like it\"")));
    // The world's own judge makes another run of it.
    let own = place.run("suite.toml", "run", &["--resume"]);
    assert_eq!(own.code, 5, "{own:?}");
    assert!(own.stderr.contains("another judge"), "{own:?}");

    // How far it can be believed goes into the report, once that is known.
    let (log, check) = (place.path("log"), place.path("judge.json"));
    let checked = ["judge", "check", "--judge", "believer", "--logs", &log, "--split", "val"];
    let rest = ["--every", "4", "--output", &check];
    let checked = rehearse([&checked[..], &rest[..], &connect[..]].concat());
    assert_eq!(checked.code, 0, "{checked:?}");
    let suite = fs::read_to_string(place.path("suite.toml")).unwrap();
    let judge_entry = "judge = { zenoh = \"believer\", every = 4, check = \"judge.json\" }\n";
    fs::write(place.path("known.toml"), format!("{judge_entry}{suite}")).unwrap();
    let run = place.run("known.toml", "known", &[]);
    assert_eq!(run.code, 0, "{run:?}");
    let report = rehearse(["report", &place.path("known"), "--format", "json"]).json();
    let known = &report["trust"]["judge"];
    assert_eq!((&known["same_rule"], &known["split"]), (&true.into(), &"val".into()), "{known}");
    assert_eq!(known["from"], "real frames of logged episodes");
    assert_eq!(known["outcomes"]["episodes"], 1);

    // A torn judge leaves trials unsure; one that is gone stops the run before the first.
    drop(judge);
    let torn = Believer::new(&place.endpoint, 0.5);
    assert_eq!(place.run("suite.toml", "torn", &["--judge", "believer"]).code, 0);
    let report = rehearse(["report", &place.path("torn"), "--format", "json"]).json();
    assert_eq!(report["policies"][0]["unsure"], 4, "{report}");
    drop(torn);
    let gone = place.run("suite.toml", "gone", &["--judge", "believer", "--patience", "1"]);
    assert_eq!(gone.code, 4, "{gone:?}");
    assert!(gone.stderr.contains("judge \"believer\""), "{gone:?}");
}
