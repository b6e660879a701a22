//! What an agreement is computed with.

use std::collections::BTreeMap;

use rehearse_scenarios::seed::Seed;

use super::error::AgreementError;
use super::mmrv::MmrvConvention;

/// What an agreement is computed with.
#[derive(Clone, Debug)]
pub struct AgreeOptions {
    /// Confidence level of every interval, in (0, 1). Default 0.95.
    pub level: f64,
    /// Bootstrap resamples, at least 100. Default 10,000: the ends of a 95 % interval then move by
    /// about a hundredth of its width from seed to seed.
    pub resamples: usize,
    /// Random permutations where there are too many to try all. Default 99,999; no p from them is
    /// below 1/(permutations + 1).
    pub permutations: usize,
    /// The convention of MMRV. Default SimplerEnv's.
    pub convention: MmrvConvention,
    /// Lineage by policy: checkpoints of one training run, or fine-tunes of one base, share one. A
    /// policy that is not named is a lineage of its own. Default: none named.
    pub lineages: BTreeMap<String, String>,
    /// Where every random draw comes from.
    pub seed: Seed,
}

impl AgreeOptions {
    /// The defaults.
    pub const fn new(seed: Seed) -> Self {
        Self {
            level: 0.95,
            resamples: 10_000,
            permutations: 99_999,
            convention: MmrvConvention::SimplerEnv,
            lineages: BTreeMap::new(),
            seed,
        }
    }

    pub(super) fn check(&self) -> Result<(), AgreementError> {
        if self.level > 0.0 && self.level < 1.0 {
            Ok(())
        } else {
            Err(AgreementError::Level { got: self.level })
        }
    }
}
