//! When a run may stop: the ranking is settled.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::interval::Interval;

use super::{BettingTest, SequentialError};

/// When a ranking counts as settled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SettleOptions {
    /// The probability with which a ranking that is called settled is right. Default 0.95.
    pub level: f64,
    /// Policies closer than this need not be told apart; in rates, 0.1 is ten percentage points.
    /// Without it two equally good policies are never settled. Default none.
    pub margin: Option<f64>,
}

impl Default for SettleOptions {
    fn default() -> Self {
        Self { level: 0.95, margin: None }
    }
}

/// What is known of two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The first succeeds more often.
    FirstBetter,
    /// The second succeeds more often.
    SecondBetter,
    /// They are within the margin of each other.
    Equivalent,
    /// Not known yet.
    Open,
}

/// Two policies, and what is known of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairState {
    /// The first policy.
    pub first: String,
    /// The second policy.
    pub second: String,
    /// What is known.
    pub relation: Relation,
    /// Pairs of trials behind it.
    pub pairs: u64,
    /// Rate of the first minus rate of the second; none before the first pair.
    pub difference: Option<f64>,
    /// Its confidence sequence, at the level that this pair's share of the error leaves.
    pub interval: Interval,
}

/// Whether a run may stop.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// Whether every pair is decided, without contradiction. Only then do the relations hold
    /// jointly with the probability asked for; before, they are what it looks like.
    pub settled: bool,
    /// All pairs, in the order of the policies.
    pub pairs: Vec<PairState>,
}

/// Follows a run trial by trial and says when its ranking is settled.
///
/// Every pair of policies has a [`BettingTest`] on the scenarios that both have met. Without a
/// margin each works at error `α / (k − 1)` for k policies, not one share for each of the
/// k (k − 1) / 2 pairs: if the order called settled is wrong, two neighbours in the true order
/// stand the wrong way round in it, and there are k − 1 of those. With a margin, claims of
/// equivalence break that argument, and every pair gets its own share.
///
/// Trials enter in the order of the plan, not in the order in which they end: failures often
/// take longer than successes, and a test that stops among the quick ones would be misled. So a
/// pair waits until all earlier trials of its two policies are in. A void or unsure trial takes
/// its pair out of account.
///
/// The plan should mix its tasks (any order that does not follow the tasks): what is settled is
/// the difference over the scenarios met so far.
///
/// ```
/// use rehearse_scoring::sequential::{SettleOptions, Settler};
///
/// let mut settler = Settler::new(["good", "bad"], SettleOptions::default())?;
/// let mut slot = 0;
/// while !settler.decision().settled {
///     settler.observe(slot, "good", Some(1.0))?;
///     settler.observe(slot, "bad", Some(0.0))?;
///     slot += 1;
/// }
/// assert_eq!(slot, 8);
/// # Ok::<(), rehearse_scoring::sequential::SequentialError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Settler {
    policies: Vec<String>,
    options: SettleOptions,
    results: Vec<BTreeMap<u64, Option<f64>>>,
    duels: Vec<Duel>,
}

#[derive(Debug, Clone)]
struct Duel {
    first: usize,
    second: usize,
    next: u64,
    test: BettingTest,
    /// Kept once made: evidence does not expire.
    relation: Relation,
}

impl Settler {
    /// Follows a run of `policies`.
    ///
    /// # Errors
    /// [`SequentialError::Policies`], [`SequentialError::Level`], [`SequentialError::Margin`].
    pub fn new<N: Into<String>>(
        policies: impl IntoIterator<Item = N>,
        options: SettleOptions,
    ) -> Result<Self, SequentialError> {
        let policies: Vec<String> = policies.into_iter().map(Into::into).collect();
        let SettleOptions { level, margin } = options;
        let distinct: BTreeSet<&String> = policies.iter().collect();
        if policies.len() < 2 || distinct.len() < policies.len() {
            return Err(SequentialError::Policies { got: policies.join(", ") });
        }
        if !(level > 0.0 && level < 1.0) {
            return Err(SequentialError::Level { level });
        }
        if let Some(margin) = margin.filter(|m| !(*m > 0.0 && *m < 1.0)) {
            return Err(SequentialError::Margin { margin });
        }
        let count = policies.len();
        let pairs = (0..count).flat_map(|first| (first + 1..count).map(move |s| (first, s)));
        let duels = pairs
            .map(|(first, second)| Duel {
                first,
                second,
                next: 0,
                test: BettingTest::new(),
                relation: Relation::Open,
            })
            .collect();
        Ok(Self { results: vec![BTreeMap::new(); count], policies, options, duels })
    }

    /// Takes the end of one trial: its place in the plan (the same for every policy on the same
    /// scenario and repeat, counted from 0 without gaps), and its score in [0, 1], or none if it
    /// was void or unsure.
    ///
    /// # Errors
    /// [`SequentialError::UnknownPolicy`], [`SequentialError::Score`], [`SequentialError::Twice`]
    /// unless the result is the same.
    pub fn observe(
        &mut self,
        slot: u64,
        policy: &str,
        score: Option<f64>,
    ) -> Result<(), SequentialError> {
        let Some(index) = self.policies.iter().position(|name| name == policy) else {
            let (policy, known) = (policy.to_owned(), self.policies.join(", "));
            return Err(SequentialError::UnknownPolicy { policy, known });
        };
        if let Some(score) = score.filter(|score| !(0.0..=1.0).contains(score)) {
            return Err(SequentialError::Score { score });
        }
        if let Some(before) = self.results[index].insert(slot, score)
            && before != score
        {
            self.results[index].insert(slot, before);
            return Err(SequentialError::Twice { policy: policy.to_owned(), slot });
        }
        let share = self.share();
        let Self { results, duels, options, .. } = self;
        for duel in duels.iter_mut().filter(|d| d.first == index || d.second == index) {
            while let (Some(a), Some(b)) =
                (results[duel.first].get(&duel.next), results[duel.second].get(&duel.next))
            {
                duel.next += 1;
                if let (Some(a), Some(b)) = (a, b) {
                    duel.test.observe(*a, *b)?;
                    duel.judge(share, options.margin)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the run may stop, and what is known of each pair.
    pub fn decision(&self) -> Decision {
        let level = 1.0 - self.share();
        let pairs: Vec<PairState> = self
            .duels
            .iter()
            .filter_map(|duel| {
                Some(PairState {
                    first: self.policies[duel.first].clone(),
                    second: self.policies[duel.second].clone(),
                    relation: duel.relation,
                    pairs: duel.test.pairs(),
                    difference: duel.test.difference(),
                    // The level was checked at construction.
                    interval: duel.test.interval(level).ok()?,
                })
            })
            .collect();
        let decided = self.duels.iter().all(|duel| duel.relation != Relation::Open);
        Decision { settled: decided && !self.contradicts_itself(), pairs }
    }

    /// The error that each pair may make.
    fn share(&self) -> f64 {
        let error = 1.0 - self.options.level;
        let claims =
            if self.options.margin.is_some() { self.duels.len() } else { self.policies.len() - 1 };
        error / claims as f64
    }

    /// Whether some policy is better than one that is better than it.
    fn contradicts_itself(&self) -> bool {
        let count = self.policies.len();
        let mut wins = vec![vec![false; count]; count];
        for duel in &self.duels {
            wins[duel.first][duel.second] = duel.relation == Relation::FirstBetter;
            wins[duel.second][duel.first] = duel.relation == Relation::SecondBetter;
        }
        for through in 0..count {
            for from in 0..count {
                for to in 0..count {
                    wins[from][to] |= wins[from][through] && wins[through][to];
                }
            }
        }
        (0..count).any(|policy| wins[policy][policy])
    }
}

impl Duel {
    fn judge(&mut self, share: f64, margin: Option<f64>) -> Result<(), SequentialError> {
        if self.relation != Relation::Open {
            return Ok(());
        }
        let bound = (2.0 / share).ln();
        if self.test.ln_evidence_for_a() >= bound {
            self.relation = Relation::FirstBetter;
        } else if self.test.ln_evidence_for_b() >= bound {
            self.relation = Relation::SecondBetter;
        } else if let Some(margin) = margin {
            let interval = self.test.interval(1.0 - share)?;
            if -margin < interval.low && interval.high < margin {
                self.relation = Relation::Equivalent;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relations(settler: &Settler) -> Vec<Relation> {
        settler.decision().pairs.iter().map(|pair| pair.relation).collect()
    }

    #[test]
    fn three_policies_settle_into_their_order() {
        let mut settler = Settler::new(["c", "a", "b"], SettleOptions::default()).unwrap();
        let mut slot = 0;
        while !settler.decision().settled {
            assert!(slot < 500);
            settler.observe(slot, "a", Some(f64::from(u8::from(slot % 10 < 9)))).unwrap();
            settler.observe(slot, "b", Some(f64::from(u8::from(slot % 10 < 5)))).unwrap();
            settler.observe(slot, "c", Some(f64::from(u8::from(slot % 10 < 1)))).unwrap();
            slot += 1;
        }
        let expected = [Relation::SecondBetter, Relation::SecondBetter, Relation::FirstBetter];
        assert_eq!(relations(&settler), expected);
    }

    #[test]
    fn results_enter_in_the_order_of_the_plan() {
        let mut settler = Settler::new(["a", "b"], SettleOptions::default()).unwrap();
        // Slots 1 to 20 are in, slot 0 is still running: nothing counts yet.
        for slot in (1..=20).rev() {
            settler.observe(slot, "a", Some(1.0)).unwrap();
            settler.observe(slot, "b", Some(0.0)).unwrap();
        }
        assert_eq!(settler.decision().pairs[0].pairs, 0);
        settler.observe(0, "b", Some(1.0)).unwrap();
        settler.observe(0, "a", None).unwrap();
        assert_eq!(settler.decision().pairs[0].pairs, 20);
        assert!(settler.decision().settled);
    }

    #[test]
    fn equal_policies_settle_only_with_a_margin() {
        let run = |margin| {
            let options = SettleOptions { margin, ..SettleOptions::default() };
            let mut settler = Settler::new(["a", "b"], options).unwrap();
            for slot in 0..400 {
                settler.observe(slot, "a", Some(f64::from(u8::from(slot % 10 < 5)))).unwrap();
                settler.observe(slot, "b", Some(f64::from(u8::from(slot % 10 < 5)))).unwrap();
            }
            relations(&settler)[0]
        };
        assert_eq!(run(None), Relation::Open);
        assert_eq!(run(Some(0.1)), Relation::Equivalent);
    }

    #[test]
    fn bad_requests_are_named() {
        let new = |names: &[&str]| Settler::new(names.iter().copied(), SettleOptions::default());
        assert!(new(&["a"]).is_err() && new(&["a", "a"]).is_err());
        let wild = SettleOptions { level: 95.0, margin: None };
        assert!(Settler::new(["a", "b"], wild).is_err());
        let mut settler = new(&["a", "b"]).unwrap();
        assert!(settler.observe(0, "c", None).is_err());
        assert!(settler.observe(0, "a", Some(2.0)).is_err());
        settler.observe(0, "a", Some(1.0)).unwrap();
        settler.observe(0, "a", Some(1.0)).unwrap();
        let twice = settler.observe(0, "a", Some(0.0)).unwrap_err();
        assert_eq!(twice.to_string(), "trial 0 of `a` was reported twice, with different results");
    }
}
