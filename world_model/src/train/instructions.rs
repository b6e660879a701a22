//! What a T5 makes of the instructions of the logs: known before anything is trained.

use std::collections::{BTreeMap, BTreeSet};

use rehearse_scenarios::log::EpisodeMeta;

use crate::config::refuse;
use crate::error::Result;
use crate::t5::{Features, T5, T5Source};
use crate::train::config::TrainConfig;
use crate::train::logs::Logs;
use crate::train::stage::Session;

/// Opens the T5 of a recipe, where it names one, and puts its digest in the place of its folder:
/// what is trained does not depend on where the T5 lies.
pub(crate) fn open_t5(config: &TrainConfig) -> Result<(TrainConfig, Option<T5>)> {
    let mut config = config.clone();
    let t5 = match &config.model.instruction.t5 {
        None => return Ok((config, None)),
        Some(T5Source::Folder(folder)) => T5::open(folder)?,
        Some(T5Source::Known(t5)) => {
            let expected = "a recipe must state the folder of the T5";
            return Err(refuse("model.instruction.t5", &t5.digest, expected));
        }
    };
    config.model.instruction.t5 = Some(T5Source::Known(t5.known().clone()));
    Ok((config, Some(t5)))
}

/// Adds the features of every instruction of the logs, in whatever split, to a session's variables.
pub(crate) fn read_instructions(
    t5: &mut T5,
    tokens: usize,
    logs: &Logs,
    session: &mut Session<'_>,
) -> Result<()> {
    let kept = session.variables.tensors();
    let episodes = logs.iter().flat_map(|log| log.episodes());
    let mut made = BTreeMap::new();
    for instruction in episodes.map(EpisodeMeta::instruction).collect::<BTreeSet<_>>() {
        let name = Features::name(instruction);
        if !kept.contains_key(&name) {
            let features = t5.features(instruction, tokens)?;
            made.insert(name, features.to_device(&session.device)?);
        }
    }
    session.progress.note(&format!("the T5 read {} instructions", made.len()));
    Ok(session.variables.assign(&made)?)
}
