//! End-to-end tests, most of them through the binary.

#![expect(clippy::unwrap_used, reason = "a helper that fails has failed its test")]

mod architecture;
mod clone;
mod fidelity;
mod judged;
mod logs;
mod place;
mod plan;
mod run;
mod scoring;
mod support;
mod train;
