//! The numbers of a report.

use std::collections::BTreeMap;
use std::path::Path;

use rehearse_scenarios::seed::Seed;
use rehearse_scoring::agreement::{AgreeOptions, Agreement, Pairs, agree};
use rehearse_scoring::interval::Interval;
use rehearse_scoring::ranking::{RankOptions, Standing, ranking, rate_superiority};
use rehearse_scoring::rate::{BothRates, Rate, RateMethod};
use rehearse_scoring::trial::{Limits, Table, Tally, TrialTable, read};
use rehearse_scoring::warning::{Side, Warning};
use serde::Serialize;

use super::super::folder::table_of;
use super::super::journal::{Entry, Journal};
use super::super::trust::read_draws;
use super::super::{Manifest, PolicyRecord, RunError, settle, timing};
use super::{CriterionReport, Failures, Trust, progress};

/// Confidence level of every interval.
pub(super) const LEVEL: f64 = 0.95;
/// Trials below which a rate is said to rest on few.
const FEW_TRIALS: u64 = 25;

/// A report, as `report.json` holds it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this form.
    pub format: u32,
    /// Name of the suite.
    pub suite: String,
    /// Trials of the suite, and those that have ended.
    pub trials: [usize; 2],
    /// The policies, in the order of the ranking where there is one.
    pub policies: Vec<PolicyReport>,
    /// Where each policy stands, and how sure it is that it beats the next.
    pub ranking: Vec<Beats>,
    /// How far imagined results agree with real ones; none without real results.
    pub agreement: Option<Agreement>,
    /// Success under each variation, beside the plain starts.
    pub variations: Vec<VariationReport>,
    /// How far the world can be trusted.
    pub trust: Trust,
    /// What was settled, where the run stopped because its ranking was.
    pub settled: Option<serde_json::Value>,
    /// What the run cost.
    pub cost: Cost,
    /// What a reader should be told, and what to do next.
    pub warnings: Vec<Warning>,
    /// Everything needed to make the run again.
    pub reproduce: Reproduce,
    #[serde(skip)]
    pub(super) points: Vec<Point>,
    #[serde(skip)]
    pub(super) entries: BTreeMap<String, Entry>,
}

/// A policy's results.
#[derive(Debug, Serialize)]
pub struct PolicyReport {
    /// The policy.
    pub name: String,
    /// Successes of the decided trials.
    pub rate: Option<f64>,
    /// Its interval.
    pub interval: Option<Interval>,
    /// The same with void and unsure trials in the denominator.
    pub attempted: Option<Rate>,
    /// Trials that were decided.
    pub trials: u64,
    /// Trials that succeeded.
    pub success: u64,
    /// Trials that failed.
    pub failure: u64,
    /// Trials in which something broke.
    pub void: u64,
    /// Trials that the judge could not decide.
    pub unsure: u64,
    /// How far its decided trials come, on average, where their tasks have rubrics.
    pub progress: Option<Rate>,
    /// What of the rubrics it reaches.
    pub criteria: Vec<CriterionReport>,
    /// Why trials are void, with how many.
    pub void_reasons: BTreeMap<String, u64>,
    /// What its failures have in common.
    pub failures: Failures,
    /// Its tasks.
    pub tasks: Vec<TaskReport>,
    /// Lengths of the world's chunks in its trials.
    pub chunks: Vec<Chunks>,
}

/// A policy's results on one task.
#[derive(Debug, Serialize)]
pub struct TaskReport {
    /// The task.
    pub task: String,
    /// Successes of the decided trials.
    pub rate: Option<f64>,
    /// Its interval.
    pub interval: Option<Interval>,
    /// The same with void and unsure trials in the denominator.
    pub attempted: Option<Rate>,
    /// Trials that were decided.
    pub trials: u64,
    /// Trials that are void.
    pub void: u64,
    /// Trials that are unsure.
    pub unsure: u64,
}

/// How often a world's expert was used.
#[derive(Debug, Serialize)]
pub struct Chunks {
    /// The expert, from 0; none where the world has no experts.
    pub expert: Option<u32>,
    /// Chunks that it made.
    pub chunks: u64,
    /// Control steps in them.
    pub steps: u64,
}

/// A place in the ranking.
#[derive(Debug, Serialize)]
pub struct Beats {
    /// The place.
    #[serde(flatten)]
    pub standing: Standing,
    /// Policies that share a letter cannot be told apart by tests.
    pub letters: Vec<String>,
    /// The policy in the next place.
    pub next: Option<String>,
    /// Probability that its true success rate is above the next one's (Jeffreys' prior on both).
    pub beats_next: Option<f64>,
}

/// A policy under one variation.
#[derive(Debug, Serialize)]
pub struct VariationReport {
    /// The variation.
    pub variation: String,
    /// The policy.
    pub policy: String,
    /// Its rate under the variation.
    pub rate: Option<Rate>,
    /// Its rate on plain starts.
    pub plain: Option<Rate>,
    /// Plain minus varied.
    pub drop: Option<f64>,
}

/// What a run cost, over the processes that came to their end.
#[derive(Debug, Serialize)]
pub struct Cost {
    /// Trials whose time is known.
    pub trials: u64,
    /// Control steps in them.
    pub steps: u64,
    /// Seconds by the wall clock.
    pub secs: f64,
    /// Seconds that the world took.
    pub world_secs: f64,
    /// The policies.
    pub policies: Vec<timing::PolicyCost>,
}

/// Everything needed to make a run again.
#[derive(Debug, Serialize)]
pub struct Reproduce {
    /// The command, given the suite as `suite.toml`.
    pub command: String,
    /// Version of the program.
    pub version: String,
    /// BLAKE3 of the suite file.
    pub suite_digest: String,
    /// The world.
    pub world: String,
    /// BLAKE3 of what the log states.
    pub log_digest: Option<String>,
    /// Root of the seed tree.
    pub seed: u64,
    /// The policies as they stated themselves.
    pub policies: Vec<PolicyRecord>,
}

/// A policy's real rate against its imagined one.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) policy: String,
    pub(super) real: f64,
    pub(super) imagined: f64,
}

impl Report {
    /// Makes the report of a run directory, with the real results in `real`, or in the run's
    /// `real.csv` where there is one.
    ///
    /// # Errors
    /// [`RunError`] if the run directory or the real results cannot be read.
    pub fn of(folder: &Path, real: Option<&Path>) -> Result<Self, RunError> {
        let manifest = Manifest::read(folder)?;
        let entries = Journal::read(&folder.join("events.jsonl"))?;
        let table = table_of(&entries)?;
        let plain = plain_of(&table)?;
        let mut warnings = vec![];
        let mut policies = policies(&table, &entries, &manifest, &mut warnings)?;
        let ranking = places(&plain)?;
        let place = |name: &str| ranking.iter().position(|beats| beats.standing.policy == name);
        policies.sort_by_key(|policy| place(&policy.name).unwrap_or(usize::MAX));
        let (agreement, points) = agreement(folder, real, &plain, &manifest)?;
        if let Some(agreement) = &agreement {
            warnings.extend(agreement.warnings.iter().cloned());
        }
        let variations = variations(&table)?;
        let draws = read_draws(folder)?;
        let trust = Trust::of(&manifest, &entries, &draws, &policies, &mut warnings)?;
        Ok(Self {
            format: 1,
            suite: manifest.suite.name.clone(),
            trials: [manifest.trials, entries.len()],
            policies,
            ranking,
            agreement,
            variations,
            trust,
            settled: settle::read(folder)?,
            cost: cost(folder)?,
            warnings,
            reproduce: Reproduce {
                command: command(&manifest),
                version: manifest.version,
                suite_digest: manifest.suite_digest,
                world: manifest.world,
                log_digest: manifest.log.map(|log| log.digest),
                seed: manifest.suite.seed,
                policies: manifest.policies,
            },
            points,
            entries,
        })
    }
}

/// The command that makes a run again, given its suite.
fn command(manifest: &Manifest) -> String {
    let judge = manifest.suite.judge.zenoh.as_ref();
    let judge = judge.map_or_else(String::new, |name| format!(" --judge {name}"));
    format!("rehearse run suite.toml --shard {}{judge}", manifest.shard)
}

pub(super) fn made<E: std::error::Error + Send + Sync + 'static>(
    what: &'static str,
) -> impl Fn(E) -> RunError {
    move |source| RunError::Report { what, source: Box::new(source) }
}

fn both(tally: &Tally) -> Result<BothRates, RunError> {
    BothRates::of(tally, RateMethod::Wilson, LEVEL).map_err(made("rates"))
}

/// The trials on starts as they are, or all where there are none.
fn plain_of(table: &TrialTable) -> Result<TrialTable, RunError> {
    let is_plain = |scenario: &str| scenario.rsplit('.').next() == Some("plain");
    let plain: Vec<_> = table
        .trials()
        .iter()
        .filter(|trial| trial.scenario.as_deref().is_none_or(is_plain))
        .cloned()
        .collect();
    if plain.is_empty() { Ok(table.clone()) } else { Ok(TrialTable::new(plain, "the run")?) }
}

fn policies(
    table: &TrialTable,
    entries: &BTreeMap<String, Entry>,
    manifest: &Manifest,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<PolicyReport>, RunError> {
    let summary = table.summary();
    let mut policies = vec![];
    for (name, tally) in summary.by_policy() {
        let rates = both(&tally)?;
        let (policy, trials) = (name.to_owned(), tally.total());
        if tally.void > 0 {
            let (policy, void) = (policy.clone(), tally.void);
            warnings.push(Warning::VoidTrials { policy, void, trials });
        }
        if tally.unsure > 0 {
            let (policy, unsure) = (policy.clone(), tally.unsure);
            warnings.push(Warning::UnsureTrials { policy, unsure, trials });
        }
        if let Some(rate) = rates.decided.filter(|rate| rate.n < FEW_TRIALS) {
            let half_width = rate.interval.width() / 2.0;
            warnings.push(Warning::FewTrials { policy, trials: rate.n, half_width });
        }
        let tasks = summary
            .cells
            .iter()
            .filter(|cell| cell.policy == name)
            .map(|cell| {
                let rates = both(&cell.tally)?;
                Ok(TaskReport {
                    task: cell.task.clone(),
                    rate: rates.decided.map(|rate| rate.value),
                    interval: rates.decided.map(|rate| rate.interval),
                    attempted: rates.attempted,
                    trials: cell.tally.decided(),
                    void: cell.tally.void,
                    unsure: cell.tally.unsure,
                })
            })
            .collect::<Result<_, RunError>>()?;
        let mut void_reasons = BTreeMap::new();
        let mut chunks: BTreeMap<Option<u32>, (u64, u64)> = BTreeMap::new();
        for entry in entries.values().filter(|entry| entry.policy == name) {
            if let Some(reason) = &entry.reason {
                *void_reasons.entry(reason.clone()).or_default() += 1;
            }
            for (steps, expert) in &entry.chunks {
                let used = chunks.entry(*expert).or_default();
                used.0 += 1;
                used.1 += u64::from(*steps);
            }
        }
        policies.push(PolicyReport {
            name: name.to_owned(),
            rate: rates.decided.map(|rate| rate.value),
            interval: rates.decided.map(|rate| rate.interval),
            attempted: rates.attempted,
            trials: tally.decided(),
            success: tally.successes,
            failure: tally.failures,
            void: tally.void,
            unsure: tally.unsure,
            progress: progress::mean(name, entries)?,
            criteria: progress::criteria(name, &manifest.rubrics, entries),
            void_reasons,
            failures: Failures::of(name, entries, &manifest.suite.judge),
            tasks,
            chunks: chunks
                .into_iter()
                .map(|(expert, (chunks, steps))| Chunks { expert, chunks, steps })
                .collect(),
        });
    }
    Ok(policies)
}

/// The ranking; none where a policy has no decided trial of some task.
fn places(table: &TrialTable) -> Result<Vec<Beats>, RunError> {
    let summary = table.summary();
    let cells = table.policies().len() * table.tasks().len();
    let decided = summary.cells.iter().filter(|cell| cell.tally.decided() > 0).count();
    if table.policies().len() < 2 || decided < cells {
        return Ok(vec![]);
    }
    let options = RankOptions { level: LEVEL, ..RankOptions::new(Seed::root(0)) };
    let ranking = ranking(table, &options).map_err(made("ranking"))?;
    let tallies = summary.by_policy();
    let counts = |policy: &str| {
        tallies.get(policy).map_or((0, 0), |tally| (tally.successes, tally.decided()))
    };
    let next: Vec<Option<String>> = ranking
        .standings
        .iter()
        .skip(1)
        .map(|standing| Some(standing.policy.clone()))
        .chain(std::iter::once(None))
        .collect();
    Ok(ranking
        .standings
        .into_iter()
        .zip(ranking.letters)
        .zip(next)
        .map(|((standing, letters), next)| {
            let beats_next = next
                .as_deref()
                .map(|next| rate_superiority(counts(&standing.policy), counts(next)));
            Beats { standing, letters, next, beats_next }
        })
        .collect())
}

fn agreement(
    folder: &Path,
    real: Option<&Path>,
    imagined: &TrialTable,
    manifest: &Manifest,
) -> Result<(Option<Agreement>, Vec<Point>), RunError> {
    let kept = folder.join("real.csv");
    let path = match real {
        Some(path) => path,
        None if kept.exists() => &kept,
        None => return Ok((None, vec![])),
    };
    let real = read(path, &Limits::default())?.table;
    let pairs = Pairs::new(&real, &Table::Trials(imagined.clone())).map_err(made("agreement"))?;
    let lineages = manifest
        .suite
        .policies
        .iter()
        .filter_map(|policy| Some((policy.name.clone(), policy.lineage.clone()?)))
        .collect();
    let options = AgreeOptions { level: LEVEL, lineages, ..AgreeOptions::new(Seed::root(0)) };
    let agreement = agree(&pairs, &options).map_err(made("agreement"))?;
    let (on_robot, in_mind) = (pairs.policy_rates(Side::Real), pairs.policy_rates(Side::Imagined));
    let points = pairs
        .policies()
        .iter()
        .zip(on_robot.into_iter().zip(in_mind))
        .map(|(policy, (real, imagined))| Point { policy: policy.clone(), real, imagined })
        .collect();
    Ok((Some(agreement), points))
}

fn variations(table: &TrialTable) -> Result<Vec<VariationReport>, RunError> {
    let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
    for trial in table.trials() {
        let label = trial.scenario.as_deref().and_then(|scenario| scenario.rsplit('.').next());
        let key = (label.unwrap_or("plain").to_owned(), trial.policy.to_string());
        tallies.entry(key).or_default().add(trial.verdict);
    }
    let mut rows = vec![];
    for ((variation, policy), tally) in &tallies {
        if variation == "plain" {
            continue;
        }
        let rate = both(tally)?.decided;
        let plain = match tallies.get(&("plain".to_owned(), policy.clone())) {
            Some(tally) => both(tally)?.decided,
            None => None,
        };
        let drop = plain.zip(rate).map(|(plain, rate)| plain.value - rate.value);
        let (variation, policy) = (variation.clone(), policy.clone());
        rows.push(VariationReport { variation, policy, rate, plain, drop });
    }
    Ok(rows)
}

fn cost(folder: &Path) -> Result<Cost, RunError> {
    let sessions = timing::sessions(folder)?;
    let sum = |of: fn(&timing::Session) -> f64| sessions.iter().map(of).sum();
    let mut policies: BTreeMap<&str, timing::PolicyCost> = BTreeMap::new();
    for cost in sessions.iter().flat_map(|session| &session.policies) {
        match policies.get_mut(cost.policy.as_str()) {
            Some(known) => {
                // The spread is that of the largest session.
                if cost.requests > known.requests {
                    (known.median_secs, known.p95_secs) = (cost.median_secs, cost.p95_secs);
                }
                known.requests += cost.requests;
                known.secs += cost.secs;
            }
            None => drop(policies.insert(&cost.policy, cost.clone())),
        }
    }
    Ok(Cost {
        trials: sessions.iter().map(|session| session.trials).sum(),
        steps: sessions.iter().map(|session| session.steps).sum(),
        secs: sum(|session| session.secs),
        world_secs: sum(|session| session.world_secs),
        policies: policies.into_values().collect(),
    })
}
