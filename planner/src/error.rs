//! Why a plan could not be made.

/// Why a plan could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A setting is outside its range.
    #[error("planner setting `{name}` is {got}; it must be {accepted}")]
    Setting {
        /// Name of the setting, as in the configuration file.
        name: &'static str,
        /// What was given.
        got: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// An action channel states no bounds, and a search needs them.
    #[error("action channel {channel:?} states no bounds; a planner searches within them")]
    Unbounded {
        /// Name of the channel.
        channel: String,
    },
    /// A tensor has another shape than agreed.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// What the tensor is.
        what: &'static str,
        /// The agreed shape.
        expected: Vec<usize>,
        /// The shape that was met.
        got: Vec<usize>,
    },
    /// Every candidate of a problem has a cost that is not a number.
    #[error("no candidate of problem {problem} has a finite cost in iteration {iteration}")]
    NoFiniteCost {
        /// Index of the problem in its batch.
        problem: usize,
        /// Iteration, from 0.
        iteration: usize,
    },
    /// The tensor library failed.
    #[error("a tensor operation of the planner failed")]
    Tensor {
        /// The cause.
        #[from]
        source: candle_core::Error,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, PlanError>;
