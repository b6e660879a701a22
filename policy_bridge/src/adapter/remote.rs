//! A server of another project as a [`Policy`].

use std::collections::BTreeMap;

use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::interface::{
    Begin, InterfaceError, PerTrial, Policy, PolicyInfo, TrialHandle,
};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind};

use super::convert::{Converter, Held, Request, Table};
use super::manifest::Memory;

/// The arrays of a reply by key, or what voids the trial.
pub(super) type Answer = Result<BTreeMap<String, Table>, Fault>;

/// What the protocols of other projects have in common.
pub(super) trait Remote: Send {
    /// Begins a trial.
    fn begin(&mut self, begin: &Begin) -> Result<(), Fault>;

    /// Asks for the actions of several trials, all of which have begun, in their order.
    fn ask(&mut self, requests: &[(TrialHandle, Request)]) -> Vec<Answer>;

    /// Ends a trial that has begun.
    fn end(&mut self, trial: TrialHandle);
}

/// A server of another project as a policy; [`connect`](super::connect) makes it.
pub struct AdapterPolicy {
    info: PolicyInfo,
    converter: Converter,
    remote: Box<dyn Remote>,
    open: BTreeMap<TrialHandle, Held>,
}

impl AdapterPolicy {
    pub(super) fn new(name: &str, converter: Converter, remote: Box<dyn Remote>) -> Self {
        let manifest = converter.manifest();
        let info = PolicyInfo {
            name: name.to_owned(),
            embodiment: manifest.embodiment.clone(),
            chunk: manifest.server.chunk,
            max_batch: manifest.server.max_batch,
            digest: None,
        };
        Self { info, converter, remote, open: BTreeMap::new() }
    }

    fn begin_one(&mut self, begin: &Begin) -> Result<(), Fault> {
        let crashed = |message: &str| Err(Fault::new(FaultKind::PolicyCrashed, message));
        if self.open.contains_key(&begin.trial) {
            return crashed("the trial has begun already");
        }
        if self.converter.manifest().server.memory == Memory::Trial && !self.open.is_empty() {
            return crashed(
                "the manifest says memory = \"trial\" and another trial is on: run one at a time",
            );
        }
        self.remote.begin(begin)?;
        self.open.insert(begin.trial, Held::default());
        Ok(())
    }
}

impl Policy for AdapterPolicy {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        Ok(trials.iter().map(|begin| self.begin_one(begin)).collect())
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        let mut ready = vec![];
        let mut answers: Vec<Option<PerTrial<ActionChunk>>> = vec![];
        for (index, (trial, observation)) in requests.iter().enumerate() {
            if !self.open.contains_key(trial) {
                return Err(InterfaceError::UnknownTrial { trial: *trial });
            }
            if requests.iter().take(index).any(|(other, _)| other == trial) {
                return Err(InterfaceError::DuplicateTrial { trial: *trial });
            }
            match self.converter.request(observation) {
                Ok(request) => {
                    ready.push((*trial, request));
                    answers.push(None);
                }
                Err(fault) => answers.push(Some(Err(fault))),
            }
        }
        let mut replies = vec![];
        for batch in ready.chunks(self.info.max_batch) {
            replies.extend(self.remote.ask(batch));
        }
        let mut replies = replies.into_iter();
        Ok(requests
            .iter()
            .zip(answers)
            .map(|((trial, observation), answer)| {
                let answer = answer.unwrap_or_else(|| {
                    let reply = replies.next().unwrap_or_else(|| {
                        Err(Fault::new(FaultKind::PolicyCrashed, "the server left it out"))
                    })?;
                    let held = self.open.entry(*trial).or_default();
                    self.converter.chunk(&reply, observation.time, held)
                });
                if answer.is_err() {
                    self.end(&[*trial]);
                }
                answer
            })
            .collect())
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        for trial in trials {
            if self.open.remove(trial).is_some() {
                self.remote.end(*trial);
            }
        }
    }
}
