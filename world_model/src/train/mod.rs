//! Training from logs, in stages.
//!
//! ```text
//! logs ─► tokenizer fit ─► token cache ─► state model ─► base expert ─► base on its own contexts ─► four experts ─► router ─► judge ─► checkpoint
//! ```
//!
//! Each stage draws its batches from the seed tree by step number and keeps all its state in one
//! file that is replaced whole, so that a training killed at any moment goes on as if it had not
//! been.

mod batch;
mod cache;
mod config;
mod data;
mod episode;
mod expert_stage;
mod imagined;
mod init;
mod instructions;
mod judge_stage;
mod left_out;
mod logs;
mod measure;
mod optimizer;
mod predicted;
mod prepare;
mod progress;
mod router_stage;
mod run;
mod schedule;
mod stage;
mod state_stage;
mod tracking;

pub(crate) use data::episode_patches;
pub(crate) use router_stage::decisions;

pub use cache::TokenCache;
pub use config::{ChunkMix, SplitConfig, StageConfig, TrainConfig};
pub use data::Dataset;
pub use episode::LoggedEpisode;
pub use left_out::{Group, LeftOut, Verdicts, left_out};
pub use logs::Logs;
pub use optimizer::{Optimizer, Stepped};
pub use progress::{CurvePoint, Progress, Silent, read_curves};
pub use run::{Job, Trained, hash_log, train};
pub use schedule::learning_rate;
