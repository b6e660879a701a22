//! What can be served: any policy, any world, behind one set of calls.

use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{
    Advance, Begin, InterfaceError, PerTrial, Policy, Start, TrialHandle, World,
};
use rehearse_scenarios::observation::Observation;

use super::keys::Kind;
use crate::wire::policy::{decode_act, decode_begin, encode_act_reply, encode_begin_reply};
use crate::wire::world::{decode_reset, decode_step, encode_reset_reply, encode_step_reply};
use crate::wire::{ImageForm, Limits, WireError};

/// What a server needs to know to read requests.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) embodiment: Embodiment,
    pub(super) max_batch: usize,
    pub(super) limits: Limits,
}

/// Results with the trials they are of, as a reply holds them.
pub(super) type Results<T> = [(TrialHandle, PerTrial<T>)];

/// What can be served.
pub(super) trait Service: Send + 'static {
    type Opening: Send;
    type Asking: Send;
    type Opened;
    type Answer;

    fn decode_open(bytes: &[u8], facts: &Facts) -> Result<Vec<Self::Opening>, WireError>;
    fn decode_ask(
        bytes: &[u8],
        facts: &Facts,
    ) -> Result<Vec<(TrialHandle, Self::Asking)>, WireError>;
    fn encode_opened(results: &Results<Self::Opened>, facts: &Facts) -> Result<Vec<u8>, WireError>;
    fn encode_answers(results: &Results<Self::Answer>, facts: &Facts)
    -> Result<Vec<u8>, WireError>;

    /// The handle in an opening; the server replaces the client's by its own.
    fn handle(opening: &mut Self::Opening) -> &mut TrialHandle;

    fn open(
        &mut self,
        trials: &[Self::Opening],
    ) -> Result<Vec<PerTrial<Self::Opened>>, InterfaceError>;
    fn ask(
        &mut self,
        requests: &[(TrialHandle, Self::Asking)],
    ) -> Result<Vec<PerTrial<Self::Answer>>, InterfaceError>;
    fn close(&mut self, trials: &[TrialHandle]);
}

impl Service for Box<dyn Policy> {
    type Opening = Begin;
    type Asking = Observation;
    type Opened = ();
    type Answer = ActionChunk;

    fn decode_open(bytes: &[u8], facts: &Facts) -> Result<Vec<Begin>, WireError> {
        decode_begin(bytes, &facts.limits)
    }

    fn decode_ask(
        bytes: &[u8],
        facts: &Facts,
    ) -> Result<Vec<(TrialHandle, Observation)>, WireError> {
        decode_act(bytes, &facts.embodiment, &facts.limits)
    }

    fn encode_opened(results: &Results<()>, _facts: &Facts) -> Result<Vec<u8>, WireError> {
        encode_begin_reply(results)
    }

    fn encode_answers(
        results: &Results<ActionChunk>,
        _facts: &Facts,
    ) -> Result<Vec<u8>, WireError> {
        encode_act_reply(results)
    }

    fn handle(opening: &mut Begin) -> &mut TrialHandle {
        &mut opening.trial
    }

    fn open(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
        self.begin(trials)
    }

    fn ask(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
        self.act(requests)
    }

    fn close(&mut self, trials: &[TrialHandle]) {
        self.end(trials);
    }
}

impl Service for Box<dyn World> {
    type Opening = Start;
    type Asking = ActionChunk;
    type Opened = Observation;
    type Answer = Advance;

    fn decode_open(bytes: &[u8], facts: &Facts) -> Result<Vec<Start>, WireError> {
        decode_reset(bytes, &facts.embodiment, &facts.limits)
    }

    fn decode_ask(
        bytes: &[u8],
        facts: &Facts,
    ) -> Result<Vec<(TrialHandle, ActionChunk)>, WireError> {
        decode_step(bytes, &facts.embodiment.actions, &facts.limits)
    }

    fn encode_opened(results: &Results<Observation>, facts: &Facts) -> Result<Vec<u8>, WireError> {
        encode_reset_reply(results, &facts.embodiment, ImageForm::Raw)
    }

    fn encode_answers(results: &Results<Advance>, facts: &Facts) -> Result<Vec<u8>, WireError> {
        encode_step_reply(results, &facts.embodiment, ImageForm::Raw)
    }

    fn handle(opening: &mut Start) -> &mut TrialHandle {
        &mut opening.trial
    }

    fn open(&mut self, trials: &[Start]) -> Result<Vec<PerTrial<Observation>>, InterfaceError> {
        self.reset(trials)
    }

    fn ask(
        &mut self,
        requests: &[(TrialHandle, ActionChunk)],
    ) -> Result<Vec<PerTrial<Advance>>, InterfaceError> {
        self.step(requests)
    }

    fn close(&mut self, trials: &[TrialHandle]) {
        self.as_mut().close(trials);
    }
}
