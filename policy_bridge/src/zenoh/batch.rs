//! One batch of trials as requests that the server takes, and its answers put back in order.

use std::collections::BTreeMap;

use rehearse_scenarios::interface::{PerTrial, TrialHandle};
use rehearse_scenarios::outcome::Fault;

use super::exchange::Outgoing;
use super::keys::Operation;
use super::link::Link;
use crate::wire::WireError;

/// What a server takes in one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    pub(super) max_batch: usize,
    pub(super) max_message: usize,
}

/// Writes a request of some items.
type Encode<'a, I> = dyn Fn(&[&I]) -> Result<Vec<u8>, WireError> + 'a;
/// Reads the answer to a request.
type Decode<'a, T> = dyn Fn(&[u8]) -> Result<Vec<(TrialHandle, PerTrial<T>)>, WireError> + 'a;

/// How one kind of item travels.
pub(super) struct Carrier<'a, I, T> {
    pub(super) operation: Operation,
    pub(super) capacity: Capacity,
    /// The trial of an item.
    pub(super) trial: &'a dyn Fn(&I) -> TrialHandle,
    /// Bytes that an item takes, about; or why it is not sent.
    pub(super) size: &'a dyn Fn(&I) -> Result<usize, Fault>,
    pub(super) encode: &'a Encode<'a, I>,
    pub(super) decode: &'a Decode<'a, T>,
}

/// Results in the order of the items, and the server that gave each group of them.
pub(super) struct Carried<T> {
    pub(super) results: Vec<PerTrial<T>>,
    pub(super) servers: Vec<[u8; 16]>,
}

/// Carries items to the server and their results back. Trials that got a fault are ended.
pub(super) fn carry<I, T>(link: &mut Link, carrier: &Carrier<'_, I, T>, items: &[I]) -> Carried<T> {
    let mut results: BTreeMap<TrialHandle, PerTrial<T>> = BTreeMap::new();
    let mut groups: Vec<Vec<&I>> = vec![];
    let mut room = 0_usize;
    for item in items {
        match (carrier.size)(item) {
            Err(fault) => {
                results.insert((carrier.trial)(item), Err(fault));
            }
            Ok(size) => match groups.last_mut() {
                Some(group) if group.len() < carrier.capacity.max_batch && size <= room => {
                    group.push(item);
                    room -= size;
                }
                _ => {
                    groups.push(vec![item]);
                    // What frames the items of a request is small beside them.
                    room = carrier.capacity.max_message.saturating_sub(size + 1024);
                }
            },
        }
    }
    let mut outgoing = vec![];
    for group in groups {
        let trials: Vec<_> = group.iter().map(|item| (carrier.trial)(item)).collect();
        match (carrier.encode)(&group) {
            Ok(payload) => outgoing.push(Outgoing { trials, payload: payload.into() }),
            Err(error) => {
                let fault = link.broken(&error.to_string());
                results.extend(trials.into_iter().map(|trial| (trial, Err(fault.clone()))));
            }
        }
    }
    let asked: Vec<Vec<TrialHandle>> =
        outgoing.iter().map(|outgoing| outgoing.trials.clone()).collect();
    let mut servers = vec![];
    let answers = link.exchange(carrier.operation, outgoing);
    for (trials, answer) in asked.into_iter().zip(answers) {
        let read = match answer {
            Err(error) => Err(link.fault(&error)),
            Ok(answer) => {
                servers.push(answer.server);
                (carrier.decode)(&answer.payload.to_bytes())
                    .map_err(|error| link.broken(&error.to_string()))
            }
        };
        match read {
            Err(fault) => {
                results.extend(trials.into_iter().map(|trial| (trial, Err(fault.clone()))));
            }
            Ok(answered) => {
                let mut answered = by_trial(answered);
                for trial in trials {
                    let mut given = answered.remove(&trial).unwrap_or_default();
                    let result = match (given.pop(), given.is_empty()) {
                        (Some(result), true) => result,
                        (Some(_), false) => {
                            Err(link.broken("the answer holds the trial more than once"))
                        }
                        (None, _) => Err(link.broken("the answer does not hold the trial")),
                    };
                    results.insert(trial, result);
                }
            }
        }
    }
    let results: Vec<PerTrial<T>> = items
        .iter()
        .map(|item| {
            let trial = (carrier.trial)(item);
            results.remove(&trial).unwrap_or_else(|| Err(link.broken("the trial got no answer")))
        })
        .collect();
    let faulty: Vec<_> = items
        .iter()
        .zip(&results)
        .filter(|(_, result)| result.is_err())
        .map(|(item, _)| (carrier.trial)(item))
        .collect();
    link.end(&faulty);
    Carried { results, servers }
}

fn by_trial<T>(items: Vec<(TrialHandle, PerTrial<T>)>) -> BTreeMap<TrialHandle, Vec<PerTrial<T>>> {
    let mut sorted: BTreeMap<TrialHandle, Vec<PerTrial<T>>> = BTreeMap::new();
    for (trial, result) in items {
        sorted.entry(trial).or_default().push(result);
    }
    sorted
}
