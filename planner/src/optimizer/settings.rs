//! The settings of a search.

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, Result};

/// What every search has: how far it looks ahead and how often it asks the objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSettings {
    /// Blocks of actions that a plan holds, 1 at least.
    pub blocks: usize,
    /// Control steps that a block's action is held for, 1 at least. Default 1.
    #[serde(default = "one")]
    pub block_steps: usize,
    /// Iterations, 1 at least. More cost time in proportion.
    pub iterations: usize,
    /// How candidates are found.
    pub optimizer: OptimizerSettings,
}

const fn one() -> usize {
    1
}

/// How candidates are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerSettings {
    /// The best of independent draws: the floor that every other search has to beat.
    RandomShooting(ShootingSettings),
    /// Cross-entropy method, and with `noise_beta` and `keep_elites` its improved form iCEM.
    Cem(CemSettings),
    /// Model predictive path integral.
    Mppi(MppiSettings),
    /// Gradient descent through the objective, from several starts.
    Gradient(GradientSettings),
    /// CEM, whose best candidates then start gradient descent.
    CemGradient {
        /// The first half of the iterations.
        cem: CemSettings,
        /// The second half; `restarts` of the best candidates start it.
        gradient: GradientSettings,
    },
}

/// Settings of random shooting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShootingSettings {
    /// Candidates per iteration. Default 64.
    pub candidates: usize,
    /// Spread of the draws in the unit box. Default 1.
    pub spread: f32,
}

impl Default for ShootingSettings {
    fn default() -> Self {
        Self { candidates: 64, spread: 1.0 }
    }
}

/// Settings of the cross-entropy method. The defaults are those of V-JEPA 2-AC where it has them
/// (`notebooks/utils/mpc_utils.py`: momentum 0.15, a fortieth of the candidates as elites).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CemSettings {
    /// Candidates per iteration, the mean among them. Default 64.
    pub candidates: usize,
    /// Best candidates that the next distribution is fitted to, 2 at least. Default 8.
    pub elites: usize,
    /// Spread of the first distribution in the unit box. Default 0.5.
    pub spread: f32,
    /// Spread below which no channel falls. Default 0.05.
    pub min_spread: f32,
    /// Share of the old mean and spread in the new ones, in [0, 1). Default 0.15.
    pub momentum: f32,
    /// Exponent of the noise's power spectrum 1/f^β along the plan; 0 is white, iCEM takes 2.
    /// Default 0.
    pub noise_beta: f32,
    /// Elites that stay among the next iteration's candidates (iCEM takes 5). Default 1.
    pub keep_elites: usize,
}

impl Default for CemSettings {
    fn default() -> Self {
        Self {
            candidates: 64,
            elites: 8,
            spread: 0.5,
            min_spread: 0.05,
            momentum: 0.15,
            noise_beta: 0.0,
            keep_elites: 1,
        }
    }
}

/// Settings of MPPI (Williams et al. 2017, eq. 5–6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MppiSettings {
    /// Candidates per iteration, the mean among them. Default 64.
    pub candidates: usize,
    /// Spread of the draws in the unit box. Default 0.5.
    pub spread: f32,
    /// Temperature, in standard deviations of the candidates' costs: small values follow the best
    /// candidate, large ones average all. Default 0.5.
    pub temperature: f32,
    /// Exponent of the noise's power spectrum 1/f^β along the plan. Default 0.
    pub noise_beta: f32,
}

impl Default for MppiSettings {
    fn default() -> Self {
        Self { candidates: 64, spread: 0.5, temperature: 0.5, noise_beta: 0.0 }
    }
}

/// Settings of gradient descent (Adam).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GradientSettings {
    /// Plans that are improved side by side; all but the first start at random. Default 4.
    pub restarts: usize,
    /// Step size in the unit box. Default 0.1.
    pub learning_rate: f64,
    /// Spread of the random starts in the unit box. Default 0.5.
    pub spread: f32,
}

impl Default for GradientSettings {
    fn default() -> Self {
        Self { restarts: 4, learning_rate: 0.1, spread: 0.5 }
    }
}

impl SearchSettings {
    /// Control steps that a plan looks ahead.
    pub const fn horizon_steps(&self) -> usize {
        self.blocks * self.block_steps
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`PlanError::Setting`] with the first that is outside its range.
    pub fn validate(&self) -> Result<()> {
        at_least("blocks", self.blocks, 1, "1 at least")?;
        at_least("block_steps", self.block_steps, 1, "1 at least")?;
        at_least("iterations", self.iterations, 1, "1 at least")?;
        match &self.optimizer {
            OptimizerSettings::RandomShooting(shooting) => {
                at_least("candidates", shooting.candidates, 1, "1 at least")?;
                positive("spread", shooting.spread)
            }
            OptimizerSettings::Cem(cem) => cem.validate(),
            OptimizerSettings::Mppi(mppi) => {
                at_least("candidates", mppi.candidates, 2, "2 at least")?;
                positive("spread", mppi.spread)?;
                positive("temperature", mppi.temperature)?;
                not_negative("noise_beta", mppi.noise_beta)
            }
            OptimizerSettings::Gradient(gradient) => gradient.validate(),
            OptimizerSettings::CemGradient { cem, gradient } => {
                at_least("iterations", self.iterations, 2, "2 at least")?;
                cem.validate()?;
                gradient.validate()?;
                at_least("candidates", cem.candidates, gradient.restarts, "`restarts` at least")
            }
        }
    }
}

impl CemSettings {
    fn validate(&self) -> Result<()> {
        at_least("elites", self.elites, 2, "2 at least: a spread needs two")?;
        at_least("candidates", self.candidates, self.elites, "`elites` at least")?;
        if self.keep_elites > self.elites {
            return Err(setting("keep_elites", &self.keep_elites, "`elites` at most"));
        }
        positive("spread", self.spread)?;
        not_negative("min_spread", self.min_spread)?;
        not_negative("noise_beta", self.noise_beta)?;
        if (0.0..1.0).contains(&self.momentum) {
            Ok(())
        } else {
            Err(setting("momentum", &self.momentum, "in [0, 1)"))
        }
    }
}

impl GradientSettings {
    fn validate(&self) -> Result<()> {
        at_least("restarts", self.restarts, 1, "1 at least")?;
        positive("spread", self.spread)?;
        positive("learning_rate", self.learning_rate as f32)
    }
}

fn setting(name: &'static str, got: &impl ToString, accepted: &'static str) -> PlanError {
    PlanError::Setting { name, got: got.to_string(), accepted }
}

fn at_least(name: &'static str, got: usize, least: usize, accepted: &'static str) -> Result<()> {
    if got >= least { Ok(()) } else { Err(setting(name, &got, accepted)) }
}

fn positive(name: &'static str, got: f32) -> Result<()> {
    if got.is_finite() && got > 0.0 {
        Ok(())
    } else {
        Err(setting(name, &got, "positive and finite"))
    }
}

fn not_negative(name: &'static str, got: f32) -> Result<()> {
    if got.is_finite() && got >= 0.0 {
        Ok(())
    } else {
        Err(setting(name, &got, "0 at least and finite"))
    }
}
