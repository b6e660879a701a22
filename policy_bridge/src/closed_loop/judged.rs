//! A world whose trials somebody else judges.

use std::collections::BTreeMap;

use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{
    Advance, InterfaceError, Judge, PerTrial, Start, TrialHandle, Watch, World,
};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::FaultKind;

use super::spread::spread;

/// A world whose own belief that the task is done gives way to a judge's.
///
/// The judge looks at every `every`-th step of a trial, counted from its start, so that all
/// policies are looked at alike however many of their actions are executed at once; and at the
/// last one of a trial that the world ends. Of other steps nothing is said. A judge that fails
/// voids the trials that it was asked about.
pub struct JudgedWorld {
    world: Box<dyn World>,
    judge: Box<dyn Judge>,
    every: usize,
    /// Steps so far of the trials that are open.
    steps: BTreeMap<TrialHandle, usize>,
}

impl JudgedWorld {
    /// A world under the eyes of a judge that looks at every `every`-th step; 0 counts as 1.
    pub fn new(world: Box<dyn World>, judge: Box<dyn Judge>, every: u32) -> Self {
        Self { world, judge, every: (every as usize).max(1), steps: BTreeMap::new() }
    }

    /// Places of the steps of an answer that the judge looks at.
    fn due(&self, begun: usize, advance: &Advance) -> Vec<usize> {
        let last = advance.steps.len().checked_sub(1).filter(|_| advance.ended);
        (0..advance.steps.len())
            .filter(|&place| (begun + place + 1).is_multiple_of(self.every) || Some(place) == last)
            .collect()
    }

    /// Has the judge look at the steps that are due, one of each trial at a time.
    fn look(&mut self, handles: &[TrialHandle], answers: &mut [PerTrial<Advance>]) {
        let mut due = Vec::with_capacity(answers.len());
        for (handle, answer) in handles.iter().zip(answers.iter_mut()) {
            due.push(match answer {
                Ok(advance) => {
                    for step in &mut advance.steps {
                        step.success = None;
                    }
                    let begun = self.steps.get(handle).copied().unwrap_or_default();
                    self.steps.insert(*handle, begun + advance.steps.len());
                    self.due(begun, advance)
                }
                Err(_fault) => vec![],
            });
        }
        for round in 0..due.iter().map(Vec::len).max().unwrap_or_default() {
            let mut asked = vec![];
            let mut requests = vec![];
            for (index, (places, answer)) in due.iter().zip(answers.iter()).enumerate() {
                if let (Some(&place), Ok(advance)) = (places.get(round), answer) {
                    asked.push((index, place));
                    requests.push((handles[index], advance.steps[place].observation.clone()));
                }
            }
            if requests.is_empty() {
                continue;
            }
            let said = spread(self.judge.judge(&requests), requests.len(), FaultKind::JudgeBroke);
            for ((index, place), said) in asked.into_iter().zip(said) {
                match (said, &mut answers[index]) {
                    (Ok(opinion), Ok(advance)) => {
                        advance.steps[place].success = Some(opinion.belief);
                        advance.remark = opinion.reason.or(advance.remark.take());
                    }
                    (Err(fault), answer) => *answer = Err(fault),
                    (Ok(_), Err(_)) => {}
                }
            }
        }
    }
}

impl World for JudgedWorld {
    fn embodiment(&self) -> &Embodiment {
        self.world.embodiment()
    }

    fn reset(&mut self, starts: &[Start]) -> Result<Vec<PerTrial<Observation>>, InterfaceError> {
        let mut answers = self.world.reset(starts)?;
        let watched = starts.iter().zip(&answers).filter_map(|(start, answer)| {
            let observation = answer.as_ref().ok()?.clone();
            let Start { trial, instruction, seed, .. } = start;
            let (instruction, seed) = (instruction.clone(), seed.child("judge"));
            Some(Watch { trial: *trial, instruction, observation, seed })
        });
        let watched: Vec<Watch> = watched.collect();
        let begun = spread(self.judge.begin(&watched), watched.len(), FaultKind::JudgeBroke);
        let opened = answers.iter_mut().filter(|answer| answer.is_ok());
        let mut void = vec![];
        for ((answer, watch), begun) in opened.zip(&watched).zip(begun) {
            match begun {
                Ok(()) => drop(self.steps.insert(watch.trial, 0)),
                Err(fault) => {
                    *answer = Err(fault);
                    void.push(watch.trial);
                }
            }
        }
        if !void.is_empty() {
            self.close(&void);
        }
        Ok(answers)
    }

    fn step(
        &mut self,
        requests: &[(TrialHandle, ActionChunk)],
    ) -> Result<Vec<PerTrial<Advance>>, InterfaceError> {
        let mut answers = self.world.step(requests)?;
        let handles: Vec<TrialHandle> = requests.iter().map(|(trial, _)| *trial).collect();
        self.look(&handles, &mut answers);
        let void: Vec<TrialHandle> = handles
            .iter()
            .zip(&answers)
            .filter_map(|(trial, answer)| answer.is_err().then_some(*trial))
            .collect();
        if !void.is_empty() {
            self.close(&void);
        }
        Ok(answers)
    }

    fn close(&mut self, trials: &[TrialHandle]) {
        for trial in trials {
            self.steps.remove(trial);
        }
        self.judge.end(trials);
        self.world.close(trials);
    }
}
