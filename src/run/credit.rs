//! Partial credit for the trials of a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::suite::Suite;

use super::journal::Entry;
use crate::judge::{Rubric, RubricError, Yardstick};

/// The rubrics of a suite, by task, each with the file that it came from.
#[derive(Debug)]
pub(super) struct Credit(BTreeMap<String, (PathBuf, Rubric)>);

/// The same, fitted to the world's rig.
pub(super) type Yardsticks = BTreeMap<String, Yardstick>;

impl Credit {
    /// Reads the rubrics that a suite in `folder` names.
    pub(super) fn load(suite: &Suite, folder: &Path) -> Result<Self, RubricError> {
        let named = suite.tasks.iter().filter_map(|task| {
            let file = task.rubric.as_ref().or(suite.rubric.as_ref())?;
            Some((task.name.clone(), folder.join(file)))
        });
        let rubrics = named.map(|(task, path)| {
            let rubric = Rubric::load(&path)?;
            Ok((task, (path, rubric)))
        });
        Ok(Self(rubrics.collect::<Result<_, RubricError>>()?))
    }

    pub(super) fn fit(&self, rig: &Embodiment) -> Result<Yardsticks, RubricError> {
        let Self(rubrics) = self;
        let fitted = |(task, (path, rubric)): (&String, &(PathBuf, Rubric))| {
            Ok((task.clone(), rubric.fit(rig, path)?))
        };
        rubrics.iter().map(fitted).collect()
    }

    /// The rubrics alone, for the manifest.
    pub(super) fn rubrics(&self) -> BTreeMap<String, Rubric> {
        let Self(rubrics) = self;
        rubrics.iter().map(|(task, (_, rubric))| (task.clone(), rubric.clone())).collect()
    }

    /// Notes in a trial's entry how far it came. A void trial says nothing of that.
    pub(super) fn give(&self, entry: &mut Entry, yardsticks: &Yardsticks, episode: &Episode) {
        let Self(rubrics) = self;
        let known = rubrics.get(&entry.task).zip(yardsticks.get(&entry.task));
        let Some(((_, rubric), yardstick)) = known.filter(|_| entry.outcome != "void") else {
            return;
        };
        let reached = yardstick.reached(episode);
        let names = rubric.criteria.iter().zip(reached).filter(|(_, reached)| *reached);
        entry.reached = names.map(|(criterion, _)| criterion.name.clone()).collect();
        entry.progress = Some(rubric.progress(entry.reached.len(), entry.outcome == "success"));
    }
}
