//! A world somewhere else, as a [`World`] here.

use std::time::Duration;

use ::zenoh::Session;
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{Advance, InterfaceError, PerTrial, Start, TrialHandle, World};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind};

use super::batch::{Capacity, Carried, Carrier, carry};
use super::client::ClientOptions;
use super::error::BridgeError;
use super::keys::{Kind, Name, Operation};
use super::link::Link;
use crate::wire::policy::ServerInfo;
use crate::wire::world::{
    WorldInfo, decode_info, decode_reset_reply, decode_step_reply, encode_reset, encode_step,
};
use crate::wire::{check_observation, observation_size};

/// A world somewhere else: a simulator, the robot, a learned world on another machine.
///
/// As with [`RemotePolicy`](super::RemotePolicy), what breaks voids the trials concerned and no
/// others.
pub struct RemoteWorld {
    link: Link,
    info: WorldInfo,
    server: ServerInfo,
    round_trip: Duration,
}

impl RemoteWorld {
    /// Finds the world called `name` and asks what it is.
    ///
    /// # Errors
    /// [`BridgeError`] if it is not there, or does not keep the protocol.
    pub fn connect(
        session: &Session,
        name: &Name,
        options: ClientOptions,
    ) -> Result<Self, BridgeError> {
        let link = Link::connect(session, Kind::World, name, options)?;
        let said = link.info()?;
        let (info, server) = link.read(&said.payload, decode_info)?;
        Ok(Self { link, info, server, round_trip: said.round_trip })
    }

    /// What the world states about itself.
    pub fn info(&self) -> &WorldInfo {
        &self.info
    }

    /// How long the server took to say what it is.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Program and version that serve the world.
    pub fn software(&self) -> &str {
        &self.server.software
    }

    fn capacity(&self) -> Capacity {
        Capacity { max_batch: self.info.max_batch, max_message: self.server.max_message }
    }

    /// Refuses a server that came back as something else.
    fn recognise(&mut self, servers: &[[u8; 16]]) -> Result<(), InterfaceError> {
        if servers.iter().all(|&server| server == self.server.server) {
            return Ok(());
        }
        let failed = |error: BridgeError| self.link.failed(error.to_string());
        let said = self.link.info().map_err(failed)?;
        let (info, server) = self.link.read(&said.payload, decode_info).map_err(failed)?;
        if info != self.info {
            return Err(self.link.failed(
                "the server was restarted and states another world than before; start the run anew",
            ));
        }
        self.server = server;
        Ok(())
    }
}

impl World for RemoteWorld {
    fn embodiment(&self) -> &Embodiment {
        &self.info.embodiment
    }

    fn reset(&mut self, starts: &[Start]) -> Result<Vec<PerTrial<Observation>>, InterfaceError> {
        self.link.open_trials(starts.iter().map(|start| start.trial))?;
        let capacity = self.capacity();
        let Self { link, info, .. } = self;
        let embodiment = &info.embodiment;
        let ClientOptions { limits, images, .. } = link.options;
        let carrier = Carrier {
            operation: Operation::Open,
            capacity,
            trial: &|start: &Start| start.trial,
            size: &|start| {
                let Some(observation) = &start.observation else {
                    return Ok(start.task.len() + start.instruction.len() + 128);
                };
                check_observation(observation, embodiment)
                    .map_err(|error| Fault::new(FaultKind::WorldBroke, error.to_string()))?;
                Ok(observation_size(observation, embodiment) + start.task.len() + 128)
            },
            encode: &|group| encode_reset(group, embodiment, images),
            decode: &|bytes| decode_reset_reply(bytes, embodiment, &limits),
        };
        let Carried { results, servers } = carry(link, &carrier, starts);
        self.recognise(&servers)?;
        Ok(results)
    }

    fn step(
        &mut self,
        requests: &[(TrialHandle, ActionChunk)],
    ) -> Result<Vec<PerTrial<Advance>>, InterfaceError> {
        self.link.check_open(requests.iter().map(|(trial, _)| *trial))?;
        let capacity = self.capacity();
        let Self { link, info, .. } = self;
        let embodiment = &info.embodiment;
        let limits = link.options.limits;
        let carrier = Carrier {
            operation: Operation::Ask,
            capacity,
            trial: &|(trial, _): &(TrialHandle, ActionChunk)| *trial,
            size: &|(_, chunk)| {
                chunk
                    .check(&embodiment.actions)
                    .map_err(|error| Fault::new(FaultKind::MalformedAction, error.to_string()))?;
                Ok(chunk.steps() * chunk.dimensions() * 4 + 96)
            },
            encode: &|group| Ok(encode_step(group)),
            decode: &|bytes| decode_step_reply(bytes, embodiment, &limits),
        };
        Ok(carry(link, &carrier, requests).results)
    }

    fn close(&mut self, trials: &[TrialHandle]) {
        self.link.end(trials);
    }
}

impl std::fmt::Debug for RemoteWorld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteWorld").field("info", &self.info).finish_non_exhaustive()
    }
}
