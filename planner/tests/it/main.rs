//! Searches on problems whose answer is known.

mod linear_quadratic;
mod relations;
