//! What a message may hold.

/// The version of the protocol that this crate speaks.
pub const VERSION: u64 = 1;

/// Longest instruction, message or task name in bytes.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Bounds on what one message may hold. A message beyond them is refused before it is read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a payload. Default 64 MiB.
    pub bytes: usize,
    /// Most values (numbers, strings, arrays, maps) in a message. Default 262 144, which bounds
    /// what a decoded message takes beside its own bytes to about 16 MiB.
    pub values: usize,
    /// Deepest nesting of arrays and maps. Default 32.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, values: 262_144, depth: 32 }
    }
}
