//! What the judge says of logged episodes, as they were and as they are imagined.

use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::seed::Seed;

use crate::checkpoint::check_rig;
use crate::error::Result;
use crate::fidelity::FidelityOptions;
use crate::model::WorldModel;
use crate::replay::{Replay, Truth};
use crate::routing::Routing;

/// One logged episode under the judge's eyes.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedEpisode {
    /// Index within the log.
    pub episode: usize,
    /// The task.
    pub task: String,
    /// Whether it ended in success, where the log says.
    pub outcome: Option<bool>,
    /// Per frame, whether the task is done in it, where the log says.
    pub labels: Vec<Option<bool>>,
    /// Per frame, the judge's probability that the task is done, from the real frame.
    pub real: Vec<f32>,
    /// The same from the second frame on, from the frames that the model imagines when it is
    /// given the episode's first frame and its actions.
    pub imagined: Vec<f32>,
}

/// Judges the episodes of a split, `most` of them at most, in the log's order.
///
/// # Errors
/// [`ModelError`](crate::ModelError): logs of another rig, an empty split, a damaged log.
pub fn judge_split(
    model: &WorldModel,
    log: &RobotLog,
    options: &FidelityOptions,
    note: &mut dyn FnMut(&str),
) -> Result<Vec<JudgedEpisode>> {
    check_rig(&model.embodiment, log.embodiment())?;
    let truths = Truth::read_split(model, log, &options.split, options.episodes)?;
    let seed = Seed::root(options.seed).child("judge");
    let mut judged = Vec::with_capacity(truths.len());
    for some in truths.chunks(options.batch.max(1)) {
        note(&format!("judged {} of {} episodes", judged.len(), truths.len()));
        for (truth, replay) in some.iter().zip(Replay::run(model, some, Routing::Learned, seed)?) {
            judged.push(JudgedEpisode {
                episode: truth.episode.index,
                task: truth.episode.task.clone(),
                outcome: truth.episode.outcome,
                labels: truth.episode.success.clone(),
                real: truth.judged(model)?,
                imagined: replay.success,
            });
        }
    }
    Ok(judged)
}
