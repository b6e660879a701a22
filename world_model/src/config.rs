//! What the model is made of: sizes and constants, checked once.

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::partition::BASE_CHUNK;
use crate::t5::{KnownT5, T5Source};

/// Sizes and constants of a model. What is a fact about the rig (cameras, channels, rate) is not
/// here: it comes from the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Images and their tokens.
    pub tokens: TokenConfig,
    /// The diffusion transformers.
    pub expert: ExpertConfig,
    /// Rectified flow: schedule, steps and noise.
    pub flow: FlowConfig,
    /// The action-guided partition.
    pub partition: PartitionConfig,
    /// The encoder of instructions.
    pub instruction: InstructionConfig,
    /// The recurrent model of proprioception.
    pub state: StateConfig,
    /// The router.
    pub router: RouterConfig,
    /// The judge head.
    pub judge: JudgeConfig,
}

/// Images and their tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenConfig {
    /// Height in pixels at which every camera is imagined. Default 64.
    pub height: usize,
    /// Width in pixels at which every camera is imagined. Default 64.
    pub width: usize,
    /// Side of a square patch in pixels; divides both sides. Default 16.
    pub patch: usize,
    /// Coefficients kept per patch. More cost more and keep finer detail. Default 48.
    pub coefficients: usize,
    /// Frames packed into one token; divides 8. Default 4.
    pub pack: usize,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self { height: 64, width: 64, patch: 16, coefficients: 48, pack: 4 }
    }
}

/// The diffusion transformers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpertConfig {
    /// Width of a token. Default 256.
    pub width: usize,
    /// Blocks. Default 5.
    pub layers: usize,
    /// Attention heads; divides the width. Default 8.
    pub heads: usize,
    /// Width of the hidden layer of a block, as a multiple of `width`. Default 4.
    pub expansion: usize,
    /// Width of the vector of noise level, actions and proprioception that modulates a frame
    /// group's tokens. Default 128.
    pub condition: usize,
    /// Last frames given as context beside the first frame; a multiple of `tokens.pack`.
    /// Default 4.
    pub context: usize,
}

impl Default for ExpertConfig {
    fn default() -> Self {
        Self { width: 256, layers: 5, heads: 8, expansion: 4, condition: 128, context: 4 }
    }
}

/// Rectified flow: schedule, steps and noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowConfig {
    /// Euler steps per chunk at inference. Default 4.
    pub steps: usize,
    /// Shift of the schedule towards noise, `k / (k + shift (1 - k))`; 1 is uniform. Default 2.
    pub shift: f64,
    /// Noise on the context, as PAN's denoising step k (§3.3.5). Default 0.055.
    pub context_noise: f64,
    /// Scale of the initial noise at inference. Below 1, imagination keeps closer to the mean.
    /// Default 1.
    pub temperature: f64,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self { steps: 4, shift: 2.0, context_noise: 0.055, temperature: 1.0 }
    }
}

/// The action-guided partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartitionConfig {
    /// Motion threshold as a fraction of each dimension's amplitude over the episode, in (0, 1).
    /// Default 0.5, as in the paper's released code (the paper leaves it open).
    pub alpha: f64,
}

impl Default for PartitionConfig {
    fn default() -> Self {
        Self { alpha: 0.5 }
    }
}

/// The encoder of instructions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InstructionConfig {
    /// Width of a word's vector. Default 64.
    pub width: usize,
    /// Words read, or tokens of a T5, of which a text has more; further ones are dropped.
    /// Default 12.
    pub words: usize,
    /// Rows of the table that letter groups are hashed into; without meaning for a T5.
    /// Default 1024.
    pub buckets: usize,
    /// A frozen T5 that reads the instruction in the place of letter groups; none if not stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t5: Option<T5Source>,
}

impl Default for InstructionConfig {
    fn default() -> Self {
        Self { width: 64, words: 12, buckets: 1024, t5: None }
    }
}

/// The recurrent model of proprioception and of what it foresees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// Width of the memory. Default 256.
    pub width: usize,
    /// Width of the layer that sees the first frame. Default 256.
    pub view: usize,
    /// Width of the summary of the first frame and the instruction that it starts from; 0 to
    /// leave them out. Default 64.
    pub scene: usize,
    /// Leading coefficients of each patch that are foreseen and shown to the experts; 0 to foresee
    /// neither the picture nor success. Default 24.
    pub forecast: usize,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { width: 256, view: 256, scene: 64, forecast: 24 }
    }
}

/// The router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouterConfig {
    /// Width. Default 128.
    pub width: usize,
    /// Attention heads; divides the width. Default 4.
    pub heads: usize,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self { width: 128, heads: 4 }
    }
}

/// The judge head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeConfig {
    /// Width of the hidden layers. Default 192.
    pub width: usize,
    /// Standard deviation of the noise on tokens in training, in units of a coefficient's own
    /// deviation. Default 0.3.
    pub noise: f64,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        Self { width: 192, noise: 0.3 }
    }
}

impl ModelConfig {
    /// Checks every value against its range and against the others.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first key that is out of range.
    pub fn validate(&self) -> Result<()> {
        let Self { tokens, expert, flow, partition, instruction, state, router, judge } = self;
        for (key, value, most) in [
            ("tokens.height", tokens.height, 4096),
            ("tokens.width", tokens.width, 4096),
            ("tokens.patch", tokens.patch, 128),
            ("tokens.coefficients", tokens.coefficients, 4096),
            ("tokens.pack", tokens.pack, BASE_CHUNK),
            ("expert.width", expert.width, 16_384),
            ("expert.layers", expert.layers, 128),
            ("expert.heads", expert.heads, 256),
            ("expert.expansion", expert.expansion, 16),
            ("expert.condition", expert.condition, 16_384),
            ("expert.context", expert.context, 64),
            ("flow.steps", flow.steps, 1000),
            ("instruction.width", instruction.width, 16_384),
            ("instruction.words", instruction.words, 512),
            ("instruction.buckets", instruction.buckets, 1 << 20),
            ("state.width", state.width, 16_384),
            ("state.view", state.view, 16_384),
            ("router.width", router.width, 16_384),
            ("router.heads", router.heads, 256),
            ("judge.width", judge.width, 16_384),
        ] {
            if !(1..=most).contains(&value) {
                return Err(refuse(key, value, format!("it must be in 1..={most}")));
            }
        }
        if let Some(T5Source::Known(KnownT5 { width, .. })) = instruction.t5
            && !(1..=16_384).contains(&width)
        {
            return Err(refuse("instruction.t5.width", width, "it must be in 1..=16384"));
        }
        if state.scene > 16_384 {
            return Err(refuse("state.scene", state.scene, "it must be in 0..=16384"));
        }
        if state.forecast > tokens.coefficients {
            return Err(refuse(
                "state.forecast",
                state.forecast,
                format!("a patch has {} coefficients", tokens.coefficients),
            ));
        }
        for (key, value, divisor, of) in [
            ("tokens.patch", tokens.height, tokens.patch, "tokens.height"),
            ("tokens.patch", tokens.width, tokens.patch, "tokens.width"),
            ("tokens.pack", BASE_CHUNK, tokens.pack, "the base chunk of 8 frames"),
            ("expert.heads", expert.width, expert.heads, "expert.width"),
            ("router.heads", router.width, router.heads, "router.width"),
            ("tokens.pack", expert.context, tokens.pack, "expert.context"),
        ] {
            if value % divisor != 0 {
                return Err(refuse(key, divisor, format!("it must divide {of} ({value})")));
            }
        }
        let pixels = tokens.patch * tokens.patch * 3;
        if tokens.coefficients > pixels {
            return Err(refuse(
                "tokens.coefficients",
                tokens.coefficients,
                format!("a patch has {pixels} values"),
            ));
        }
        for (key, value, low, high) in [
            ("flow.shift", flow.shift, 0.01, 100.0),
            ("flow.context_noise", flow.context_noise, 0.0, 0.9),
            ("flow.temperature", flow.temperature, 0.0, 2.0),
            ("partition.alpha", partition.alpha, 1e-6, 1.0 - 1e-6),
            ("judge.noise", judge.noise, 0.0, 10.0),
        ] {
            if !(low..=high).contains(&value) {
                return Err(refuse(key, value, format!("it must be in [{low}, {high}]")));
            }
        }
        Ok(())
    }
}

/// A [`ModelError::Config`].
pub(crate) fn refuse(
    key: &'static str,
    got: impl std::fmt::Display,
    expected: impl Into<String>,
) -> ModelError {
    ModelError::Config { key, got: got.to_string(), expected: expected.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_an_unknown_key_is_not() {
        ModelConfig::default().validate().unwrap();
        assert!(toml::from_str::<ModelConfig>("[expert]\nwidht = 3\n").is_err());
    }

    #[test]
    fn values_that_do_not_fit_each_other_are_named() {
        let mut config = ModelConfig::default();
        config.expert.heads = 7;
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "config value expert.heads is 7; it must divide expert.width (256)"
        );
        config = ModelConfig::default();
        config.partition.alpha = f64::NAN;
        assert!(matches!(
            config.validate(),
            Err(ModelError::Config { key: "partition.alpha", .. })
        ));
        config = ModelConfig::default();
        config.tokens.pack = 3;
        assert!(matches!(config.validate(), Err(ModelError::Config { key: "tokens.pack", .. })));
    }
}
