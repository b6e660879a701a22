//! What a training is told: the model, the splits and the stages.

use std::path::Path;

use rehearse_scenarios::syntax::toml_error;
use serde::{Deserialize, Serialize};

use crate::config::{ModelConfig, refuse};
use crate::error::{ModelError, Result};
use crate::t5::T5Source;

/// A training recipe, one TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of every draw.
    pub seed: u64,
    /// Sizes and constants of the model.
    #[serde(default)]
    pub model: ModelConfig,
    /// Which episodes are learnt from.
    #[serde(default)]
    pub splits: SplitConfig,
    /// Frames that the tokeniser's basis is fitted on. Default 6000.
    #[serde(default = "default_tokenizer_frames")]
    pub tokenizer_frames: usize,
    /// The state model.
    pub state: StageConfig,
    /// The base that the experts start from.
    pub base: StageConfig,
    /// The base once more, with contexts that it imagined itself, so that it learns to come back
    /// from its own mistakes instead of adding to them (Step Forcing, `RoboWorld`,
    /// arXiv 2607.01060). The experts are then specialised on such contexts too. Left out if not
    /// stated.
    #[serde(default)]
    pub refine: Option<StageConfig>,
    /// Each expert on its own chunk length.
    pub specialise: StageConfig,
    /// The router.
    pub router: StageConfig,
    /// The judge head.
    pub judge: StageConfig,
    /// Part of the judge's frames that are imagined: logged episodes replayed open loop, with
    /// the labels of what really happened, so that it learns what imagination tends to get
    /// wrong. 0 replays nothing. Default 0.5.
    #[serde(default = "default_judge_imagined")]
    pub judge_imagined: f64,
    /// How chunks are drawn for the experts.
    #[serde(default)]
    pub chunks: ChunkMix,
    /// Seconds between saved states. Default 60.
    #[serde(default = "default_save_secs")]
    pub save_secs: u64,
}

/// Which episodes are learnt from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// Name of the split in the log. Default `train`.
    pub train: String,
    /// Part of that split held back for validation and calibration, in [0, 0.5]. Default 0.06.
    pub validation: f64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { train: "train".to_owned(), validation: 0.06 }
    }
}

/// One stage of gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Steps; 0 leaves the stage out.
    pub steps: usize,
    /// Size of a batch: frames for the experts, episodes for the state model, samples otherwise.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// Part of the steps that the rate rises over, in [0, 1]. Default 0.03.
    #[serde(default = "default_warmup")]
    pub warmup: f64,
    /// Norm that gradients are cut to. Default 1.
    #[serde(default = "default_clip")]
    pub clip: f64,
    /// Decay of the moving average of the weights that is kept, in [0, 1). Default 0.999; early
    /// on a shorter average is taken.
    #[serde(default = "default_ema")]
    pub ema: f64,
    /// Decay of matrices towards zero per unit of learning rate. Default 0.01.
    #[serde(default = "default_decay")]
    pub decay: f64,
    /// Whether hidden matrices are moved by Muon rather than `AdamW`. Default false.
    #[serde(default)]
    pub muon: bool,
    /// Steps between validations. Default 500.
    #[serde(default = "default_validate")]
    pub validate: usize,
}

/// How chunks are drawn for the experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChunkMix {
    /// Weight of chunks of 8, 16, 24 and 32 frames in the base stage. Default 4, 3, 1, 2.
    pub lengths: [f64; 4],
    /// Part of the chunks that start where the partition cuts; the others start anywhere.
    /// Default 0.3.
    pub aligned: f64,
    /// Part of the chunks drawn around gripper changes and success, where physics is decided.
    /// Default 0.25.
    pub events: f64,
    /// Part of the chunks conditioned on predicted rather than true proprioception. Default 0.5.
    pub predicted: f64,
    /// Part of the chunks whose context is imagined, once there is a base to imagine it.
    /// Default 0.5.
    pub forced: f64,
    /// Power of a coefficient's share of the picture by which its error counts: 0 counts all
    /// alike, 2 counts squared error in the picture. Default 1.
    pub energy: f64,
}

impl Default for ChunkMix {
    fn default() -> Self {
        Self {
            lengths: [4.0, 3.0, 1.0, 2.0],
            aligned: 0.3,
            events: 0.25,
            predicted: 0.5,
            forced: 0.5,
            energy: 1.0,
        }
    }
}

fn default_tokenizer_frames() -> usize {
    6000
}
fn default_judge_imagined() -> f64 {
    0.5
}
fn default_save_secs() -> u64 {
    60
}
fn default_warmup() -> f64 {
    0.03
}
fn default_clip() -> f64 {
    1.0
}
fn default_ema() -> f64 {
    0.999
}
fn default_decay() -> f64 {
    0.01
}
fn default_validate() -> usize {
    500
}

impl TrainConfig {
    /// Reads and checks a recipe. A T5 is looked for relative to the recipe's folder.
    ///
    /// # Errors
    /// [`ModelError::Io`], [`ModelError::ConfigSyntax`] with line and key, or
    /// [`ModelError::Config`].
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(ModelError::io("read the recipe", path))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| ModelError::ConfigSyntax {
            path: path.to_owned(),
            message: toml_error(&text, &error),
        })?;
        if let (Some(T5Source::Folder(t5)), Some(own)) =
            (&mut config.model.instruction.t5, path.parent())
        {
            *t5 = own.join(&*t5);
        }
        config.validate()?;
        Ok(config)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first key that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        if !(0.0..=0.5).contains(&self.splits.validation) {
            return Err(refuse(
                "splits.validation",
                self.splits.validation,
                "it must be in [0, 0.5]",
            ));
        }
        if !(0.0..=1.0).contains(&self.judge_imagined) {
            return Err(refuse("judge_imagined", self.judge_imagined, "it must be in [0, 1]"));
        }
        if self.tokenizer_frames < 2 {
            return Err(refuse("tokenizer_frames", self.tokenizer_frames, "it must be 2 at least"));
        }
        let stages = [&self.state, &self.base, &self.specialise, &self.router, &self.judge];
        for stage in stages.into_iter().chain(&self.refine) {
            stage.validate()?;
        }
        let ChunkMix { lengths, aligned, events, predicted, forced, energy } = &self.chunks;
        if lengths.iter().any(|weight| !(weight.is_finite() && *weight >= 0.0)) || lengths[0] <= 0.0
        {
            return Err(refuse(
                "chunks.lengths",
                format!("{lengths:?}"),
                "weights must be finite and not negative, the first above 0",
            ));
        }
        for (key, value, most) in [
            ("chunks.aligned", aligned, 1.0),
            ("chunks.events", events, 1.0),
            ("chunks.predicted", predicted, 1.0),
            ("chunks.forced", forced, 1.0),
            ("chunks.energy", energy, 2.0),
        ] {
            if !(0.0..=most).contains(value) {
                return Err(refuse(key, value, format!("it must be in [0, {most}]")));
            }
        }
        Ok(())
    }
}

impl StageConfig {
    fn validate(&self) -> Result<()> {
        let Self { steps: _, batch, rate, warmup, clip, ema, decay, muon: _, validate } = self;
        if *batch == 0 {
            return Err(refuse("batch", batch, "it must be 1 at least"));
        }
        if *validate == 0 {
            return Err(refuse("validate", validate, "it must be 1 at least"));
        }
        for (key, value, low, high) in [
            ("rate", rate, 1e-12, 10.0),
            ("warmup", warmup, 0.0, 1.0),
            ("clip", clip, 1e-9, 1e9),
            ("ema", ema, 0.0, 1.0 - 1e-9),
            ("decay", decay, 0.0, 10.0),
        ] {
            if !(low..=high).contains(value) {
                return Err(refuse(key, value, format!("it must be in [{low}, {high}]")));
            }
        }
        Ok(())
    }
}
