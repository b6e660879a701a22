//! The basis itself: patches to normalised coefficients and back.

use candle_core::{Device, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::config::TokenConfig;
use crate::error::{ModelError, Result};
use crate::tokenizer::Layout;

/// The linear tokeniser.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    layout: Layout,
    coefficients: usize,
    pack: usize,
    /// `(patches, 1, values)`.
    mean: Tensor,
    /// `(patches, coefficients, values)`, rows orthonormal.
    basis: Tensor,
    /// Standard deviation of each coefficient over the training split, `(patches, coefficients)`.
    scale: Tensor,
}

impl Tokenizer {
    /// Loads `mean`, `basis` and `scale` below `vb`.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] if a tensor is missing or has another shape.
    pub fn new(config: &TokenConfig, layout: Layout, vb: &VarBuilder<'_>) -> Result<Self> {
        let (patches, values) = (layout.patches(), layout.values());
        let coefficients = config.coefficients;
        let zero = Init::Const(0.0);
        Ok(Self {
            coefficients,
            pack: config.pack,
            mean: vb.get_with_hints((patches, values), "mean", zero)?.unsqueeze(1)?,
            basis: vb.get_with_hints((patches, coefficients, values), "basis", zero)?,
            scale: vb.get_with_hints((patches, coefficients), "scale", Init::Const(1.0))?,
            layout,
        })
    }

    /// How cameras become patches.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Patches of a frame.
    pub fn patches(&self) -> usize {
        self.layout.patches()
    }

    /// Coefficients of a patch.
    pub fn coefficients(&self) -> usize {
        self.coefficients
    }

    /// Frames in a token.
    pub fn pack_frames(&self) -> usize {
        self.pack
    }

    /// Standard deviation of each coefficient over the training split,
    /// `(patches, coefficients)`.
    pub fn scale(&self) -> &Tensor {
        &self.scale
    }

    /// Frames to latents.
    ///
    /// # Shapes
    /// - `patches`: `frames × patches × values` in [0, 1], as [`Layout::patches_of`] gives one
    /// - returns: `(frames, patches, coefficients)`
    ///
    /// # Errors
    /// [`ModelError::Size`] unless `patches` holds `frames` frames.
    pub fn encode(&self, patches: Vec<f32>, frames: usize, device: &Device) -> Result<Tensor> {
        let (count, values) = (self.patches(), self.layout.values());
        if patches.len() != frames * count * values {
            return Err(ModelError::size("frames", frames * count * values, patches.len()));
        }
        let x = Tensor::from_vec(patches, (frames, count, values), device)?;
        let x = x.transpose(0, 1)?.contiguous()?.broadcast_sub(&self.mean)?; // (P, F, D)
        let z = x.matmul(&self.basis.transpose(1, 2)?)?; // (P, F, C)
        Ok(z.broadcast_div(&self.scale.unsqueeze(1)?)?.transpose(0, 1)?.contiguous()?)
    }

    /// Latents to frames.
    ///
    /// # Shapes
    /// - `latents`: `(frames, patches, coefficients)`
    /// - returns: `frames × patches × values`, not yet clamped to [0, 1]
    ///
    /// # Errors
    /// [`ModelError::Tensor`] if a shape disagrees.
    pub fn decode(&self, latents: &Tensor) -> Result<Vec<f32>> {
        let (frames, patches, _) = latents.dims3()?;
        if frames == 1 {
            // A single row is rounded otherwise than one of many in the matrix product.
            let mut both = self.decode(&Tensor::cat(&[latents, latents], 0)?)?;
            both.truncate(patches * self.layout.values());
            return Ok(both);
        }
        let z = latents.transpose(0, 1)?.contiguous()?; // (P, F, C)
        let z = z.broadcast_mul(&self.scale.unsqueeze(1)?)?;
        let x = z.matmul(&self.basis)?.broadcast_add(&self.mean)?; // (P, F, D)
        Ok(x.transpose(0, 1)?.contiguous()?.flatten_all()?.to_vec1()?)
    }

    /// Packs frames into the experts' tokens.
    ///
    /// # Shapes
    /// - `latents`: `(batch, frames, patches, coefficients)`, frames a multiple of the pack
    /// - returns: `(batch, groups, patches, pack × coefficients)`
    ///
    /// # Errors
    /// [`ModelError::Tensor`] if a shape disagrees.
    pub fn pack(&self, latents: &Tensor) -> Result<Tensor> {
        let (b, frames, p, c) = latents.dims4()?;
        Ok(latents
            .reshape((b, frames / self.pack, self.pack, p, c))?
            .transpose(2, 3)?
            .contiguous()?
            .reshape((b, frames / self.pack, p, self.pack * c))?)
    }

    /// The inverse of [`pack`](Self::pack).
    ///
    /// # Errors
    /// [`ModelError::Tensor`] if a shape disagrees.
    pub fn unpack(&self, tokens: &Tensor) -> Result<Tensor> {
        let (b, groups, p, wide) = tokens.dims4()?;
        let c = wide / self.pack;
        Ok(tokens
            .reshape((b, groups, p, self.pack, c))?
            .transpose(2, 3)?
            .contiguous()?
            .reshape((b, groups * self.pack, p, c))?)
    }
}
