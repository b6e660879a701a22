//! Benchmarks of the crate, one target: `cargo bench -p rehearse-scoring -- trial_table`

use criterion::{criterion_group, criterion_main};

mod topics {
    pub mod trial_table;
}

criterion_group!(scoring, topics::trial_table::benches);
criterion_main!(scoring);
