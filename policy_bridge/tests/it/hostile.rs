//! A policy server that does everything wrong: no trial is lost, doubled or misfiled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rehearse_policy_bridge::closed_loop::{Cancel, Lane, LoopOptions, run};
use rehearse_policy_bridge::wire::policy::{
    ServerInfo, decode_act, decode_begin, decode_end, encode_act_reply, encode_begin_reply,
    encode_info,
};
use rehearse_policy_bridge::wire::{
    Encoder, ErrorCode, ErrorReply, ImageForm, Limits, ReplyAttachment, RequestAttachment,
};
use rehearse_policy_bridge::zenoh::{ClientOptions, RemotePolicy, Session};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::interface::TrialHandle;
use rehearse_scenarios::outcome::{FaultKind, Outcome};
use rehearse_scenarios::testing::sample_rig;
use zenoh::Wait as _;
use zenoh::bytes::ZBytes;
use zenoh::liveliness::LivelinessToken;
use zenoh::query::{Query, Queryable};

use crate::net::{name, pair};
use crate::toy::{AddingWorld, Book, info, trials};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misdeed {
    Silence,
    Late,
    Twice,
    OtherTrial,
    OtherRequest,
    BothTrials,
    NotANumber,
    OutOfBounds,
    WrongShape,
    WrongDtype,
    ClaimsTenGigabytes,
    TooLarge,
    Truncated,
    UnknownVersion,
    NoAttachment,
    ErrorReply,
    ForeignError,
    BusyOnce,
}

const MISDEEDS: [Misdeed; 18] = [
    Misdeed::Silence,
    Misdeed::Late,
    Misdeed::Twice,
    Misdeed::OtherTrial,
    Misdeed::OtherRequest,
    Misdeed::BothTrials,
    Misdeed::NotANumber,
    Misdeed::OutOfBounds,
    Misdeed::WrongShape,
    Misdeed::WrongDtype,
    Misdeed::ClaimsTenGigabytes,
    Misdeed::TooLarge,
    Misdeed::Truncated,
    Misdeed::UnknownVersion,
    Misdeed::NoAttachment,
    Misdeed::ErrorReply,
    Misdeed::ForeignError,
    Misdeed::BusyOnce,
];

impl Misdeed {
    /// How a trial ends that meets this; `None` if it goes on as if nothing had been.
    fn expected(self) -> Option<FaultKind> {
        match self {
            Self::Twice | Self::BusyOnce => None,
            Self::Silence | Self::Late => Some(FaultKind::PolicyTimeout),
            Self::NotANumber | Self::OutOfBounds | Self::WrongShape | Self::WrongDtype => {
                Some(FaultKind::MalformedAction)
            }
            Self::OtherTrial
            | Self::OtherRequest
            | Self::BothTrials
            | Self::ClaimsTenGigabytes
            | Self::TooLarge
            | Self::Truncated
            | Self::UnknownVersion
            | Self::NoAttachment
            | Self::ErrorReply
            | Self::ForeignError => Some(FaultKind::PolicyCrashed),
        }
    }
}

/// What each trial meets, and at which of its requests.
type Plan = BTreeMap<u64, (u64, Misdeed)>;

const CHUNK: usize = 2;
const SERVER: [u8; 16] = [7; 16];
const MOST_BYTES: usize = 200_000;

struct Fake {
    plan: Plan,
    asked: BTreeMap<u64, u64>,
    /// Queries that get no answer: held so that zenoh does not end them.
    silent: Vec<Query>,
    /// Queries by trial, with the answers that they get too late.
    late: BTreeMap<u64, (Query, ZBytes, ZBytes)>,
}

/// Actions that tell the trial and the request they are for.
fn actions(trial: u64, asked: u64) -> ActionChunk {
    let step = |step: usize| [trial as f32 / 1_000.0, (asked * 10 + step as u64) as f32 / 1_000.0];
    ActionChunk::from_values(2, (0..CHUNK).flat_map(step).collect()).unwrap()
}

fn raw_reply(trial: u64, dtype: &str, shape: &[u64], data: &[u8]) -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(1);
    out.str("trials");
    out.array(1);
    out.map(2);
    out.str("trial");
    out.uint(trial);
    out.str("actions");
    out.map(4);
    out.bin(b"__ndarray__");
    out.bool(true);
    out.bin(b"data");
    out.bin(data);
    out.bin(b"dtype");
    out.str(dtype);
    out.bin(b"shape");
    out.array(shape.len());
    shape.iter().for_each(|&side| out.uint(side));
    out.into_bytes()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

impl Fake {
    fn act(&mut self, query: &Query) {
        let bytes = query.payload().unwrap().to_bytes();
        let seen = decode_act(&bytes, &sample_rig(), &Limits::default()).unwrap();
        let [(TrialHandle(trial), _)] = seen[..] else { panic!("max_batch is 1") };
        let attachment =
            RequestAttachment::decode(&query.attachment().unwrap().to_bytes()).unwrap();
        let asked = *self.asked.entry(trial).and_modify(|asked| *asked += 1).or_default();
        let reply = |payload: Vec<u8>, request: u64, trial: u64, version: u64| {
            let trials = vec![TrialHandle(trial)];
            let attachment = ReplyAttachment { version, server: SERVER, request, trials };
            let sent = query.reply(query.key_expr(), payload).attachment(attachment.encode());
            drop(sent.wait());
        };
        let request = attachment.request;
        let honest = || {
            let result = [(TrialHandle(trial), Ok(actions(trial, asked)))];
            encode_act_reply(&result).unwrap()
        };
        let misdeed = self.plan.get(&trial).filter(|(at, _)| *at == asked).map(|(_, what)| *what);
        let Some(misdeed) = misdeed else {
            return reply(honest(), request, trial, 1);
        };
        match misdeed {
            Misdeed::Silence => self.silent.push(query.clone()),
            Misdeed::Late => {
                let trials = vec![TrialHandle(trial)];
                let attachment = ReplyAttachment { version: 1, server: SERVER, request, trials };
                let held = (query.clone(), honest().into(), attachment.encode().into());
                self.late.insert(trial, held);
            }
            Misdeed::Twice => {
                reply(honest(), request, trial, 1);
                let other = [(TrialHandle(trial), Ok(actions(trial, 77)))];
                reply(encode_act_reply(&other).unwrap(), request, trial, 1);
            }
            Misdeed::OtherTrial => {
                let other = [(TrialHandle(trial + 1), Ok(actions(trial + 1, asked)))];
                reply(encode_act_reply(&other).unwrap(), request, trial, 1);
            }
            Misdeed::OtherRequest => reply(honest(), request + 1, trial, 1),
            Misdeed::BothTrials => {
                let both = [trial, trial].map(|trial| (TrialHandle(trial), Ok(actions(trial, 0))));
                reply(encode_act_reply(&both).unwrap(), request, trial, 1);
            }
            Misdeed::NotANumber => {
                let data = floats(&[0.0, f32::NAN, 0.0, 0.0]);
                reply(raw_reply(trial, "<f4", &[2, 2], &data), request, trial, 1);
            }
            Misdeed::OutOfBounds => {
                let data = floats(&[0.0, 0.0, 0.0, 1.5]);
                reply(raw_reply(trial, "<f4", &[2, 2], &data), request, trial, 1);
            }
            Misdeed::WrongShape => {
                let data = floats(&[0.0; 6]);
                reply(raw_reply(trial, "<f4", &[2, 3], &data), request, trial, 1);
            }
            Misdeed::WrongDtype => {
                reply(raw_reply(trial, "<i4", &[2, 2], &[0; 16]), request, trial, 1);
            }
            Misdeed::ClaimsTenGigabytes => {
                let mut bytes = raw_reply(trial, "<f4", &[1 << 20, 2_560], &[]);
                let at = bytes.windows(6).position(|window| window == b"\xc4\x04data").unwrap() + 6;
                bytes.splice(at..at + 2, [0xc6, 0xff, 0xff, 0xff, 0xff]);
                reply(bytes, request, trial, 1);
            }
            Misdeed::TooLarge => {
                let data = vec![0; 2 * MOST_BYTES];
                reply(raw_reply(trial, "<f4", &[2, 2], &data), request, trial, 1);
            }
            Misdeed::Truncated => {
                let mut bytes = honest();
                bytes.truncate(bytes.len() / 2);
                reply(bytes, request, trial, 1);
            }
            Misdeed::UnknownVersion => reply(honest(), request, trial, 2),
            Misdeed::NoAttachment => {
                drop(query.reply(query.key_expr(), honest()).wait());
            }
            Misdeed::ErrorReply => {
                let error = ErrorReply::new(ErrorCode::Failed, "out of memory");
                drop(query.reply_err(error.encode()).wait());
            }
            Misdeed::ForeignError => drop(query.reply_err("Traceback (most recent …").wait()),
            Misdeed::BusyOnce => {
                self.plan.remove(&trial);
                self.asked.insert(trial, asked.wrapping_sub(1));
                if asked == 0 {
                    self.asked.remove(&trial);
                }
                let error = ErrorReply::new(ErrorCode::Busy, "come again");
                drop(query.reply_err(error.encode()).wait());
            }
        }
    }

    /// Trials that are ended: the late answer comes now, when nobody waits for it any more.
    fn end(&mut self, query: &Query) {
        let bytes = query.payload().unwrap().to_bytes();
        for TrialHandle(trial) in decode_end(&bytes, &Limits::default()).unwrap() {
            if let Some((late, payload, attachment)) = self.late.remove(&trial) {
                let sent = late.reply(late.key_expr(), payload);
                drop(sent.attachment(attachment).wait());
            }
        }
    }
}

struct Served {
    _token: LivelinessToken,
    _queryables: Vec<Queryable<()>>,
}

fn serve(session: &Session, at: &str, plan: Plan) -> Served {
    let fake = Fake { plan, asked: BTreeMap::new(), silent: vec![], late: BTreeMap::new() };
    let fake = Arc::new(Mutex::new(fake));
    let ending = Arc::clone(&fake);
    let stated = encode_info(
        &info(at, CHUNK, 1),
        &ServerInfo {
            server: SERVER,
            software: "fake".into(),
            images: vec![ImageForm::Raw],
            max_message: 1 << 20,
        },
    )
    .unwrap();
    let key = |word: &str| format!("rehearse/v1/policy/{at}/{word}");
    let tell = move |query: Query| drop(query.reply(query.key_expr(), stated.clone()).wait());
    let begin = |query: Query| {
        let bytes = query.payload().unwrap().to_bytes();
        let begun: Vec<_> = decode_begin(&bytes, &Limits::default())
            .unwrap()
            .iter()
            .map(|begin| (begin.trial, Ok(())))
            .collect();
        let attachment =
            RequestAttachment::decode(&query.attachment().unwrap().to_bytes()).unwrap();
        let RequestAttachment { request, trials, .. } = attachment;
        let attachment = ReplyAttachment { version: 1, server: SERVER, request, trials };
        let sent = query.reply(query.key_expr(), encode_begin_reply(&begun).unwrap());
        drop(sent.attachment(attachment.encode()).wait());
    };
    let end = move |query: Query| ending.lock().unwrap().end(&query);
    let act = move |query: Query| fake.lock().unwrap().act(&query);
    let queryables = vec![
        session.declare_queryable(key("info")).callback(tell).wait().unwrap(),
        session.declare_queryable(key("begin")).callback(begin).wait().unwrap(),
        session.declare_queryable(key("act")).callback(act).wait().unwrap(),
        session.declare_queryable(key("end")).callback(end).wait().unwrap(),
    ];
    let alive = format!("rehearse/v1/alive/policy/{at}");
    let token = session.liveliness().declare_token(alive).wait().unwrap();
    Served { _token: token, _queryables: queryables }
}

const HORIZON: u32 = 8;

/// Runs `count` trials against the plan and checks every one of them.
fn check(sessions: &(Session, Session), at: &str, plan: &Plan, count: u64) {
    let (here, there) = sessions;
    let _served = serve(here, at, plan.clone());
    let options = ClientOptions {
        connect_timeout: Duration::from_secs(20),
        deadline: Duration::from_millis(1_500),
        limits: Limits { bytes: MOST_BYTES, ..Limits::default() },
        max_in_flight: 64,
        ..ClientOptions::default()
    };
    let policy = RemotePolicy::connect(there, &name(at), options).unwrap();
    let lane = Lane {
        in_flight: Some(64),
        batch: Some(64),
        ..Lane::new(Box::new(policy), CHUNK, trials(at, count, HORIZON))
    };
    let mut world = AddingWorld::new(1e9);
    let mut book = Book::default();
    let summary =
        run(&mut world, vec![lane], &LoopOptions::default(), &mut book, &Cancel::default())
            .unwrap();
    assert_eq!(summary.lanes[0].trials(), count);
    assert_eq!(book.episodes.len() as u64, count, "a trial was lost");
    assert!(book.started.values().all(|&times| times == 1), "a trial was doubled");
    for trial in 0..count {
        let episode = &book.episodes[&format!("toy/{trial}/{at}/0")];
        for (step, action) in episode.actions.iter().enumerate() {
            let meant = actions(trial, (step / CHUNK) as u64);
            let meant = meant.step(step % CHUNK).unwrap().to_vec();
            assert_eq!(*action, meant, "trial {trial} executed what was meant for another");
        }
        let planned = plan.get(&trial).map(|(at, misdeed)| (*at, *misdeed, misdeed.expected()));
        let (length, kind) = match planned {
            Some((at, _, Some(kind))) => ((at as usize) * CHUNK, Some(kind)),
            _ => (HORIZON as usize, None),
        };
        let got = match &episode.outcome {
            Outcome::Void { fault } => Some(fault.kind),
            _ => None,
        };
        assert_eq!((episode.len(), got), (length, kind), "trial {trial} met {planned:?}");
    }
}

#[test]
fn each_misdeed_voids_its_own_trial_with_its_reason() {
    let sessions = pair();
    let plan = MISDEEDS
        .iter()
        .zip(0_u64..)
        .map(|(&misdeed, index)| (2 * index, (index % 4, misdeed)))
        .collect();
    check(&sessions, "each", &plan, 2 * MISDEEDS.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_trial_is_lost_doubled_or_misfiled(
        plan in prop::collection::btree_map(
            0..40_u64,
            (0..4_u64, prop::sample::select(MISDEEDS.to_vec())),
            0..30,
        ),
    ) {
        let sessions = pair();
        check(&sessions, "random", &plan, 40);
    }
}
