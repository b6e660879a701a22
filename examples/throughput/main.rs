//! How fast the loop is around a world and a policy that cost nothing, and what it holds in memory:
//! `cargo run --release --example throughput -- 10000 100000`.
//!
//! Each trial has eight steps in one chunk. It goes through everything but the network: plan,
//! closed loop, journal, table of trials.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rehearse::policy_bridge::closed_loop::{Cancel, Event, Lane, LoopOptions, Trial, run};
use rehearse::run::{Entry, Manifest, Plan, RunFolder, Shard};
use rehearse::scenarios::action::ActionChunk;
use rehearse::scenarios::embodiment::{Channel, Embodiment};
use rehearse::scenarios::interface::{
    Advance, InterfaceError, PerTrial, PolicyInfo, Start, Step, TrialHandle, World,
};
use rehearse::scenarios::local::ConstantPolicy;
use rehearse::scenarios::observation::Observation;
use rehearse::scenarios::suite::Suite;
use rehearse::scenarios::time::{Rate, SimTime};

/// Steps of a trial.
const STEPS: usize = 8;

/// A world in which nothing happens.
struct Nothing {
    rig: Embodiment,
    seen: Observation,
}

impl World for Nothing {
    fn embodiment(&self) -> &Embodiment {
        &self.rig
    }

    fn reset(&mut self, starts: &[Start]) -> Result<Vec<PerTrial<Observation>>, InterfaceError> {
        Ok(starts.iter().map(|_| Ok(self.seen.clone())).collect())
    }

    fn step(
        &mut self,
        requests: &[(TrialHandle, ActionChunk)],
    ) -> Result<Vec<PerTrial<Advance>>, InterfaceError> {
        let step = || Step { observation: self.seen.clone(), success: Some(0.0) };
        let advance = |(_, chunk): &(TrialHandle, ActionChunk)| {
            let steps = (0..chunk.steps()).map(|_| step()).collect();
            Ok(Advance { steps, segments: vec![], ended: false, remark: None })
        };
        Ok(requests.iter().map(advance).collect())
    }

    fn close(&mut self, _trials: &[TrialHandle]) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("trials  per second  first tenth  last tenth  to the table  resident   at most");
    for count in std::env::args().skip(1) {
        measure(count.parse()?)?;
    }
    Ok(())
}

fn measure(count: u32) -> Result<(), Box<dyn Error>> {
    let text = format!(
        "name = \"nothing\"\nworld = {{ kind = \"zenoh\", name = \"nothing\" }}\nhorizon = {STEPS}\n\
         [[policy]]\nname = \"still\"\nzenoh = \"still\"\n\
         [[task]]\nname = \"wait\"\ninstruction = \"wait\"\nstarts = {{ count = {count} }}\n"
    );
    let suite = Suite::parse(&text, "throughput.toml".as_ref())?;
    let plan = Plan::expand(suite, PathBuf::new(), String::new(), Shard::WHOLE);
    let rig = Embodiment {
        robot: None,
        rate: Rate::from_hz(10.0)?,
        cameras: vec![],
        proprioception: vec![Channel::named("x")],
        actions: vec![Channel::named("dx")],
    };
    let seen = Observation {
        images: [].into(),
        proprioception: vec![0.0],
        instruction: Arc::from("wait"),
        time: SimTime::ZERO,
    };
    let info = PolicyInfo {
        name: "still".to_owned(),
        embodiment: rig.clone(),
        chunk: STEPS,
        max_batch: 64,
        digest: None,
    };
    let policy = ConstantPolicy::new(info, ActionChunk::from_values(1, vec![0.0; STEPS])?)?;
    let place = tempfile::tempdir()?;
    let manifest = Manifest::new(&plan, "nothing".to_owned(), rig.clone(), vec![]);
    let mut folder = RunFolder::open(&place.path().join("run"), &manifest, false, false)?;

    let suite = plan.suite.clone();
    let trials = (0..suite.trial_count()).filter_map(move |place| suite.trial(place));
    let trials = trials.map(|trial| Trial {
        id: trial.id.as_str().to_owned(),
        task: Arc::from("wait"),
        index: trial.scenario.start,
        instruction: Arc::from("wait"),
        observation: None,
        world_seed: trial.world_seed,
        policy_seed: trial.policy_seed,
        horizon: trial.horizon,
    });
    let (began, mut marks) = (Instant::now(), vec![]);
    let mut observe = |event: Event<'_>| {
        if let Event::Ended { trial, episode, .. } = event {
            folder.add(&entry(&trial, episode.len()), &episode)?;
            marks.push(began.elapsed().as_secs_f64());
        }
        Ok(())
    };
    let lanes = vec![Lane::new(Box::new(policy), STEPS, trials)];
    let mut world = Nothing { rig: rig.clone(), seen };
    run(&mut world, lanes, &LoopOptions::default(), &mut observe, &Cancel::default())?;
    let all = began.elapsed().as_secs_f64();
    let resident = memory("VmRSS:")?;
    folder.finish(&plan, &rig)?;
    let table = began.elapsed().as_secs_f64() - all;

    let tenth = marks.len() / 10;
    let rate = |from: usize, to: usize| (to - from) as f64 / (marks[to] - marks[from]);
    println!(
        "{count:>6}  {:>10.0}  {:>11.0}  {:>10.0}  {table:>10.2} s  {:>5.0} MB  {:>5.0} MB",
        f64::from(count) / all,
        rate(0, tenth),
        rate(marks.len() - 1 - tenth, marks.len() - 1),
        resident,
        memory("VmHWM:")?,
    );
    Ok(())
}

fn entry(trial: &Trial, length: usize) -> Entry {
    Entry {
        trial: trial.id.clone(),
        policy: "still".to_owned(),
        task: "wait".to_owned(),
        scenario: format!("wait.{}.plain", trial.index),
        repeat: 0,
        outcome: "failure".to_owned(),
        reason: None,
        remark: None,
        length: length as u32,
        peak: Some(0.0),
        travel: None,
        start: None,
        chunks: vec![],
        progress: None,
        reached: vec![],
        evidence: None,
    }
}

/// A number of `/proc/self/status`, in megabytes; Linux only.
fn memory(field: &str) -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1e3)
}
