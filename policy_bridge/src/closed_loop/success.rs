//! When a trial counts as a success, and when nobody can say.

use rehearse_scenarios::outcome::Outcome;

/// When a trial counts as a success, how long it goes on then, and when it counts as unsure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRule {
    /// Least belief of the world that the task is done, in (0, 1]. Default 0.5.
    pub threshold: f32,
    /// Consecutive steps for which the belief must reach the threshold, at least 1. More make a
    /// judge that flickers less optimistic. Steps of which the world says nothing, as a judge that
    /// looks at every tenth, do not count. Default 1.
    pub steps: u32,
    /// Belief below `threshold`, in (0, 1], that leaves a trial open: one that has it for `steps`
    /// consecutive steps and never succeeds ends `unsure` rather than `failure`. Default none:
    /// what is not a success is a failure.
    pub unsure_from: Option<f32>,
    /// Steps that a trial goes on after its success, unless the horizon or the world ends it
    /// first, so that what follows is seen too. Default 0.
    pub after: u32,
}

impl Default for SuccessRule {
    fn default() -> Self {
        Self { threshold: 0.5, steps: 1, unsure_from: None, after: 0 }
    }
}

impl SuccessRule {
    /// How a trial with these beliefs ends, one after each step, if nothing else ends it.
    ///
    /// ```
    /// use rehearse_policy_bridge::closed_loop::SuccessRule;
    /// use rehearse_scenarios::outcome::Outcome;
    ///
    /// let rule = SuccessRule { threshold: 0.8, steps: 2, unsure_from: Some(0.3), after: 0 };
    /// assert_eq!(rule.outcome([0.1, 0.9, 0.9].map(Some)), Outcome::Success);
    /// assert_eq!(rule.outcome([0.9, 0.1, 0.9].map(Some)), Outcome::Failure);
    /// assert_eq!(rule.outcome([0.9, 0.4, 0.1].map(Some)), Outcome::Unsure);
    /// ```
    pub fn outcome(self, beliefs: impl IntoIterator<Item = Option<f32>>) -> Outcome {
        let mut watch = Watch::default();
        let _cut_short = beliefs.into_iter().any(|belief| watch.ends(belief, self));
        watch.outcome()
    }
}

/// What the beliefs of a trial have come to so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// Consecutive steps so far for which the world believed in success.
    sure: u32,
    /// Consecutive steps so far for which it did not rule success out.
    open: u32,
    /// Whether it did not rule success out for long enough, once.
    doubted: bool,
    /// Whether it said anything at all.
    spoke: bool,
    /// Once the trial is a success: steps that it still goes on.
    left: Option<u32>,
}

impl Watch {
    /// Takes the belief after a step. Whether it ends the trial.
    pub(super) fn ends(&mut self, belief: Option<f32>, rule: SuccessRule) -> bool {
        if let Some(belief) = belief {
            let reaches = |bound: f32| belief >= bound;
            let count = |streak: u32, goes_on: bool| if goes_on { streak + 1 } else { 0 };
            self.spoke = true;
            self.sure = count(self.sure, reaches(rule.threshold));
            self.open = count(self.open, rule.unsure_from.is_some_and(reaches));
            self.doubted |= rule.unsure_from.is_some() && self.open >= rule.steps;
        }
        self.left = match self.left {
            Some(left) => Some(left.saturating_sub(1)),
            None => (self.sure >= rule.steps).then_some(rule.after),
        };
        self.left == Some(0)
    }

    /// The outcome of a trial that ends now. A world that never said anything leaves it open.
    pub(super) const fn outcome(self) -> Outcome {
        if self.left.is_some() {
            Outcome::Success
        } else if !self.spoke || self.doubted {
            Outcome::Unsure
        } else {
            Outcome::Failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_that_says_nothing_leaves_the_outcome_open() {
        let rule = SuccessRule::default();
        assert_eq!(rule.outcome([None, None]), Outcome::Unsure);
        assert_eq!(rule.outcome([None, Some(0.1)]), Outcome::Failure);
        assert_eq!(rule.outcome([None, Some(0.5)]), Outcome::Success);
    }

    #[test]
    fn steps_of_which_nothing_is_said_break_no_streak() {
        let rule = SuccessRule { threshold: 0.8, steps: 2, unsure_from: Some(0.4), after: 0 };
        assert_eq!(rule.outcome([Some(0.9), None, None, Some(0.9)]), Outcome::Success);
        assert_eq!(rule.outcome([Some(0.9), None, Some(0.1), Some(0.9)]), Outcome::Failure);
        assert_eq!(rule.outcome([Some(0.5), None, Some(0.5), None]), Outcome::Unsure);
    }

    #[test]
    fn doubt_must_last_as_long_as_certainty() {
        let rule = SuccessRule { threshold: 0.8, steps: 3, unsure_from: Some(0.4), after: 0 };
        assert_eq!(rule.outcome([0.5, 0.5, 0.1, 0.5, 0.5].map(Some)), Outcome::Failure);
        assert_eq!(rule.outcome([0.5, 0.5, 0.4, 0.1].map(Some)), Outcome::Unsure);
        assert_eq!(rule.outcome([0.5, 0.5, 0.5, 0.8, 0.8, 0.8].map(Some)), Outcome::Success);
        let certain = SuccessRule { unsure_from: None, ..rule };
        assert_eq!(certain.outcome([0.5, 0.5, 0.4, 0.1].map(Some)), Outcome::Failure);
    }
}
