//! Courses of action that somebody else proposes, for a search to weigh among its candidates.
//!
//! A model that learnt from demonstrations judges what resembles them best. What worked from other
//! starts is imagined from this one, and the objective picks: a search by proposals in the style of
//! PAN (§7.2), with logs as the proposer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use rehearse_scenarios::log::{LogError, RobotLog};
use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};
use crate::limits::Limits;

/// Where proposals are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalSource {
    /// A log of the same rig. What was done in its episodes that succeeded is proposed, each under
    /// its instruction.
    pub log: PathBuf,
    /// The split that the episodes are of; any if not stated.
    pub split: Option<String>,
    /// Most proposals of an instruction, the first of the log. Default 64.
    #[serde(default = "most")]
    pub most: usize,
}

const fn most() -> usize {
    64
}

/// Actions of whole episodes by instruction, each `steps × channels` in the rig's units.
#[derive(Clone, Debug, Default)]
pub struct Proposals {
    courses: BTreeMap<String, Vec<Vec<f32>>>,
}

impl Proposals {
    /// Reads the proposals of a log; its path is relative to `folder`.
    ///
    /// # Errors
    /// [`PlanError::Proposals`] if the log cannot be read, [`PlanError::Setting`] if its actions
    /// have another number of `channels` or no episode succeeded.
    pub fn read(source: &ProposalSource, folder: &Path, channels: usize) -> Result<Self> {
        let failed = |error: LogError| PlanError::Proposals { source: Box::new(error) };
        let log = RobotLog::open(&folder.join(&source.log)).map_err(failed)?;
        let refuse = |got: String, accepted| {
            Err(PlanError::Setting { name: "proposals.log", got, accepted })
        };
        if log.embodiment().actions.len() != channels {
            let got = format!("a log of {} action channels", log.embodiment().actions.len());
            return refuse(got, "a log of the checkpoint's rig");
        }
        let mut courses = BTreeMap::<String, Vec<Vec<f32>>>::new();
        for episode in log.episodes() {
            let of_split = source.split.is_none() || episode.split == source.split;
            let succeeded = episode.result.as_ref().is_some_and(|result| result.is_success());
            if !(of_split && succeeded) {
                continue;
            }
            let found = courses.entry(episode.instruction().to_owned()).or_default();
            if found.len() < source.most {
                let table = log.table(episode.index).map_err(failed)?;
                found.push(table.action.iter().copied().collect());
            }
        }
        if courses.is_empty() {
            let got = format!("without an episode of split {:?} that succeeded", source.split);
            return refuse(got, "a log of episodes that succeeded");
        }
        Ok(Self { courses })
    }

    /// What is proposed from `step` of a trial on, `(1, proposals, blocks, channels)` in the unit
    /// box, the mean of each block's actions; nothing where nothing is proposed. A course that ends
    /// within the horizon goes on with its last action.
    ///
    /// # Errors
    /// [`PlanError::Tensor`].
    pub fn at(
        &self,
        instruction: &str,
        step: u64,
        [blocks, block_steps]: [usize; 2],
        limits: &Limits,
    ) -> Result<Option<Tensor>> {
        let channels = limits.dimensions();
        let (mut values, mut count) = (Vec::new(), 0);
        for course in self.courses.get(instruction).into_iter().flatten() {
            let actions = course.chunks_exact(channels).skip(step as usize).collect::<Vec<_>>();
            let Some(last) = actions.last() else { continue };
            count += 1;
            for place in 0..blocks * block_steps {
                values.extend_from_slice(actions.get(place).unwrap_or(last));
            }
        }
        if count == 0 {
            return Ok(None);
        }
        let actions =
            Tensor::from_vec(values, (count, blocks, block_steps, channels), limits.device())?;
        Ok(Some(limits.unit_from_actions(&actions.mean(2)?)?.unsqueeze(0)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rehearse_scenarios::testing::sample_rig;

    use super::*;
    use crate::limits::LimitSettings;

    #[test]
    fn what_is_left_of_a_course_is_proposed_block_by_block() {
        let limits = Limits::new(&sample_rig(), LimitSettings::default(), &Device::Cpu).unwrap();
        let course = vec![0.0, -1.0, 0.2, -1.0, 0.4, 1.0, 0.8, 1.0];
        let short = vec![0.5, 1.0];
        let proposals =
            Proposals { courses: BTreeMap::from([("do it".to_owned(), vec![course, short])]) };
        let at = |step| {
            let found = proposals.at("do it", step, [2, 2], &limits).unwrap();
            found.map(|unit| unit.squeeze(0).unwrap().to_vec3::<f32>().unwrap())
        };
        let start = at(0).unwrap();
        assert_eq!(start.len(), 2);
        assert!((start[0][0][0] - 0.1).abs() < 1e-6 && (start[0][1][0] - 0.6).abs() < 1e-6);
        assert_eq!(start[0].iter().map(|block| block[1]).collect::<Vec<_>>(), [-1.0, 1.0]);
        assert_eq!(start[1], [[0.5, 1.0], [0.5, 1.0]]);
        // The short one is over after a step, and the other goes on with its last action.
        assert_eq!(at(3).unwrap(), [[[0.8, 1.0], [0.8, 1.0]]]);
        assert!(at(4).is_none());
        assert!(proposals.at("do something else", 0, [2, 2], &limits).unwrap().is_none());
    }
}
