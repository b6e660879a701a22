//! What a judge over zenoh says of logged episodes.

use rehearse_policy_bridge::wire::judge::JudgeInfo;
use rehearse_scenarios::interface::{Judge, TrialHandle, Watch};
use rehearse_scenarios::log::{LogError, RobotLog};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::Fault;
use rehearse_scenarios::seed::Seed;
use rehearse_world_model::fidelity::FidelityOptions;
use rehearse_world_model::judged::JudgedEpisode;
use rehearse_world_model::train::LoggedEpisode;

use super::JudgeError;

/// A judge over zenoh, as manifests and `judge.json` name it.
pub fn judge_identity(info: &JudgeInfo) -> String {
    format!("zenoh {} ({})", info.name, info.digest.as_deref().unwrap_or("no digest stated"))
}

/// Has a judge look at the real frames of a split's episodes, as it looks at trials: at every
/// `every`-th frame and the last one.
///
/// # Errors
/// [`JudgeError`]: an empty split, a damaged log, a judge that fails.
pub fn judge_logged(
    judge: &mut dyn Judge,
    log: &RobotLog,
    every: u32,
    options: &FidelityOptions,
    note: &mut dyn FnMut(&str),
) -> Result<Vec<JudgedEpisode>, JudgeError> {
    let indices = LoggedEpisode::of_split(log, &options.split)?;
    let most = options.episodes.unwrap_or(usize::MAX).min(indices.len());
    let seed = Seed::root(options.seed).child("judge");
    let mut judged = Vec::with_capacity(most);
    for some in indices[..most].chunks(options.batch.max(1)) {
        note(&format!("judged {} of {most} episodes", judged.len()));
        let shown = some
            .iter()
            .map(|&index| Shown::read(log, index, every as usize))
            .collect::<Result<Vec<_>, _>>()?;
        judged.extend(look(judge, &shown, seed)?);
    }
    Ok(judged)
}

/// An episode, and the frames of it that the judge looks at.
struct Shown {
    episode: LoggedEpisode,
    first: Observation,
    due: Vec<(usize, Observation)>,
}

impl Shown {
    fn read(log: &RobotLog, index: usize, every: usize) -> Result<Self, JudgeError> {
        let episode = LoggedEpisode::read(log, index)?;
        let first = log.observation(index, 0)?;
        let channels = log.embodiment().proprioception.len();
        let mut cameras = log
            .embodiment()
            .cameras
            .iter()
            .map(|camera| Ok((camera, log.frames(index, &camera.name, 0..episode.frames)?)))
            .collect::<Result<Vec<_>, LogError>>()?;
        let mut due = vec![];
        for frame in 0..episode.frames {
            let mut seen = first.clone();
            seen.proprioception = episode.states[frame * channels..][..channels].to_vec();
            seen.time = log.embodiment().rate.time_of_step(frame as u64);
            for (camera, images) in &mut cameras {
                if let Some(image) = images.next() {
                    seen.images.insert(camera.name.clone(), image?);
                }
            }
            if frame > 0 && (frame.is_multiple_of(every) || frame + 1 == episode.frames) {
                due.push((frame, seen));
            }
        }
        Ok(Self { episode, first, due })
    }
}

fn look(
    judge: &mut dyn Judge,
    shown: &[Shown],
    seed: Seed,
) -> Result<Vec<JudgedEpisode>, JudgeError> {
    let handle = |shown: &Shown| TrialHandle(shown.episode.index as u64);
    let broke =
        |shown: &Shown, fault: Fault| JudgeError::Broke { episode: shown.episode.index, fault };
    let watches = shown.iter().map(|shown| Watch {
        trial: handle(shown),
        instruction: shown.first.instruction.clone(),
        observation: shown.first.clone(),
        seed: seed.index(shown.episode.index as u64),
    });
    let begun = judge.begin(&watches.collect::<Vec<_>>())?;
    for (shown, begun) in shown.iter().zip(begun) {
        begun.map_err(|fault| broke(shown, fault))?;
    }
    let mut beliefs: Vec<Vec<f32>> = vec![vec![]; shown.len()];
    for round in 0..shown.iter().map(|shown| shown.due.len()).max().unwrap_or_default() {
        let asked: Vec<usize> =
            (0..shown.len()).filter(|&place| round < shown[place].due.len()).collect();
        let requests: Vec<_> = asked
            .iter()
            .map(|&place| (handle(&shown[place]), shown[place].due[round].1.clone()))
            .collect();
        for (&place, said) in asked.iter().zip(judge.judge(&requests)?) {
            beliefs[place].push(said.map_err(|fault| broke(&shown[place], fault))?.belief);
        }
    }
    judge.end(&shown.iter().map(handle).collect::<Vec<_>>());
    // The first frame stands for itself: it has no label, and no say in the outcome.
    Ok(shown
        .iter()
        .zip(beliefs)
        .map(|(Shown { episode, due, .. }, beliefs)| JudgedEpisode {
            episode: episode.index,
            task: episode.task.clone(),
            outcome: episode.outcome,
            labels: std::iter::once(None)
                .chain(due.iter().map(|(frame, _)| episode.success.get(*frame).copied().flatten()))
                .collect(),
            real: std::iter::once(0.0).chain(beliefs).collect(),
            imagined: vec![],
        })
        .collect())
}
