//! Who is told what happens in a run.

use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::observation::Observation;

use super::{Entry, Plan};

/// Who looks on while a run goes: a progress bar, a viewer. What it does is no part of the run.
pub trait Onlooker {
    /// The run starts, in a world of this rig; so many trials have ended in earlier processes.
    fn starts(&mut self, plan: &Plan, rig: &Embodiment, ended: usize);

    /// Actions were executed in a trial; this is what the last of them led to.
    fn stepped(&mut self, step: &Stepped<'_>);

    /// A trial has ended, and is stored.
    fn ended(&mut self, entry: &Entry, episode: &Episode);
}

/// What a trial shows after its latest actions.
#[derive(Clone, Copy, Debug)]
pub struct Stepped<'a> {
    /// Name of the policy.
    pub policy: &'a str,
    /// Id of the trial.
    pub trial: &'a str,
    /// Actions executed so far.
    pub steps: u32,
    /// What the last of them led to.
    pub observation: &'a Observation,
    /// The world's belief that the task is done.
    pub belief: Option<f32>,
}
