//! Which trials are imagined a second time, and that they are.

use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::suite::Suite;

use super::conduct::to_loop;
use super::starts::Starts;
use super::trust::{Job, draw_again};
use super::world::Learned;
use super::{Plan, PolicyRecord, RunError, RunFolder};
use crate::judge::rule_of;

/// Trials imagined at once.
const BATCH: usize = 16;
/// Steps that the second draw of a success may take longer.
const BEYOND: usize = 8;

/// Imagines the sample again that the suite asks for, a batch at a time; what has been is not
/// imagined a third time. Without stored episodes nothing is, for their actions are needed.
pub(super) fn sample(
    plan: &Plan,
    learned: &Learned,
    starts: &Starts,
    policies: &[PolicyRecord],
    folder: &mut RunFolder,
) -> Result<(), RunError> {
    let mut left = vec![];
    for trial in plan.trials() {
        let id = trial.id.as_str();
        if !is_drawn(&plan.suite, id) || folder.draws().contains_key(id) {
            continue;
        }
        if let Some(ended) = folder.entry(id)?
            && ended.outcome != "void"
            && ended.length > 0
        {
            left.push((trial, beyond(&ended.outcome)));
        }
    }
    let rule = rule_of(&plan.suite.judge);
    for some in left.chunks(BATCH) {
        let mut jobs = vec![];
        for (trial, beyond) in some {
            if let Some(first) = folder.waiting(trial.id.as_str())? {
                let entry = &plan.suite.policies[trial.policy];
                let chunk = policies.get(trial.policy).map_or(1, |policy| policy.chunk);
                let execute = entry.execute.map_or(chunk, |execute| execute as usize);
                let trial = to_loop(trial, &plan.suite, starts, None);
                jobs.push(Job { trial, first, execute, beyond: *beyond });
            }
        }
        if !jobs.is_empty() {
            folder.add_draws(draw_again(&learned.model, rule, &jobs)?)?;
        }
    }
    Ok(())
}

/// Steps that a second draw goes on for after a first that ended so.
fn beyond(outcome: &str) -> usize {
    if outcome == "success" { BEYOND } else { 0 }
}

/// Whether a trial is in the sample: by its id alone, so that parts and the whole agree.
fn is_drawn(suite: &Suite, trial: &str) -> bool {
    let draw = Seed::root(suite.seed).child("draws").child(trial).to_u64();
    // The upper half of the bits is as fine as a share needs to be.
    f64::from((draw >> 32) as u32) < f64::from(suite.trust.draws) * 2.0_f64.powi(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_success_gives_the_second_draw_more_time() {
        assert_eq!(["success", "failure", "unsure"].map(beyond), [8, 0, 0]);
    }

    #[test]
    fn the_share_of_the_sample_is_the_one_asked_for() {
        let text = "name = \"s\"\nworld = { kind = \"zenoh\", name = \"w\" }\nhorizon = 1\n\
                    [[policy]]\nname = \"p\"\nzenoh = \"p\"\n\
                    [[task]]\nname = \"t\"\ninstruction = \"do\"\nstarts = { count = 1 }\n";
        let mut suite = Suite::parse(text, "s.toml".as_ref()).unwrap();
        let mut drawn = |share: f32| {
            suite.trust.draws = share;
            (0..1000).filter(|trial| is_drawn(&suite, &format!("t{trial}"))).count()
        };
        assert_eq!((drawn(0.0), drawn(1.0)), (0, 1000));
        assert!((60..140).contains(&drawn(0.1)));
    }
}
