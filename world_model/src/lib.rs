//! What happens next: an action-conditioned video world model, its training, and the learned
//! [`World`](rehearse_scenarios::interface::World).
//!
//! # What this crate does
//! - cuts episodes into chunks by their actions ([`partition`], LongScape's Algorithm 1);
//! - turns frames into a few tokens and back ([`tokenizer`]), and instructions into a few vectors
//!   ([`instruction`]), which a frozen T5 may read ([`t5`], for the feature of that name);
//! - predicts proprioception from actions by a recurrent memory ([`state_model`]), which foresees
//!   the coarse picture and success too ([`forecast`]), and pixels from context, actions and what
//!   is predicted with one of four diffusion transformers ([`expert`], [`experts`], [`flow`]),
//!   chosen by a router ([`router`], [`routing`]);
//! - says how likely the task is done, from what is seen and what is foreseen ([`judge`]);
//! - imagines many trials at once ([`rollout`]) and shows them as a [`world`], or many futures of
//!   one trial ([`futures`]), or what the memory alone foresees of them ([`foresight`]), which is
//!   what a planner asks for;
//! - trains all of it from robot logs in resumable stages ([`train`]), keeps it in checked files
//!   ([`checkpoint`]) and measures how faithful it is ([`fidelity`], [`counterfactual`],
//!   [`filmstrip`]), with networks too, where there are weights for them ([`perception`]).
//!
//! # What this crate does not do
//! It knows no robot: sizes, cameras, channels and rate come from the log and the config. It runs
//! no policy, knows no goal and scores nothing. Its videos are small and its physics is what the
//! logs show: where they hold no near misses, it has not learnt them.
//!
//! ```text
//! first frame, last frames ─► tokenizer ─► context ──┐
//! actions ─► state model ─► proprioception ─┬─► router ─► expert 8 | 16 | 24 | 32 ─► latents ─► tokenizer ─► frames
//!     │          └────────► coarse picture ─┤                                    └─► judge ─► success
//!     └─────────────────────────────────────┘            foreseen success ────────────┘
//! ```
//!
//! # From the papers, and what is different
//! LongScape conditions on text and the first frame; conditioning on actions, frame by frame by
//! adaptive normalisation, follows LingBot-World §3.3.2, and is ours here, as are the state model
//! and what it foresees, the judge, a router that sees the pending actions, and a tokeniser that is
//! linear per patch position. Rectified flow and lightly noised context are PAN's (§3.3).
//!
//! # Example
//! ```
//! use candle_core::Device;
//! use rehearse_scenarios::embodiment::{Camera, Channel, Embodiment};
//! use rehearse_scenarios::seed::Seed;
//! use rehearse_scenarios::time::Rate;
//! use rehearse_world_model::config::ModelConfig;
//! use rehearse_world_model::model::WorldModel;
//! use rehearse_world_model::nn::Variables;
//! use rehearse_world_model::rollout::Dream;
//! use rehearse_world_model::routing::Routing;
//!
//! let rig = Embodiment {
//!     robot: None,
//!     rate: Rate::from_hz(10.0)?,
//!     cameras: vec![Camera { name: "front".into(), height: 32, width: 32 }],
//!     proprioception: vec![Channel::named("x")],
//!     actions: vec![Channel::named("dx")],
//! };
//! let mut config = ModelConfig::default();
//! (config.tokens.height, config.tokens.width) = (32, 32);
//! (config.expert.width, config.expert.layers) = (32, 1);
//! // Untrained: weights are drawn from the seed.
//! let variables = Variables::new(Seed::root(0));
//! let model = WorldModel::new(&config, &rig, &variables.builder(&Device::Cpu, &[]))?;
//! let first = candle_core::Tensor::zeros((1, 4, 48), candle_core::DType::F32, &Device::Cpu)?;
//! let mut dream = Dream::from_latents(&model, &first, &[0.0], "open the drawer", Seed::root(1))?;
//! let imagined = model.imagine(vec![(&mut dream, &[0.1; 20])], Routing::Learned)?;
//! assert_eq!(imagined[0].success.len(), 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod checkpoint;
mod comparison;
pub mod conditions;
pub mod config;
pub mod counterfactual;
pub mod device;
pub mod error;
pub mod expert;
pub mod experts;
pub mod fidelity;
pub mod filmstrip;
pub mod flow;
pub mod forecast;
pub mod foresight;
pub mod futures;
pub mod instruction;
pub mod judge;
pub mod judged;
mod known;
pub mod metrics;
pub mod model;
pub mod nn;
pub mod partition;
pub mod perception;
mod replay;
pub mod rollout;
pub mod router;
pub mod routing;
pub mod state_model;
pub mod statistics;
pub mod t5;
pub mod tokenizer;
pub mod train;
pub mod world;

pub use error::{ModelError, Result};
