//! Worlds whose trials somebody else judges, here and over zenoh, also when that goes wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rehearse_policy_bridge::closed_loop::{
    Cancel, JudgedWorld, Lane, LoopOptions, SuccessRule, run,
};
use rehearse_policy_bridge::wire::{
    Encoder, ErrorCode, ErrorReply, Limits, ReplyAttachment, RequestAttachment, Value,
};
use rehearse_policy_bridge::zenoh::{BridgeError, ClientOptions, RemoteJudge, Session};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::interface::{
    InterfaceError, Judge, Opinion, PerTrial, TrialHandle, Watch, World as _,
};
use rehearse_scenarios::local::{ConstantPolicy, ReplayWorld};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind, Outcome};
use rehearse_scenarios::testing::{check_world, sample_recordings, sample_rig, sample_starts};
use zenoh::Wait as _;
use zenoh::liveliness::LivelinessToken;
use zenoh::query::{Query, Queryable};

use crate::net::{name, pair};
use crate::toy::{AddingWorld, Book, info, trials};

/// Believes in success once the first channel has reached a goal; keeps what it looked at.
struct Threshold {
    goal: f32,
    looked: Arc<Mutex<Vec<(TrialHandle, f32)>>>,
    open: BTreeMap<TrialHandle, Arc<str>>,
}

impl Threshold {
    fn new(goal: f32) -> Self {
        Self { goal, looked: Arc::default(), open: BTreeMap::new() }
    }
}

impl Judge for Threshold {
    fn begin(&mut self, trials: &[Watch]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        self.open.extend(trials.iter().map(|watch| (watch.trial, watch.instruction.clone())));
        Ok(vec![Ok(()); trials.len()])
    }

    fn judge(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<Opinion>>, InterfaceError> {
        let said = requests.iter().map(|(trial, seen)| {
            let place = seen.proprioception[0];
            self.looked.lock().unwrap().push((*trial, place));
            let Some(instruction) = self.open.get(trial) else {
                return Err(Fault::new(FaultKind::JudgeBroke, "the trial is not open"));
            };
            let belief = if place >= self.goal { 1.0 } else { 0.0 };
            Ok(Opinion { belief, reason: Some(format!("{instruction}: {place:.1}")) })
        });
        Ok(said.collect())
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        trials.iter().for_each(|trial| drop(self.open.remove(trial)));
    }
}

/// Runs `count` trials of a policy that adds 0.1 at each step, until `horizon`.
fn judged(judge: Box<dyn Judge>, every: u32, execute: usize, count: u64, horizon: u32) -> Book {
    let action = ActionChunk::from_values(2, [0.1, 0.0].repeat(8)).unwrap();
    let policy = ConstantPolicy::new(info("constant", 8, 64), action).unwrap();
    let lane = Lane::new(Box::new(policy), execute, trials("constant", count, horizon));
    // The world itself believes in success from the first step on.
    let mut world = JudgedWorld::new(Box::new(AddingWorld::new(0.0)), judge, every);
    let mut book = Book::default();
    let rule = SuccessRule { threshold: 0.6, unsure_from: Some(0.5), ..SuccessRule::default() };
    let options = LoopOptions { success: rule, ..LoopOptions::default() };
    run(&mut world, vec![lane], &options, &mut book, &Cancel::default()).unwrap();
    book
}

#[test]
fn the_judge_looks_at_every_nth_step_whatever_is_executed_at_once() {
    for execute in [1, 3, 8] {
        let judge = Threshold::new(0.55);
        let looked = Arc::clone(&judge.looked);
        let book = judged(Box::new(judge), 4, execute, 1, 20);
        let episode = &book.episodes["toy/0/constant/0"];
        // The goal is reached at step 6 and seen at step 8.
        assert_eq!((&episode.outcome, episode.len()), (&Outcome::Success, 8), "{execute}");
        let said: Vec<_> = episode
            .success
            .iter()
            .enumerate()
            .filter_map(|(step, s)| Some((step, (*s)?)))
            .collect();
        assert_eq!(said, [(3, 0.0), (7, 1.0)]);
        let places: Vec<f32> = looked.lock().unwrap().iter().map(|(_, place)| *place).collect();
        assert!((places[0] - 0.4).abs() < 1e-6 && (places[1] - 0.8).abs() < 1e-6, "{places:?}");
        assert_eq!(book.remarks["toy/0/constant/0"].as_deref(), Some("add up: 0.8"));
    }
}

#[test]
fn a_judged_world_keeps_the_contract_of_worlds() {
    let chunk = ActionChunk::from_values(2, vec![0.1; 8]).unwrap();
    let world = || {
        let replayed = ReplayWorld::new(sample_rig(), sample_recordings(&[9, 7, 8]));
        JudgedWorld::new(Box::new(replayed), Box::new(Threshold::new(0.5)), 3)
    };
    check_world(world, &sample_starts(3), &chunk);
    // The end of a log is looked at, though it is no third step.
    let mut world = world();
    let start = &sample_starts(3)[1..2];
    world.reset(start).unwrap();
    let long = ActionChunk::from_values(2, vec![0.1; 40]).unwrap();
    let advance = world.step(&[(start[0].trial, long)]).unwrap().remove(0).unwrap();
    assert!(advance.ended);
    let said: Vec<bool> = advance.steps.iter().map(|step| step.success.is_some()).collect();
    let expected: Vec<bool> =
        (1..=said.len()).map(|step| step % 3 == 0 || step == said.len()).collect();
    assert_eq!(said, expected);
}

#[derive(Clone, Copy, Debug)]
enum Misdeed {
    None,
    Undecided,
    Silence,
    NotANumber,
    OutOfRange,
    TooFewVotes,
    NoVotes,
    Truncated,
    OtherTrial,
    ErrorReply,
    Gibberish,
}

const MISDEEDS: [Misdeed; 11] = [
    Misdeed::None,
    Misdeed::Undecided,
    Misdeed::Silence,
    Misdeed::NotANumber,
    Misdeed::OutOfRange,
    Misdeed::TooFewVotes,
    Misdeed::NoVotes,
    Misdeed::Truncated,
    Misdeed::OtherTrial,
    Misdeed::ErrorReply,
    Misdeed::Gibberish,
];

const SERVER: [u8; 16] = [9; 16];

fn votes(trial: u64, votes: &[Option<f64>]) -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(1);
    out.str("trials");
    out.array(1);
    out.map(2);
    out.str("trial");
    out.uint(trial);
    out.str("votes");
    out.array(votes.len());
    for vote in votes {
        out.map(1 + usize::from(vote.is_some()));
        if let Some(done) = vote {
            out.str("done");
            out.f64(*done);
        }
        out.str("reason");
        out.str("as I see it");
    }
    out.into_bytes()
}

fn attachment(query: &Query) -> RequestAttachment {
    RequestAttachment::decode(&query.attachment().unwrap().to_bytes()).unwrap()
}

fn reply(query: &Query, payload: Vec<u8>) {
    let RequestAttachment { request, trials, .. } = attachment(query);
    let head = ReplyAttachment { version: 1, server: SERVER, request, trials };
    drop(query.reply(query.key_expr(), payload).attachment(head.encode()).wait());
}

/// Answers as the trial's number says.
fn misjudge(query: &Query, silent: &Mutex<Vec<Query>>) {
    let trial = attachment(query).trials[0].0;
    match MISDEEDS[trial as usize % MISDEEDS.len()] {
        Misdeed::None => reply(query, votes(trial, &[Some(1.0), Some(0.0), Some(1.0)])),
        Misdeed::Undecided => reply(query, votes(trial, &[Some(1.0), None, Some(0.0)])),
        // Held, so that zenoh does not end it.
        Misdeed::Silence => silent.lock().unwrap().push(query.clone()),
        Misdeed::NotANumber => reply(query, votes(trial, &[Some(1.0), Some(f64::NAN), Some(1.0)])),
        Misdeed::OutOfRange => reply(query, votes(trial, &[Some(1.0), Some(7.0), Some(1.0)])),
        Misdeed::TooFewVotes => reply(query, votes(trial, &[Some(1.0)])),
        Misdeed::NoVotes => reply(query, votes(trial, &[])),
        Misdeed::Truncated => {
            let mut bytes = votes(trial, &[Some(1.0); 3]);
            bytes.truncate(bytes.len() / 2);
            reply(query, bytes);
        }
        Misdeed::OtherTrial => reply(query, votes(trial + 1, &[Some(1.0); 3])),
        Misdeed::ErrorReply => {
            let error = ErrorReply::new(ErrorCode::Failed, "the key of the service has expired");
            drop(query.reply_err(error.encode()).wait());
        }
        Misdeed::Gibberish => reply(query, b"yes, the drawer looks open".to_vec()),
    }
}

struct Served {
    token: Option<LivelinessToken>,
    _queryables: Vec<Queryable<()>>,
}

/// Serves a judge that looks through `camera` and whose verdicts are `judge`'s.
fn serve(
    session: &Session,
    at: &str,
    camera: &str,
    judge: impl Fn(Query) + Send + Sync + 'static,
) -> Served {
    let mut stated = Encoder::default();
    stated.map(8);
    stated.str("protocol");
    stated.uint(1);
    stated.str("server");
    stated.bin(&SERVER);
    stated.str("software");
    stated.str("fake");
    stated.str("name");
    stated.str(at);
    stated.str("cameras");
    stated.array(1);
    stated.str(camera);
    stated.str("max_batch");
    stated.uint(1);
    stated.str("images");
    stated.array(1);
    stated.str("raw");
    stated.str("max_message");
    stated.uint(1 << 20);
    let stated = stated.into_bytes();
    let key = |word: &str| format!("rehearse/v1/judge/{at}/{word}");
    let tell = move |query: Query| drop(query.reply(query.key_expr(), stated.clone()).wait());
    let begin = |query: Query| {
        let bytes = query.payload().unwrap().to_bytes();
        let value = Value::decode(&bytes, &Limits::default()).unwrap();
        let trials = value.fields("begin").unwrap().required("trials").unwrap();
        let trial = trials.items("trials").unwrap()[0].fields("trial").unwrap();
        assert_eq!(trial.required("votes").unwrap().uint("votes").unwrap(), 3);
        assert_eq!(trial.required("instruction").unwrap().text("it").unwrap(), "add up");
        let seen = trial.required("observation").unwrap().fields("observation").unwrap();
        assert!(seen.required("images").unwrap().fields("images").unwrap().get("front").is_some());
        let mut out = Encoder::default();
        out.map(1);
        out.str("trials");
        out.array(1);
        out.map(1);
        out.str("trial");
        out.uint(trial.required("trial").unwrap().uint("trial").unwrap());
        reply(&query, out.into_bytes());
    };
    let end = |query: Query| reply(&query, vec![0x80]);
    let queryables = vec![
        session.declare_queryable(key("info")).callback(tell).wait().unwrap(),
        session.declare_queryable(key("begin")).callback(begin).wait().unwrap(),
        session.declare_queryable(key("judge")).callback(judge).wait().unwrap(),
        session.declare_queryable(key("end")).callback(end).wait().unwrap(),
    ];
    let alive = format!("rehearse/v1/alive/judge/{at}");
    let token = session.liveliness().declare_token(alive).wait().unwrap();
    Served { token: Some(token), _queryables: queryables }
}

fn options() -> ClientOptions {
    ClientOptions {
        connect_timeout: Duration::from_secs(20),
        deadline: Duration::from_millis(1_500),
        max_in_flight: 64,
        ..ClientOptions::default()
    }
}

#[test]
fn each_misdeed_of_a_judge_voids_its_own_trial_with_its_reason() {
    let (here, there) = pair();
    let silent = Mutex::new(vec![]);
    let _served = serve(&here, "vlm", "front", move |query| misjudge(&query, &silent));
    let judge = RemoteJudge::connect(&there, &name("vlm"), &sample_rig(), 3, options()).unwrap();
    let count = 2 * MISDEEDS.len() as u64;
    let book = judged(Box::new(judge), 2, 8, count, 4);
    assert_eq!(book.episodes.len() as u64, count, "no trial is lost");
    for trial in 0..count {
        let id = format!("toy/{trial}/constant/0");
        let episode = &book.episodes[&id];
        let misdeed = MISDEEDS[trial as usize % MISDEEDS.len()];
        let says = match misdeed {
            Misdeed::None => {
                assert_eq!((&episode.outcome, episode.len()), (&Outcome::Success, 2));
                assert_eq!(book.remarks[&id].as_deref(), Some("as I see it"));
                continue;
            }
            Misdeed::Undecided => {
                assert_eq!(episode.outcome, Outcome::Unsure);
                continue;
            }
            Misdeed::Silence => "no answer within 1.500 s",
            Misdeed::NotANumber | Misdeed::OutOfRange => "in [0, 1]",
            Misdeed::TooFewVotes | Misdeed::NoVotes => "3 votes",
            Misdeed::Truncated => "truncated",
            Misdeed::OtherTrial => "does not hold the trial",
            Misdeed::ErrorReply => "the key of the service has expired",
            Misdeed::Gibberish => "judge vlm",
        };
        let Outcome::Void { fault } = &episode.outcome else {
            panic!("{misdeed:?}: {:?}", episode.outcome)
        };
        assert_eq!(fault.kind, FaultKind::JudgeBroke, "{misdeed:?}");
        assert!(fault.message.contains(says), "{misdeed:?}: {fault}");
    }
}

#[test]
fn a_judge_that_dies_voids_what_it_was_asked_and_holds_up_nothing() {
    let (here, there) = pair();
    let token: Arc<Mutex<Option<LivelinessToken>>> = Arc::default();
    let (last, silent) = (Arc::clone(&token), Mutex::new(vec![]));
    let mut served = serve(&here, "mortal", "front", move |query| {
        silent.lock().unwrap().push(query);
        drop(last.lock().unwrap().take());
    });
    *token.lock().unwrap() = served.token.take();
    let patient = ClientOptions { deadline: Duration::from_mins(10), ..options() };
    let judge = RemoteJudge::connect(&there, &name("mortal"), &sample_rig(), 3, patient).unwrap();
    let began = Instant::now();
    let book = judged(Box::new(judge), 2, 8, 3, 4);
    assert!(began.elapsed() < Duration::from_mins(2), "its death is noticed, not waited for");
    for episode in book.episodes.values() {
        let Outcome::Void { fault } = &episode.outcome else { panic!("{:?}", episode.outcome) };
        assert_eq!(fault.kind, FaultKind::JudgeBroke, "{fault}");
    }
}

#[test]
fn a_judge_that_looks_through_a_camera_that_is_not_there_is_refused() {
    let (here, there) = pair();
    let _served = serve(&here, "blind", "top", drop);
    let found = RemoteJudge::connect(&there, &name("blind"), &sample_rig(), 3, options());
    let error = found.unwrap_err();
    assert!(matches!(error, BridgeError::Unfit { .. }), "{error}");
    assert!(error.to_string().contains("it looks through \"top\"; there is front"), "{error}");
}
