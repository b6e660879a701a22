//! Policies behind the servers of other projects, and ours behind openpi's protocol.
//!
//! [`connect`] makes a [`Policy`](rehearse_scenarios::interface::Policy) of a running server, as
//! its [`Manifest`] says:
//!
//! | dialect | server | address |
//! |---|---|---|
//! | `openpi` | openpi's `serve_policy.py` | `ws://host:8000` |
//! | `roboarena` | `RoboArena`'s variant of it | `ws://host:8000` |
//! | `vllm_omni` | `vllm serve --omni` | `ws://host:8000/v1/realtime/robot/openpi` |
//! | `groot_n15`, `groot_n16` | Isaac-GR00T's inference server | `tcp://host:5555` |
//! | `vla_eval` | AI2's vla-eval model server | `ws://host:8000` |
//! | `rest`, `rest_double_encoded` | `OpenVLA`, `AutoEval` | `http://host:8000/act` |
//!
//! [`OpenpiServer`] is the other direction. LeRobot's asynchronous inference is spoken by the
//! Python package's `rehearse_bridge.lerobot`: its messages are pickles, which are not read here.
//!
//! Nothing is encrypted by these protocols: beyond one machine, put a tunnel in front.

mod check;
mod convert;
mod error;
mod groot;
mod groot_config;
mod manifest;
mod message;
mod npy;
mod openpi;
mod openpi_server;
mod part;
mod picture;
mod remote;
mod rest;
mod rotation;
mod server;
mod sessions;
mod vla_eval;
mod websocket;

pub use convert::{Converter, Held, Item, Request, Table};
pub use error::AdapterError;
pub use manifest::{
    Constant, Dialect, FloatType, GripperCommand, ImageFacts, Layout, Manifest, Memory,
    Normalization, PartFacts, Resize, ServerFacts, VectorFacts,
};
pub use openpi_server::OpenpiServer;
pub use picture::Picture;
pub use remote::AdapterPolicy;
pub use rotation::{Antipode, EulerOrder, NoRotation, Notation, Quaternion, SixDLayout};
pub use server::connect;
