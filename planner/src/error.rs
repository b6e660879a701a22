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
    /// A term of the objective needs a goal that is not stated.
    #[error("the objective compares with the goal's {what}, which is not stated for this task")]
    NoGoal {
        /// What is missing.
        what: &'static str,
    },
    /// The world model failed.
    #[error(transparent)]
    Model(#[from] rehearse_world_model::ModelError),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A configuration cannot be understood.
    #[error("the planner's configuration {}: {message}", path.display())]
    Syntax {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A goal cannot be read from its log.
    #[error("the goal for {instruction:?} cannot be read from its log")]
    Goal {
        /// The instruction that the goal is for.
        instruction: String,
        /// The cause.
        #[source]
        source: Box<rehearse_scenarios::log::LogError>,
    },
    /// Proposals cannot be read from their log.
    #[error("the proposals cannot be read from their log")]
    Proposals {
        /// The cause.
        #[source]
        source: Box<rehearse_scenarios::log::LogError>,
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
