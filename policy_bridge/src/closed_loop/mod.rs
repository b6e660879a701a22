//! The closed loop: policies act in a world, and episodes come out.
//!
//! [`run`] takes a world and several [`Lane`]s, each a policy with its trials. Every lane has a
//! thread of its own, so a slow policy holds up no other; the world is asked by the calling
//! thread, with whatever trials are ready at that moment in one batch.
//!
//! What happens in a trial depends on its seeds alone, not on which trials are in flight beside
//! it or in what order answers arrive: worlds and policies answer each trial on its own
//! ([`interface`](rehearse_scenarios::interface)), and the loop keeps no draw of its own. Only
//! the order in which trials end varies.
//!
//! ```text
//! trials ──► reset ──► observation ──► act ──► chunk ──► (latency) ──► step ──┐
//!                          ▲                                                  │
//!                          └────────────── horizon, success, fault ◄──────────┘
//!                                                 │
//!                                                 ▼
//!                                    episode, handed on as it ends
//! ```

mod driver;
mod error;
mod event;
mod judged;
mod lane;
mod latency;
mod options;
mod projection;
mod rollout;
mod spread;
mod success;
mod summary;
mod trial;
mod worker;

pub use driver::run;
pub use error::{LoopError, ObserverError};
pub use event::{Event, Observer};
pub use judged::JudgedWorld;
pub use latency::{Latency, StaleActions, WhileWaiting};
pub use options::{Cancel, LoopOptions};
pub use success::SuccessRule;
pub use summary::{LaneSummary, Summary};
pub use trial::{Lane, Trial};
