//! Benchmarks of the crate, one target: `cargo bench -p rehearse-scoring -- trial_table`

use criterion::{criterion_group, criterion_main};

mod topics {
    pub mod bootstrap;
    pub mod trial_table;
    pub mod video;
}

criterion_group!(
    scoring,
    topics::bootstrap::benches,
    topics::trial_table::benches,
    topics::video::benches
);
criterion_main!(scoring);
