//! A world that adds up what it is told, and trials in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rehearse_policy_bridge::closed_loop::{Event, Observer, ObserverError, Trial};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::interface::{
    Advance, InterfaceError, PerTrial, PolicyInfo, Start, Step, TrialHandle, World,
};
use rehearse_scenarios::observation::{Image, Observation};
use rehearse_scenarios::outcome::{Fault, FaultKind};
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::testing::sample_rig;
use rehearse_scenarios::time::SimTime;

/// Adds up the first action channel; done once the sum reaches `goal`.
pub struct AddingWorld {
    rig: Embodiment,
    goal: f32,
    sums: BTreeMap<TrialHandle, (f32, Arc<str>)>,
    /// Trials of this start index break at their first step.
    pub breaks_at: Option<u64>,
    broken: Vec<TrialHandle>,
}

impl AddingWorld {
    pub fn new(goal: f32) -> Self {
        Self { rig: sample_rig(), goal, sums: BTreeMap::new(), breaks_at: None, broken: vec![] }
    }

    fn show(sum: f32, instruction: &Arc<str>) -> Observation {
        let image = Image::from_rgb(4, 6, vec![(sum * 10.0) as u8; 72]).unwrap();
        Observation {
            images: [("front".to_owned(), image)].into(),
            proprioception: vec![sum],
            instruction: Arc::clone(instruction),
            time: SimTime::ZERO,
        }
    }

    pub fn open(&self) -> usize {
        self.sums.len()
    }
}

impl World for AddingWorld {
    fn embodiment(&self) -> &Embodiment {
        &self.rig
    }

    fn reset(&mut self, starts: &[Start]) -> Result<Vec<PerTrial<Observation>>, InterfaceError> {
        let opened = starts.iter().map(|start| {
            let sum = start.index as f32 / 100.0;
            let old = self.sums.insert(start.trial, (sum, Arc::clone(&start.instruction)));
            assert!(old.is_none(), "trial {:?} was opened twice", start.trial);
            if self.breaks_at == Some(start.index) {
                self.broken.push(start.trial);
            }
            Ok(Self::show(sum, &start.instruction))
        });
        Ok(opened.collect())
    }

    fn step(
        &mut self,
        requests: &[(TrialHandle, ActionChunk)],
    ) -> Result<Vec<PerTrial<Advance>>, InterfaceError> {
        let advanced = requests.iter().map(|(trial, chunk)| {
            if self.broken.contains(trial) {
                return Err(Fault::new(FaultKind::WorldBroke, "it was meant to"));
            }
            let (sum, instruction) = self.sums.get_mut(trial).expect("an open trial");
            let mut steps = vec![];
            for action in chunk.view().rows() {
                *sum += action[0];
                let success = Some(if *sum >= self.goal { 1.0 } else { 0.0 });
                steps.push(Step { observation: Self::show(*sum, instruction), success });
            }
            Ok(Advance { steps, segments: vec![], ended: false, remark: None })
        });
        Ok(advanced.collect())
    }

    fn close(&mut self, trials: &[TrialHandle]) {
        for trial in trials {
            self.sums.remove(trial);
        }
    }
}

pub fn info(name: &str, chunk: usize, max_batch: usize) -> PolicyInfo {
    PolicyInfo { name: name.into(), embodiment: sample_rig(), chunk, max_batch, digest: None }
}

pub fn trials(
    policy: &str,
    count: u64,
    horizon: u32,
) -> impl Iterator<Item = Trial> + Send + use<> {
    let policy = policy.to_owned();
    (0..count).map(move |index| Trial {
        id: format!("toy/{index}/{policy}/0"),
        task: Arc::from("add"),
        index,
        instruction: Arc::from("add up"),
        observation: None,
        world_seed: Seed::root(1).child("world").index(index),
        policy_seed: Seed::root(1).child("policy").index(index),
        horizon,
    })
}

/// Episodes and what judges said of them, by id, and how often each trial started.
#[derive(Default)]
pub struct Book {
    pub episodes: BTreeMap<String, Episode>,
    pub remarks: BTreeMap<String, Option<String>>,
    pub started: BTreeMap<String, u32>,
}

impl Observer for Book {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        match event {
            Event::Census { .. } | Event::Stepped { .. } => {}
            Event::Started { trial, .. } => *self.started.entry(trial.id.clone()).or_default() += 1,
            Event::Ended { trial, episode, remark, .. } => {
                assert_eq!(trial.id, episode.id);
                self.remarks.insert(trial.id.clone(), remark);
                let again = self.episodes.insert(episode.id.clone(), episode);
                assert!(again.is_none(), "trial {} ended twice", trial.id);
            }
        }
        Ok(())
    }
}
