//! Speed of the parts that read and write much data: `cargo bench -p rehearse-scenarios`.
//!
//! Figures are for the machine that they are taken on; `tools/bench_video.py` compares with PyAV.

mod video;

criterion::criterion_main!(video::group);
