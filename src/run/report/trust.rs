//! How far the numbers of a run can be trusted, and what the judge's errors make of them.

use std::collections::BTreeMap;

use rehearse_calibration::error::CalibrationError;
use rehearse_calibration::estimate::JudgeCorrected;
use rehearse_scenarios::suite::{JudgeEntry, TrustEntry};
use rehearse_scoring::rate::{Rate, RateMethod};
use rehearse_scoring::warning::Warning;
use rehearse_world_model::fidelity::Fidelity;
use serde::Serialize;

use super::super::journal::Entry;
use super::super::trust::{Again, Outside};
use super::super::world::CHECKPOINT;
use super::super::{Manifest, PolicyRecord, RunError};
use super::PolicyReport;
use super::content::{LEVEL, made};
use super::failures::median;
use crate::judge::OutcomeCheck;

/// Share of trials beyond which a reader is told.
const MANY: f64 = 0.2;

/// How far the world can be trusted.
#[derive(Debug, Serialize)]
pub struct Trust {
    /// The world.
    pub world: String,
    /// What was measured of the checkpoint when it was trained.
    pub fidelity: Option<serde_json::Value>,
    /// What the suite asks of a trusted trial.
    pub bounds: TrustEntry,
    /// The policies' trials inside and outside the trusted region; empty where no trial has any
    /// evidence of its fidelity.
    pub policies: Vec<TrustedPolicy>,
    /// Trials outside, by reason; one may have several.
    pub outside: BTreeMap<Outside, u64>,
    /// Trials imagined twice.
    pub draws: Option<Draws>,
    /// What is known of the judge.
    pub judge: Option<JudgeReport>,
}

/// A policy's trials inside and outside the trusted region.
#[derive(Debug, Serialize)]
pub struct TrustedPolicy {
    /// The policy.
    pub policy: String,
    /// Trials that ended without a void.
    pub trials: u64,
    /// Those outside the trusted region.
    pub outside: u64,
    /// The rate over all decided trials.
    pub rate: Option<Rate>,
    /// The rate over the decided trials inside.
    pub trusted_rate: Option<Rate>,
    /// Medians over its trials of what [`Evidence`](super::super::trust::Evidence) holds.
    pub start_distance: Option<f64>,
    /// As above.
    pub action_distance: Option<f64>,
    /// As above, in metres.
    pub expected_error: Option<f64>,
}

/// What trials that were imagined twice say.
#[derive(Debug, Serialize)]
pub struct Draws {
    /// Trials imagined twice.
    pub trials: u64,
    /// Those that ended alike.
    pub alike: u64,
    /// Distance between the hand in the two draws, the median over trials, in metres.
    pub distance: Option<f64>,
    /// How alike their pictures are, the median over trials, in decibels.
    pub psnr: Option<f64>,
}

/// What is known of the judge, and the rates without its errors.
#[derive(Debug, Serialize)]
pub struct JudgeReport {
    /// Where its errors were measured.
    pub from: &'static str,
    /// The log's split that they were measured on.
    pub split: String,
    /// Whether they were measured under the rule of this run.
    pub same_rule: bool,
    /// Its verdicts against the truth.
    pub outcomes: OutcomeCheck,
    /// Rates corrected for them, in the order of the report's policies; none where the judge
    /// tells too little.
    pub corrected: Vec<Option<JudgeCorrected>>,
}

impl Trust {
    pub(super) fn of(
        manifest: &Manifest,
        entries: &BTreeMap<String, Entry>,
        draws: &BTreeMap<String, Again>,
        policies: &[PolicyReport],
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, RunError> {
        let bounds = manifest.suite.trust.clone();
        let mut outside = BTreeMap::new();
        let judged = |entry: &&Entry| entry.evidence.is_some() && entry.outcome != "void";
        let mut trusted = vec![];
        for policy in policies {
            let of_policy: Vec<(&Entry, Vec<Outside>)> = entries
                .values()
                .filter(|entry| entry.policy == policy.name)
                .filter(judged)
                .filter_map(|entry| {
                    let again = draws.get(&entry.trial);
                    Some((entry, entry.evidence?.outside(&bounds, &entry.outcome, again)))
                })
                .collect();
            if of_policy.is_empty() {
                continue;
            }
            for reason in of_policy.iter().flat_map(|(_, reasons)| reasons) {
                *outside.entry(*reason).or_default() += 1;
            }
            trusted.push(TrustedPolicy::of(&policy.name, &of_policy)?);
        }
        for policy in &trusted {
            if policy.outside as f64 > MANY * policy.trials as f64 {
                warnings.push(Warning::OutsideTrust {
                    policy: policy.policy.clone(),
                    outside: policy.outside,
                    trials: policy.trials,
                });
            }
        }
        let draws = Draws::of(entries, draws);
        if let Some(draws) =
            draws.as_ref().filter(|d| (d.alike as f64) < (1.0 - MANY) * d.trials as f64)
        {
            let (differ, trials) = (draws.trials - draws.alike, draws.trials);
            warnings.push(Warning::NoiseDecides { differ, trials });
        }
        let sharing = sharing_weights(&manifest.world, &manifest.policies);
        if !sharing.is_empty() {
            warnings.push(Warning::SharedWeights { policies: sharing });
        }
        let judge = judge(manifest, policies, warnings)?;
        let (world, fidelity) = (manifest.world.clone(), manifest.fidelity.clone());
        Ok(Self { world, fidelity, bounds, policies: trusted, outside, draws, judge })
    }
}

impl TrustedPolicy {
    fn of(name: &str, trials: &[(&Entry, Vec<Outside>)]) -> Result<Self, RunError> {
        let rate = |all: bool| {
            let decided = trials
                .iter()
                .filter(|(_, reasons)| all || reasons.is_empty())
                .map(|(entry, _)| entry.outcome.as_str())
                .filter(|outcome| matches!(*outcome, "success" | "failure"));
            let (successes, n) = decided.fold((0, 0), |(successes, n), outcome| {
                (successes + u64::from(outcome == "success"), n + 1)
            });
            (n > 0)
                .then(|| Rate::of_counts(successes, n, RateMethod::Wilson, LEVEL))
                .transpose()
                .map_err(made("trusted rates"))
        };
        let middle = |of: fn(&Entry) -> Option<f32>| {
            median(trials.iter().filter_map(|(entry, _)| of(entry)))
        };
        Ok(Self {
            policy: name.to_owned(),
            trials: trials.len() as u64,
            outside: trials.iter().filter(|(_, reasons)| !reasons.is_empty()).count() as u64,
            rate: rate(true)?,
            trusted_rate: rate(false)?,
            start_distance: middle(|entry| entry.evidence?.start_distance),
            action_distance: middle(|entry| entry.evidence?.action_distance),
            expected_error: middle(|entry| entry.evidence?.expected_error),
        })
    }
}

impl Draws {
    fn of(entries: &BTreeMap<String, Entry>, draws: &BTreeMap<String, Again>) -> Option<Self> {
        let pairs: Vec<(&Entry, &Again)> =
            draws.values().filter_map(|again| Some((entries.get(&again.trial)?, again))).collect();
        let sound = |of: fn(&Again) -> f32| {
            let sound = pairs.iter().filter(|(_, again)| again.outcome != "void");
            median(sound.map(|(_, again)| of(again)))
        };
        (!pairs.is_empty()).then(|| Self {
            trials: pairs.len() as u64,
            alike: pairs.iter().filter(|(entry, again)| entry.outcome == again.outcome).count()
                as u64,
            distance: sound(|again| again.distance),
            psnr: sound(|again| again.psnr),
        })
    }
}

/// Policies that plan with the weights of the learned world that they are tried in.
fn sharing_weights(world: &str, policies: &[PolicyRecord]) -> Vec<String> {
    let Some(weights) = world.strip_prefix(CHECKPOINT) else { return vec![] };
    let same = |policy: &&PolicyRecord| policy.digest.as_deref() == Some(weights);
    policies.iter().filter(same).map(|policy| policy.name.clone()).collect()
}

fn judge(
    manifest: &Manifest,
    policies: &[PolicyReport],
    warnings: &mut Vec<Warning>,
) -> Result<Option<JudgeReport>, RunError> {
    let rule = JudgeEntry { check: None, ..manifest.suite.judge.clone() };
    let known = match &manifest.judge {
        Some(check) => {
            let from = if check.imagined.is_some() {
                "imagined replays of logged episodes"
            } else {
                "real frames of logged episodes"
            };
            Some((from, check.split.clone(), check.rule == rule, *check.outcomes()))
        }
        // What was measured of the checkpoint's own judge says nothing of another.
        None if manifest.judged_by.is_some() => None,
        None => of_fidelity(manifest)?.map(|(split, outcomes)| {
            ("imagined replays of logged episodes", split, rule == JudgeEntry::default(), outcomes)
        }),
    };
    let Some((from, split, same_rule, outcomes)) = known else {
        // A world that is no model may know the truth.
        if manifest.judged_by.is_some() || manifest.world.starts_with(CHECKPOINT) {
            warnings.push(Warning::JudgeUnchecked);
        }
        return Ok(None);
    };
    if !same_rule {
        warnings.push(Warning::JudgeRule);
    }
    let mut corrected = vec![];
    for policy in policies {
        let rate = policy.rate.filter(|_| policy.trials > 0);
        let rate = rate.map(|rate| outcomes.counts().correct(rate, policy.trials as f64, LEVEL));
        corrected.push(match rate.transpose() {
            Ok(rate) => rate,
            Err(CalibrationError::Empty { .. } | CalibrationError::UninformativeJudge { .. }) => {
                None
            }
            Err(error) => return Err(made("corrected rates")(error)),
        });
    }
    if corrected.iter().all(Option::is_none) {
        let value = |rate: Option<Rate>| rate.map(|rate| rate.value);
        warnings.push(Warning::JudgeUninformative {
            sensitivity: value(outcomes.sensitivity),
            specificity: value(outcomes.specificity),
        });
    }
    Ok(Some(JudgeReport { from, split, same_rule, outcomes, corrected }))
}

/// Verdicts that a checkpoint's record of its fidelity holds.
fn of_fidelity(manifest: &Manifest) -> Result<Option<(String, OutcomeCheck)>, RunError> {
    let Some(value) = &manifest.fidelity else { return Ok(None) };
    let Ok(fidelity) = serde_json::from_value::<Fidelity>(value.clone()) else { return Ok(None) };
    let mut confusion = [[0; 2]; 2];
    for task in &fidelity.judge {
        for (sum, counts) in confusion.iter_mut().zip(task.imagined_confusion) {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count as u64);
        }
    }
    let outcomes = OutcomeCheck::of_confusion(confusion)?;
    Ok((outcomes.episodes > 0).then_some((fidelity.split, outcomes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_shares_the_worlds_weights_if_it_states_their_digest() {
        let policy = |name: &str, digest: Option<&str>| PolicyRecord {
            name: name.to_owned(),
            chunk: 8,
            digest: digest.map(ToOwned::to_owned),
        };
        let policies = [policy("a", Some("00ff")), policy("b", Some("00fe")), policy("c", None)];
        assert_eq!(sharing_weights("checkpoint 00ff", &policies), ["a"]);
        assert!(sharing_weights("zenoh lab (00ff)", &policies).is_empty());
    }
}
