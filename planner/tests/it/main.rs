//! Searches on problems whose answer is known.

#![expect(clippy::unwrap_used, reason = "a helper that fails has failed its test")]

mod linear_quadratic;
mod relations;
