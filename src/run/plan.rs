//! What is to be run: the suite's trials, or a shard of them.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::suite::{Suite, SuiteError, Trial};

use super::{RunError, timing};

/// A part of a suite: every n-th repeat of a scenario, so that policies still meet side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 1 to `of`.
    pub number: u32,
    /// Number of parts.
    pub of: u32,
}

impl Shard {
    /// The whole suite.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    const fn holds(self, meeting: usize) -> bool {
        meeting % self.of as usize == (self.number - 1) as usize
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('/')
            .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)))
            .map(|(number, of)| Self { number, of })
            .filter(|shard| (1..=shard.of).contains(&shard.number))
            .ok_or_else(|| "write part and parts, as in 1/4".to_owned())
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// A suite, and the trials of it that are to be run, in their order. Trials are expanded as they
/// are asked for, so that the plan of a long run is small.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The suite.
    pub suite: Suite,
    /// The suite's folder, which its paths are relative to.
    pub folder: PathBuf,
    /// BLAKE3 of the suite file, in hex.
    pub digest: String,
    /// The part that is run.
    pub shard: Shard,
    /// Places of its trials in the suite's order.
    order: Vec<u32>,
}

impl Plan {
    /// Reads a suite and expands it.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn load(suite_file: &Path, shard: Shard) -> Result<Self, SuiteError> {
        let suite = Suite::load(suite_file)?;
        let text = std::fs::read(suite_file)
            .map_err(|source| SuiteError::Read { path: suite_file.to_owned(), source })?;
        let folder = suite_file.parent().unwrap_or(Path::new(".")).to_owned();
        let digest = blake3::hash(&text).to_hex().to_string();
        Ok(Self::expand(suite, folder, digest, shard))
    }

    /// Expands a suite whose file lies in `folder` and has this digest.
    pub fn expand(suite: Suite, folder: PathBuf, digest: String, shard: Shard) -> Self {
        let side_by_side = suite.policies.len().max(1);
        // A suite holds ten million trials at most.
        let order = (0..suite.trial_count() as u32)
            .filter(|&number| shard.holds(number as usize / side_by_side))
            .collect();
        Self { suite, folder, digest, shard, order }
    }

    /// Number of its trials.
    pub const fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether it holds no trial.
    pub const fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Its trials, in their order.
    pub fn trials(&self) -> impl Iterator<Item = Trial> {
        self.order.iter().filter_map(|&place| self.suite.trial(place.into()))
    }

    /// Places of one policy's trials in the suite's order.
    pub(super) fn places_of(&self, policy: usize) -> impl Iterator<Item = u64> {
        let side_by_side = self.suite.policies.len();
        let of = move |&place: &u32| place as usize % side_by_side == policy;
        self.order.iter().copied().filter(of).map(u64::from)
    }

    /// The same plan with its meetings in an order that does not follow the tasks, so that what
    /// has been run so far speaks for all of them. Policies still meet side by side.
    #[must_use]
    pub fn mixed(mut self) -> Self {
        let seed = Seed::root(self.suite.seed).child("order");
        let suite = &self.suite;
        self.order.sort_by_cached_key(|&number| {
            suite.trial(u64::from(number)).map(|trial| {
                seed.child(&trial.scenario.to_string()).index(u64::from(trial.repeat)).to_bytes()
            })
        });
        self
    }

    /// What the run costs at most, in words; in hours, if the run directory `out` tells how long
    /// earlier trials of it took.
    ///
    /// # Errors
    /// [`RunError::File`] if the run directory cannot be read.
    pub fn estimate(&self, out: &Path) -> Result<String, RunError> {
        let steps = self.most_steps();
        let mut text = format!("{} trials, {steps} control steps at most", self.len());
        let sessions = timing::sessions(out)?;
        let done: u64 = sessions.iter().map(|session| session.steps).sum();
        if done > 0 {
            let secs: f64 = sessions.iter().map(|session| session.secs).sum();
            let hours = secs / done as f64 * steps as f64 / 3600.0;
            let _infallible = write!(
                text,
                "; {hours:.2} h at most, at {:.1} steps/s as in {}",
                done as f64 / secs,
                out.display()
            );
        } else {
            text += "; how long a step takes, a run of a part tells (--shard 1/100)";
        }
        Ok(text)
    }

    /// Control steps of all trials, if none ends early: what a run costs at most.
    pub fn most_steps(&self) -> u64 {
        self.trials().map(|trial| u64::from(trial.horizon)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_a_part_that_exists() {
        assert_eq!("2/4".parse(), Ok(Shard { number: 2, of: 4 }));
        for text in ["0/4", "5/4", "1", "a/b", "1/0", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn shards_hold_every_meeting_once() {
        for meeting in 0..20 {
            let holding = (1..=3).filter(|&number| Shard { number, of: 3 }.holds(meeting)).count();
            assert_eq!(holding, 1);
        }
    }
}
