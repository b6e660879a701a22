//! What is timed.

/// A part of the model's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Frames to latents.
    Tokenize,
    /// Proprioception, the coarse picture and success from actions.
    State,
    /// An expert's context, once per chunk.
    Context,
    /// One step of the flow.
    FlowStep,
    /// Latents to frames.
    Decode,
    /// Success from latents.
    Judge,
    /// The choice of an expert.
    Router,
    /// All of it but the router: a chunk for every trial, decoded.
    Rollout,
    /// A step of an expert's training: forward, backward and the optimiser.
    Training,
    /// A step of the state model's training: whole episodes, forward, backward and the optimiser.
    StateTraining,
    /// The largest product of a flow step alone, several times over.
    Product,
}

impl Stage {
    /// Every stage, in the order of the work.
    pub const ALL: &[Self] = &[
        Self::Tokenize,
        Self::State,
        Self::Context,
        Self::FlowStep,
        Self::Decode,
        Self::Judge,
        Self::Router,
        Self::Rollout,
        Self::Training,
        Self::StateTraining,
        Self::Product,
    ];

    /// As it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokenize => "tokeniser",
            Self::State => "state roll",
            Self::Context => "context",
            Self::FlowStep => "flow step",
            Self::Decode => "decoding",
            Self::Judge => "judge",
            Self::Router => "router",
            Self::Rollout => "chunk, whole",
            Self::Training => "training step, expert",
            Self::StateTraining => "training step, state",
            Self::Product => "product alone",
        }
    }
}
