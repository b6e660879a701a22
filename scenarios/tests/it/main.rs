//! Integration tests: one module per part of the crate.

mod log;
mod video;
