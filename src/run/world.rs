//! The world that a suite names.

use std::path::Path;
use std::sync::Arc;

use rehearse_policy_bridge::zenoh::{ClientOptions, Name, RemoteWorld, Session};
use rehearse_scenarios::interface::World;
use rehearse_scenarios::local::{Recording, ReplayWorld};
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::suite::WorldSource;
use rehearse_world_model::checkpoint;
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::experts::Residence;
use rehearse_world_model::model::WorldModel;
use rehearse_world_model::routing::Routing;
use rehearse_world_model::world::LearnedWorld;

use super::starts::Starts;
use super::{Plan, RunError};

/// What the identity of a learned world begins with; the digest of its weights follows.
pub(super) const CHECKPOINT: &str = "checkpoint ";

/// An open world, and what it is.
pub(super) struct OpenWorld {
    pub(super) world: Box<dyn World>,
    /// Digest or description, for the manifest.
    pub(super) identity: String,
    /// What is known of it, if it is a learned one.
    pub(super) learned: Option<Learned>,
    /// Most trials that it holds open, where there is a limit.
    pub(super) capacity: Option<usize>,
}

/// A learned world's model, and what is known of it.
pub(super) struct Learned {
    pub(super) model: Arc<WorldModel>,
    /// The split that it was trained on.
    pub(super) split: String,
    /// What was measured of it when it was trained.
    pub(super) fidelity: Option<serde_json::Value>,
}

impl OpenWorld {
    /// Opens the world of a plan.
    pub(super) fn open(
        plan: &Plan,
        log: Option<&RobotLog>,
        starts: &Starts,
        session: &Session,
        device: DeviceChoice,
        patience: ClientOptions,
    ) -> Result<Self, RunError> {
        let own_starts = matches!(plan.suite.world, WorldSource::Zenoh { .. });
        if let Some(task) = plan.suite.tasks.iter().find(|task| task.starts.split.is_none())
            && !own_starts
        {
            return Err(RunError::NotSupported {
                what: format!("task {:?} without starts", task.name),
                advice: "state `logs`, and `starts.split` of the task: this world makes none",
            });
        }
        match &plan.suite.world {
            WorldSource::Learned { checkpoint } => {
                learned(&plan.folder.join(checkpoint), log, device)
            }
            WorldSource::Zenoh { name } => {
                let world = RemoteWorld::connect(session, &Name::new(name)?, patience).map_err(
                    |source| RunError::Bridge { what: format!("world {name:?}"), source },
                )?;
                let digest = world.info().digest.as_deref().unwrap_or("no digest stated");
                let identity = format!("zenoh {name} ({digest})");
                let capacity = Some(world.info().max_batch);
                Ok(Self { world: Box::new(world), identity, learned: None, capacity })
            }
            WorldSource::Replay {} => {
                let log = log.ok_or_else(|| RunError::NotSupported {
                    what: "a replay world without `logs`".to_owned(),
                    advice: "state the log that it plays back",
                })?;
                replay(log, starts)
            }
        }
    }
}

fn learned(
    path: &Path,
    log: Option<&RobotLog>,
    device: DeviceChoice,
) -> Result<OpenWorld, RunError> {
    let (model, manifest) = checkpoint::load(path, &device.open()?, Residence::default())?;
    if let Some(log) = log {
        checkpoint::check_rig(&model.embodiment, log.embodiment())?;
    }
    let model = Arc::new(model);
    let world = LearnedWorld::new(Arc::clone(&model), Routing::default());
    let identity = format!("{CHECKPOINT}{}", manifest.digest);
    let fidelity = manifest.fidelity.or_else(|| {
        // What `rehearse fidelity` wrote beside the checkpoint; that of another one says nothing.
        let text = std::fs::read(path.with_file_name("fidelity.json")).ok()?;
        let beside = serde_json::from_slice::<serde_json::Value>(&text).ok()?;
        (beside["checkpoint"] == *manifest.digest).then_some(beside)
    });
    let split = manifest.training.split;
    let learned = Some(Learned { model, split, fidelity });
    Ok(OpenWorld { world: Box::new(world), identity, learned, capacity: None })
}

/// Plays back the episodes that trials start in; a start's index is its place among them.
fn replay(log: &RobotLog, starts: &Starts) -> Result<OpenWorld, RunError> {
    let recordings = starts
        .episodes()
        .into_iter()
        .map(|episode| {
            let table = log.table(episode)?;
            let frames = table.frames();
            let mut observations = Vec::with_capacity(frames);
            let mut cameras = log
                .embodiment()
                .cameras
                .iter()
                .map(|camera| Ok((camera, log.frames(episode, &camera.name, 0..frames)?)))
                .collect::<Result<Vec<_>, RunError>>()?;
            let first = log.observation(episode, 0)?;
            for frame in 0..frames {
                let mut observation = first.clone();
                observation.proprioception = table.state.row(frame).to_vec();
                for (camera, images) in &mut cameras {
                    if let Some(image) = images.next() {
                        observation.images.insert(camera.name.clone(), image?);
                    }
                }
                observations.push(observation);
            }
            // The log's last action has no frame after it.
            let actions = (0..frames.saturating_sub(1))
                .map(|frame| table.action.row(frame).to_vec())
                .collect::<Vec<_>>();
            let success = (0..actions.len())
                .map(|frame| table.success.as_ref().map(|done| f32::from(u8::from(done[frame]))))
                .collect();
            Recording::new(observations, actions, success)
                .map_err(|source| RunError::Recording { episode, source })
        })
        .collect::<Result<Vec<_>, RunError>>()?;
    let world = ReplayWorld::new(log.embodiment().clone(), recordings);
    Ok(OpenWorld {
        world: Box::new(world),
        identity: "replay of the log".to_owned(),
        learned: None,
        capacity: None,
    })
}
