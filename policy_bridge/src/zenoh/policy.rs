//! A policy somewhere else, as a [`Policy`] here.

use std::time::Duration;

use ::zenoh::Session;
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::interface::{
    Begin, InterfaceError, PerTrial, Policy, PolicyInfo, TrialHandle,
};
use rehearse_scenarios::observation::Observation;
use rehearse_scenarios::outcome::{Fault, FaultKind};

use super::batch::{Capacity, Carried, Carrier, carry};
use super::client::ClientOptions;
use super::error::BridgeError;
use super::keys::{Kind, Name, Operation};
use super::link::Link;
use crate::wire::policy::{
    ServerInfo, decode_act_reply, decode_begin_reply, decode_info, encode_act, encode_begin,
};
use crate::wire::{check_observation, observation_size};

/// A policy somewhere else.
///
/// What the policy gets wrong is its trial's fault: an answer that is late, malformed or for
/// another trial, or a server that dies, voids the trials concerned and no others. If the server
/// comes back within [`ClientOptions::reconnect`], trials that begin then go on with it, provided
/// that it states the same [`PolicyInfo`] as before.
///
/// Answers to `act` come from one exchange: all requests of a batch are in flight together.
pub struct RemotePolicy {
    link: Link,
    info: PolicyInfo,
    server: ServerInfo,
    round_trip: Duration,
}

impl RemotePolicy {
    /// Finds the policy called `name` and asks what it is.
    ///
    /// # Errors
    /// [`BridgeError`] if it is not there, or does not keep the protocol.
    pub fn connect(
        session: &Session,
        name: &Name,
        options: ClientOptions,
    ) -> Result<Self, BridgeError> {
        let link = Link::connect(session, Kind::Policy, name, options)?;
        let said = link.info()?;
        let (info, server) = link.read(&said.payload, decode_info)?;
        if !server.images.contains(&options.images) {
            return Err(BridgeError::Unfit {
                kind: Kind::Policy,
                name: name.clone(),
                reason: format!("it does not take {} images", options.images.as_str()),
            });
        }
        Ok(Self { link, info, server, round_trip: said.round_trip })
    }

    /// How long the server took to say what it is.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Program and version that serve the policy.
    pub fn software(&self) -> &str {
        &self.server.software
    }

    fn capacity(&self) -> Capacity {
        Capacity { max_batch: self.info.max_batch, max_message: self.server.max_message }
    }

    /// Refuses a server that came back as something else.
    fn recognise(&mut self, servers: &[[u8; 16]]) -> Result<(), InterfaceError> {
        let Some(&other) = servers.iter().find(|&&server| server != self.server.server) else {
            return Ok(());
        };
        let failed = |error: BridgeError| self.link.failed(error.to_string());
        let said = self.link.info().map_err(failed)?;
        let (info, server) = self.link.read(&said.payload, decode_info).map_err(failed)?;
        if info != self.info {
            return Err(self.link.failed(
                "the server was restarted and states another policy than before; start the run anew",
            ));
        }
        tracing::info!("policy {} came back as server {:02x?}", info.name, &other[..4]);
        self.server = server;
        Ok(())
    }
}

impl Policy for RemotePolicy {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        self.link.open_trials(trials.iter().map(|begin| begin.trial))?;
        let limits = self.link.options.limits;
        let carrier = Carrier {
            operation: Operation::Open,
            capacity: self.capacity(),
            trial: &|begin: &Begin| begin.trial,
            size: &|begin| Ok(begin.instruction.len() + 96),
            encode: &|group| encode_begin(group),
            decode: &|bytes| decode_begin_reply(bytes, &limits),
        };
        let Carried { results, servers } = carry(&mut self.link, &carrier, trials);
        self.recognise(&servers)?;
        Ok(results)
    }

    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        self.link.check_open(requests.iter().map(|(trial, _)| *trial))?;
        let Self { link, info, .. } = self;
        let embodiment = &info.embodiment;
        let ClientOptions { limits, images, .. } = link.options;
        let carrier = Carrier {
            operation: Operation::Ask,
            capacity: Capacity { max_batch: info.max_batch, max_message: self.server.max_message },
            trial: &|(trial, _): &(TrialHandle, Observation)| *trial,
            size: &|(_, observation)| {
                check_observation(observation, embodiment)
                    .map_err(|error| Fault::new(FaultKind::WorldBroke, error.to_string()))?;
                Ok(observation_size(observation, embodiment))
            },
            encode: &|group| encode_act(group, embodiment, images),
            decode: &|bytes| decode_act_reply(bytes, &embodiment.actions, &limits),
        };
        Ok(carry(link, &carrier, requests).results)
    }

    fn end(&mut self, trials: &[TrialHandle]) {
        self.link.end(trials);
    }
}

impl std::fmt::Debug for RemotePolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemotePolicy").field("info", &self.info).finish_non_exhaustive()
    }
}
