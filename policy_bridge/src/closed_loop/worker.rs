//! The thread of one lane: asks the policy, one batch after the other.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender};

use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::interface::{Begin, PerTrial, Policy, TrialHandle};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::FaultKind;

use super::spread::spread;

/// What the policy is asked next: to end, then to begin, then to act.
#[derive(Default)]
pub(super) struct Work {
    pub(super) end: Vec<TrialHandle>,
    pub(super) begin: Vec<Begin>,
    pub(super) act: Vec<(TrialHandle, Observation)>,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        self.end.is_empty() && self.begin.is_empty() && self.act.is_empty()
    }
}

/// What a lane's thread reports.
pub(super) struct Report {
    pub(super) lane: usize,
    pub(super) news: News,
}

pub(super) enum News {
    /// Answers to some of the requests; more will follow.
    Answers(Vec<(TrialHandle, PerTrial<ActionChunk>)>),
    /// All requests are answered.
    Idle,
    /// The policy panicked: it is asked nothing more.
    Panicked,
}

/// Asks the policy whatever comes in, until nothing can come any more or it panics.
pub(super) fn work(
    lane: usize,
    batch: usize,
    mut policy: Box<dyn Policy>,
    orders: &Receiver<Work>,
    reports: &SyncSender<Report>,
) {
    while let Ok(order) = orders.recv() {
        let worked = catch_unwind(AssertUnwindSafe(|| {
            ask(policy.as_mut(), batch, order, |answers| {
                let news = News::Answers(answers);
                reports.send(Report { lane, news }).is_ok()
            });
        }));
        let news = if worked.is_ok() { News::Idle } else { News::Panicked };
        let over = matches!(news, News::Panicked);
        if reports.send(Report { lane, news }).is_err() || over {
            break;
        }
    }
    // A policy that panicked may panic again as it goes; that is nobody's concern any more.
    drop(catch_unwind(AssertUnwindSafe(move || drop(policy))));
}

fn ask(
    policy: &mut dyn Policy,
    max_batch: usize,
    order: Work,
    mut answer: impl FnMut(Vec<(TrialHandle, PerTrial<ActionChunk>)>) -> bool,
) {
    let Work { end, begin, act } = order;
    if !end.is_empty() {
        policy.end(&end);
    }
    let mut not_begun = BTreeSet::new();
    for batch in begin.chunks(max_batch) {
        let begun = spread(policy.begin(batch), batch.len(), FaultKind::PolicyCrashed);
        let faults: Vec<_> = batch
            .iter()
            .zip(begun)
            .filter_map(|(begin, begun)| begun.err().map(|fault| (begin.trial, Err(fault))))
            .collect();
        not_begun.extend(faults.iter().map(|(trial, _)| *trial));
        if !faults.is_empty() && !answer(faults) {
            return;
        }
    }
    let act: Vec<_> = act.into_iter().filter(|(trial, _)| !not_begun.contains(trial)).collect();
    for batch in act.chunks(max_batch) {
        let chunks = spread(policy.act(batch), batch.len(), FaultKind::PolicyCrashed);
        let answers = batch.iter().zip(chunks).map(|((trial, _), chunk)| (*trial, chunk));
        if !answer(answers.collect()) {
            return;
        }
    }
}
