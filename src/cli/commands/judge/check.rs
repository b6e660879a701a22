//! `rehearse judge check`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use rehearse_policy_bridge::zenoh::{Name, RemoteJudge};
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::suite::JudgeEntry;
use rehearse_scoring::report::{Column, Table, Value};
use rehearse_world_model::checkpoint::load;
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::experts::Residence;
use rehearse_world_model::fidelity::FidelityOptions;
use rehearse_world_model::judged::judge_split;

use crate::cli::commands::tables::print;
use crate::cli::connection::{ConnectionArgs, PatienceArgs};
use crate::cli::{ExitStatus, Format, Printer};
use crate::judge::{JudgeCheck, OutcomeCheck, check, judge_identity, judge_logged};

/// Arguments of `rehearse judge check`.
///
/// Example: `rehearse judge check metaworld.safetensors --logs logs --output judge.json`, or
/// `rehearse judge check --judge vlm --votes 5 --logs logs`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The checkpoint whose judge is checked
    #[arg(required_unless_present = "judge", conflicts_with = "judge")]
    checkpoint: Option<PathBuf>,
    /// The judge over zenoh that is checked
    #[arg(long, value_name = "NAME")]
    judge: Option<String>,
    /// Times that a judge over zenoh is asked of each frame
    #[arg(long, value_name = "N", default_value_t = 1, requires = "judge")]
    votes: u32,
    /// A judge over zenoh looks at every so many frames, and the last
    #[arg(long, value_name = "N", default_value_t = JudgeEntry::default().every, requires = "judge")]
    every: u32,
    /// The labelled log
    #[arg(long, value_name = "DIR")]
    logs: PathBuf,
    /// The split to judge
    #[arg(long, default_value = "test")]
    split: String,
    /// Most episodes
    #[arg(long, value_name = "N")]
    episodes: Option<usize>,
    /// Episodes imagined, or judged over zenoh, at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// Seed of the imagination's noise, or of the draws of a judge over zenoh
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Least probability that says the task is done
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    success: f32,
    /// Probability below which the task is not done; `--success` if not stated
    #[arg(long, value_name = "P")]
    failure: Option<f32>,
    /// Frames in a row for which the judge must be sure
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// Where to compute: `cpu` or `cuda:N`
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Form of what is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also write judge.json here; beside the checkpoint, runs find it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    patience: PatienceArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl CheckArgs {
    /// Judges, counts and prints.
    ///
    /// # Errors
    /// If the checkpoint or the log cannot be used, or the log holds no labels.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let rule = JudgeEntry {
            success: self.success,
            failure: self.failure,
            frames: self.frames,
            zenoh: self.judge.clone(),
            votes: self.votes,
            every: self.every,
            check: None,
        };
        rule.validate().map_err(|(field, message)| anyhow::anyhow!("--{field} {message}"))?;
        let log = RobotLog::open(&self.logs).with_context(|| self.logs.display().to_string())?;
        let options = FidelityOptions {
            split: self.split,
            episodes: self.episodes,
            batch: self.batch,
            seed: self.seed,
        };
        let mut note = |note: &str| printer.note(note);
        let (judge, judged) = match (&self.checkpoint, &self.judge) {
            (Some(checkpoint), _) => {
                let (model, manifest) =
                    load(checkpoint, &self.device.open()?, Residence::default())?;
                let judged = judge_split(&model, &log, &options, &mut note)?;
                (format!("checkpoint {}", manifest.digest), judged)
            }
            (None, Some(name)) => {
                let (session, patience) = (self.connection.open()?, self.patience.options()?);
                let (name, rig) = (Name::new(name)?, log.embodiment());
                let mut judge = RemoteJudge::connect(&session, &name, rig, self.votes, patience)?;
                let judged = judge_logged(&mut judge, &log, self.every, &options, &mut note)?;
                (judge_identity(judge.info()), judged)
            }
            (None, None) => bail!("name a checkpoint, or a judge by --judge"),
        };
        let found = check(judge, &options.split, &rule, &judged)?;
        if let Some(path) = &self.output {
            std::fs::write(path, serde_json::to_vec_pretty(&found)?)
                .with_context(|| path.display().to_string())?;
        }
        print(printer, self.format, &found, &[table(&found)?])?;
        Ok(ExitStatus::Success)
    }
}

fn table(check: &JudgeCheck) -> anyhow::Result<Table> {
    let mut table = Table::new(
        &format!("Judge of {}", check.judge),
        vec![
            Column::text("task", "task"),
            Column::text("frames", "judged from"),
            Column::number("auc", "AUC"),
            Column::number("episodes", "episodes"),
            Column::number("hits", "hits"),
            Column::number("misses", "misses"),
            Column::number("false_alarms", "false alarms"),
            Column::number("rejections", "rejections"),
            Column::number("unsure", "unsure"),
            Column::number("sensitivity", "sensitivity"),
            Column::number("specificity", "specificity"),
        ],
    );
    let tasks = check.tasks.iter().map(|task| (&*task.task, task.auc, &task.real, &task.imagined));
    let all = ("all", check.frames.auc, &check.real, &check.imagined);
    for (task, auc, real, imagined) in tasks.chain([all]) {
        table.push(row(task, "real frames", auc, real))?;
        if let Some(imagined) = imagined {
            table.push(row(task, "imagined frames", None, imagined))?;
        }
    }
    let [[rejected, alarms], [missed, hit]] = check.frames.confusion;
    table.note(format!(
        "single real frames of split {:?}: {hit} hits, {missed} misses, {alarms} false alarms, \
         {rejected} rejections",
        check.split
    ));
    if let Some(reliability) = &check.frames.reliability {
        table.note(format!(
            "probabilities on them: Brier score {:.4}, expected calibration error {:.4}",
            reliability.brier.score, reliability.gap.ece_debiased
        ));
    }
    Ok(table)
}

fn row(task: &str, frames: &str, auc: Option<f64>, check: &OutcomeCheck) -> Vec<Value> {
    let (yes, no) = (check.of_successes, check.of_failures);
    let number = |value: Option<f64>| {
        value.map_or(Value::Missing, |value| Value::Number { value, digits: 4 })
    };
    vec![
        Value::text(task),
        Value::text(frames),
        number(auc),
        Value::Count(check.episodes),
        Value::Count(yes.success),
        Value::Count(yes.failure),
        Value::Count(no.success),
        Value::Count(no.failure),
        Value::Count(yes.unsure + no.unsure),
        check.sensitivity.map_or(Value::Missing, |rate| Value::percent(rate.value)),
        check.specificity.map_or(Value::Missing, |rate| Value::percent(rate.value)),
    ]
}
