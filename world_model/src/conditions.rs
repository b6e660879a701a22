//! What a frame group is conditioned on: its actions and its proprioception.

use candle_core::Tensor;

use crate::error::Result;
use crate::statistics::Statistics;

/// Motion relative to the last context frame is given in units of this many steps' motion.
const MOTION_STEPS: f64 = 4.0;

/// Values per frame group of `pack` frames.
pub fn condition_values(pack: usize, actions: usize, states: usize) -> usize {
    pack * (actions + 2 * states)
}

/// Conditions of frame groups.
///
/// # Shapes
/// - `actions`: that led to each frame, normalised, `(batch, frames, action channels)`
/// - `states`: at each frame, in the rig's units, `(batch, frames, channels)`
/// - `anchor`: at the last context frame, `(batch, channels)`
/// - returns: `(batch, frames / pack, conditions)`
///
/// # Errors
/// A tensor error if a shape disagrees or `pack` does not divide the frames.
pub fn conditions(
    statistics: &Statistics,
    pack: usize,
    actions: &Tensor,
    states: &Tensor,
    anchor: &Tensor,
) -> Result<Tensor> {
    let (batch, frames, _) = states.dims3()?;
    let normal = statistics.normal_state(states)?;
    let moved = states
        .broadcast_sub(&anchor.unsqueeze(1)?)?
        .broadcast_div(&(&statistics.step_scale * MOTION_STEPS)?)?;
    let frame = Tensor::cat(&[actions, &normal, &moved], 2)?;
    let values = frame.dim(2)?;
    Ok(frame.contiguous()?.reshape((batch, frames / pack, pack * values))?)
}
