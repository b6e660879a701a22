//! The network: image patches and a few read-out tokens in a transformer.

use candle_core::{Device, Tensor};
use candle_nn::{Init, VarBuilder};
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_world_model::config::InstructionConfig;
use rehearse_world_model::instruction::{InstructionEncoder, Reader};
use rehearse_world_model::nn::{Block, Cache, Linear, linear, linear_scaled, ops};

use super::config::CloneConfig;
use super::error::Result;

/// Width of an attention head.
const HEAD: usize = 32;
/// Factor of the hidden layer in a block.
const EXPANSION: usize = 2;
/// Width of the vector that modulates the blocks.
const CONDITION: usize = 32;
/// Tokens that the actions are read from.
const READOUT: usize = 4;
/// Gain of the last layer: actions start small.
const FIRST_ACTIONS: f64 = 0.1;
/// Sizes of the encoder of instructions.
const INSTRUCTION: InstructionConfig =
    InstructionConfig { width: 32, words: 12, buckets: 256, t5: None };

/// Sizes that follow from a recipe and a rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Patches of all images.
    pub patches: usize,
    /// Values of a patch.
    pub values: usize,
    /// Channels of proprioception.
    pub states: usize,
    /// Channels of an action.
    pub actions: usize,
    /// Actions in a chunk.
    pub chunk: usize,
    /// Width of the transformer.
    pub width: usize,
    /// Layers of the transformer.
    pub layers: usize,
}

impl Shape {
    /// The sizes of a recipe's policy on a rig.
    pub fn of(config: &CloneConfig, rig: &Embodiment) -> Self {
        Self {
            patches: rig.cameras.len() * (config.image / config.patch).pow(2),
            values: config.patch * config.patch * 3,
            states: rig.proprioception.len(),
            actions: rig.actions.len(),
            chunk: config.chunk,
            width: config.width,
            layers: config.layers,
        }
    }
}

/// The network of a cloned policy.
#[derive(Clone, Debug)]
pub struct CloneModel {
    shape: Shape,
    patch: Linear,
    position: Tensor,
    readout: Tensor,
    state: Linear,
    told: Linear,
    instruction: InstructionEncoder,
    context: Linear,
    blocks: Vec<Block>,
    up: Linear,
    down: Linear,
}

impl CloneModel {
    /// Loads the network below `vb`.
    ///
    /// # Errors
    /// A tensor error if the file lacks a tensor or has another shape.
    pub fn new(shape: Shape, vb: &VarBuilder<'_>) -> Result<Self> {
        let Shape { patches, values, states, actions, chunk, width, layers } = shape;
        let small = Init::Randn { mean: 0.0, stdev: 0.5 };
        let reader = Reader::Letters { buckets: INSTRUCTION.buckets };
        let blocks = (0..layers)
            .map(|layer| {
                let vb = vb.pp("blocks").pp(layer);
                Block::new(width, width / HEAD, EXPANSION, CONDITION, &vb)
            })
            .collect::<candle_core::Result<_>>()?;
        Ok(Self {
            shape,
            patch: linear(values, width, &vb.pp("patch"))?,
            position: vb.get_with_hints((patches, width), "position", small)?,
            readout: vb.get_with_hints((READOUT, width), "readout", small)?,
            state: linear(states, CONDITION, &vb.pp("state"))?,
            told: linear(INSTRUCTION.width, CONDITION, &vb.pp("told"))?,
            instruction: InstructionEncoder::new(&INSTRUCTION, &reader, &vb.pp("instruction"))?,
            context: linear(CONDITION, 2 * width, &vb.pp("context"))?,
            blocks,
            up: linear(READOUT * width + CONDITION, width, &vb.pp("up"))?,
            down: linear_scaled(width, chunk * actions, FIRST_ACTIONS, &vb.pp("down"))?,
        })
    }

    /// Its sizes.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// One vector per instruction.
    ///
    /// # Shapes
    /// - returns: `(instructions, width of a word)`
    ///
    /// # Errors
    /// A tensor error.
    pub fn instructions(&self, texts: &[&str], device: &Device) -> Result<Tensor> {
        let encoded = texts
            .iter()
            .map(|text| self.instruction.encode(text, device))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(InstructionEncoder::pool(&Tensor::stack(&encoded, 0)?)?)
    }

    /// Actions for a batch, before they are cut to [-1, 1].
    ///
    /// # Shapes
    /// - `patches`: `(batch, patches, values)`, pixels in [-1, 1]
    /// - `state`: `(batch, states)`, normalised
    /// - `instruction`: `(batch, width of a word)`, from [`instructions`](Self::instructions)
    /// - returns: `(batch, chunk, actions)`
    ///
    /// # Errors
    /// A tensor error if a shape disagrees.
    pub fn forward(
        &self,
        patches: &Tensor,
        state: &Tensor,
        instruction: &Tensor,
    ) -> Result<Tensor> {
        let Shape { width, chunk, actions, .. } = self.shape;
        let batch = patches.dim(0)?;
        let condition = (self.state.forward(state)? + self.told.forward(instruction)?)?;
        let condition = ops::gelu(&condition)?;
        let seen = self.patch.forward(patches)?.broadcast_add(&self.position)?;
        let readout = self.readout.unsqueeze(0)?.broadcast_as((batch, READOUT, width))?;
        let mut x = Tensor::cat(&[&seen, &readout], 1)?.unsqueeze(1)?;
        let modulating = condition.unsqueeze(1)?;
        let context = self.context.forward(&modulating)?;
        let context = Cache {
            k: context.narrow(2, 0, width)?.contiguous()?,
            v: context.narrow(2, width, width)?.contiguous()?,
        };
        for block in &self.blocks {
            x = block.forward(&x, &block.modulation(&modulating)?, &context)?.0;
        }
        let x = x.squeeze(1)?.narrow(1, self.shape.patches, READOUT)?.contiguous()?;
        let read = ops::norm(&x)?.reshape((batch, READOUT * width))?;
        let hidden = ops::gelu(&self.up.forward(&Tensor::cat(&[&read, &condition], 1)?)?)?;
        Ok(self.down.forward(&hidden)?.reshape((batch, chunk, actions))?)
    }
}
