//! An expert: a diffusion transformer that imagines one chunk from context and actions.
//!
//! ```text
//! first frame, last frames (lightly noised) ──► blocks ──► keys, values     once per chunk
//! noise ──► blocks (attend to instruction, context, each other) ──► velocity    once per step
//!   ▲         ▲ modulated per frame group by noise level, actions and proprioception
//!   the coarse picture that the state model foresees
//! ```
//!
//! Attention within a chunk is full; context never sees the chunk (block-causal, as LingBot-World
//! §3.4.1), so its keys and values are computed once. Actions enter by adaptive normalisation
//! (LingBot-World §3.3.2). Instruction, context and chunk share one softmax: cross-attention to
//! the instruction costs no pass of its own.

use candle_core::{DType, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::error::Result;
use crate::nn::{Block, Cache, Linear, linear, linear_zero, ops};
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS};

/// Waves that a noise level is written in.
const TIME_WAVES: usize = 32;

/// The sizes of an expert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertShape {
    /// Patches of a frame, over all views.
    pub patches: usize,
    /// Coefficients of a patch.
    pub coefficients: usize,
    /// Frames in a token.
    pub pack: usize,
    /// Groups of last frames in the context.
    pub context_groups: usize,
    /// Values that a frame group is conditioned on.
    pub conditions: usize,
    /// Leading coefficients of a patch that are foreseen before it is drawn; 0 for none.
    pub foreseen: usize,
    /// Width of the instruction's vectors.
    pub instruction: usize,
    /// Width of a token.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of a block over its width.
    pub expansion: usize,
    /// Width of the modulation's input.
    pub condition: usize,
}

impl ExpertShape {
    /// Frame groups that have a place of their own: the first frame, the context, the longest
    /// chunk.
    fn slots(&self) -> usize {
        1 + self.context_groups + MAX_BASE_CHUNKS * BASE_CHUNK / self.pack
    }
}

/// What the experts know before a chunk.
#[derive(Clone, Debug)]
pub struct ContextInput {
    /// Latents of the first frame, `(batch, patches, coefficients)`.
    pub first: Tensor,
    /// The last frames, packed: `(batch, context groups, patches, pack × coefficients)`.
    pub recent: Tensor,
    /// Latents of the last frame, `(batch, patches, coefficients)`.
    pub last: Tensor,
    /// Conditions of the first frame and of each context group,
    /// `(batch, 1 + context groups, conditions)`.
    pub conditions: Tensor,
    /// The instruction, `(batch, words, instruction width)`.
    pub instruction: Tensor,
}

/// What is computed once per chunk: keys and values per block, and the anchor of the tokens.
#[derive(Clone, Debug)]
pub struct ChunkContext {
    caches: Vec<Cache>,
    /// Embedded last frame, places and what is foreseen, `(batch, groups, patches, width)`.
    base: Tensor,
    /// Embedded conditions without the noise level, `(batch, groups, condition)`.
    conditions: Tensor,
}

/// One diffusion transformer.
#[derive(Clone, Debug)]
pub struct Expert {
    shape: ExpertShape,
    frame: Linear,
    time: Linear,
    mix: Linear,
    slot_condition: Tensor,
    slot: Tensor,
    place: Tensor,
    first: Linear,
    recent: Linear,
    last: Linear,
    noisy: Linear,
    foreseen: Option<Linear>,
    instruction: Vec<Linear>,
    blocks: Vec<Block>,
    modulation: Linear,
    output: Linear,
}

impl Expert {
    /// Loads an expert below `vb`.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(shape: ExpertShape, vb: &VarBuilder<'_>) -> Result<Self> {
        let ExpertShape { width, condition, .. } = shape;
        let (c, token) = (shape.coefficients, shape.pack * shape.coefficients);
        let small = Init::Randn { mean: 0.0, stdev: 0.1 };
        Ok(Self {
            frame: linear(shape.conditions, condition, &vb.pp("frame"))?,
            time: linear(2 * TIME_WAVES, condition, &vb.pp("time"))?,
            mix: linear(condition, condition, &vb.pp("mix"))?,
            slot_condition: vb.get_with_hints(
                (shape.slots(), condition),
                "slot_condition",
                small,
            )?,
            slot: vb.get_with_hints((shape.slots(), width), "slot", small)?,
            place: vb.get_with_hints((shape.patches, width), "place", small)?,
            first: linear(c, width, &vb.pp("first"))?,
            recent: linear(token, width, &vb.pp("recent"))?,
            last: linear(c, width, &vb.pp("last"))?,
            noisy: linear(token, width, &vb.pp("noisy"))?,
            foreseen: (shape.foreseen > 0)
                .then(|| linear_zero(shape.pack * shape.foreseen, width, &vb.pp("foreseen")))
                .transpose()?,
            instruction: (0..shape.layers)
                .map(|layer| linear(shape.instruction, 2 * width, &vb.pp("instruction").pp(layer)))
                .collect::<candle_core::Result<_>>()?,
            blocks: (0..shape.layers)
                .map(|layer| {
                    let vb = vb.pp("blocks").pp(layer);
                    Block::new(width, shape.heads, shape.expansion, condition, &vb)
                })
                .collect::<candle_core::Result<_>>()?,
            modulation: linear_zero(condition, 2 * width, &vb.pp("modulation"))?,
            output: linear_zero(width, token, &vb.pp("output"))?,
            shape,
        })
    }

    /// What is computed once per chunk.
    ///
    /// # Shapes
    /// - `input`: see [`ContextInput`]
    /// - `conditions`: of the chunk's frame groups, `(batch, groups, conditions)`
    /// - `foreseen`: leading coefficients foreseen in the chunk, as their difference to the last
    ///   context frame, `(batch, groups, patches, pack × foreseen)`
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn context(
        &self,
        input: &ContextInput,
        conditions: &Tensor,
        foreseen: Option<&Tensor>,
    ) -> Result<ChunkContext> {
        let known = 1 + self.shape.context_groups;
        let first = self.first.forward(&input.first)?.unsqueeze(1)?;
        let recent = self.recent.forward(&input.recent)?;
        let x = self.placed(&Tensor::cat(&[&first, &recent], 1)?, 0)?;
        let clean = Tensor::ones(x.dim(0)?, DType::F32, x.device())?;
        let embedded = self.embed_conditions(&input.conditions, 0)?;
        let condition = self.condition(&embedded, &clean)?;
        let mut caches = Vec::with_capacity(self.blocks.len());
        let mut x = x;
        for (layer, (block, words)) in self.blocks.iter().zip(&self.instruction).enumerate() {
            let words = words.forward(&input.instruction)?;
            let width = self.shape.width;
            let instruction = Cache {
                k: words.narrow(2, 0, width)?.contiguous()?,
                v: words.narrow(2, width, width)?.contiguous()?,
            };
            let modulation = block.modulation(&condition)?;
            let own = if layer + 1 < self.blocks.len() {
                let (next, own) = block.forward(&x, &modulation, &instruction)?;
                x = next;
                own
            } else {
                // Nothing reads the context's tokens after the last block's keys and values.
                block.own_tokens(&x, &modulation)?
            };
            let own = own.cache()?;
            caches.push(Cache {
                k: Tensor::cat(&[&instruction.k, &own.k], 1)?,
                v: Tensor::cat(&[&instruction.v, &own.v], 1)?,
            });
        }
        let (b, groups, _) = conditions.dims3()?;
        let last = self.last.forward(&input.last)?.unsqueeze(1)?;
        let last = last.broadcast_as((b, groups, self.shape.patches, self.shape.width))?;
        let mut base = self.placed(&last, known)?;
        if let (Some(map), Some(foreseen)) = (&self.foreseen, foreseen) {
            base = (base + map.forward(foreseen)?)?;
        }
        Ok(ChunkContext { caches, base, conditions: self.embed_conditions(conditions, known)? })
    }

    /// The velocity of the flow at `x`.
    ///
    /// # Shapes
    /// - `x`: `(batch, groups, patches, pack × coefficients)`, normalised difference to the last
    ///   context frame
    /// - `k`: `(batch)`, the point of the path, 0 for noise and 1 for data
    /// - returns: as `x`
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn velocity(&self, x: &Tensor, k: &Tensor, context: &ChunkContext) -> Result<Tensor> {
        let condition = self.condition(&context.conditions, k)?;
        let mut x = (self.noisy.forward(x)? + &context.base)?;
        for (block, cache) in self.blocks.iter().zip(&context.caches) {
            x = block.forward(&x, &block.modulation(&condition)?, cache)?.0;
        }
        let both = self.modulation.forward(&condition)?;
        let width = self.shape.width;
        let shift = both.narrow(2, 0, width)?.contiguous()?;
        let scale = both.narrow(2, width, width)?.contiguous()?;
        Ok(self.output.forward(&ops::modulated_norm(&x, &shift, &scale)?)?)
    }

    /// Adds place and slot embeddings; the first group takes slot `from`.
    fn placed(&self, x: &Tensor, from: usize) -> Result<Tensor> {
        let groups = x.dim(1)?;
        let slot = self.slot.narrow(0, from, groups)?.unsqueeze(1)?; // (G, 1, W)
        let both = slot.broadcast_add(&self.place.unsqueeze(0)?)?; // (G, P, W)
        Ok(x.broadcast_add(&both)?)
    }

    fn embed_conditions(&self, conditions: &Tensor, from: usize) -> Result<Tensor> {
        let groups = conditions.dim(1)?;
        let slot = self.slot_condition.narrow(0, from, groups)?;
        Ok(self.frame.forward(conditions)?.broadcast_add(&slot)?)
    }

    /// Activated modulation input from embedded conditions and the noise level.
    fn condition(&self, embedded: &Tensor, k: &Tensor) -> Result<Tensor> {
        let time = self.time.forward(&time_waves(k)?)?.unsqueeze(1)?;
        let sum = embedded.broadcast_add(&time)?;
        Ok(self.mix.forward(&sum.silu()?)?.silu()?)
    }
}

/// A noise level in `[0, 1]` as cosines and sines of falling wavelength, `(batch, 64)`.
fn time_waves(k: &Tensor) -> Result<Tensor> {
    let waves = (0..TIME_WAVES)
        .map(|wave| {
            let part = wave as f64 / TIME_WAVES as f64;
            (1000.0 * (-part * 10_000_f64.ln()).exp()) as f32
        })
        .collect::<Vec<_>>();
    let waves = Tensor::from_vec(waves, (1, TIME_WAVES), k.device())?;
    let angles = k.unsqueeze(1)?.broadcast_mul(&waves)?;
    Ok(Tensor::cat(&[angles.cos()?, angles.sin()?], 1)?)
}
