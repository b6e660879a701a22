//! `rehearse record`.

mod arguments;
mod recorder;

pub use arguments::RecordArgs;
