//! Video metrics on frames of 64×64 and 256×256.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ndarray::{Array2, Array3};
use rand::Rng as _;
use rehearse_scenarios::seed::Seed;
use rehearse_scoring::video::{
    FlowOptions, SsimOptions, frechet_distance, horn_schunck, psnr, ssim,
};

/// The benchmarks of this topic.
pub fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("video");
    group.sample_size(20);
    let mut rng = Seed::root(3).rng();
    for side in [64, 256] {
        let mut frame = || Array3::from_shape_fn((side, side, 3), |_| rng.random::<u8>());
        let (truth, predicted) = (frame(), frame());
        group.throughput(Throughput::Elements((side * side) as u64));
        group.bench_function(format!("psnr/{side}"), |bencher| {
            bencher.iter(|| black_box(psnr(&truth, &predicted).ok()));
        });
        group.bench_function(format!("ssim/{side}"), |bencher| {
            bencher.iter(|| black_box(ssim(&truth, &predicted, &SsimOptions::default()).ok()));
        });
        group.bench_function(format!("flow/{side}"), |bencher| {
            bencher
                .iter(|| black_box(horn_schunck(&truth, &predicted, &FlowOptions::default()).ok()));
        });
    }
    let mut features = || Array2::from_shape_fn((300, 128), |_| rng.random::<f64>());
    let (truth, predicted) = (features(), features());
    group.throughput(Throughput::Elements(1));
    group.bench_function("frechet/300x128", |bencher| {
        bencher.iter(|| black_box(frechet_distance(&truth, &predicted).ok()));
    });
    group.finish();
}
