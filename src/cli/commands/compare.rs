//! `rehearse compare`.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::compare::{CompareOptions, Comparison, Verdict, compare};
use rehearse_scoring::report::{Column, Table as Report, Value};
use rehearse_scoring::trial::{Trial, TrialTable};
use serde::Serialize;

use super::tables::{print, read_table, trials};
use crate::cli::{ExitStatus, Format, Printer};

/// Arguments of `rehearse compare`.
///
/// Example: `rehearse compare full half --trials trials.csv --margin 0.1`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The first policy; without `--trials`, a table that holds it
    a: String,
    /// The second policy; without `--trials`, a table that holds it
    b: String,
    /// The table that holds both policies: CSV, Parquet, or a run directory
    #[arg(long)]
    trials: Option<PathBuf>,
    /// The policy to compare where A and B are tables of several
    #[arg(long, conflicts_with = "trials")]
    policy: Option<String>,
    /// Differences below this do not matter: test for equivalence too
    #[arg(long)]
    margin: Option<f64>,
    /// Leave it out of account that scenarios are shared
    #[arg(long)]
    unpaired: bool,
    /// Power at which "how many trials would settle it" is answered
    #[arg(long, default_value_t = 0.8)]
    power: f64,
    /// Confidence level; a p below 1 − level is a difference
    #[arg(long, default_value_t = 0.95)]
    level: f64,
    /// Seed of the bootstrap that partial credits need
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// End with code 1 if A is worse than B
    #[arg(long)]
    gate: bool,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The content of `--format json`.
#[derive(Debug, Serialize)]
struct Output<'a> {
    format: u32,
    #[serde(flatten)]
    comparison: &'a Comparison,
}

impl CompareArgs {
    /// Prints whether one policy is better than the other.
    ///
    /// # Errors
    /// If a table cannot be read, or does not hold the policies.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let options = CompareOptions {
            level: self.level,
            margin: self.margin,
            unpaired: self.unpaired,
            power: self.power,
            ..CompareOptions::new(Seed::root(self.seed))
        };
        let table = match &self.trials {
            Some(path) => trials(read_table(path, printer)?)?,
            None => self.joined(printer)?,
        };
        let comparison = compare(&table, &self.a, &self.b, &options)?;
        let output = Output { format: 1, comparison: &comparison };
        print(printer, self.format, &output, &[report(&comparison)?])?;
        let worse = comparison.verdict == Verdict::BBetter;
        Ok(if self.gate && worse { ExitStatus::Failure } else { ExitStatus::Success })
    }

    /// The one policy of each of two tables, under the names of the tables.
    fn joined(&self, printer: &Printer) -> anyhow::Result<TrialTable> {
        let mut joined = Vec::new();
        for name in [&self.a, &self.b] {
            let path = Path::new(name);
            if !path.exists() {
                bail!("no table {name:?}; name the table of two policies with `--trials`");
            }
            let table = trials(read_table(path, printer)?)?;
            let policies = table.policies();
            let policy = match (&self.policy, policies.as_slice()) {
                (None, [only]) => (*only).to_owned(),
                (None, _) => bail!(
                    "{name} holds several policies ({}); choose one with `--policy`",
                    policies.join(", ")
                ),
                (Some(wanted), _) if policies.contains(&wanted.as_str()) => wanted.clone(),
                (Some(wanted), _) => {
                    bail!("no policy {wanted:?} in {name}; it has {}", policies.join(", "))
                }
            };
            let own = table.trials().iter().filter(|trial| *trial.policy == *policy);
            joined.extend(own.map(|trial| Trial { policy: name.as_str().into(), ..trial.clone() }));
        }
        Ok(TrialTable::new(joined, &format!("{} + {}", self.a, self.b))?)
    }
}

fn report(comparison: &Comparison) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "Comparison",
        vec![
            Column::text("policy", "policy"),
            Column::number("n", "n"),
            Column::number("rate", "success"),
            Column::interval("interval", "interval"),
        ],
    );
    for (name, rate) in [(&comparison.a, &comparison.rate_a), (&comparison.b, &comparison.rate_b)] {
        report.push(vec![
            Value::text(name),
            Value::Count(rate.n),
            Value::percent(rate.value),
            Value::interval(Some(rate.interval)),
        ])?;
    }
    report.push(vec![
        Value::text("difference"),
        Value::Missing,
        Value::number(comparison.difference, 3),
        Value::interval(comparison.interval),
    ])?;
    let (a, b) = (&comparison.a, &comparison.b);
    report.note(match comparison.verdict {
        Verdict::ABetter => format!("verdict: {a} is better than {b}"),
        Verdict::BBetter => format!("verdict: {b} is better than {a}"),
        Verdict::Equivalent => format!("verdict: {a} and {b} are equivalent within the margin"),
        Verdict::Undecided => "verdict: undecided".to_owned(),
    });
    for test in &comparison.tests {
        report.note(format!("p = {:.4} ({})", test.p, test.test));
    }
    if let Some(equivalence) = &comparison.equivalence
        && let Some(p) = equivalence.p
    {
        report.note(format!("p = {p:.4} that they differ by {} or more", equivalence.margin));
    }
    if comparison.paired {
        let Comparison { undecided_pairs, unmatched, .. } = comparison;
        report.note(format!(
            "paired by scenario; left out: {undecided_pairs} pairs with a void or unsure trial, \
             {unmatched} trials without a partner"
        ));
    }
    if let Some(plan) = &comparison.settle {
        let unit = if comparison.paired { "pairs" } else { "trials of each" };
        report.note(match plan.trials {
            Some(n) => format!(
                "a difference of this size is shown with {:.0} % power by {n} {unit}; so far {}",
                100.0 * plan.power,
                plan.so_far
            ),
            None => format!("no number of {unit} within reach would settle a difference so small"),
        });
    }
    Ok(report)
}
