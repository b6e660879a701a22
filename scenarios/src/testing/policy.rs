//! What it means to be a policy.

use std::sync::Arc;

use crate::action::ActionChunk;
use crate::interface::{Begin, InterfaceError, PerTrial, Policy, TrialHandle};
use crate::observation::Observation;
use crate::seed::Seed;

/// Checks a policy against the contract of [`Policy`]: answers in order and of the stated shape,
/// a batch of one equals one of a batch, same seeds same actions, trials that were not begun are
/// refused, ended ones are gone.
///
/// `make` makes a fresh policy; `observations` must fit its embodiment, three at least.
///
/// # Panics
/// With the name of the rule that the policy breaks.
pub fn check_policy<P: Policy>(make: impl Fn() -> P, observations: &[Observation]) {
    assert!(observations.len() >= 3, "the suite needs three observations at least");
    answers_have_the_stated_shape(&mut make(), observations);
    a_batch_equals_its_singles(&make, observations);
    the_same_seed_gives_the_same_actions(&make, observations);
    unknown_trials_are_refused(&mut make(), observations);
    trials_begin_once_and_end_for_good(&mut make(), observations);
}

fn begin(trial: u64, observation: &Observation) -> Begin {
    Begin {
        trial: TrialHandle(trial),
        instruction: Arc::clone(&observation.instruction),
        seed: Seed::root(11).child("policy").index(trial),
    }
}

fn begin_all(policy: &mut impl Policy, observations: &[Observation]) {
    let trials: Vec<Begin> =
        observations.iter().zip(0..).map(|(seen, trial)| begin(trial, seen)).collect();
    let begun = policy.begin(&trials).expect("beginning new trials must work");
    assert_eq!(begun.len(), trials.len(), "begin must answer for each trial");
    assert!(begun.iter().all(Result::is_ok), "a sample trial did not begin: {begun:?}");
}

fn batch(observations: &[Observation]) -> Vec<(TrialHandle, Observation)> {
    observations.iter().zip(0..).map(|(seen, trial)| (TrialHandle(trial), seen.clone())).collect()
}

fn act(
    policy: &mut impl Policy,
    requests: &[(TrialHandle, Observation)],
) -> Vec<PerTrial<ActionChunk>> {
    policy.act(requests).expect("acting in open trials must work")
}

fn answers_have_the_stated_shape(policy: &mut impl Policy, observations: &[Observation]) {
    let info = policy.info().clone();
    assert!(info.chunk > 0 && info.max_batch > 0, "chunk and max_batch must be positive");
    info.embodiment.validate().expect("a policy must state a valid embodiment");
    begin_all(policy, observations);
    let answers = act(policy, &batch(observations));
    assert_eq!(answers.len(), observations.len(), "act must answer each request");
    for answer in answers {
        let chunk = answer.expect("a sample observation must be answered");
        assert_eq!(chunk.steps(), info.chunk, "a chunk must have the stated number of actions");
        chunk.check(&info.embodiment.actions).expect("actions must fit the stated channels");
    }
}

fn a_batch_equals_its_singles<P: Policy>(make: &impl Fn() -> P, observations: &[Observation]) {
    let (mut batched, mut single) = (make(), make());
    begin_all(&mut batched, observations);
    begin_all(&mut single, observations);
    let requests = batch(observations);
    let together = act(&mut batched, &requests);
    // Backwards, so that an answer that depends on the order of requests is found out.
    for (request, from_batch) in requests.iter().zip(&together).rev() {
        let alone = act(&mut single, std::slice::from_ref(request));
        assert_eq!(alone.first(), Some(from_batch), "a batch of one must equal one of a batch");
    }
}

fn the_same_seed_gives_the_same_actions<P: Policy>(
    make: &impl Fn() -> P,
    observations: &[Observation],
) {
    let run = || {
        let mut policy = make();
        begin_all(&mut policy, observations);
        let requests = batch(observations);
        (act(&mut policy, &requests), act(&mut policy, &requests))
    };
    assert_eq!(run(), run(), "the same seeds must give the same actions");
}

fn unknown_trials_are_refused(policy: &mut impl Policy, observations: &[Observation]) {
    let answer = policy.act(&batch(&observations[..1]));
    assert!(
        matches!(answer, Err(InterfaceError::UnknownTrial { .. })),
        "acting in a trial that was not begun must be refused"
    );
}

fn trials_begin_once_and_end_for_good(policy: &mut impl Policy, observations: &[Observation]) {
    begin_all(policy, observations);
    assert!(
        matches!(
            policy.begin(&[begin(0, &observations[0])]),
            Err(InterfaceError::DuplicateTrial { .. })
        ),
        "beginning an open trial again must be refused"
    );
    let mut twice = batch(&observations[..1]);
    twice.extend(batch(&observations[..1]));
    assert!(
        matches!(policy.act(&twice), Err(InterfaceError::DuplicateTrial { .. })),
        "a trial that appears twice in a batch must be refused"
    );
    policy.end(&[TrialHandle(0), TrialHandle(999)]);
    assert!(
        matches!(policy.act(&batch(&observations[..1])), Err(InterfaceError::UnknownTrial { .. })),
        "an ended trial must be gone"
    );
    let begun = policy.begin(&[begin(0, &observations[0])]).expect("an ended trial may begin anew");
    assert!(begun.iter().all(Result::is_ok), "an ended trial may begin anew");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::PolicyInfo;
    use crate::local::{ConstantPolicy, NoisePolicy, ReplayPolicy, ScriptedPolicy};
    use crate::testing::{sample_observations, sample_recordings, sample_rig};

    fn info(chunk: usize) -> PolicyInfo {
        PolicyInfo {
            name: "p".into(),
            embodiment: sample_rig(),
            chunk,
            max_batch: 16,
            digest: None,
        }
    }

    #[test]
    fn the_local_policies_keep_the_contract() {
        let observations = sample_observations(6);
        let still = ActionChunk::from_values(2, vec![0.0, 1.0]).unwrap();
        check_policy(|| ConstantPolicy::new(info(9), still.clone()).unwrap(), &observations);
        check_policy(|| NoisePolicy::new(info(4)).unwrap(), &observations);
        let recordings = sample_recordings(&[5]);
        check_policy(|| ReplayPolicy::new(info(3), &recordings[0]), &observations);
        let script = |seen: &Observation, asked: u64| {
            let x = (seen.proprioception[0] * 0.1 + asked as f32 * 0.01).clamp(-1.0, 1.0);
            Ok(ActionChunk::from_values(2, vec![x, 0.0]).unwrap())
        };
        check_policy(|| ScriptedPolicy::new(info(1), script), &observations);
    }

    #[test]
    #[should_panic(expected = "a batch of one must equal one of a batch")]
    fn a_policy_whose_answer_depends_on_the_batch_is_found_out() {
        struct Counting(ScriptedPolicy<fn(&Observation, u64) -> PerTrial<ActionChunk>>, f32);
        impl Policy for Counting {
            fn info(&self) -> &PolicyInfo {
                self.0.info()
            }
            fn begin(&mut self, trials: &[Begin]) -> Result<Vec<PerTrial<()>>, InterfaceError> {
                self.0.begin(trials)
            }
            fn act(
                &mut self,
                requests: &[(TrialHandle, Observation)],
            ) -> Result<Vec<PerTrial<ActionChunk>>, InterfaceError> {
                self.0.act(requests)?;
                Ok(requests
                    .iter()
                    .map(|_| {
                        self.1 += 0.01;
                        Ok(ActionChunk::from_values(2, vec![self.1, 0.0]).unwrap())
                    })
                    .collect())
            }
            fn end(&mut self, trials: &[TrialHandle]) {
                self.0.end(trials);
            }
        }
        let still: fn(&Observation, u64) -> PerTrial<ActionChunk> =
            |_, _| Ok(ActionChunk::from_values(2, vec![0.0, 0.0]).unwrap());
        check_policy(
            || Counting(ScriptedPolicy::new(info(1), still), 0.0),
            &sample_observations(3),
        );
    }
}
