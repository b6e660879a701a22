//! What happens in a run, told as it happens.

use rehearse_scenarios::census::Census;
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::observation::Observation;

use super::error::ObserverError;
use super::trial::Trial;

/// Something that happened in a run.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one event lives at a time; boxing an episode would cost an allocation a trial"
)]
pub enum Event<'a> {
    /// World and policy were compared, and fit. Told once for each lane, before the first trial.
    Census {
        /// Index of the lane.
        lane: usize,
        /// What was compared, with what only one side states.
        census: &'a Census,
    },
    /// A trial starts.
    Started {
        /// Index of the lane.
        lane: usize,
        /// The trial.
        trial: &'a Trial,
    },
    /// Actions were executed.
    Stepped {
        /// Index of the lane.
        lane: usize,
        /// The trial.
        trial: &'a Trial,
        /// Actions executed since the trial started.
        steps: u32,
        /// What the last of them led to.
        observation: &'a Observation,
        /// The world's belief after it that the task is done.
        success: Option<f32>,
    },
    /// A trial ended. Its episode is handed over; the loop forgets it.
    Ended {
        /// Index of the lane.
        lane: usize,
        /// The trial.
        trial: Trial,
        /// What happened, with its outcome. Without any observation if the world never opened it.
        episode: Episode,
        /// What a judge said last of it, in its words.
        remark: Option<String>,
    },
}

/// Who is told what happens: progress displays, stores, viewers. Called by the thread that called
/// [`run`](super::run); while it works, the world waits.
pub trait Observer {
    /// Takes note of an event.
    ///
    /// # Errors
    /// Any error stops the run.
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError>;
}

impl<F: FnMut(Event<'_>) -> Result<(), ObserverError>> Observer for F {
    fn observe(&mut self, event: Event<'_>) -> Result<(), ObserverError> {
        self(event)
    }
}
