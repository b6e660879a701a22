//! Training by gradient descent on the mean error of the actions.

use std::path::Path;

use candle_core::Device;
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::seed::Seed;
use rehearse_world_model::nn::Variables;
use rehearse_world_model::train::{Optimizer, StageConfig, Stepped, hash_log, learning_rate};
use serde::{Deserialize, Serialize};

use super::checkpoint::{DataRecord, FORMAT, Manifest, save};
use super::config::CloneConfig;
use super::demonstrations::{Batch, Demonstrations};
use super::error::{PolicyError, Result};
use super::model::{CloneModel, Shape};

/// Steps between points of the curve.
const POINT_EVERY: usize = 20;

/// A point of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurvePoint {
    /// Steps done.
    pub step: usize,
    /// Mean loss since the last point: error of an action where its bounds are [-1, 1].
    pub loss: f64,
    /// Learning rate of the last step.
    pub rate: f64,
}

/// What a training left.
#[derive(Clone, Debug)]
pub struct Trained {
    /// What the policy is.
    pub manifest: Manifest,
    /// The curve.
    pub curve: Vec<CurvePoint>,
}

/// Clones a policy from a log and writes it to `out`.
///
/// The same recipe and log give the same bytes at any number of threads. `cache` is a folder for
/// decoded images, which trainings share. `progress` is told of steps done.
///
/// # Errors
/// [`PolicyError`]: a recipe or log that cannot be used, [`PolicyError::Diverged`], or a file that
/// cannot be written.
pub fn clone_policy(
    config: &CloneConfig,
    log: &RobotLog,
    cache: Option<&Path>,
    out: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Trained> {
    config.validate()?;
    let digest = hash_log(log.folder())?;
    let data = Demonstrations::read(log, config, cache, &digest, |done, of| {
        progress(Progress::Read { done, of });
    })?;
    let seed = Seed::root(config.seed);
    let variables = Variables::new(seed.child("weights"));
    let vb = variables.builder(&Device::Cpu, &[""]);
    let shape = Shape::of(config, &data.embodiment);
    let model = CloneModel::new(shape, &vb)?;
    let stage = stage(config);
    let mut optimizer = Optimizer::new(variables.below(""), &stage)?;
    // The optimiser replaces what variables hold, so the model need not be built again.
    let (mut curve, mut sum, mut count) = (vec![], 0.0, 0_usize);
    let texts: Vec<&str> = data.instructions.iter().map(String::as_str).collect();
    for step in 0..config.steps {
        let batch = data.draw(config, seed.child("batch").index(step as u64))?;
        let loss = loss_of(&model, &batch, &texts)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        let diverged = PolicyError::Diverged { step, loss: value };
        if !value.is_finite() {
            return Err(diverged);
        }
        let Stepped::Moved { .. } = optimizer.step(&loss.backward()?)? else {
            return Err(diverged);
        };
        (sum, count) = (sum + value, count + 1);
        if (step + 1) % POINT_EVERY == 0 || step + 1 == config.steps {
            let rate = learning_rate(&stage, step);
            curve.push(CurvePoint { step: step + 1, loss: sum / count as f64, rate });
            (sum, count) = (0.0, 0);
        }
        progress(Progress::Step { loss: value });
    }
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config: config.clone(),
        embodiment: data.embodiment.clone(),
        normalisation: data.normalisation.clone(),
        data: DataRecord {
            digest,
            episodes: data.episodes(),
            frames: data.frames(),
            instructions: data.instructions.clone(),
        },
        loss: curve.last().map_or(f64::NAN, |point| point.loss),
    };
    save(out, &optimizer.averages(), &manifest)?;
    Ok(Trained { manifest, curve })
}

/// What a training is at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// Episodes are in memory.
    Read {
        /// Episodes read.
        done: usize,
        /// Episodes in all.
        of: usize,
    },
    /// One more step is done.
    Step {
        /// Its loss.
        loss: f64,
    },
}

fn stage(config: &CloneConfig) -> StageConfig {
    StageConfig {
        steps: config.steps,
        batch: config.batch,
        rate: config.rate,
        warmup: 0.05,
        clip: 1.0,
        ema: 0.99,
        decay: 0.05,
        muon: false,
        validate: config.steps,
    }
}

/// Mean absolute error over the actions that were really done.
fn loss_of(model: &CloneModel, batch: &Batch, texts: &[&str]) -> Result<candle_core::Tensor> {
    let instruction =
        model.instructions(texts, &Device::Cpu)?.index_select(&batch.instruction, 0)?;
    let actions = model.forward(&batch.patches, &batch.state, &instruction)?;
    let error = (actions - &batch.actions)?.abs()?.broadcast_mul(&batch.counts)?;
    let counted = (batch.counts.sum_all()? * model.shape().actions as f64)?;
    Ok((error.sum_all()? / counted)?)
}
