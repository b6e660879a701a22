//! Why bytes were refused.

/// Why a message was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The message ends before what it claims.
    #[error("message is truncated: {claimed} bytes claimed at byte {at}, {left} left")]
    Truncated {
        /// Bytes (or, for arrays and maps, at least as many bytes) that the message claims.
        claimed: u64,
        /// Bytes that are left.
        left: usize,
        /// Where the claim stands, in bytes from the start.
        at: usize,
    },
    /// The message goes on after its end.
    #[error("message has {count} bytes after its end")]
    TrailingBytes {
        /// Surplus bytes.
        count: usize,
    },
    /// More of something than is allowed.
    #[error("{what} of {got} is above the limit of {limit}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The most that is allowed.
        limit: usize,
        /// What was found.
        got: u64,
    },
    /// A MessagePack type that the protocol does not use.
    #[error("MessagePack type 0x{marker:02x} at byte {at} is not used by the protocol")]
    Unsupported {
        /// First byte of the value.
        marker: u8,
        /// Where it stands, in bytes from the start.
        at: usize,
    },
    /// A map key that is neither a string nor binary.
    #[error("map key at byte {at} is neither a string nor binary")]
    Key {
        /// Where it stands, in bytes from the start.
        at: usize,
    },
    /// The same key twice in one map.
    #[error("key {key:?} appears twice in one map")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A string that is not UTF-8.
    #[error("string at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where it stands, in bytes from the start.
        at: usize,
    },
    /// A field that must be there is not.
    #[error("field {field:?} is missing")]
    Missing {
        /// Name of the field.
        field: String,
    },
    /// A field holds something else than it must.
    #[error("field {field:?} must be {expected}, got {got}")]
    Field {
        /// Name of the field.
        field: String,
        /// What it must hold.
        expected: String,
        /// What it holds.
        got: String,
    },
}

impl WireError {
    /// A field that holds something else than it must.
    pub fn field(
        field: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self::Field { field: field.into(), expected: expected.into(), got: got.into() }
    }
}
