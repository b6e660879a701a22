//! How fast the bridge is, beside zenoh itself and beside the policy itself.
//!
//! One client and one server in one process, each with a session of its own, so that everything
//! between them goes over loopback. Latencies are measured in turn, one of each kind after the
//! other, so that whatever else the machine does hits all of them alike.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rehearse_policy_bridge::closed_loop::{
    Cancel, Event, Lane, LoopOptions, ObserverError, Trial, run,
};
use rehearse_policy_bridge::wire::policy::{decode_act, encode_act, encode_act_reply};
use rehearse_policy_bridge::wire::{ImageForm, Limits};
use rehearse_policy_bridge::zenoh::{
    ClientOptions, Connection, Name, RemotePolicy, Server, ServerOptions, Session, open,
};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::{Camera, Channel, Embodiment};
use rehearse_scenarios::interface::{
    Advance, Begin, InterfaceError, PerTrial, Policy, PolicyInfo, Start, Step, TrialHandle, World,
};
use rehearse_scenarios::local::ConstantPolicy;
use rehearse_scenarios::observation::{Image, Observation};
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::{Rate, SimTime};
use zenoh::Wait as _;
use zenoh::bytes::ZBytes;

const CHUNK: usize = 16;

fn rig(camera: Option<u32>) -> Embodiment {
    let side = |side| Camera { name: "front".into(), height: side, width: side };
    Embodiment {
        robot: None,
        rate: Rate::from_hz(20.0).expect("a rate"),
        cameras: camera.map(side).into_iter().collect(),
        proprioception: (0..8).map(|index| Channel::named(format!("s{index}"))).collect(),
        actions: (0..7).map(|index| Channel::named(format!("a{index}"))).collect(),
    }
}

fn observation(rig: &Embodiment) -> Observation {
    let image = |camera: &Camera| {
        let bytes = camera.height * camera.width * 3;
        let pixels: Vec<u8> = (0..bytes).map(|index| (index * 31) as u8).collect();
        let image = Image::from_rgb(camera.height, camera.width, pixels).expect("an image");
        (camera.name.clone(), image)
    };
    Observation {
        images: rig.cameras.iter().map(image).collect(),
        proprioception: vec![0.5; 8],
        instruction: Arc::from("pick up the cup"),
        time: SimTime::ZERO,
    }
}

fn info(rig: Embodiment, max_batch: usize) -> PolicyInfo {
    PolicyInfo { name: "bench".into(), embodiment: rig, chunk: CHUNK, max_batch, digest: None }
}

fn chunk() -> ActionChunk {
    ActionChunk::from_values(7, vec![0.25; CHUNK * 7]).expect("a chunk")
}

fn begin(trial: u64) -> Begin {
    Begin { trial: TrialHandle(trial), instruction: Arc::from("go"), seed: Seed::root(trial) }
}

/// Two sessions that see each other.
fn pair(shared_memory: bool) -> (Session, Session) {
    let listen = vec!["tcp/127.0.0.1:0".to_owned()];
    let here = open(&Connection { listen, shared_memory, ..Connection::default() }).expect("open");
    let connect = vec![here.info().locators().wait()[0].to_string()];
    let there =
        open(&Connection { connect, shared_memory, ..Connection::default() }).expect("open");
    (here, there)
}

struct Bridge {
    policy: RemotePolicy,
    _server: Server,
    _sessions: (Session, Session),
}

impl Bridge {
    fn new(shared_memory: bool, policy: Box<dyn Policy>) -> Self {
        let sessions = pair(shared_memory);
        let name = Name::new("bench").expect("a name");
        let options = ServerOptions::named(name.clone());
        let server = Server::policy(&sessions.0, policy, options).expect("serve");
        let patient =
            ClientOptions { connect_timeout: Duration::from_secs(20), ..ClientOptions::default() };
        let policy = RemotePolicy::connect(&sessions.1, &name, patient).expect("connect");
        Self { policy, _server: server, _sessions: sessions }
    }
}

fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6
}

/// 224×224×3 and a state out, 16×7 back: bare zenoh over TCP and over shared memory, the bridge
/// over TCP and over shared memory, in turn.
fn latency(_criterion: &mut Criterion) {
    const ROUNDS: usize = 1_500;
    let rig = rig(Some(224));
    let seen = observation(&rig);
    let request = vec![(TrialHandle(1), seen.clone())];
    let payload: ZBytes = encode_act(&request, &rig, ImageForm::Raw).expect("encode").into();
    let answer: ZBytes = encode_act_reply(&[(TrialHandle(1), Ok(chunk()))]).expect("encode").into();

    let bare = |shared_memory| {
        let (here, there) = pair(shared_memory);
        let answer = answer.clone();
        let served = here
            .declare_queryable("bare")
            .callback(move |query| {
                query.reply(query.key_expr(), answer.clone()).wait().expect("reply");
            })
            .wait()
            .expect("declare");
        let payload = payload.clone();
        let ask = move || {
            let replies = there.get("bare").payload(payload.clone()).wait().expect("get");
            black_box(replies.recv().expect("a reply").into_result().expect("an answer"));
        };
        // Routes are known once an answer comes.
        (here, served, ask)
    };
    let (_here, _served, bare_tcp) = bare(false);
    let (_here_shared, _served_shared, bare_shared) = bare(true);
    let constant = || -> Box<dyn Policy> {
        Box::new(ConstantPolicy::new(info(rig.clone(), 64), chunk()).expect("a policy"))
    };
    let mut tcp = Bridge::new(false, constant());
    let mut shared = Bridge::new(true, constant());
    for bridge in [&mut tcp, &mut shared] {
        bridge.policy.begin(&[begin(1)]).expect("begin")[0].as_ref().expect("begun");
    }
    let act = |bridge: &mut Bridge| {
        let answers = bridge.policy.act(&request).expect("act");
        black_box(answers[0].as_ref().expect("acted"));
    };
    let mut times = [vec![], vec![], vec![], vec![]];
    for round in 0..ROUNDS + 100 {
        for (index, times) in times.iter_mut().enumerate() {
            let start = Instant::now();
            match index {
                0 => bare_tcp(),
                1 => act(&mut tcp),
                2 => bare_shared(),
                _ => act(&mut shared),
            }
            if round >= 100 {
                times.push(start.elapsed());
            }
        }
    }
    println!("224×224×3 + 8 out, 16×7 back, {ROUNDS} rounds in turn ({} bytes):", payload.len());
    let base = percentile(&mut times[0], 0.5);
    let names = ["bare zenoh, TCP", "bridge, TCP", "bare zenoh, shared", "bridge, shared"];
    for (name, times) in names.iter().zip(&mut times) {
        let (p50, p99) = (percentile(times, 0.5), percentile(times, 0.99));
        println!("  {name:20} p50 {p50:7.1} µs  p99 {p99:7.1} µs  {:.2} × bare TCP", p50 / base);
    }
}

/// A policy whose time per batch is fixed, as a GPU's is up to its batch size.
struct Busy {
    inner: ConstantPolicy,
    time: Duration,
}

impl Policy for Busy {
    fn info(&self) -> &PolicyInfo {
        self.inner.info()
    }

    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        self.inner.begin(trials)
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        // An accelerator works while the processor is free for the bridge.
        std::thread::sleep(self.time);
        self.inner.act(requests)
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        self.inner.end(trials);
    }
}

/// 64 trials in flight to a policy that takes 64 at once, beside the policy itself.
fn batching(_criterion: &mut Criterion) {
    const ROUNDS: usize = 30;
    let rig = rig(Some(224));
    let busy = || Busy {
        inner: ConstantPolicy::new(info(rig.clone(), 64), chunk()).expect("a policy"),
        time: Duration::from_millis(100),
    };
    let begins: Vec<_> = (0..64).map(begin).collect();
    let seen = observation(&rig);
    let requests: Vec<_> = (0..64).map(|trial| (TrialHandle(trial), seen.clone())).collect();
    let rate = |policy: &mut dyn Policy| {
        policy.begin(&begins).expect("begin");
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(policy.act(&requests).expect("act"));
        }
        (ROUNDS * requests.len()) as f64 / start.elapsed().as_secs_f64()
    };
    let own = rate(&mut busy());
    println!("64 trials in flight, 224×224×3 each, a policy of 100 ms a batch: {own:.0} /s itself");
    for (name, shared_memory) in [("TCP", false), ("shared", true)] {
        let bridged = rate(&mut Bridge::new(shared_memory, Box::new(busy())).policy);
        println!("  over {name:7} {bridged:.0} /s, {:.0} % of its own", 100.0 * bridged / own);
    }
}

/// A world that does nothing, as fast as that can be done.
struct Trivial {
    rig: Embodiment,
    shown: Observation,
}

impl World for Trivial {
    fn embodiment(&self) -> &Embodiment {
        &self.rig
    }

    fn reset(&mut self, starts: &[Start]) -> Result<Vec<PerTrial<Observation>>, InterfaceError> {
        Ok(starts.iter().map(|_| Ok(self.shown.clone())).collect())
    }

    fn step(
        &mut self,
        requests: &[(TrialHandle, ActionChunk)],
    ) -> Result<Vec<PerTrial<Advance>>, InterfaceError> {
        let advance = |chunk: &ActionChunk| {
            let step = Step { observation: self.shown.clone(), success: Some(0.0) };
            Advance {
                steps: vec![step; chunk.steps()],
                segments: vec![],
                ended: false,
                remark: None,
            }
        };
        Ok(requests.iter().map(|(_, chunk)| Ok(advance(chunk))).collect())
    }

    fn close(&mut self, _trials: &[TrialHandle]) {}
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0_f64);
    pages * 4096.0 / f64::from(1 << 20)
}

fn play(trials: u64) {
    let rig = rig(Some(8));
    let mut world = Trivial { shown: observation(&rig), rig: rig.clone() };
    let policy = Box::new(ConstantPolicy::new(info(rig, 64), chunk()).expect("a policy"));
    let trials = (0..trials).map(|index| Trial {
        id: format!("bench/{index}/constant/0"),
        task: Arc::from("none"),
        index,
        instruction: Arc::from("do nothing"),
        observation: None,
        world_seed: Seed::root(0),
        policy_seed: Seed::root(0),
        horizon: 32,
    });
    let mut observer = |event: Event<'_>| -> Result<(), ObserverError> {
        black_box(&event);
        Ok(())
    };
    let lanes = vec![Lane::new(policy, 8, trials)];
    run(&mut world, lanes, &LoopOptions::default(), &mut observer, &Cancel::default())
        .expect("a run");
}

/// What the loop itself costs: trials of 32 steps, four decisions each, in a trivial world.
fn closed_loop(criterion: &mut Criterion) {
    for trials in [10_000, 100_000] {
        let start = Instant::now();
        play(trials);
        let rate = trials as f64 / start.elapsed().as_secs_f64();
        println!("{trials} trials: {rate:.0} /s, {:.0} MiB resident after", resident_mib());
    }
    let mut group = criterion.benchmark_group("closed_loop");
    group.sample_size(10).throughput(Throughput::Elements(1_000));
    group.bench_function("1000 trials", |bencher| bencher.iter(|| play(1_000)));
    group.finish();
}

fn wire(criterion: &mut Criterion) {
    let rig = rig(Some(224));
    let request = vec![(TrialHandle(1), observation(&rig))];
    let bytes = encode_act(&request, &rig, ImageForm::Raw).expect("encode");
    let mut group = criterion.benchmark_group("wire");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("encode", |bencher| {
        bencher.iter(|| encode_act(black_box(&request), &rig, ImageForm::Raw).expect("encode"));
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decode_act(black_box(&bytes), &rig, &Limits::default()).expect("decode"));
    });
    group.finish();
}

criterion_group!(benches, latency, batching, closed_loop, wire);
criterion_main!(benches);
