//! The bridge over real zenoh sessions on loopback.

mod net;
mod remote;
