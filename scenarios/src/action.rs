//! What a policy does: a chunk of actions to be executed in order.

use ndarray::{Array2, ArrayView1, ArrayView2, s};

use crate::embodiment::Channel;

/// A chunk of actions, `(steps, dimensions)` f32, in the units of the embodiment's action channels.
///
/// Never empty and always finite. A policy may return more steps than are executed before it is
/// asked again.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionChunk(Array2<f32>);

/// Why an action chunk was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ActionError {
    /// No step, or no dimension.
    #[error("an action chunk needs at least one step and one dimension, got {steps}×{dimensions}")]
    Empty {
        /// Steps given.
        steps: usize,
        /// Dimensions given.
        dimensions: usize,
    },
    /// The number of values is not steps × dimensions.
    #[error(
        "an action chunk of {dimensions} dimensions got {values} values, which is no whole number of steps"
    )]
    Ragged {
        /// Values given.
        values: usize,
        /// Dimensions of an action.
        dimensions: usize,
    },
    /// NaN or an infinity.
    #[error("action value {value} at step {step}, dimension {dimension} is not finite")]
    NotFinite {
        /// Step within the chunk, from 0.
        step: usize,
        /// Dimension of the action, from 0.
        dimension: usize,
        /// What was given.
        value: f32,
    },
    /// The dimensions differ from the embodiment's.
    #[error("an action has {got} dimensions, the embodiment has {expected} action channels")]
    Dimensions {
        /// Action channels of the embodiment.
        expected: usize,
        /// Dimensions of the chunk.
        got: usize,
    },
    /// A value outside its channel's bounds.
    #[error(
        "action value {value} at step {step} is outside [{low}, {high}] of channel {channel:?}"
    )]
    OutOfBounds {
        /// Step within the chunk, from 0.
        step: usize,
        /// Name of the channel.
        channel: String,
        /// What was given, in the channel's unit.
        value: f32,
        /// Lower bound of the channel.
        low: f64,
        /// Upper bound of the channel.
        high: f64,
    },
}

impl ActionChunk {
    /// A chunk from an array of `(steps, dimensions)`.
    ///
    /// # Errors
    /// [`ActionError::Empty`] and [`ActionError::NotFinite`].
    pub fn new(actions: Array2<f32>) -> Result<Self, ActionError> {
        let (steps, dimensions) = actions.dim();
        if steps == 0 || dimensions == 0 {
            return Err(ActionError::Empty { steps, dimensions });
        }
        if let Some(((step, dimension), &value)) =
            actions.indexed_iter().find(|(_, value)| !value.is_finite())
        {
            return Err(ActionError::NotFinite { step, dimension, value });
        }
        Ok(Self(actions))
    }

    /// A chunk from `steps * dimensions` values, step by step.
    ///
    /// ```
    /// use rehearse_scenarios::action::ActionChunk;
    ///
    /// let chunk = ActionChunk::from_values(2, vec![0.1, 0.2, 0.3, 0.4])?;
    /// assert_eq!((chunk.steps(), chunk.dimensions()), (2, 2));
    /// # Ok::<(), rehearse_scenarios::action::ActionError>(())
    /// ```
    ///
    /// # Errors
    /// [`ActionError::Ragged`], [`ActionError::Empty`] and [`ActionError::NotFinite`].
    pub fn from_values(dimensions: usize, values: Vec<f32>) -> Result<Self, ActionError> {
        let count = values.len();
        if dimensions == 0 || count == 0 {
            return Err(ActionError::Empty { steps: 0, dimensions });
        }
        let actions = Array2::from_shape_vec((count / dimensions, dimensions), values)
            .map_err(|_shape| ActionError::Ragged { values: count, dimensions })?;
        Self::new(actions)
    }

    /// Actions in the chunk.
    pub fn steps(&self) -> usize {
        self.0.nrows()
    }

    /// Values per action.
    pub fn dimensions(&self) -> usize {
        self.0.ncols()
    }

    /// The actions, `(steps, dimensions)`.
    pub fn view(&self) -> ArrayView2<'_, f32> {
        self.0.view()
    }

    /// The action at `step`, or `None` past the end.
    pub fn step(&self, step: usize) -> Option<ArrayView1<'_, f32>> {
        (step < self.steps()).then(|| self.0.row(step))
    }

    /// The first `steps` actions (all, if there are fewer; one at least).
    #[must_use]
    pub fn truncated(&self, steps: usize) -> Self {
        let steps = steps.clamp(1, self.steps());
        Self(self.0.slice(s![..steps, ..]).to_owned())
    }

    /// The actions from `steps` on, or `None` if none is left.
    #[must_use]
    pub fn skipped(&self, steps: usize) -> Option<Self> {
        (steps < self.steps()).then(|| Self(self.0.slice(s![steps.., ..]).to_owned()))
    }

    /// Checks the chunk against an embodiment's action channels.
    ///
    /// Bounds are checked where the channels state them, with a tolerance of 1e-4 of their width
    /// for rounding.
    ///
    /// # Errors
    /// [`ActionError::Dimensions`] and [`ActionError::OutOfBounds`].
    pub fn check(&self, channels: &[Channel]) -> Result<(), ActionError> {
        if self.dimensions() != channels.len() {
            return Err(ActionError::Dimensions {
                expected: channels.len(),
                got: self.dimensions(),
            });
        }
        for (column, channel) in self.0.columns().into_iter().zip(channels) {
            let Some([low, high]) = channel.bounds else { continue };
            let slack = 1e-4 * (high - low);
            for (step, &value) in column.iter().enumerate() {
                let exact = f64::from(value);
                if exact < low - slack || exact > high + slack {
                    return Err(ActionError::OutOfBounds {
                        step,
                        channel: channel.name.clone(),
                        value,
                        low,
                        high,
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_finite_are_named_with_their_place() {
        let error = ActionChunk::from_values(2, vec![0.0, 0.0, 0.0, f32::NAN]).unwrap_err();
        assert!(matches!(error, ActionError::NotFinite { step: 1, dimension: 1, .. }));
    }

    #[test]
    fn ragged_and_empty_chunks_are_refused() {
        assert!(matches!(
            ActionChunk::from_values(2, vec![0.0; 3]),
            Err(ActionError::Ragged { values: 3, dimensions: 2 })
        ));
        assert!(matches!(ActionChunk::from_values(2, vec![]), Err(ActionError::Empty { .. })));
    }

    #[test]
    fn a_chunk_splits_into_its_head_and_its_tail() {
        let chunk = ActionChunk::from_values(1, vec![1.0, 2.0, 3.0]).unwrap();
        assert_eq!(chunk.truncated(2), ActionChunk::from_values(1, vec![1.0, 2.0]).unwrap());
        assert_eq!(chunk.skipped(2), Some(ActionChunk::from_values(1, vec![3.0]).unwrap()));
        assert_eq!(chunk.skipped(3), None);
        assert_eq!(chunk.truncated(9), chunk);
    }
}
