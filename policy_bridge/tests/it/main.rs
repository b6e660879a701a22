//! The bridge over real zenoh sessions on loopback, and the closed loop on worlds that count.

#![expect(clippy::unwrap_used, reason = "a helper that fails has failed its test")]
#![expect(
    clippy::needless_for_each,
    clippy::unnecessary_wraps,
    reason = "short stand-ins of servers"
)]
#![expect(clippy::disallowed_methods, reason = "a channel of a test holds a few messages")]

mod adapter;
mod closed;
mod fuzz;
mod golden;
mod hostile;
mod judged;
mod net;
mod processes;
mod remote;
mod secure;
mod toy;
