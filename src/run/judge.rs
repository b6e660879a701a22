//! Who judges the trials of a run, and what is known of that judge.

use rehearse_policy_bridge::closed_loop::JudgedWorld;
use rehearse_policy_bridge::zenoh::{ClientOptions, Name, RemoteJudge, Session};
use rehearse_scenarios::interface::World;
use rehearse_scenarios::suite::{JudgeEntry, WorldSource};

use super::{Plan, RunError};
use crate::judge::{JudgeCheck, judge_identity};

/// A world under the eyes of the judge that the suite names, and what that judge is; the world as
/// it is, and nothing, if the suite names none.
pub(super) fn watched(
    world: Box<dyn World>,
    entry: &JudgeEntry,
    session: &Session,
    patience: ClientOptions,
) -> Result<(Box<dyn World>, Option<String>), RunError> {
    let Some(name) = &entry.zenoh else { return Ok((world, None)) };
    let key = Name::new(name)?;
    let judge = RemoteJudge::connect(session, &key, world.embodiment(), entry.votes, patience)
        .map_err(|source| RunError::Bridge { what: format!("judge {name:?}"), source })?;
    let identity = judge_identity(judge.info());
    Ok((Box::new(JudgedWorld::new(world, Box::new(judge), entry.every)), Some(identity)))
}

/// What is known of a run's judge: as the suite says, or for a checkpoint's own judge beside the
/// checkpoint. One of another judge that lies there is passed over, one that the suite names is an
/// error.
pub(super) fn known(plan: &Plan, judge: &str) -> Result<Option<JudgeCheck>, RunError> {
    let entry = &plan.suite.judge;
    let beside = match (&entry.zenoh, &plan.suite.world) {
        (None, WorldSource::Learned { checkpoint }) => {
            let beside = plan.folder.join(checkpoint).with_file_name("judge.json");
            beside.exists().then_some(beside)
        }
        _ => None,
    };
    let named = entry.check.as_ref().map(|check| plan.folder.join(check));
    let stated = named.is_some();
    let Some(path) = named.or(beside) else { return Ok(None) };
    let check = JudgeCheck::read(&path)?;
    match (check.judge == judge, stated) {
        (true, _) => Ok(Some(check)),
        (false, false) => Ok(None),
        (false, true) => {
            Err(RunError::OtherJudge { path, found: check.judge, wanted: judge.to_owned() })
        }
    }
}
