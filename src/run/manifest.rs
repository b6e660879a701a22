//! What a run was made of: hashes, versions, seeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::suite::Suite;
use serde::{Deserialize, Serialize};

use super::{Plan, RunError};
use crate::judge::{JudgeCheck, Rubric};

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
    /// The log that starts came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogRecord>,
    /// What was measured of a learned world's fidelity when it was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<serde_json::Value>,
    /// The judge over zenoh that was asked in the place of the world's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_by: Option<String>,
    /// What is known of the judge's errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeCheck>,
    /// What gives partial credit, by task.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rubrics: BTreeMap<String, Rubric>,
    /// The policies, as they stated themselves, in the order of the suite.
    pub policies: Vec<PolicyRecord>,
}

/// The log of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRecord {
    /// Its folder, as it was found.
    pub folder: PathBuf,
    /// BLAKE3 of the files of its `meta/` that state facts and results, in hex.
    pub digest: String,
}

impl LogRecord {
    pub(super) fn of(folder: &Path) -> Self {
        let mut hasher = blake3::Hasher::new();
        for name in ["info.json", "stats.json", "trials.csv", "embodiment.json"] {
            // A file that is not there is part of what the log is.
            if let Ok(bytes) = std::fs::read(folder.join("meta").join(name)) {
                hasher.update(name.as_bytes()).update(&bytes);
            }
        }
        let folder = folder.canonicalize().unwrap_or_else(|_gone| folder.to_owned());
        Self { folder, digest: hasher.finalize().to_hex().to_string() }
    }
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
            trials: plan.len(),
            world,
            embodiment,
            log: None,
            fidelity: None,
            judged_by: None,
            judge: None,
            rubrics: BTreeMap::new(),
            policies,
        }
    }

    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("manifest.json")
    }

    /// Reads the manifest of a run directory.
    ///
    /// # Errors
    /// [`RunError::File`], [`RunError::Damaged`].
    pub fn read(folder: &Path) -> Result<Self, RunError> {
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
        let shard = ("shard", self.shard.clone(), now.shard.clone());
        let differs =
            std::iter::once(shard).chain(self.made_of(now)).find(|(_, was, is)| was != is);
        match differs {
            Some((field, was, is)) => {
                Err(RunError::OtherRun { path: folder.to_owned(), field, was, is })
            }
            None => Ok(()),
        }
    }

    /// What a run is made of, here and there.
    pub(super) fn made_of(&self, now: &Self) -> [(&'static str, String, String); 7] {
        let policies = |manifest: &Self| format!("{:?}", manifest.policies);
        let judge = |manifest: &Self| {
            let name = manifest.judged_by.as_deref().unwrap_or("the world itself");
            format!("{name}, by {:?}", manifest.suite.judge)
        };
        let rubrics = |manifest: &Self| format!("{:?}", manifest.rubrics);
        let log = |manifest: &Self| {
            manifest.log.as_ref().map_or_else(|| "none".to_owned(), |log| log.digest.clone())
        };
        [
            ("version of the program", self.version.clone(), now.version.clone()),
            ("suite", self.suite_digest.clone(), now.suite_digest.clone()),
            ("judge", judge(self), judge(now)),
            ("rubric", rubrics(self), rubrics(now)),
            ("log", log(self), log(now)),
            ("world", self.world.clone(), now.world.clone()),
            ("policies", policies(self), policies(now)),
        ]
    }
}
