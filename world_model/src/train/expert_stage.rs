//! The experts' stages: rectified flow on chunks.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rand::Rng as _;
use rand::distr::Distribution as _;
use rand::distr::weighted::WeightedIndex;
use rehearse_scenarios::seed::Seed;

use crate::error::{ModelError, Result};
use crate::expert::Expert;
use crate::flow;
use crate::model::WorldModel;
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS};
use crate::train::batch::ChunkSource;
use crate::train::config::ChunkMix;
use crate::train::stage::Objective;

/// Batches that validation looks at.
const VALIDATION_BATCHES: u64 = 4;

pub(crate) struct ExpertObjective<'a> {
    pub model: &'a WorldModel,
    pub expert: &'a Expert,
    pub train: &'a ChunkSource<'a>,
    pub validation: &'a ChunkSource<'a>,
    pub mix: &'a ChunkMix,
    /// Base chunks, less one, of the chunks to learn; all for the base stage.
    pub only: Option<usize>,
    /// Frames in a batch.
    pub frames: usize,
    weight: Tensor,
}

impl<'a> ExpertObjective<'a> {
    pub fn new(
        model: &'a WorldModel,
        expert: &'a Expert,
        sources: [&'a ChunkSource<'a>; 2],
        mix: &'a ChunkMix,
        only: Option<usize>,
        frames: usize,
    ) -> Result<Self> {
        let [train, validation] = sources;
        let weight = energy_weight(model, mix.energy)?;
        Ok(Self { model, expert, train, validation, mix, only, frames, weight })
    }

    fn loss_of(
        &self,
        source: &ChunkSource<'_>,
        length: usize,
        seed: Seed,
        u: &[f32],
    ) -> Result<Tensor> {
        let device = self.model.device();
        let chunks = u.len();
        let batch = source.draw(chunks, length, self.mix, seed.child("chunks"))?;
        let shift = self.model.config.flow.shift;
        let k = u.iter().map(|&u| flow::shifted(f64::from(u), shift) as f32).collect::<Vec<_>>();
        let k = Tensor::from_vec(k, chunks, device)?;
        let noise =
            flow::normal(&[seed.child("noise")], batch.target.dims(), device)?.squeeze(0)?;
        let x = flow::interpolate(&noise, &batch.target, &k)?;
        let prepared =
            self.expert.context(&batch.input, &batch.conditions, batch.foreseen.as_ref())?;
        let guess = self.expert.velocity(&x, &k, &prepared)?;
        let error = (guess - flow::velocity(&noise, &batch.target)?)?;
        Ok(error.sqr()?.broadcast_mul(&self.weight)?.mean_all()?)
    }

    /// Noise levels spread evenly over a batch, at a common random offset.
    fn levels(&self, length: usize, offset: f32) -> Vec<f32> {
        let chunks = (self.frames / length).max(1);
        (0..chunks).map(|i| (i as f32 + offset) / chunks as f32).collect()
    }
}

impl Objective for ExpertObjective<'_> {
    fn loss(&self, seed: Seed) -> Result<Tensor> {
        let mut rng = seed.rng();
        let base = match self.only {
            Some(base) => base,
            None => WeightedIndex::new(self.mix.lengths)
                .map_err(|error| ModelError::Tensor(candle_core::Error::wrap(error)))?
                .sample(&mut rng),
        };
        // Logs without an episode that long leave the base as it is for that length.
        let length = (0..=base)
            .rev()
            .map(|base| (base + 1) * BASE_CHUNK)
            .find(|&length| self.train.has(length))
            .unwrap_or(BASE_CHUNK);
        let levels = self.levels(length, rng.random());
        self.loss_of(self.train, length, seed, &levels)
    }

    fn validate(&self) -> Result<BTreeMap<String, f64>> {
        let lengths = match self.only {
            Some(base) => vec![(base + 1) * BASE_CHUNK],
            None => (1..=MAX_BASE_CHUNKS).map(|n| n * BASE_CHUNK).collect(),
        };
        let mut measured = BTreeMap::new();
        for length in lengths.into_iter().filter(|&length| self.validation.has(length)) {
            let mut sum = 0.0;
            for batch in 0..VALIDATION_BATCHES {
                let seed = Seed::root(0).child("validation").index(batch);
                let loss =
                    self.loss_of(self.validation, length, seed, &self.levels(length, 0.5))?;
                sum += f64::from(loss.to_scalar::<f32>()?);
            }
            measured.insert(format!("flow_{length}"), sum / VALIDATION_BATCHES as f64);
        }
        Ok(measured)
    }
}

/// How much the error of each target value counts, `(1, 1, patches, pack × coefficients)`, 1 in
/// the mean: its share of the picture's energy to a power.
fn energy_weight(model: &WorldModel, power: f64) -> Result<Tensor> {
    let share = (&model.statistics.flow_scale * model.tokenizer.scale())?.powf(power)?;
    let share = share.broadcast_div(&share.mean_all()?)?;
    let pack = model.tokenizer.pack_frames();
    let (patches, coefficients) = share.dims2()?;
    let frames = share.broadcast_as((1, pack, patches, coefficients))?.contiguous()?;
    Ok(model.tokenizer.pack(&frames)?.detach())
}
