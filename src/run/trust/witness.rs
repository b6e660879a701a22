//! Who gathers a trial's evidence when it ends.

use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::suite::TrustEntry;

use super::super::RunError;
use super::super::world::Learned;
use super::Evidence;
use super::evidence::Depths;
use super::region::Region;

/// What a learned world's trials are held against.
#[derive(Clone, Debug)]
pub(in super::super) struct Witness {
    depths: Depths,
    region: Option<Region>,
}

impl Witness {
    /// Reads what the world's record says of depths, and what its training data cover where the
    /// suite's log holds them.
    pub(in super::super) fn new(
        learned: &Learned,
        log: Option<&RobotLog>,
        bounds: &TrustEntry,
    ) -> Result<Self, RunError> {
        let region = match log {
            Some(log) => Region::read(log, &learned.split, bounds.within)?,
            None => None,
        };
        Ok(Self { depths: Depths::of(learned.fidelity.as_ref()), region })
    }

    pub(in super::super) fn evidence(&self, episode: &Episode) -> Evidence {
        Evidence::of(episode, &self.depths, self.region.as_ref())
    }
}
