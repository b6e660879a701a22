//! `rehearse score`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::interval::Interval;
use rehearse_scoring::ranking::{RankOptions, Standing, standings};
use rehearse_scoring::rate::{BothRates, Rate, RateMethod};
use rehearse_scoring::report::{Column, Table as Report, Value};
use rehearse_scoring::trial::{AggregateTable, Table, Tally, TrialTable};
use rehearse_scoring::warning::{Side, Warning};
use serde::Serialize;

use super::tables::{print, read_table, shown};
use crate::cli::{ExitStatus, Format, Printer};

/// Trials below which a rate is said to rest on few.
const FEW_TRIALS: u64 = 25;

/// Arguments of `rehearse score`.
///
/// Example: `rehearse score trials.csv --format json`
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Trial tables: CSV or Parquet files, or run directories; several are read as one
    #[arg(required = true)]
    tables: Vec<PathBuf>,
    /// The interval of a rate
    #[arg(long, value_enum, default_value_t)]
    interval: IntervalKind,
    /// Confidence level of every interval
    #[arg(long, default_value_t = 0.95)]
    level: f64,
    /// Seed of the resampling behind rank intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The interval of a rate.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum IntervalKind {
    /// Wilson's: right on average
    #[default]
    Wilson,
    /// Clopper and Pearson's: never below its level, wider
    ClopperPearson,
    /// Jeffreys': right on average
    Jeffreys,
}

/// The content of `--format json`.
#[derive(Debug, Serialize)]
struct Scores {
    format: u32,
    level: f64,
    policies: Vec<PolicyScore>,
    ranking: Vec<Standing>,
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct PolicyScore {
    name: String,
    /// Successes, or mean credit, of the decided trials.
    rate: Option<f64>,
    interval: Option<Interval>,
    trials: Option<u64>,
    /// The same with void and unsure trials in the denominator.
    attempted: Option<Rate>,
    success: Option<u64>,
    failure: Option<u64>,
    partial: Option<u64>,
    void: u64,
    unsure: u64,
    tasks: Vec<TaskScore>,
}

#[derive(Debug, Serialize)]
struct TaskScore {
    task: String,
    rate: Option<f64>,
    interval: Option<Interval>,
    trials: Option<u64>,
    void: u64,
    unsure: u64,
}

impl ScoreArgs {
    /// Prints the success rates of every policy, and their ranking.
    ///
    /// # Errors
    /// If a table cannot be read, or tables contradict one another.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let method = match self.interval {
            IntervalKind::Wilson => RateMethod::Wilson,
            IntervalKind::ClopperPearson => RateMethod::ClopperPearson,
            IntervalKind::Jeffreys => RateMethod::Jeffreys,
        };
        let scores = match self.table(printer)? {
            Table::Trials(table) => of_trials(&table, method, self.level, self.seed)?,
            Table::Aggregate(table) => of_rates(&table, method, self.level)?,
        };
        print(printer, self.format, &scores, &[scores.table()?])?;
        Ok(ExitStatus::Success)
    }

    /// All tables as one.
    fn table(&self, printer: &Printer) -> anyhow::Result<Table> {
        let (mut trials, mut cells) = (Vec::new(), Vec::new());
        let mut files = Vec::new();
        for path in &self.tables {
            let reading = read_table(path, printer)?;
            files.push(reading.file);
            match reading.table {
                Table::Trials(table) => trials.extend_from_slice(table.trials()),
                Table::Aggregate(table) => cells.extend_from_slice(table.cells()),
            }
        }
        let files = files.join(" + ");
        match (trials.is_empty(), cells.is_empty()) {
            (false, false) => bail!(
                "some of these tables have one row per trial and some are aggregated; score them \
                 apart: {files}"
            ),
            (_, true) => Ok(Table::Trials(TrialTable::new(trials, &files)?)),
            (true, false) => Ok(Table::Aggregate(AggregateTable::new(cells, &files)?)),
        }
    }
}

fn of_trials(
    table: &TrialTable,
    method: RateMethod,
    level: f64,
    seed: u64,
) -> anyhow::Result<Scores> {
    let summary = table.summary();
    let mut warnings = Vec::new();
    let mut policies = Vec::new();
    for (name, tally) in summary.by_policy() {
        let both = BothRates::of(&tally, method, level)?;
        warn(name, &tally, both.decided, &mut warnings);
        let tasks = summary
            .cells
            .iter()
            .filter(|cell| cell.policy == name)
            .map(|cell| {
                let decided = BothRates::of(&cell.tally, method, level)?.decided;
                Ok(TaskScore {
                    task: cell.task.clone(),
                    rate: decided.map(|rate| rate.value),
                    interval: decided.map(|rate| rate.interval),
                    trials: Some(cell.tally.decided()),
                    void: cell.tally.void,
                    unsure: cell.tally.unsure,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        policies.push(PolicyScore {
            name: name.to_owned(),
            rate: both.decided.map(|rate| rate.value),
            interval: both.decided.map(|rate| rate.interval),
            trials: Some(tally.decided()),
            attempted: both.attempted,
            success: Some(tally.successes),
            failure: Some(tally.failures),
            partial: Some(tally.partials),
            void: tally.void,
            unsure: tally.unsure,
            tasks,
        });
    }
    let uneven = uneven(&policies);
    // A ranking is over the tasks that all policies have done.
    let decided = uneven.is_none()
        && policies.iter().flat_map(|policy| &policy.tasks).all(|task| task.trials > Some(0));
    warnings.extend(uneven);
    let ranking = if policies.len() > 1 && decided {
        standings(table, &RankOptions { level, ..RankOptions::new(Seed::root(seed)) })?
    } else {
        Vec::new()
    };
    Ok(Scores { format: 1, level, policies, ranking, warnings })
}

fn of_rates(table: &AggregateTable, method: RateMethod, level: f64) -> anyhow::Result<Scores> {
    let mut policies: BTreeMap<&str, PolicyScore> = BTreeMap::new();
    let mut warnings = Vec::new();
    let mut unknown = 0;
    let mut tallies: BTreeMap<&str, Option<(u64, u64)>> = BTreeMap::new();
    for cell in table.cells() {
        let counts = cell.counts()?;
        unknown += usize::from(counts.is_none());
        let rate = counts.map(|(k, n)| Rate::of_counts(k, n, method, level)).transpose()?;
        let tally = tallies.entry(&cell.policy).or_insert(Some((0, 0)));
        *tally = tally.zip(counts).map(|((k, n), (more, trials))| (k + more, n + trials));
        policies
            .entry(&cell.policy)
            .or_insert_with(|| PolicyScore::unknown(&cell.policy))
            .tasks
            .push(TaskScore {
                task: cell.task.clone(),
                rate: Some(cell.rate),
                interval: rate.map(|rate| rate.interval),
                trials: cell.trials,
                void: 0,
                unsure: 0,
            });
    }
    for (name, policy) in &mut policies {
        let Some(Some((successes, trials))) = tallies.get(name) else {
            // Without counts every task counts the same.
            let rates = policy.tasks.iter().filter_map(|task| task.rate);
            policy.rate = Some(rates.sum::<f64>() / policy.tasks.len() as f64);
            continue;
        };
        let rate = Rate::of_counts(*successes, *trials, method, level)?;
        warnings.extend(few(name, &rate));
        policy.rate = Some(rate.value);
        policy.interval = Some(rate.interval);
        policy.trials = Some(*trials);
        policy.success = Some(*successes);
        policy.failure = Some(trials - successes);
    }
    if unknown > 0 {
        warnings.push(Warning::UnknownTrials { side: Side::Real, cells: unknown });
    }
    let policies: Vec<PolicyScore> = policies.into_values().collect();
    warnings.extend(uneven(&policies));
    Ok(Scores { format: 1, level, policies, ranking: Vec::new(), warnings })
}

fn warn(policy: &str, tally: &Tally, rate: Option<Rate>, warnings: &mut Vec<Warning>) {
    let (policy, trials) = (policy.to_owned(), tally.total());
    if tally.void > 0 {
        let (policy, void) = (policy.clone(), tally.void);
        warnings.push(Warning::VoidTrials { policy, void, trials });
    }
    if tally.unsure > 0 {
        let (policy, unsure) = (policy.clone(), tally.unsure);
        warnings.push(Warning::UnsureTrials { policy, unsure, trials });
    }
    warnings.extend(rate.and_then(|rate| few(&policy, &rate)));
}

fn few(policy: &str, rate: &Rate) -> Option<Warning> {
    let half_width = rate.interval.width() / 2.0;
    let policy = policy.to_owned();
    (rate.n < FEW_TRIALS).then_some(Warning::FewTrials { policy, trials: rate.n, half_width })
}

/// Policies that were not tried on the same tasks have rates that do not compare.
fn uneven(policies: &[PolicyScore]) -> Option<Warning> {
    let tasks: std::collections::BTreeSet<&str> =
        policies.iter().flat_map(|p| p.tasks.iter().map(|t| t.task.as_str())).collect();
    let fewest = policies.iter().min_by_key(|policy| policy.tasks.len())?;
    (fewest.tasks.len() < tasks.len()).then(|| Warning::UnevenTasks {
        policy: fewest.name.clone(),
        tasks: fewest.tasks.len(),
        all: tasks.len(),
    })
}

impl PolicyScore {
    fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rate: None,
            interval: None,
            trials: None,
            attempted: None,
            success: None,
            failure: None,
            partial: None,
            void: 0,
            unsure: 0,
            tasks: Vec::new(),
        }
    }
}

impl Scores {
    fn table(&self) -> anyhow::Result<Report> {
        let mut report = Report::new(
            "Success rates",
            vec![
                Column::text("policy", "policy"),
                Column::text("task", "task"),
                Column::number("n", "n"),
                Column::number("rate", "success"),
                Column::interval("interval", "interval"),
                Column::number("void", "void"),
                Column::number("unsure", "unsure"),
                Column::number("rank", "rank"),
                Column::number("rank_low", "best"),
                Column::number("rank_high", "worst"),
            ],
        );
        let count = |n: Option<u64>| n.map_or(Value::Missing, Value::Count);
        let share = |rate: Option<f64>| rate.map_or(Value::Missing, Value::percent);
        for policy in &self.policies {
            let rank = self.ranking.iter().find(|standing| standing.policy == policy.name);
            report.push(vec![
                Value::text(&policy.name),
                Value::text("all"),
                count(policy.trials),
                share(policy.rate),
                Value::interval(policy.interval),
                Value::Count(policy.void),
                Value::Count(policy.unsure),
                rank.map_or(Value::Missing, |standing| Value::Count(standing.rank.into())),
                rank.map_or(Value::Missing, |standing| Value::Count(standing.rank_low.into())),
                rank.map_or(Value::Missing, |standing| Value::Count(standing.rank_high.into())),
            ])?;
            for task in shown(&policy.tasks) {
                report.push(vec![
                    Value::text(&policy.name),
                    Value::text(&task.task),
                    count(task.trials),
                    share(task.rate),
                    Value::interval(task.interval),
                    Value::Count(task.void),
                    Value::Count(task.unsure),
                    Value::Missing,
                    Value::Missing,
                    Value::Missing,
                ])?;
            }
        }
        if !self.ranking.is_empty() {
            report
                .note("rank: by the mean over tasks; best and worst rank: its bootstrap interval");
        }
        report.warn(&self.warnings);
        Ok(report)
    }
}
