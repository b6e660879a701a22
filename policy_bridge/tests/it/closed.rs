//! The closed loop on a world that counts.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rehearse_policy_bridge::closed_loop::{
    Cancel, Event, Lane, Latency, LoopError, LoopOptions, ObserverError, StaleActions, SuccessRule,
    Summary, WhileWaiting, run,
};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::interface::{
    Begin, InterfaceError, PerTrial, Policy, PolicyInfo, TrialHandle,
};
use rehearse_scenarios::local::{ConstantPolicy, NoisePolicy, ScriptedPolicy};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind, Outcome};
use rehearse_scenarios::time::SimDuration;

use crate::toy::{AddingWorld, Book, info, trials};

fn constant(name: &str, dx: f32, chunk: usize) -> Box<dyn Policy> {
    let actions = ActionChunk::from_values(2, [dx, 0.5].repeat(chunk)).unwrap();
    Box::new(ConstantPolicy::new(info(name, chunk, 8), actions).unwrap())
}

fn noise(name: &str, max_batch: usize) -> Box<dyn Policy> {
    Box::new(NoisePolicy::new(info(name, 4, max_batch)).unwrap())
}

fn play(world: &mut AddingWorld, lanes: Vec<Lane>) -> (Summary, Book) {
    let mut book = Book::default();
    let summary =
        run(world, lanes, &LoopOptions::default(), &mut book, &Cancel::default()).unwrap();
    assert_eq!(world.open(), 0, "a trial was left open in the world");
    assert_eq!(book.started.len(), book.episodes.len());
    (summary, book)
}

#[test]
fn a_trial_ends_at_its_goal_or_its_horizon() {
    let mut world = AddingWorld::new(1.0);
    let lanes = vec![
        Lane::new(constant("quick", 0.25, 3), 2, trials("quick", 1, 10)),
        Lane::new(constant("slow", 0.0625, 3), 3, trials("slow", 1, 10)),
    ];
    let (summary, book) = play(&mut world, lanes);
    let quick = &book.episodes["toy/0/quick/0"];
    assert_eq!((quick.outcome.clone(), quick.len()), (Outcome::Success, 4));
    let slow = &book.episodes["toy/0/slow/0"];
    assert_eq!((slow.outcome.clone(), slow.len()), (Outcome::Failure, 10));
    for episode in book.episodes.values() {
        episode.validate().unwrap();
        let last = episode.observations.last().unwrap();
        assert_eq!(last.time.as_nanos(), episode.len() as i64 * 100_000_000);
    }
    assert_eq!((summary.lanes[0].success, summary.lanes[1].failure), (1, 1));
    assert_eq!(summary.lanes[1].steps, 10);
}

#[test]
fn success_must_last_as_long_as_the_rule_says() {
    let mut world = AddingWorld::new(1.0);
    // 0.5, 1.0 (done), 0.5, 1.0 (done), 1.5 (done): the third belief in a row never comes.
    let script = |_: &Observation, asked: u64| {
        let dx = [0.5, 0.5, -0.5, 0.5, 0.5][asked as usize];
        Ok(ActionChunk::from_values(2, vec![dx, 0.0]).unwrap())
    };
    let lane =
        || Lane::new(Box::new(ScriptedPolicy::new(info("p", 1, 1), script)), 1, trials("p", 1, 5));
    for (steps, outcome, length) in
        [(1, Outcome::Success, 2), (2, Outcome::Success, 5), (3, Outcome::Failure, 5)]
    {
        let success = SuccessRule { steps, ..SuccessRule::default() };
        let options = LoopOptions { success, ..LoopOptions::default() };
        let mut book = Book::default();
        run(&mut world, vec![lane()], &options, &mut book, &Cancel::default()).unwrap();
        let episode = &book.episodes["toy/0/p/0"];
        assert_eq!((episode.outcome.clone(), episode.len()), (outcome, length), "{steps} steps");
    }
}

#[test]
fn a_success_may_be_followed_by_more_steps_but_not_past_the_horizon() {
    let mut world = AddingWorld::new(1.0);
    // Done after its second step, whatever comes later.
    let lane = || Lane::new(constant("p", 0.5, 2), 2, trials("p", 1, 9));
    for (after, length) in [(0, 2), (1, 3), (4, 6), (100, 9)] {
        let success = SuccessRule { after, ..SuccessRule::default() };
        let options = LoopOptions { success, ..LoopOptions::default() };
        let mut book = Book::default();
        run(&mut world, vec![lane()], &options, &mut book, &Cancel::default()).unwrap();
        let episode = &book.episodes["toy/0/p/0"];
        assert_eq!((episode.outcome.clone(), episode.len()), (Outcome::Success, length));
    }
}

#[test]
fn the_same_seeds_give_the_same_episodes_however_trials_interleave() {
    let lanes = |max_batch: usize, in_flight: usize| {
        ["a", "b", "c"]
            .map(|name| {
                let trials = trials(name, 20, 9);
                Lane { in_flight: Some(in_flight), ..Lane::new(noise(name, max_batch), 3, trials) }
            })
            .into_iter()
            .collect::<Vec<_>>()
    };
    let (_, one) = play(&mut AddingWorld::new(2.0), lanes(1, 1));
    for (max_batch, in_flight) in [(8, 20), (3, 7)] {
        let (_, many) = play(&mut AddingWorld::new(2.0), lanes(max_batch, in_flight));
        assert_eq!(many.episodes, one.episodes);
    }
}

/// A policy that holds the state of one trial, and refuses a second.
struct OneTrial {
    info: PolicyInfo,
    open: Option<TrialHandle>,
}

impl Policy for OneTrial {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        let one = |begin: &Begin| match self.open.replace(begin.trial) {
            None => Ok(()),
            Some(_) => Err(Fault::new(FaultKind::PolicyCrashed, "another trial is on")),
        };
        Ok(trials.iter().map(one).collect())
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        let chunk = ActionChunk::from_values(2, vec![0.5, 0.0]).unwrap();
        Ok(requests.iter().map(|_| Ok(chunk.clone())).collect())
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        self.open = self.open.filter(|open| !trials.contains(open));
    }
}

#[test]
fn a_policy_of_one_trial_gets_one_whatever_is_allowed() {
    for in_flight in [None, Some(64)] {
        let policy = OneTrial { info: info("p", 1, 1), open: None };
        let lane = Lane { in_flight, ..Lane::new(Box::new(policy), 1, trials("p", 9, 4)) };
        let (summary, _) = play(&mut AddingWorld::new(1.0), vec![lane]);
        assert_eq!(summary.lanes[0].voids(), 0, "{summary}");
    }
}

#[test]
fn a_broken_trial_is_void_and_the_others_go_on() {
    let mut world = AddingWorld::new(9.0);
    world.breaks_at = Some(3);
    let (summary, book) = play(&mut world, vec![Lane::new(noise("p", 4), 4, trials("p", 6, 8))]);
    for (id, episode) in &book.episodes {
        let broken = id == "toy/3/p/0";
        assert_eq!(matches!(episode.outcome, Outcome::Void { .. }), broken, "{id}");
        assert_eq!(episode.len(), if broken { 0 } else { 8 });
    }
    assert_eq!(summary.lanes[0].void[&FaultKind::WorldBroke], 1);
    assert!(summary.to_string().contains("1 world_broke"), "{summary}");
}

/// Does what it is told to do wrong when asked about trials of one parity.
struct Faulty {
    inner: Box<dyn Policy>,
    misdeed: Misdeed,
    hung: Option<Receiver<()>>,
}

#[derive(Clone, Copy)]
enum Misdeed {
    Panics,
    FailsAsAWhole,
    AnswersTooFew,
    OutOfBounds,
    Hangs,
}

impl Policy for Faulty {
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
        let mut chunks = self.inner.act(requests)?;
        match self.misdeed {
            Misdeed::Panics => panic!("it was meant to"),
            Misdeed::FailsAsAWhole => {
                return Err(InterfaceError::Failed {
                    side: "policy".into(),
                    message: "out of memory".into(),
                    source: None,
                });
            }
            Misdeed::AnswersTooFew => drop(chunks.pop()),
            Misdeed::OutOfBounds => {
                chunks = requests
                    .iter()
                    .map(|_| Ok(ActionChunk::from_values(2, vec![0.0, 7.0]).unwrap()))
                    .collect();
            }
            Misdeed::Hangs => {
                let hung = self.hung.take().expect("hangs once");
                assert!(hung.recv().is_err(), "nobody wakes it but the end of the test");
            }
        }
        Ok(chunks)
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        self.inner.end(trials);
    }
}

#[test]
fn whatever_a_policy_does_wrong_voids_its_trials_and_no_others() {
    for (misdeed, kind) in [
        (Misdeed::Panics, FaultKind::PolicyCrashed),
        (Misdeed::FailsAsAWhole, FaultKind::PolicyCrashed),
        (Misdeed::AnswersTooFew, FaultKind::PolicyCrashed),
        (Misdeed::OutOfBounds, FaultKind::MalformedAction),
        (Misdeed::Hangs, FaultKind::PolicyTimeout),
    ] {
        let (wake, hung): (Sender<()>, _) = channel();
        let faulty = Faulty { inner: noise("faulty", 4), misdeed, hung: Some(hung) };
        let patience = matches!(misdeed, Misdeed::Hangs).then_some(Duration::from_millis(20));
        let lanes = vec![
            Lane { patience, ..Lane::new(Box::new(faulty), 4, trials("faulty", 11, 8)) },
            Lane::new(noise("sound", 4), 4, trials("sound", 11, 8)),
        ];
        let (summary, book) = play(&mut AddingWorld::new(9.0), lanes);
        drop(wake);
        assert_eq!(book.episodes.len(), 22);
        assert_eq!(summary.lanes[0].void.get(&kind), Some(&11), "{kind}: {summary}");
        assert_eq!(summary.lanes[1].failure, 11, "{kind}: {summary}");
    }
}

#[test]
fn a_slow_policy_does_not_stall_the_others() {
    // The slow policy answers only after every trial of the quick one has ended.
    let (done, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let slow = ScriptedPolicy::new(info("slow", 4, 1), move |_: &Observation, asked: u64| {
        if asked == 0 {
            wait.lock().unwrap().recv().unwrap();
        }
        Ok(ActionChunk::from_values(2, vec![0.0; 8]).unwrap())
    });
    let lanes = vec![
        Lane::new(Box::new(slow), 4, trials("slow", 1, 4)),
        Lane::new(noise("quick", 8), 4, trials("quick", 40, 8)),
    ];
    let mut ended = 0;
    let mut observer = |event: Event<'_>| -> Result<(), ObserverError> {
        if let Event::Ended { lane, .. } = event {
            ended += 1;
            assert_eq!(lane, usize::from(ended <= 40), "trial {ended} ended out of turn");
            if ended == 40 {
                done.send(())?;
            }
        }
        Ok(())
    };
    let options = LoopOptions::default();
    run(&mut AddingWorld::new(9.0), lanes, &options, &mut observer, &Cancel::default()).unwrap();
    assert_eq!(ended, 41);
}

#[test]
fn latency_costs_simulated_time_and_executes_what_it_says() {
    let latency = Latency {
        delay: SimDuration::from_millis(150),
        waiting: WhileWaiting::KeepExecuting,
        stale: StaleActions::Drop,
    };
    // Chunks of 0.01 × (10 × decision + step).
    let script = |_: &Observation, asked: u64| {
        let values = (0..4).flat_map(|step| [0.01 * (10 * asked + step) as f32, 0.0]).collect();
        Ok(ActionChunk::from_values(2, values).unwrap())
    };
    let policy = Box::new(ScriptedPolicy::new(info("p", 4, 1), script));
    let lane = Lane { latency, ..Lane::new(policy, 2, trials("p", 1, 9)) };
    let (_, book) = play(&mut AddingWorld::new(9.0), vec![lane]);
    let executed: Vec<f32> =
        book.episodes["toy/0/p/0"].actions.iter().map(|action| action[0]).collect();
    // 0 1 | 2 3 while waiting | 12 13 (10 and 11 are stale) | nothing is left: hold, hold | 22.
    let expected = [0.0, 0.01, 0.02, 0.03, 0.12, 0.13];
    assert_eq!(executed[..6], expected);
    assert_eq!(executed.len(), 9);

    let late = Latency { delay: SimDuration::from_millis(400), ..latency };
    let lane = Lane { latency: late, ..Lane::new(noise("p", 1), 2, trials("p", 1, 9)) };
    let options = LoopOptions::default();
    let refused = run(
        &mut AddingWorld::new(9.0),
        vec![lane],
        &options,
        &mut Book::default(),
        &Cancel::default(),
    );
    assert!(
        matches!(refused, Err(LoopError::Setting { setting: "latency_ms", .. })),
        "{refused:?}"
    );
}

#[test]
fn a_policy_for_another_rig_is_refused_before_the_first_trial() {
    let mut other = info("other", 4, 1);
    other.embodiment.cameras[0].height = 480;
    let policy = Box::new(NoisePolicy::new(other).unwrap());
    let lanes = vec![Lane::new(policy, 1, trials("other", 1, 1))];
    let mut book = Book::default();
    let options = LoopOptions::default();
    let refused = run(&mut AddingWorld::new(1.0), lanes, &options, &mut book, &Cancel::default())
        .unwrap_err();
    assert!(refused.to_string().contains("cameras[front]"), "{refused}");
    assert!(book.started.is_empty());
}

#[test]
fn a_cancelled_run_says_how_many_trials_it_gave_up() {
    let cancel = Cancel::default();
    let (mut started, mut ended) = (0, 0);
    let mut observer = |event: Event<'_>| -> Result<(), ObserverError> {
        match event {
            Event::Started { .. } => started += 1,
            Event::Ended { .. } => ended += 1,
            Event::Census { .. } | Event::Stepped { .. } => {}
        }
        if ended == 5 {
            cancel.cancel();
        }
        Ok(())
    };
    let lane = Lane { in_flight: Some(6), ..Lane::new(noise("p", 2), 4, trials("p", 1_000, 8)) };
    let mut world = AddingWorld::new(9.0);
    let summary =
        run(&mut world, vec![lane], &LoopOptions::default(), &mut observer, &cancel).unwrap();
    assert_eq!(summary.lanes[0].trials() + summary.abandoned, started, "{summary}");
    assert!(started < 1_000);
    assert_eq!(world.open(), 0);
}

#[test]
fn an_observer_that_fails_stops_the_run() {
    let mut observer = |event: Event<'_>| -> Result<(), ObserverError> {
        match event {
            Event::Ended { .. } => Err("disk full".into()),
            _ => Ok(()),
        }
    };
    let lanes = vec![Lane::new(noise("p", 2), 4, trials("p", 50, 8))];
    let options = LoopOptions::default();
    let stopped =
        run(&mut AddingWorld::new(9.0), lanes, &options, &mut observer, &Cancel::default());
    assert!(matches!(stopped, Err(LoopError::Observer(_))), "{stopped:?}");
}

#[test]
fn a_fault_of_the_policys_own_keeps_its_kind() {
    let script = |_: &Observation, asked: u64| {
        if asked == 1 {
            return Err(Fault::new(FaultKind::PolicyTimeout, "planning took too long"));
        }
        Ok(ActionChunk::from_values(2, vec![0.0, 0.0]).unwrap())
    };
    let policy = Box::new(ScriptedPolicy::new(info("p", 1, 4), script));
    let (summary, book) =
        play(&mut AddingWorld::new(9.0), vec![Lane::new(policy, 1, trials("p", 3, 8))]);
    assert_eq!(summary.lanes[0].void[&FaultKind::PolicyTimeout], 3);
    assert!(book.episodes.values().all(|episode| episode.len() == 1));
}
