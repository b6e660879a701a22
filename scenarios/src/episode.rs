//! What happened in one trial, or in one episode of a log.

use crate::interface::Segment;
use crate::observation::Observation;
use crate::outcome::Outcome;
use crate::time::Rate;

/// An episode: observations and actions in turn, and how it ended.
///
/// There are `n + 1` observations for `n` executed actions: `observations[i]` is what
/// `actions[i]` was decided on or later than, and `observations[i + 1]` is what followed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Stable id: `suite/scenario/policy/repeat` for a trial, `episode-000012` for a log.
    pub id: String,
    /// Control rate in hertz.
    pub rate: Rate,
    /// The instruction that the policy was given.
    pub instruction: String,
    /// The first observation and the one after each action.
    pub observations: Vec<Observation>,
    /// Executed actions, each with one value per action channel.
    pub actions: Vec<Vec<f32>>,
    /// After each action, the world's belief that the task is done, in [0, 1], where it has one.
    pub success: Vec<Option<f32>>,
    /// The runs of steps that a learned world imagined at once; empty for other worlds.
    pub segments: Vec<Segment>,
    /// How the episode ended.
    pub outcome: Outcome,
}

/// Lengths that do not fit each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "episode {id:?} has {observations} observations, {actions} actions and {success} success values; \
     n actions need n + 1 observations and n success values"
)]
pub struct EpisodeLengthError {
    /// Id of the episode.
    pub id: String,
    /// Observations in it.
    pub observations: usize,
    /// Actions in it.
    pub actions: usize,
    /// Success values in it.
    pub success: usize,
}

impl Episode {
    /// Executed actions.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether no action was executed.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Checks that observations, actions and success values go together.
    ///
    /// # Errors
    /// [`EpisodeLengthError`] if they do not.
    pub fn validate(&self) -> Result<(), EpisodeLengthError> {
        let (observations, actions, success) =
            (self.observations.len(), self.actions.len(), self.success.len());
        if observations == actions + 1 && success == actions {
            return Ok(());
        }
        Err(EpisodeLengthError { id: self.id.clone(), observations, actions, success })
    }
}
