//! What a run was made of: hashes, versions, seeds.

use std::path::{Path, PathBuf};

use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::suite::Suite;
use serde::{Deserialize, Serialize};

use super::{Plan, RunError};

/// `manifest.json` of a run directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Version of the program.
    pub version: String,
    /// The suite, whole.
    pub suite: Suite,
    /// BLAKE3 of the suite file, in hex.
    pub suite_digest: String,
    /// The part that was run, as in `1/4`.
    pub shard: String,
    /// Trials of this part.
    pub trials: usize,
    /// The world: a checkpoint's digest, or what a remote world says of itself.
    pub world: String,
    /// The world's rig.
    pub embodiment: Embodiment,
    /// The policies, as they stated themselves, in the order of the suite.
    pub policies: Vec<PolicyRecord>,
}

/// What a policy stated about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRecord {
    /// Name in the suite.
    pub name: String,
    /// Actions in each chunk that it returns.
    pub chunk: usize,
    /// Digest of its weights or code, where it stated one.
    pub digest: Option<String>,
}

impl Manifest {
    /// Version of the format that is written.
    pub const FORMAT: u32 = 1;

    /// The manifest of a plan, its world and its policies.
    pub fn new(
        plan: &Plan,
        world: String,
        embodiment: Embodiment,
        policies: Vec<PolicyRecord>,
    ) -> Self {
        Self {
            format: Self::FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            suite: plan.suite.clone(),
            suite_digest: plan.digest.clone(),
            shard: plan.shard.to_string(),
            trials: plan.trials.len(),
            world,
            embodiment,
            policies,
        }
    }

    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("manifest.json")
    }

    pub(super) fn read(folder: &Path) -> Result<Self, RunError> {
        let path = Self::path(folder);
        let text = std::fs::read(&path).map_err(RunError::file("read", &path))?;
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|error| RunError::damaged(&path, error))?;
        if manifest.format == Self::FORMAT {
            Ok(manifest)
        } else {
            let message =
                format!("format {} is unknown; this is {}", manifest.format, Self::FORMAT);
            Err(RunError::damaged(&path, message))
        }
    }

    /// Refuses to go on with a run that was made of something else.
    pub(super) fn check_same(&self, now: &Self, folder: &Path) -> Result<(), RunError> {
        let policies = |manifest: &Self| format!("{:?}", manifest.policies);
        for (field, was, is) in [
            ("version of the program", self.version.clone(), now.version.clone()),
            ("suite", self.suite_digest.clone(), now.suite_digest.clone()),
            ("shard", self.shard.clone(), now.shard.clone()),
            ("world", self.world.clone(), now.world.clone()),
            ("policies", policies(self), policies(now)),
        ] {
            if was != is {
                return Err(RunError::OtherRun { path: folder.to_owned(), field, was, is });
            }
        }
        Ok(())
    }
}
