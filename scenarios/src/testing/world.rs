//! What it means to be a world.

use crate::action::ActionChunk;
use crate::interface::{Advance, InterfaceError, PerTrial, Start, TrialHandle, World};
use crate::observation::Observation;
use crate::outcome::FaultKind;
use crate::time::SimTime;

/// Checks a world against the contract of [`World`]: observations as the embodiment states them,
/// times that follow the rate, a batch of one equals one of a batch, a chunk equals its parts'
/// length, same seeds same steps, malformed actions and trials that are not open refused, one
/// trial's fault no other's.
///
/// `make` makes a fresh world; `starts` are two at least, none of which ends within
/// `action.steps()` actions; `action` fits the embodiment.
///
/// # Panics
/// With the name of the rule that the world breaks.
pub fn check_world<W: World>(make: impl Fn() -> W, starts: &[Start], action: &ActionChunk) {
    assert!(starts.len() >= 2, "the suite needs two starts at least");
    observations_are_as_stated(&mut make(), starts, action);
    a_batch_equals_its_singles(&make, starts, action);
    the_same_seed_gives_the_same_steps(&make, starts, action);
    malformed_actions_void_only_their_own_trial(&mut make(), starts, action);
    trials_open_once_and_close_for_good(&mut make(), starts, action);
}

fn reset(world: &mut impl World, starts: &[Start]) -> Vec<Observation> {
    let first = world.reset(starts).expect("opening new trials must work");
    assert_eq!(first.len(), starts.len(), "reset must answer each start");
    first.into_iter().map(|seen| seen.expect("a sample start must open")).collect()
}

fn requests(starts: &[Start], action: &ActionChunk) -> Vec<(TrialHandle, ActionChunk)> {
    starts.iter().map(|start| (start.trial, action.clone())).collect()
}

fn step(world: &mut impl World, requests: &[(TrialHandle, ActionChunk)]) -> Vec<PerTrial<Advance>> {
    let answers = world.step(requests).expect("stepping open trials must work");
    assert_eq!(answers.len(), requests.len(), "step must answer each request");
    answers
}

fn observations_are_as_stated(world: &mut impl World, starts: &[Start], action: &ActionChunk) {
    let embodiment = world.embodiment().clone();
    embodiment.validate().expect("a world must state a valid embodiment");
    let check = |seen: &Observation, start: &Start, time: SimTime| {
        for camera in &embodiment.cameras {
            let image = seen.images.get(&camera.name).expect("every stated camera must be shown");
            assert_eq!(
                (image.height(), image.width()),
                (camera.height, camera.width),
                "an image must have its camera's size"
            );
        }
        assert_eq!(seen.images.len(), embodiment.cameras.len(), "only stated cameras are shown");
        assert_eq!(
            seen.proprioception.len(),
            embodiment.proprioception.len(),
            "proprioception must have the stated channels"
        );
        assert!(
            seen.proprioception.iter().all(|value| value.is_finite()),
            "proprioception must be finite"
        );
        assert_eq!(seen.instruction, start.instruction, "the instruction must be the start's");
        assert_eq!(seen.time, time, "time must follow the rate");
    };
    for (seen, start) in reset(world, starts).iter().zip(starts) {
        check(seen, start, SimTime::ZERO);
    }
    for (answer, start) in step(world, &requests(starts, action)).into_iter().zip(starts) {
        let advance = answer.expect("a sample action must be executed");
        assert_eq!(advance.steps.len(), action.steps(), "each action must have its step");
        for (made, number) in advance.steps.iter().zip(1..) {
            check(&made.observation, start, embodiment.rate.time_of_step(number));
            assert!(
                made.success.is_none_or(|success| (0.0..=1.0).contains(&success)),
                "success must be a probability"
            );
        }
        let imagined: usize = advance.segments.iter().map(|segment| segment.steps as usize).sum();
        assert!(
            advance.segments.is_empty() || imagined == advance.steps.len(),
            "segments must cover the steps"
        );
    }
}

fn a_batch_equals_its_singles<W: World>(
    make: &impl Fn() -> W,
    starts: &[Start],
    action: &ActionChunk,
) {
    let (mut batched, mut single) = (make(), make());
    let together = reset(&mut batched, starts);
    let requests = requests(starts, action);
    let stepped = step(&mut batched, &requests);
    // Backwards, so that an answer that depends on the order of requests is found out.
    for (start, first) in starts.iter().zip(&together).rev() {
        let alone = reset(&mut single, std::slice::from_ref(start));
        assert_eq!(alone.first(), Some(first), "a reset of one must equal one of a batch");
    }
    for (request, from_batch) in requests.iter().zip(&stepped).rev() {
        let alone = step(&mut single, std::slice::from_ref(request));
        assert_eq!(alone.first(), Some(from_batch), "a batch of one must equal one of a batch");
    }
}

fn the_same_seed_gives_the_same_steps<W: World>(
    make: &impl Fn() -> W,
    starts: &[Start],
    action: &ActionChunk,
) {
    let run = || {
        let mut world = make();
        (reset(&mut world, starts), step(&mut world, &requests(starts, action)))
    };
    assert_eq!(run(), run(), "the same seeds must give the same steps");
}

fn malformed_actions_void_only_their_own_trial(
    world: &mut impl World,
    starts: &[Start],
    action: &ActionChunk,
) {
    reset(world, starts);
    let mut requests = requests(starts, action);
    let too_wide = vec![0.0; action.dimensions() + 1];
    requests[0].1 = ActionChunk::from_values(action.dimensions() + 1, too_wide)
        .expect("zeros are an action chunk");
    let answers = step(world, &requests);
    let fault = answers[0].as_ref().expect_err("an action of the wrong width must be refused");
    assert_eq!(fault.kind, FaultKind::MalformedAction, "the fault must name the action");
    assert!(answers[1..].iter().all(Result::is_ok), "one trial's fault must be no other's");
    assert!(
        matches!(world.step(&requests[..1]), Err(InterfaceError::UnknownTrial { .. })),
        "a trial must be closed after its fault"
    );
}

fn trials_open_once_and_close_for_good(
    world: &mut impl World,
    starts: &[Start],
    action: &ActionChunk,
) {
    let requests = requests(starts, action);
    assert!(
        matches!(world.step(&requests[..1]), Err(InterfaceError::UnknownTrial { .. })),
        "stepping a trial that was not opened must be refused"
    );
    let first = reset(world, starts);
    assert!(
        matches!(world.reset(&starts[..1]), Err(InterfaceError::DuplicateTrial { .. })),
        "opening an open trial again must be refused"
    );
    let twice = [requests[0].clone(), requests[0].clone()];
    assert!(
        matches!(world.step(&twice), Err(InterfaceError::DuplicateTrial { .. })),
        "a trial that appears twice in a batch must be refused"
    );
    world.close(&[starts[0].trial, TrialHandle(u64::MAX)]);
    assert!(
        matches!(world.step(&requests[..1]), Err(InterfaceError::UnknownTrial { .. })),
        "a closed trial must be gone"
    );
    let again = reset(world, &starts[..1]);
    assert_eq!(again.first(), first.first(), "a trial that opens anew must start the same");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::ReplayWorld;
    use crate::testing::{sample_recordings, sample_rig, sample_starts};

    fn action() -> ActionChunk {
        ActionChunk::from_values(2, vec![0.5, -1.0, 0.25, 1.0]).unwrap()
    }

    #[test]
    fn a_log_played_back_keeps_the_contract() {
        let recordings = sample_recordings(&[5, 7, 3]);
        check_world(
            || ReplayWorld::new(sample_rig(), recordings.clone()),
            &sample_starts(3),
            &action(),
        );
    }

    #[test]
    fn a_log_played_back_ends_where_it_ends() {
        let mut world = ReplayWorld::new(sample_rig(), sample_recordings(&[3]));
        let starts = sample_starts(1);
        reset(&mut world, &starts);
        let whole = step(&mut world, &requests(&starts, &action())).remove(0).unwrap();
        assert_eq!((whole.steps.len(), whole.ended), (2, false));
        let rest = step(&mut world, &requests(&starts, &action())).remove(0).unwrap();
        assert_eq!((rest.steps.len(), rest.ended), (1, true));
        assert_eq!(rest.steps[0].success, Some(1.0));
    }

    #[test]
    fn a_start_that_is_not_there_is_a_fault_of_its_own() {
        let mut world = ReplayWorld::new(sample_rig(), sample_recordings(&[3]));
        let answers = world.reset(&sample_starts(2)).unwrap();
        assert!(answers[0].is_ok());
        assert_eq!(answers[1].as_ref().unwrap_err().kind, FaultKind::WorldBroke);
    }
}
