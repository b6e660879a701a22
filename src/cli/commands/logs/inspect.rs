//! `rehearse logs inspect`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use rehearse_scenarios::embodiment::{Channel, Embodiment};
use rehearse_scenarios::log::RobotLog;
use serde::Serialize;

use crate::cli::{ExitStatus, Format, Printer};

/// Arguments of `rehearse logs inspect`.
///
/// Example: `rehearse logs inspect examples/logs/droid --format json`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The log's folder
    dir: PathBuf,
    /// Form of the result: `table`, or `json` with stable names
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What is in a log, as other programs read it.
#[derive(Debug, Serialize)]
struct Inspection {
    format: u32,
    version: String,
    robot: Option<String>,
    episodes: usize,
    frames: usize,
    fps: f64,
    cameras: Vec<CameraRow>,
    state: Vec<String>,
    action: Vec<String>,
    tasks: Vec<String>,
    splits: BTreeMap<String, usize>,
    success: Vec<SuccessRow>,
    embodiment: Embodiment,
}

#[derive(Debug, Serialize)]
struct CameraRow {
    name: String,
    height: u32,
    width: u32,
    codec: Option<String>,
}

#[derive(Debug, Serialize)]
struct SuccessRow {
    policy: String,
    task: String,
    trials: usize,
    successes: usize,
}

impl InspectArgs {
    /// Prints what is in the log.
    ///
    /// # Errors
    /// If the log cannot be opened.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let inspection = Inspection::of(&RobotLog::open(&self.dir)?);
        let text = match self.format {
            Format::Table => inspection.table(),
            Format::Json => serde_json::to_string_pretty(&inspection)?,
            Format::Csv | Format::Markdown => {
                bail!("`logs inspect` prints `--format table` or `--format json`")
            }
        };
        printer.data(&text)?;
        Ok(ExitStatus::Success)
    }
}

impl Inspection {
    fn of(log: &RobotLog) -> Self {
        let embodiment = log.embodiment();
        let codecs: BTreeMap<&str, Option<&String>> = log
            .info()
            .cameras()
            .map(|feature| (feature.camera_name(), feature.codec.as_ref()))
            .collect();
        let names = |channels: &[Channel]| channels.iter().map(|c| c.name.clone()).collect();
        let mut splits = BTreeMap::new();
        for episode in log.episodes() {
            if let Some(split) = &episode.split {
                *splits.entry(split.clone()).or_insert(0) += 1;
            }
        }
        let mut cells: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
        for row in log.real_results() {
            let (trials, successes) = cells.entry((&row.policy, &row.task)).or_default();
            *trials += 1;
            *successes += usize::from(row.is_success());
        }
        Self {
            format: 1,
            version: log.info().version.to_string(),
            robot: embodiment.robot.clone(),
            episodes: log.episodes().len(),
            frames: log.frames_in_all(),
            fps: embodiment.rate.as_hz(),
            cameras: embodiment
                .cameras
                .iter()
                .map(|camera| CameraRow {
                    name: camera.name.clone(),
                    height: camera.height,
                    width: camera.width,
                    codec: codecs.get(camera.name.as_str()).copied().flatten().cloned(),
                })
                .collect(),
            state: names(&embodiment.proprioception),
            action: names(&embodiment.actions),
            tasks: log.tasks().to_vec(),
            splits,
            success: cells
                .into_iter()
                .map(|((policy, task), (trials, successes))| SuccessRow {
                    policy: policy.to_owned(),
                    task: task.to_owned(),
                    trials,
                    successes,
                })
                .collect(),
            embodiment: embodiment.clone(),
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "{name:<10} {value}");
        };
        line("format", format!("LeRobotDataset {}", self.version));
        line("robot", self.robot.clone().unwrap_or_else(|| "not stated".to_owned()));
        let seconds = self.frames as f64 / self.fps;
        line(
            "episodes",
            format!(
                "{}, {} frames at {} Hz ({:.1} minutes)",
                self.episodes,
                self.frames,
                self.fps,
                seconds / 60.0
            ),
        );
        for camera in &self.cameras {
            let codec = camera.codec.as_deref().unwrap_or("codec not stated");
            line("camera", format!("{} {}×{}, {codec}", camera.name, camera.height, camera.width));
        }
        line("state", self.state.join(", "));
        line("action", self.action.join(", "));
        for (split, episodes) in &self.splits {
            line("split", format!("{split}: {episodes} episodes"));
        }
        for task in &self.tasks {
            line("task", task.clone());
        }
        if self.success.is_empty() {
            line("results", "none: meta/trials.csv is not there".to_owned());
            return text;
        }
        let widths = self.success.iter().fold((6, 4), |(policy, task), row| {
            (policy.max(row.policy.chars().count()), task.max(row.task.chars().count()))
        });
        let _infallible = writeln!(
            text,
            "\n{:<p$}  {:<t$}  {:>6}  {:>9}  {:>7}",
            "policy",
            "task",
            "trials",
            "successes",
            "success",
            p = widths.0,
            t = widths.1
        );
        for SuccessRow { policy, task, trials, successes } in &self.success {
            let rate = 100.0 * *successes as f64 / *trials as f64;
            let _infallible = writeln!(
                text,
                "{policy:<p$}  {task:<t$}  {trials:>6}  {successes:>9}  {rate:>6.1}%",
                p = widths.0,
                t = widths.1
            );
        }
        text
    }
}
