//! Imagined frames per second, beside the matrix-product floor of the same machine and run.
//!
//! `rollout/cpu/batch-N`: one chunk of 8 frames for N trials, decoding included, at the sizes of
//! the default config (64×64, 4 flow steps). `matmul/cpu`: the rate that products of the model's
//! own shape reach.

use std::hint::black_box;

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rehearse_scenarios::embodiment::{Camera, Channel, Embodiment};
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::Rate;
use rehearse_world_model::config::ModelConfig;
use rehearse_world_model::model::WorldModel;
use rehearse_world_model::nn::Variables;
use rehearse_world_model::rollout::Dream;
use rehearse_world_model::routing::Routing;

const FRAMES: usize = 8;

fn model() -> WorldModel {
    let names = |names: &[&str]| names.iter().map(|&name| Channel::named(name)).collect();
    let rig = Embodiment {
        robot: None,
        rate: Rate::from_hz(40.0).expect("40 Hz is a rate"),
        cameras: vec![Camera { name: "front".into(), height: 64, width: 64 }],
        proprioception: names(&["x", "y", "z", "gripper"]),
        actions: names(&["dx", "dy", "dz", "gripper"]),
    };
    let variables = Variables::new(Seed::root(0));
    WorldModel::new(&ModelConfig::default(), &rig, &variables.builder(&Device::Cpu, &[]))
        .expect("the default model fits the rig")
}

fn rollout(criterion: &mut Criterion) {
    let model = model();
    let config = &model.config;
    let shape = (1, model.tokenizer.patches(), config.tokens.coefficients);
    let first = Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("a small tensor");
    let actions = [0.1; FRAMES * 4];
    let mut group = criterion.benchmark_group("rollout/cpu");
    for batch in [1, 16] {
        let dreams = (0..batch)
            .map(|i| {
                Dream::from_latents(&model, &first, &[0.0; 4], "open the drawer", Seed::root(i))
                    .expect("the first frame fits")
            })
            .collect::<Vec<_>>();
        group.throughput(Throughput::Elements(batch * FRAMES as u64));
        group.bench_function(format!("batch-{batch}"), |bencher| {
            bencher.iter(|| {
                let mut dreams = dreams.clone();
                let trials = dreams.iter_mut().map(|dream| (dream, actions.as_slice())).collect();
                let made = model.imagine(trials, Routing::Learned).expect("sizes fit");
                let latents = made.iter().map(|trial| &trial.latents).collect::<Vec<_>>();
                let all = Tensor::cat(&latents, 0).expect("sizes fit");
                black_box(model.tokenizer.decode(&all).expect("sizes fit"))
            });
        });
    }
    group.finish();
}

fn matmul(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matmul/cpu");
    for (rows, inner, columns) in [(512, 256, 1024), (32, 256, 1024), (512, 1024, 256)] {
        let draw = |shape| Tensor::randn(0.0_f32, 1.0, shape, &Device::Cpu).expect("small");
        let (a, b) = (draw((rows, inner)), draw((inner, columns)));
        group.throughput(Throughput::Elements((2 * rows * inner * columns) as u64));
        group.bench_function(format!("{rows}x{inner}x{columns}"), |bencher| {
            bencher.iter(|| black_box(a.matmul(&b).expect("sizes fit")));
        });
    }
    group.finish();
}

criterion_group!(benches, rollout, matmul);
criterion_main!(benches);
