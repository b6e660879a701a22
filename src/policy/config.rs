//! The recipe of a cloned policy, one TOML file.

use std::path::Path;

use rehearse_scenarios::syntax::toml_error;
use serde::{Deserialize, Serialize};

use super::error::{PolicyError, Result};

/// How a policy is cloned, and how it acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloneConfig {
    /// Name, as in tables and keys.
    pub name: String,
    /// Seed of every draw.
    pub seed: u64,
    /// Steps of gradient descent.
    pub steps: usize,
    /// Frames in a batch. Default 64.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// Highest learning rate. Default 1e-3.
    #[serde(default = "default_rate")]
    pub rate: f64,
    /// Side in pixels that images are averaged down to. Default 64.
    #[serde(default = "default_image")]
    pub image: usize,
    /// Side of a patch in these pixels. Default 8.
    #[serde(default = "default_patch")]
    pub patch: usize,
    /// Width of the transformer, a multiple of 32. Default 96.
    #[serde(default = "default_width")]
    pub width: usize,
    /// Layers of the transformer. Default 3.
    #[serde(default = "default_layers")]
    pub layers: usize,
    /// Actions in a chunk. Default 8.
    #[serde(default = "default_chunk")]
    pub chunk: usize,
    /// Most pixels by which training shifts an image, so that it is not learnt by heart. Default 2.
    #[serde(default = "default_shift")]
    pub shift: usize,
    /// Deviation of the noise that training adds to proprioception, in deviations of each channel,
    /// so that the policy looks rather than remembers. Default 0.1.
    #[serde(default = "default_state_noise")]
    pub state_noise: f64,
    /// Whether the policy sees grey in the place of every image. Default false.
    #[serde(default)]
    pub blind: bool,
    /// Factor on every action but the gripper's, in [0, 2]. Default 1.
    #[serde(default = "default_gain")]
    pub gain: f64,
    /// Deviation of the noise on every action, where its bounds are [-1, 1]. Default 0.
    #[serde(default)]
    pub noise: f64,
    /// Policies of one lineage share a word here: those that learnt from the same episodes, or
    /// from one another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<String>,
    /// What is learnt from.
    #[serde(default)]
    pub data: DataConfig,
}

/// The episodes that a policy learns from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Name of the split in the log. Default `train`.
    pub split: String,
    /// Policies of `trials.csv` whose episodes are learnt from; all if empty, which is the default.
    pub behaviours: Vec<String>,
    /// Tasks that are learnt; all if empty, which is the default.
    pub tasks: Vec<String>,
    /// Most episodes of each task, drawn by the seed; all if not stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub episodes: Option<usize>,
    /// Whether only episodes that succeeded are learnt from. Default false.
    pub successes: bool,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            split: "train".to_owned(),
            behaviours: vec![],
            tasks: vec![],
            episodes: None,
            successes: false,
        }
    }
}

fn default_batch() -> usize {
    64
}
fn default_rate() -> f64 {
    1e-3
}
fn default_image() -> usize {
    64
}
fn default_patch() -> usize {
    8
}
fn default_width() -> usize {
    96
}
fn default_layers() -> usize {
    3
}
fn default_chunk() -> usize {
    8
}
fn default_shift() -> usize {
    2
}
fn default_state_noise() -> f64 {
    0.1
}
fn default_gain() -> f64 {
    1.0
}

impl CloneConfig {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// [`PolicyError::Io`], [`PolicyError::Syntax`] with line and key, or [`PolicyError::Config`].
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(PolicyError::io("read the recipe", path))?;
        let config: Self = toml::from_str(&text).map_err(|error| PolicyError::Syntax {
            path: path.to_owned(),
            message: toml_error(&text, &error),
        })?;
        config.validate()?;
        Ok(config)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`PolicyError::Config`] naming the first key that is out of range.
    pub fn validate(&self) -> Result<()> {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || !self.name.chars().all(word) {
            return refuse("name", &self.name, "use letters, digits, `-`, `_` and `.`");
        }
        for (key, value, most) in [
            ("steps", self.steps, 10_000_000),
            ("batch", self.batch, 65_536),
            ("image", self.image, 1024),
            ("patch", self.patch, 128),
            ("width", self.width, 1024),
            ("layers", self.layers, 48),
            ("chunk", self.chunk, 1024),
        ] {
            if !(1..=most).contains(&value) {
                return refuse(key, value, &format!("it must be in 1..={most}"));
            }
        }
        if !self.image.is_multiple_of(self.patch) {
            return refuse("patch", self.patch, "it must divide `image`");
        }
        if !self.width.is_multiple_of(32) {
            return refuse("width", self.width, "it must be a multiple of 32");
        }
        if self.shift > self.image {
            return refuse("shift", self.shift, "it must be `image` at most");
        }
        for (key, value, low, high) in [
            ("rate", self.rate, 1e-12, 1.0),
            ("state_noise", self.state_noise, 0.0, 10.0),
            ("gain", self.gain, 0.0, 2.0),
            ("noise", self.noise, 0.0, 10.0),
        ] {
            if !(low..=high).contains(&value) {
                return refuse(key, value, &format!("it must be in [{low}, {high}]"));
            }
        }
        if self.data.episodes == Some(0) {
            return refuse("data.episodes", 0, "it must be 1 at least");
        }
        Ok(())
    }
}

fn refuse(key: &'static str, got: impl ToString, expected: &str) -> Result<()> {
    Err(PolicyError::Config { key, got: got.to_string(), expected: expected.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &str) -> Result<CloneConfig> {
        let text = format!("name = \"p\"\nseed = 1\nsteps = 10\n{more}");
        let config: CloneConfig = toml::from_str(&text).map_err(|error| PolicyError::Syntax {
            path: "p.toml".into(),
            message: toml_error(&text, &error),
        })?;
        config.validate()?;
        Ok(config)
    }

    #[test]
    fn a_recipe_may_leave_out_all_but_three_values() {
        let config = parse("").unwrap();
        assert_eq!((config.image, config.patch, config.chunk), (64, 8, 8));
        assert_eq!(config.data, DataConfig::default());
    }

    #[test]
    fn values_out_of_range_and_unknown_keys_are_named() {
        for (text, named) in [
            ("patch = 7", "patch is 7"),
            ("width = 33", "width is 33"),
            ("gain = 3.0", "gain is 3"),
            ("batch = 0", "batch is 0"),
            ("noise = nan", "noise is NaN"),
            ("shift = 65", "shift is 65"),
            ("stepps = 3", "stepps"),
            ("[data]\nepisodes = 0", "data.episodes is 0"),
            ("[data]\nepisode = 3", "episode"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
