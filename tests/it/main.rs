//! End-to-end tests, most of them through the binary.

mod architecture;
mod logs;
mod scoring;
mod support;
