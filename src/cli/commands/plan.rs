//! `rehearse plan`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use rehearse_planner::config::PlannerConfig;
use rehearse_planner::limits::LimitSettings;
use rehearse_planner::objective::{Distance, Goal, Over, Term};
use rehearse_planner::optimizer::{CemSettings, OptimizerSettings, SearchSettings};
use rehearse_planner::standpoint::Imagine;
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::observation::Image;
use rehearse_scoring::report::{Column, Table, Value};
use rehearse_world_model::checkpoint::{Manifest, read_manifest};
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::model::WorldModel;

use super::tables;
use crate::cli::{ExitStatus, Format, Printer, write_png};
use crate::plan::Planned;
#[cfg(feature = "rerun")]
use crate::viz::{Destination, send_plan};

/// Arguments of `rehearse plan`.
///
/// Example: `rehearse plan examples/metaworld/planner.toml --start examples/metaworld/starts
/// --episode 3 --out plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A planner's configuration (TOML), or a checkpoint, which is planned with as well as its
    /// kind allows: toward success, or toward the goal's picture where there is one
    file: PathBuf,
    /// The log that holds the start, a LeRobotDataset of the same rig: starts of a suite, or any
    #[arg(long, value_name = "DIR")]
    start: PathBuf,
    /// The episode of the start
    #[arg(long, value_name = "N", default_value_t = 0)]
    episode: usize,
    /// The frame of the episode
    #[arg(long, value_name = "N", default_value_t = 0)]
    frame: usize,
    /// What is to be done; the episode's instruction if not stated
    #[arg(long)]
    instruction: Option<String>,
    /// A picture to reach, PNG or JPEG at the camera's size; `CAMERA=FILE`, once each, where the
    /// rig has several cameras
    #[arg(long, value_name = "[CAMERA=]FILE")]
    goal: Vec<GoalPicture>,
    /// Bounds of every action channel, as in `-1,1`, where a checkpoint's rig states none
    #[arg(long, value_name = "LOW,HIGH", allow_hyphen_values = true)]
    bounds: Option<Bounds>,
    /// Most time for the search, in milliseconds; that of the configuration if not stated
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    budget_ms: Option<u64>,
    /// Seed of every draw; that of the configuration if not stated
    #[arg(long)]
    seed: Option<u64>,
    /// Where to compute: `cpu` or `cuda:N`
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also write plan.json and film.png, frames of the predicted video, here
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also write the prediction as a recording for rerun
    #[cfg(feature = "rerun")]
    #[arg(long, value_name = "FILE.rrd")]
    save: Option<PathBuf>,
}

/// A goal's picture, of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GoalPicture {
    camera: Option<String>,
    file: PathBuf,
}

impl FromStr for GoalPicture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (camera, file) = match text.split_once('=') {
            Some((camera, file)) => (Some(camera.to_owned()), file),
            None => (None, text),
        };
        if file.is_empty() || camera.as_deref() == Some("") {
            return Err("write a file, or CAMERA=FILE".to_owned());
        }
        Ok(Self { camera, file: file.into() })
    }
}

/// Bounds of an action channel.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bounds([f64; 2]);

impl FromStr for Bounds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once(',')
            .and_then(|(low, high)| Some([low.trim().parse().ok()?, high.trim().parse().ok()?]))
            .filter(|[low, high]: &[f64; 2]| low < high && (high - low).is_finite())
            .map(Self)
            .ok_or_else(|| "write two numbers, the lower one first, as in -1,1".to_owned())
    }
}

impl PlanArgs {
    /// Plans, and prints.
    ///
    /// # Errors
    /// If configuration, checkpoint, start or goal cannot be used or do not fit each other.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let (mut config, folder) = self.config()?;
        config.seed = self.seed.unwrap_or(config.seed);
        config.budget_ms = self.budget_ms.or(config.budget_ms);
        let mut policy = config
            .policy("plan", &folder, self.device)
            .with_context(|| self.file.display().to_string())?;

        let log = RobotLog::open(&self.start).with_context(|| self.start.display().to_string())?;
        let seen = log.observation(self.episode, self.frame)?;
        let instruction = self.instruction.as_deref().unwrap_or(&seen.instruction);
        ensure!(!instruction.is_empty(), "the episode has no instruction: state --instruction");
        if !self.goal.is_empty() {
            let pictured = |term: &Term| matches!(term, Term::GoalImage { .. });
            ensure!(
                config.objective.iter().any(pictured),
                "no term of the objective is `goal_image`: --goal would count for nothing ({})",
                self.file.display()
            );
            let goal = Goal::of_pictures(policy.model(), &self.pictures(policy.model())?)?;
            policy.set_goal(instruction, goal);
        }

        let planned = Planned::find(&policy, &seen, instruction)?;
        let json = serde_json::to_string_pretty(&planned)?;
        if let Some(folder) = &self.out {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            let path = folder.join("plan.json");
            std::fs::write(&path, &json).with_context(|| path.display().to_string())?;
            let film = planned.predicted.picture(policy.model())?;
            write_png(&film, &folder.join("film.png"))?;
        }
        #[cfg(feature = "rerun")]
        if let Some(path) = &self.save {
            send_plan(&planned, policy.model(), &seen, &Destination::File(path.clone()))?;
            printer.note(&format!("wrote {0}; open it with: rerun {0}", path.display()));
        }
        tables::print(printer, self.format, &planned, &shown(&planned)?)?;
        Ok(ExitStatus::Success)
    }

    /// The configuration, and the folder that its paths are relative to.
    fn config(&self) -> anyhow::Result<(PlannerConfig, PathBuf)> {
        let folder = self.file.parent().unwrap_or_else(|| Path::new(".")).to_owned();
        let written = self.file.extension().is_some_and(|extension| extension == "toml");
        let mut config = if written {
            PlannerConfig::read(&self.file)?
        } else {
            let name = self.file.file_name().context("the checkpoint has no file name")?;
            let manifest = read_manifest(&self.file)?;
            usual(name.into(), &manifest, !self.goal.is_empty())
        };
        if let Some(Bounds(bounds)) = self.bounds {
            if written {
                bail!("--bounds is for a checkpoint: state `bounds` in the configuration");
            }
            let manifest = read_manifest(&self.file)?;
            config.bounds = Some(vec![bounds; manifest.embodiment.actions.len()]);
        }
        Ok((config, folder))
    }

    /// The goal's pictures by camera.
    fn pictures(&self, model: &WorldModel) -> anyhow::Result<BTreeMap<String, Image>> {
        let cameras = &model.embodiment.cameras;
        let mut pictures = BTreeMap::new();
        for GoalPicture { camera, file } in &self.goal {
            let name = match (camera, &cameras[..]) {
                (Some(name), _) if cameras.iter().any(|camera| camera.name == *name) => name,
                (None, [only]) => &only.name,
                _ => {
                    let names = cameras.iter().map(|camera| camera.name.as_str());
                    let names = names.collect::<Vec<_>>().join(", ");
                    bail!("state the goal as CAMERA=FILE, of one of the cameras {names}");
                }
            };
            let decoded = image::open(file).with_context(|| file.display().to_string())?.to_rgb8();
            let (width, height) = decoded.dimensions();
            let image = Image::from_rgb(height, width, decoded.into_raw())?;
            ensure!(
                pictures.insert(name.clone(), image).is_none(),
                "camera {name:?} has two goals: {}",
                file.display()
            );
        }
        Ok(pictures)
    }
}

/// How a checkpoint is planned with where nobody says how.
fn usual(checkpoint: PathBuf, manifest: &Manifest, pictured: bool) -> PlannerConfig {
    let imagine =
        if manifest.config.state.forecast > 0 { Imagine::Foreseen } else { Imagine::Full };
    // The experts take many times as long.
    let (blocks, block_steps, candidates, elites) = match imagine {
        Imagine::Foreseen => (8, 8, 256, 24),
        Imagine::Full => (4, 4, 64, 8),
    };
    let weight = 1.0;
    let aim = if pictured {
        Term::GoalImage { weight, distance: Distance::default(), over: Over::default() }
    } else {
        Term::Success { weight, over: Over::Best }
    };
    PlannerConfig {
        checkpoint,
        imagine,
        execute: None,
        budget_ms: None,
        seed: 0,
        search: SearchSettings {
            blocks,
            block_steps,
            iterations: 5,
            optimizer: OptimizerSettings::Cem(CemSettings {
                candidates,
                elites,
                ..CemSettings::default()
            }),
        },
        limits: LimitSettings::default(),
        waypoint: vec![],
        proposals: None,
        bounds: None,
        objective: vec![aim, Term::Smoothness { weight: 0.1 }],
        goal: vec![],
    }
}

/// The plan, block by block, the search, iteration by iteration, and the cost, term by term.
fn shown(planned: &Planned) -> anyhow::Result<[Table; 3]> {
    let number = |value: f32, digits: u8| Value::number(f64::from(value), digits);
    let mut columns = vec![Column::number("from", "from step"), Column::number("steps", "steps")];
    columns.extend(planned.channels.iter().map(|name| Column::number(name, name)));
    columns.push(Column::number("success", "success at its end"));
    let mut plan = Table::new("Plan: the first action of each block", columns);
    let steps = planned.search.block_steps;
    for (block, actions) in planned.actions.chunks(steps).enumerate() {
        let count = |count: usize| Value::Count(count as u64);
        let mut row = vec![count(block * steps), count(actions.len())];
        row.extend(actions[0].iter().map(|&value| number(value, 3)));
        let end = block * steps + actions.len() - 1;
        row.push(Value::percent(f64::from(planned.predicted.success[end])));
        plan.push(row)?;
    }
    let best = |chances: &[f32]| chances.iter().copied().fold(0.0, f32::max);
    plan.note(format!(
        "{:?}; success is the judge's opinion of the predicted video, {:.1} % at most; what was \
         planned with says {:.1} %",
        planned.instruction,
        100.0 * best(&planned.predicted.success),
        100.0 * best(&planned.predicted.planned_success),
    ));

    let heads = [
        ("iteration", "iteration"),
        ("best_cost", "best cost"),
        ("elite_cost", "elite cost"),
        ("spread", "spread"),
        ("mean_shift", "mean shift"),
        ("propose_secs", "propose s"),
        ("imagine_secs", "imagine s"),
        ("learn_secs", "learn s"),
    ];
    let columns = heads.map(|(key, label)| Column::number(key, label)).to_vec();
    let mut search = Table::new("Search", columns);
    for (index, it) in planned.iterations.iter().enumerate() {
        search.push(vec![
            Value::Count(index as u64),
            number(it.best_cost, 4),
            number(it.elite_cost, 4),
            number(it.spread, 3),
            number(it.mean_shift, 3),
            Value::number(it.propose_secs, 4),
            Value::number(it.imagine_secs, 4),
            Value::number(it.learn_secs, 4),
        ])?;
    }
    search.note(format!("{:.2} s in all", planned.secs));

    let mut cost =
        Table::new("Cost", vec![Column::text("term", "term"), Column::number("cost", "cost")]);
    for term in &planned.terms {
        cost.push(vec![Value::text(term.kind), number(term.cost, 4)])?;
    }
    cost.push(vec![Value::text("all"), number(planned.cost, 4)])?;
    Ok([plan, search, cost])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_a_file_or_that_of_a_camera() {
        let goal = |camera: Option<&str>| GoalPicture {
            camera: camera.map(str::to_owned),
            file: "goal.png".into(),
        };
        assert_eq!("goal.png".parse(), Ok(goal(None)));
        assert_eq!("front=goal.png".parse(), Ok(goal(Some("front"))));
        assert!("front=".parse::<GoalPicture>().is_err() && "=a".parse::<GoalPicture>().is_err());
    }

    #[test]
    fn bounds_are_two_numbers_in_order() {
        assert_eq!("-1, 1".parse(), Ok(Bounds([-1.0, 1.0])));
        for text in ["1,-1", "1", "a,b", "0,inf", "0,NaN"] {
            assert!(text.parse::<Bounds>().is_err(), "{text}");
        }
    }
}
