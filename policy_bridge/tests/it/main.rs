//! The bridge over real zenoh sessions on loopback, and the closed loop on worlds that count.

mod adapter;
mod closed;
mod fuzz;
mod golden;
mod hostile;
mod net;
mod processes;
mod remote;
mod secure;
mod toy;
