//! A planner's configuration, one TOML file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::syntax::toml_error;
use rehearse_world_model::checkpoint::load;
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::experts::Residence;
use rehearse_world_model::model::WorldModel;
use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};
use crate::limits::{LimitSettings, Limits};
use crate::objective::{Goal, GoalSource, Term};
use crate::optimizer::{Search, SearchSettings};
use crate::policy::{Controls, PlannerPolicy};
use crate::proposals::{ProposalSource, Proposals};
use crate::standpoint::Imagine;
use crate::steering::{Steering, Waypoint};

/// Most steps that a plan may look ahead: two of the model's longest chunks.
const LONGEST_HORIZON: usize = 64;

/// A planner as its file states it.
///
/// ```
/// let config: rehearse_planner::config::PlannerConfig = toml::from_str(r#"
///     checkpoint = "metaworld.safetensors"
///     imagine = "foreseen"
///     execute = 8
///     [search]
///     blocks = 8
///     block_steps = 8
///     iterations = 3
///     optimizer = { kind = "cem", candidates = 64, elites = 8 }
///     [[objective]]
///     kind = "success"
///     weight = 1.0
/// "#)?;
/// assert_eq!(config.search.horizon_steps(), 64);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannerConfig {
    /// The model that it thinks with, relative to the file.
    pub checkpoint: PathBuf,
    /// What candidates are imagined with. Default `full`.
    #[serde(default)]
    pub imagine: Imagine,
    /// Actions of each plan that are returned, and so executed before the next plan; the whole
    /// plan if not stated.
    pub execute: Option<usize>,
    /// Most time for a plan, in milliseconds, after which the best so far is taken; without it,
    /// every iteration is done, and the same seed gives the same plan.
    pub budget_ms: Option<u64>,
    /// Seed of every draw, beside the trial's own. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// How plans are searched for.
    pub search: SearchSettings,
    /// What an action may be, beside its bounds.
    #[serde(default)]
    pub limits: LimitSettings,
    /// Channels that are planned over by the places that they move the hand to; none by default.
    #[serde(default)]
    pub waypoint: Vec<Waypoint>,
    /// Bounds of the action channels, in their order and units, where the checkpoint's rig states
    /// none.
    pub bounds: Option<Vec<[f64; 2]>>,
    /// Courses of action that are weighed beside the search's own; none by default.
    pub proposals: Option<ProposalSource>,
    /// What a plan is to bring about.
    pub objective: Vec<Term>,
    /// What is to be reached, by instruction.
    #[serde(default)]
    pub goal: Vec<GoalSource>,
}

impl PlannerConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// [`PlanError::Io`], [`PlanError::Syntax`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| PlanError::Io { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| PlanError::Syntax {
            path: path.to_owned(),
            message: toml_error(&text, &error),
        })
    }

    /// The policy that a file configures, called `name`; paths in it are relative to it.
    ///
    /// # Errors
    /// As [`read`](Self::read) and [`policy`](Self::policy).
    pub fn load(path: &Path, name: &str, device: DeviceChoice) -> Result<PlannerPolicy> {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        Self::read(path)?.policy(name, folder, device)
    }

    /// The policy called `name`, with its own instance of the model; paths are relative to
    /// `folder`.
    ///
    /// # Errors
    /// [`PlanError::Setting`], and whatever keeps checkpoint or goals from being read.
    pub fn policy(&self, name: &str, folder: &Path, device: DeviceChoice) -> Result<PlannerPolicy> {
        let (model, manifest) =
            load(&folder.join(&self.checkpoint), &device.open()?, Residence::All)?;
        let rig = self.bounded(&model.embodiment)?;
        let limits = Limits::new(&rig, self.limits.clone(), model.device())?;
        let steering = Steering::new(&rig, &self.waypoint, model.device())?;
        let commanded = Steering::commanded(&rig, &self.waypoint);
        let commands = Limits::new(&commanded, self.limits.clone(), model.device())?;
        let goals = self
            .goal
            .iter()
            .map(|source| Ok((source.instruction.clone(), read_goal(source, &model, folder)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        self.check(&model)?;
        let proposals = match &self.proposals {
            Some(source) => Proposals::read(source, folder, rig.actions.len())?,
            None => Proposals::default(),
        };
        Ok(PlannerPolicy::new(
            name,
            rig,
            manifest.digest,
            Arc::new(model),
            Controls {
                search: Search::new(self.search.clone(), commands)?,
                limits,
                steering,
                proposals,
            },
            self.clone(),
            goals,
        ))
    }

    /// Most time for a plan.
    pub fn budget(&self) -> Option<Duration> {
        self.budget_ms.map(Duration::from_millis)
    }

    /// Actions of each plan that are returned.
    pub fn executed(&self) -> usize {
        self.execute.unwrap_or(self.search.horizon_steps())
    }

    fn check(&self, model: &WorldModel) -> Result<()> {
        let refuse = |name, got: String, accepted| Err(PlanError::Setting { name, got, accepted });
        let horizon = self.search.horizon_steps();
        if horizon > LONGEST_HORIZON {
            let accepted = "of 64 steps at most, two of the model's longest chunks";
            return refuse("search.blocks × search.block_steps", horizon.to_string(), accepted);
        }
        if !(1..=horizon).contains(&self.executed()) {
            return refuse("execute", self.executed().to_string(), "from 1 to the plan's steps");
        }
        if self.budget_ms == Some(0) {
            return refuse("budget_ms", "0".to_owned(), "1 at least, or left out");
        }
        if !self.waypoint.is_empty() && self.limits != LimitSettings::default() {
            let accepted = "without `rate` and `norm` where there are waypoints";
            return refuse("limits", format!("{:?}", self.limits), accepted);
        }
        if !self.waypoint.is_empty() && self.proposals.is_some() {
            let accepted = "without `waypoint`: what is proposed are actions, not places";
            return refuse("proposals", "stated".to_owned(), accepted);
        }
        if self.objective.is_empty() {
            return refuse("objective", "empty".to_owned(), "one term at least");
        }
        if self.imagine == Imagine::Foreseen {
            let accepted = "`full`: the checkpoint foresees nothing (its `state.forecast` is 0)";
            if model.config.state.forecast == 0 {
                return refuse("imagine", "foreseen".to_owned(), accepted);
            }
            let draws = |term: &Term| matches!(term, Term::Uncertainty { .. });
            if self.objective.iter().any(draws) {
                let accepted =
                    "without `uncertainty`, or `imagine` `full`: foresight draws nothing";
                return refuse("objective", "uncertainty".to_owned(), accepted);
            }
        }
        let channels = model.embodiment.proprioception.len();
        self.objective.iter().try_for_each(|term| term.validate(channels))
    }

    fn bounded(&self, rig: &Embodiment) -> Result<Embodiment> {
        let mut rig = rig.clone();
        let Some(bounds) = &self.bounds else { return Ok(rig) };
        let ordered = bounds.iter().all(|[low, high]| low < high && (high - low).is_finite());
        if bounds.len() != rig.actions.len() || !ordered {
            return Err(PlanError::Setting {
                name: "bounds",
                got: format!("{bounds:?}"),
                accepted: "a lower and an upper bound for each action channel",
            });
        }
        for (channel, &bounds) in rig.actions.iter_mut().zip(bounds) {
            channel.bounds = Some(bounds);
        }
        Ok(rig)
    }
}

fn read_goal(source: &GoalSource, model: &WorldModel, folder: &Path) -> Result<Goal> {
    let failed = |source_of: rehearse_scenarios::log::LogError| PlanError::Goal {
        instruction: source.instruction.clone(),
        source: Box::new(source_of),
    };
    let channels = &model.embodiment.proprioception;
    let unknown =
        source.state.keys().find(|name| channels.iter().all(|channel| channel.name != **name));
    if let Some(name) = unknown {
        return Err(PlanError::Setting {
            name: "goal.state",
            got: name.clone(),
            accepted: "a proprioceptive channel of the rig",
        });
    }
    let state = (!source.state.is_empty())
        .then(|| channels.iter().map(|channel| source.state.get(&channel.name).copied()).collect());
    let latents = match &source.log {
        None => None,
        Some(log) => {
            let log = RobotLog::open(&folder.join(log)).map_err(failed)?;
            let frames = log.episode(source.episode).map_err(failed)?.length;
            let frame = source.frame.unwrap_or(frames.saturating_sub(1));
            let seen = log.observation(source.episode, frame).map_err(failed)?;
            Goal::of_pictures(model, &seen.images)?.latents
        }
    };
    Ok(Goal { latents, state })
}
