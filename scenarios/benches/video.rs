//! Decoding and encoding of a camera of 128×128 pixels.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use rand::Rng as _;
use rehearse_scenarios::observation::Image;
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::Rate;
use rehearse_scenarios::video::{Codec, VideoReader, VideoSettings, VideoWriter};

const SIDE: u32 = 128;
const FRAMES: usize = 1024;

criterion_group!(name = group; config = Criterion::default().sample_size(10); targets = decode, encode);

/// Shades that drift over a fixed texture, as a camera that does not move sees them.
fn scene(frames: usize) -> Vec<Image> {
    let mut rng = Seed::root(5).rng();
    let texture: Vec<u8> = (0..SIDE * SIDE * 3).map(|_| rng.random_range(0..24)).collect();
    let image = |frame: usize| {
        let shade = |index: usize| (index / 3 % SIDE as usize + index / 384 + 2 * frame) as u8;
        let pixels: Vec<u8> =
            texture.iter().enumerate().map(|(i, &grain)| shade(i) / 2 + grain).collect();
        Image::from_rgb(SIDE, SIDE, pixels).expect("the size is that of the texture")
    };
    (0..frames).map(image).collect()
}

fn write(path: &Path, codec: Codec, images: &[Image]) {
    let rate = Rate::from_hz(40.0).expect("40 Hz is a rate");
    let settings = VideoSettings { codec, ..VideoSettings::new(SIDE, SIDE, rate) };
    let mut writer = VideoWriter::create(path, settings).expect("the folder is ours");
    for image in images {
        writer.push(image).expect("the image fits");
    }
    writer.finish().expect("the folder is ours");
}

fn decode(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("camera.mp4");
    let images = scene(FRAMES);
    let mut group = criterion.benchmark_group("video/decode");
    for codec in [Codec::Av1, Codec::H264] {
        write(&path, codec.clone(), &images);
        let reader = VideoReader::open(&path).expect("the file is whole");
        group.throughput(Throughput::Elements(FRAMES as u64));
        group.bench_function(BenchmarkId::new("sequential", &codec), |bencher| {
            bencher.iter(|| {
                let frames = reader.decode_range(0..FRAMES).expect("the range is whole");
                frames.for_each(|frame| drop(black_box(frame.expect("the file is whole"))));
            });
        });
        group.throughput(Throughput::Elements(1000));
        group.bench_function(BenchmarkId::new("random_1000", &codec), |bencher| {
            let mut rng = Seed::root(9).rng();
            let order: Vec<usize> = (0..1000).map(|_| rng.random_range(0..FRAMES)).collect();
            bencher.iter(|| {
                for &index in &order {
                    black_box(reader.frame(index).expect("the file is whole"));
                }
            });
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("camera.mp4");
    let images = scene(128);
    let mut group = criterion.benchmark_group("video/encode");
    group.throughput(Throughput::Elements(images.len() as u64));
    for codec in [Codec::Av1, Codec::H264] {
        group.bench_function(BenchmarkId::from_parameter(&codec), |bencher| {
            bencher.iter(|| write(&path, codec.clone(), &images));
        });
    }
    group.finish();
}
