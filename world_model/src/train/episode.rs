//! The numbers of one logged episode, as training sees them.

use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::log::{RobotLog, TrialRow};

use crate::error::{ModelError, Result};

/// States, actions and labels of one episode; pictures are elsewhere.
#[derive(Clone, Debug)]
pub struct LoggedEpisode {
    /// Index within the log.
    pub index: usize,
    /// The instruction.
    pub instruction: String,
    /// The task, as results are grouped; the instruction where the log names none.
    pub task: String,
    /// Who acted, where the log says.
    pub policy: Option<String>,
    /// Whether the episode ended in success, where the log says.
    pub outcome: Option<bool>,
    /// Frames.
    pub frames: usize,
    /// `frames × channels`, in the rig's units.
    pub states: Vec<f32>,
    /// `frames × channels`; action `i` leads from frame `i` to frame `i + 1`.
    pub actions: Vec<f32>,
    /// Per frame, whether the task is done in it, where the log says.
    pub success: Vec<Option<bool>>,
}

impl LoggedEpisode {
    /// Reads episode `index` of a log.
    ///
    /// # Errors
    /// [`ModelError::Log`] if the log is damaged or an action is out of its bounds.
    pub fn read(log: &RobotLog, index: usize) -> Result<Self> {
        let failed = |error| ModelError::Log(Box::new(error));
        let meta = log.episode(index).map_err(failed)?;
        let table = log.table(index).map_err(failed)?;
        let chunk = ActionChunk::new(table.action.clone())
            .map_err(|error| ModelError::Log(Box::new(error)))?;
        chunk.check(&log.embodiment().actions).map_err(|error| ModelError::Log(Box::new(error)))?;
        let outcome = meta.result.as_ref().map(TrialRow::is_success);
        let frames = table.frames();
        let success = match &table.success {
            // `next.success` speaks of the frame after the action.
            Some(after) => std::iter::once(Some(false))
                .chain(after.iter().map(|&done| Some(done)))
                .take(frames)
                .collect(),
            None => labels_from_outcome(outcome, frames),
        };
        let task = meta.result.as_ref().map(|result| result.task.clone());
        let policy = meta.result.as_ref().map(|result| result.policy.clone());
        let instruction = meta.instruction().to_owned();
        Ok(Self {
            index,
            task: task.filter(|task| !task.is_empty()).unwrap_or_else(|| instruction.clone()),
            instruction,
            policy: policy.filter(|policy| !policy.is_empty()),
            outcome,
            frames,
            states: table.state.iter().copied().collect(),
            actions: table.action.iter().copied().collect(),
            success,
        })
    }

    /// Indices of the episodes of a split.
    ///
    /// # Errors
    /// [`ModelError::EmptySplit`] if there are none.
    pub fn of_split(log: &RobotLog, split: &str) -> Result<Vec<usize>> {
        let episodes = log
            .episodes()
            .iter()
            .filter(|episode| episode.split.as_deref() == Some(split))
            .map(|episode| episode.index)
            .collect::<Vec<_>>();
        if episodes.is_empty() {
            return Err(ModelError::EmptySplit { what: "episodes", split: split.to_owned() });
        }
        Ok(episodes)
    }
}

/// Where only the end is known: a failed episode is never done; a successful one is done in its
/// last frame and not in its first half; between, the log does not say.
fn labels_from_outcome(outcome: Option<bool>, frames: usize) -> Vec<Option<bool>> {
    (0..frames)
        .map(|frame| match outcome {
            Some(false) => Some(false),
            Some(true) if frame + 1 == frames => Some(true),
            Some(true) if frame < frames / 2 => Some(false),
            Some(true) | None => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_from_the_outcome_as_far_as_it_says() {
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(labels_from_outcome(yes, 4), [no, no, None, yes]);
        assert_eq!(labels_from_outcome(no, 2), [no, no]);
        assert_eq!(labels_from_outcome(None, 2), [None, None]);
    }
}
