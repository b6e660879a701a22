//! How large a table may be.

/// What a reader accepts, so that a wrong or hostile file ends in an error and not in swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows of a table that is read whole. Default 5 million (about 0.5 GB in memory).
    pub rows: u64,
    /// Distinct pairs of policy and task. Default 1 million.
    pub cells: usize,
    /// Bytes of one name or reason. Default 64 KiB.
    pub text: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 5_000_000, cells: 1_000_000, text: 64 * 1024 }
    }
}
