//! A judge somewhere else, as a [`Judge`] here.

use std::time::Duration;

use ::zenoh::Session;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{InterfaceError, Judge, Opinion, PerTrial, TrialHandle, Watch};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind};

use super::batch::{Capacity, Carrier, carry};
use super::client::ClientOptions;
use super::error::BridgeError;
use super::keys::{Kind, Name, Operation};
use super::link::Link;
use crate::wire::judge::{JudgeInfo, decode_info, decode_judge_reply, encode_begin};
use crate::wire::policy::{ServerInfo, decode_begin_reply, encode_act};
use crate::wire::{check_observation, observation_size};

/// A judge somewhere else: a vision-language model that is asked whether the task is done.
///
/// As with [`RemotePolicy`](super::RemotePolicy), what it gets wrong voids the trials concerned
/// and no others: an answer that is late, malformed or no number, or a server that dies.
pub struct RemoteJudge {
    link: Link,
    info: JudgeInfo,
    server: ServerInfo,
    /// The rig, with the cameras that the judge looks through.
    shown: Embodiment,
    votes: u32,
}

impl RemoteJudge {
    /// Finds the judge called `name` and asks what it is. It will be shown what `rig` shows, and
    /// vote `votes` times on each frame.
    ///
    /// # Errors
    /// [`BridgeError`] if it is not there, does not keep the protocol, or looks through a camera
    /// that the rig lacks.
    pub fn connect(
        session: &Session,
        name: &Name,
        rig: &Embodiment,
        votes: u32,
        options: ClientOptions,
    ) -> Result<Self, BridgeError> {
        let (link, info, server, _) = open(session, name, options)?;
        let unfit = |reason: String| {
            Err(BridgeError::Unfit { kind: Kind::Judge, name: name.clone(), reason })
        };
        if let Some(camera) = info.cameras.iter().find(|camera| rig.camera(camera).is_none()) {
            let there: Vec<&str> = rig.cameras.iter().map(|camera| camera.name.as_str()).collect();
            return unfit(format!("it looks through {camera:?}; there is {}", there.join(", ")));
        }
        if !server.images.contains(&options.images) {
            return unfit(format!("it does not take {} images", options.images.as_str()));
        }
        let looked_through = |name: &str| {
            info.cameras.is_empty() || info.cameras.iter().any(|camera| camera == name)
        };
        let mut shown = rig.clone();
        shown.cameras.retain(|camera| looked_through(&camera.name));
        Ok(Self { link, info, server, shown, votes })
    }

    /// Asks the judge called `name` what it is, and nothing more.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn ask(
        session: &Session,
        name: &Name,
        options: ClientOptions,
    ) -> Result<StatedJudge, BridgeError> {
        let (_, info, server, round_trip) = open(session, name, options)?;
        Ok(StatedJudge { info, software: server.software, round_trip })
    }

    /// What the judge states about itself.
    pub fn info(&self) -> &JudgeInfo {
        &self.info
    }

    fn capacity(&self) -> Capacity {
        Capacity { max_batch: self.info.max_batch, max_message: self.server.max_message }
    }
}

/// What a judge says of itself.
#[derive(Clone, Debug)]
pub struct StatedJudge {
    /// What it states.
    pub info: JudgeInfo,
    /// Program and version that serve it.
    pub software: String,
    /// How long it took to say so.
    pub round_trip: Duration,
}

fn open(
    session: &Session,
    name: &Name,
    options: ClientOptions,
) -> Result<(Link, JudgeInfo, ServerInfo, Duration), BridgeError> {
    let link = Link::connect(session, Kind::Judge, name, options)?;
    let said = link.info()?;
    let (info, server) = link.read(&said.payload, decode_info)?;
    Ok((link, info, server, said.round_trip))
}

impl Judge for RemoteJudge {
    fn begin(&mut self, trials: &[Watch]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        self.link.open_trials(trials.iter().map(|watch| watch.trial))?;
        let capacity = self.capacity();
        let Self { link, shown, votes, .. } = self;
        let (shown, votes) = (&*shown, *votes);
        let ClientOptions { limits, images, .. } = link.options;
        let carrier = Carrier {
            operation: Operation::Open,
            capacity,
            trial: &|watch: &Watch| watch.trial,
            size: &|watch| Ok(size(&watch.observation, shown)? + watch.instruction.len() + 96),
            encode: &|group| encode_begin(group, votes, shown, images),
            decode: &|bytes| decode_begin_reply(bytes, &limits),
        };
        Ok(carry(link, &carrier, trials).results)
    }

    fn judge(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<Opinion>>, InterfaceError> {
        self.link.check_open(requests.iter().map(|(trial, _)| *trial))?;
        let capacity = self.capacity();
        let Self { link, shown, votes, .. } = self;
        let (shown, votes) = (&*shown, *votes);
        let ClientOptions { limits, images, .. } = link.options;
        let carrier = Carrier {
            operation: Operation::Ask,
            capacity,
            trial: &|(trial, _): &(TrialHandle, Observation)| *trial,
            size: &|(_, observation)| size(observation, shown),
            encode: &|group| encode_act(group, shown, images),
            decode: &|bytes| decode_judge_reply(bytes, votes, &limits),
        };
        Ok(carry(link, &carrier, requests).results)
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        self.link.end(trials);
    }
}

fn size(observation: &Observation, shown: &Embodiment) -> Result<usize, Fault> {
    check_observation(observation, shown)
        .map_err(|error| Fault::new(FaultKind::WorldBroke, error.to_string()))?;
    Ok(observation_size(observation, shown))
}

impl std::fmt::Debug for RemoteJudge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteJudge").field("info", &self.info).finish_non_exhaustive()
    }
}
