//! What thinking costs in simulated time.
//!
//! A robot does not stand still while its policy thinks: between the observation and the first
//! action decided on it, time passes. The loop models that in simulated time, whatever the wall
//! clock says, so that a slow machine changes no result.

use rehearse_scenarios::action::{ActionChunk, ActionError};
use rehearse_scenarios::embodiment::{Channel, Reference};
use rehearse_scenarios::time::{Rate, SimDuration};

/// What a policy's thinking costs in simulated time.
///
/// The first chunk of a trial comes without delay: the robot is at rest until then. For each
/// further one, the actions of [`WhileWaiting`] are executed for `delay`, rounded up to whole
/// control steps, before the new chunk's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Time from the observation to the first action decided on it. Zero by default.
    pub delay: SimDuration,
    /// What the robot does meanwhile.
    pub waiting: WhileWaiting,
    /// What becomes of the new chunk's actions whose time has passed when it arrives.
    pub stale: StaleActions,
}

/// What the robot does while its policy thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileWaiting {
    /// It holds still: changes and velocities are zero, targets stay what they were.
    Hold,
    /// It goes on with the rest of the old chunk, and holds still once that is used up.
    KeepExecuting,
}

/// What becomes of actions whose time has passed when their chunk arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleActions {
    /// They are executed all the same, late.
    Execute,
    /// They are dropped: the chunk goes on from where it would be by now.
    Drop,
}

impl Latency {
    /// Thinking costs no time.
    pub const NONE: Self = Self {
        delay: SimDuration::ZERO,
        waiting: WhileWaiting::Hold,
        stale: StaleActions::Execute,
    };

    /// The delay in control steps, rounded up.
    ///
    /// ```
    /// use rehearse_policy_bridge::closed_loop::Latency;
    /// use rehearse_scenarios::time::{Rate, SimDuration};
    ///
    /// let latency = Latency { delay: SimDuration::from_millis(60), ..Latency::NONE };
    /// assert_eq!(latency.steps(Rate::from_hz(40.0)?), 3);
    /// # Ok::<(), rehearse_scenarios::time::InvalidRate>(())
    /// ```
    pub fn steps(&self, rate: Rate) -> usize {
        // A hair below, so that 25 ms at 40 Hz is one step and not two.
        let steps = self.delay.as_secs_f64() * rate.as_hz() - 1e-9;
        steps.max(0.0).ceil() as usize
    }
}

/// The actions to execute, and what is left of the chunk after them.
pub(super) struct Plan {
    pub(super) actions: ActionChunk,
    pub(super) rest: Option<ActionChunk>,
}

/// What has been executed before a new chunk arrives.
pub(super) struct Past<'a> {
    /// The last action executed.
    pub(super) last: &'a [f32],
    /// What is left of the chunk before.
    pub(super) rest: Option<&'a ActionChunk>,
}

/// Puts what is executed while waiting before what is executed of the new chunk.
///
/// # Errors
/// [`ActionError::Empty`] if dropping stale actions leaves none.
pub(super) fn plan(
    chunk: &ActionChunk,
    execute: usize,
    channels: &[Channel],
    latency: Latency,
    delay_steps: usize,
    past: Option<Past<'_>>,
) -> Result<Plan, ActionError> {
    let Some(Past { last, rest }) = past.filter(|_| delay_steps > 0) else {
        return Ok(Plan { actions: chunk.truncated(execute), rest: chunk.skipped(execute) });
    };
    let fresh = match latency.stale {
        StaleActions::Execute => chunk.clone(),
        StaleActions::Drop => chunk
            .skipped(delay_steps)
            .ok_or(ActionError::Empty { steps: 0, dimensions: chunk.dimensions() })?,
    };
    let mut last = last.to_vec();
    let mut values = Vec::with_capacity((delay_steps + fresh.steps()) * channels.len());
    for step in 0..delay_steps {
        let old = match latency.waiting {
            WhileWaiting::KeepExecuting => rest.and_then(|rest| rest.step(step)),
            WhileWaiting::Hold => None,
        };
        last = old.map_or_else(|| hold(&last, channels), |action| action.to_vec());
        values.extend_from_slice(&last);
    }
    values.extend(fresh.truncated(execute).view());
    let actions = ActionChunk::from_values(channels.len(), values)?;
    Ok(Plan { actions, rest: fresh.skipped(execute) })
}

/// The action that keeps the robot where it is.
fn hold(last: &[f32], channels: &[Channel]) -> Vec<f32> {
    last.iter()
        .zip(channels)
        .map(|(&value, channel)| match channel.reference {
            Some(Reference::Delta | Reference::Velocity) => {
                let [low, high] = channel.bounds.unwrap_or([f64::MIN, f64::MAX]);
                0.0_f64.clamp(low, high) as f32
            }
            Some(Reference::Absolute) | None => value,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels() -> Vec<Channel> {
        let delta = Channel { reference: Some(Reference::Delta), ..Channel::named("dx") };
        vec![delta, Channel::named("gripper")]
    }

    fn chunk(first: u8, steps: u8) -> ActionChunk {
        let values = (first..first + steps).flat_map(|step| [f32::from(step), 1.0]).collect();
        ActionChunk::from_values(2, values).unwrap()
    }

    /// The first column of what is executed when a chunk 10, 11, 12, 13 arrives two steps late
    /// after 0 and 1 were executed of 0, 1, 2.
    fn executed(waiting: WhileWaiting, stale: StaleActions) -> Vec<f32> {
        let latency = Latency { delay: SimDuration::from_millis(200), waiting, stale };
        let steps = latency.steps(Rate::from_hz(10.0).unwrap());
        let rest = chunk(0, 3).skipped(2);
        let past = Past { last: &[1.0, 1.0], rest: rest.as_ref() };
        let plan = plan(&chunk(10, 4), 2, &channels(), latency, steps, Some(past)).unwrap();
        plan.actions.view().column(0).to_vec()
    }

    #[test]
    fn each_way_to_wait_executes_what_it_says() {
        use StaleActions::{Drop, Execute};
        use WhileWaiting::{Hold, KeepExecuting};
        assert_eq!(executed(Hold, Execute), [0.0, 0.0, 10.0, 11.0]);
        assert_eq!(executed(Hold, Drop), [0.0, 0.0, 12.0, 13.0]);
        assert_eq!(executed(KeepExecuting, Execute), [2.0, 0.0, 10.0, 11.0]);
        assert_eq!(executed(KeepExecuting, Drop), [2.0, 0.0, 12.0, 13.0]);
    }

    #[test]
    fn targets_are_held_and_changes_are_zero() {
        assert_eq!(hold(&[0.7, -1.0], &channels()), [0.0, -1.0]);
    }

    #[test]
    fn without_delay_the_chunk_is_executed_as_it_is() {
        let past = Past { last: &[5.0, 5.0], rest: None };
        let plan = plan(&chunk(0, 4), 3, &channels(), Latency::NONE, 0, Some(past)).unwrap();
        assert_eq!(plan.actions, chunk(0, 3));
        assert_eq!(plan.rest, Some(chunk(3, 1)));
    }

    #[test]
    fn a_chunk_that_is_wholly_stale_is_refused() {
        let latency = Latency { stale: StaleActions::Drop, ..Latency::NONE };
        let past = Past { last: &[0.0, 0.0], rest: None };
        assert!(plan(&chunk(0, 2), 1, &channels(), latency, 2, Some(past)).is_err());
    }
}
