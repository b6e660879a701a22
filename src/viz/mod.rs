//! Recordings for the rerun viewer.
//!
//! What can be looked at is sent as one recording with its layout, to a file (`.rrd`) or to a
//! viewer that runs. Time is the timeline `time` (seconds of simulated or recorded time), beside
//! `frame`.

mod curves;
mod destination;
mod episode;
mod error;
mod live;
mod plan;
mod rollouts;

pub use curves::Curves;
pub use destination::Destination;
pub use episode::send_log_episode;
pub use error::VizError;
pub use live::Live;
pub use plan::send_plan;
pub use rollouts::send_rollouts;
