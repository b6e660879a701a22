//! [`World`], [`Policy`] and [`Judge`]: object-safe, and batched over trials.
//!
//! Batching is what makes imagination fast, so nothing here forces one trial at a time. Two
//! contracts hold for every implementation, and the suites of `testing` check them: a batch
//! of one equals one of a batch, and the same seeds give the same answers in whatever order and
//! grouping the trials are asked for.
//!
//! One trial's fault never costs another its answer, so results are per trial: a [`Fault`] voids
//! its own trial, while an [`InterfaceError`] means that the whole batch could not be served.

use std::sync::Arc;

use crate::action::ActionChunk;
use crate::embodiment::Embodiment;
use crate::observation::Observation;
use crate::outcome::Fault;
use crate::seed::Seed;

/// A handle of a trial in flight, chosen by the closed loop, unique within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrialHandle(pub u64);

/// Where a trial starts, as a world is told. It holds no goal and no score.
#[derive(Clone, Debug)]
pub struct Start {
    /// The trial that starts.
    pub trial: TrialHandle,
    /// The task, as the logs name it. A simulator selects its scene by it.
    pub task: Arc<str>,
    /// Index of the start among the task's starts, from 0. A simulator resets to it exactly;
    /// addressed by index, never by the order of random draws.
    pub index: u64,
    /// The instruction that goes into every observation.
    pub instruction: Arc<str>,
    /// The first observation, where the start is a frame of a log or an image. A simulator or a
    /// robot makes its own.
    pub observation: Option<Observation>,
    /// Seed of the world's own noise, the same for all policies that meet this start.
    pub seed: Seed,
}

/// One executed action and what followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What the robot shows after the action.
    pub observation: Observation,
    /// The world's own belief that the task is done now, in [0, 1]: a judge head's probability,
    /// or 0 and 1 from a simulator that knows. `None` where the world cannot say.
    pub success: Option<f32>,
}

/// What a world made of one trial's action chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct Advance {
    /// One step per executed action, in order. Fewer than asked for only if `ended`.
    pub steps: Vec<Step>,
    /// How the world made the steps, for who looks on: the chunks of a learned world.
    pub segments: Vec<Segment>,
    /// Whether the world ended the trial itself (a simulator's truncation, the end of a log).
    pub ended: bool,
    /// What a judge said of the latest of these steps, in its words.
    pub remark: Option<String>,
}

/// A run of steps that a learned world imagined at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Steps in the segment.
    pub steps: u32,
    /// The expert that made it, from 0, where there are several.
    pub expert: Option<u32>,
}

/// A whole batch that could not be served.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// A request names a trial that was never started, or has ended.
    #[error("trial {} is not open", trial.0)]
    UnknownTrial {
        /// The trial.
        trial: TrialHandle,
    },
    /// A trial is started twice, or appears twice in one batch.
    #[error("trial {} appears twice", trial.0)]
    DuplicateTrial {
        /// The trial.
        trial: TrialHandle,
    },
    /// The world or policy behind the interface failed as a whole.
    #[error("{side} failed: {message}")]
    Failed {
        /// `world` or `policy`, with its name.
        side: String,
        /// What happened and what to do next.
        message: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// One trial's answer: what was asked for, or what voids the trial.
pub type PerTrial<T> = Result<T, Fault>;

/// A world that trials take place in: a learned model, a simulator, the robot, a log played back.
///
/// A world never sees goals or scores.
pub trait World: Send {
    /// The facts of the rig that this world shows.
    fn embodiment(&self) -> &Embodiment;

    /// Opens trials and returns their first observations, at time zero, in the order of `starts`.
    ///
    /// # Errors
    /// [`InterfaceError`] if the batch as a whole cannot be served; one trial's fault is its own.
    fn reset(&mut self, starts: &[Start]) -> Result<Vec<PerTrial<Observation>>, InterfaceError>;

    /// Executes a chunk of actions in each of several trials, in the order of `requests`.
    ///
    /// After a fault, that trial is closed.
    ///
    /// # Errors
    /// [`InterfaceError`] if the batch as a whole cannot be served; one trial's fault is its own.
    fn step(
        &mut self,
        requests: &[(TrialHandle, ActionChunk)],
    ) -> Result<Vec<PerTrial<Advance>>, InterfaceError>;

    /// Closes trials and frees what they held. Trials that are not open are passed over.
    fn close(&mut self, trials: &[TrialHandle]);
}

/// What a policy states about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyInfo {
    /// Name, as in tables and keys.
    pub name: String,
    /// The facts of the rig that it was made for: the cameras and channels that it uses.
    pub embodiment: Embodiment,
    /// Actions in each chunk that it returns.
    pub chunk: usize,
    /// Most trials that it takes in one request.
    pub max_batch: usize,
    /// A digest of its weights or code, where it states one, for the record.
    pub digest: Option<String>,
}

/// A trial that begins, as a policy is told.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The trial that begins.
    pub trial: TrialHandle,
    /// The instruction.
    pub instruction: Arc<str>,
    /// Seed of the policy's own draws.
    pub seed: Seed,
}

/// Something that acts: a remote policy, a planner, a log played back, a constant, noise.
///
/// A policy sees observations and the instruction, nothing else.
pub trait Policy: Send {
    /// What the policy states about itself.
    fn info(&self) -> &PolicyInfo;

    /// Opens trials, in the order of `trials`.
    ///
    /// # Errors
    /// [`InterfaceError`] if the batch as a whole cannot be served; one trial's fault is its own.
    fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError>;

    /// Returns a chunk of actions for each observation, in the order of `requests`.
    ///
    /// # Errors
    /// [`InterfaceError`] if the batch as a whole cannot be served; one trial's fault is its own.
    fn act(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError>;

    /// Ends trials and frees what they held. Trials that are not open are passed over.
    fn end(&mut self, trials: &[TrialHandle]);
}

/// A trial that a judge is to watch, as it is told.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The trial.
    pub trial: TrialHandle,
    /// What is to be done.
    pub instruction: Arc<str>,
    /// What the trial showed first.
    pub observation: Observation,
    /// Seed of the judge's own draws.
    pub seed: Seed,
}

/// What a judge says of what it sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Opinion {
    /// Its belief that the task is done now, in [0, 1]; one half where it cannot tell.
    pub belief: f32,
    /// Why, in its words.
    pub reason: Option<String>,
}

/// Someone who looks on and says whether the task is done: a vision-language model, a person.
///
/// A judge never acts, and sees nothing that a policy does not.
pub trait Judge: Send {
    /// Opens trials, in the order of `trials`.
    ///
    /// # Errors
    /// [`InterfaceError`] if the batch as a whole cannot be served; one trial's fault is its own.
    fn begin(&mut self, trials: &[Watch]) -> Result<Vec<PerTrial<()>>, InterfaceError>;

    /// What it says of each observation, in the order of `requests`.
    ///
    /// # Errors
    /// [`InterfaceError`] if the batch as a whole cannot be served; one trial's fault is its own.
    fn judge(
        &mut self,
        requests: &[(TrialHandle, Observation)],
    ) -> Result<Vec<PerTrial<Opinion>>, InterfaceError>;

    /// Ends trials and frees what they held. Trials that are not open are passed over.
    fn end(&mut self, trials: &[TrialHandle]);
}
