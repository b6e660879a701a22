//! Video metrics against scikit-image, NumPy and SciPy.

use ndarray::{Array2, Array3};
use rehearse_scoring::video::{
    FlowOptions, SsimOptions, frechet_distance, horn_schunck, kernel_distance, psnr, ssim,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    similarity: Vec<Similarity>,
    flow: Vec<FlowCase>,
    distances: Vec<Distance>,
}

#[derive(Deserialize)]
struct Similarity {
    shape: [usize; 3],
    kinds: [usize; 2],
    seeds: [u64; 2],
    psnr: Option<f64>,
    ssim: f64,
    ssim_wang: f64,
}

#[derive(Deserialize)]
struct FlowCase {
    shape: [usize; 3],
    kind: usize,
    seeds: [u64; 2],
    right: Vec<f64>,
    down: Vec<f64>,
    stride: usize,
}

#[derive(Deserialize)]
struct Distance {
    seeds: [u64; 2],
    sizes: [usize; 3],
    shift: f64,
    frechet: f64,
    kernel: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/video.json")).unwrap()
}

/// The top bytes of Knuth's MMIX generator, as the generator script draws them.
fn noise(seed: u64) -> impl Iterator<Item = i64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as i64
    })
}

/// The frames of the generator script.
fn frame([height, width, channels]: [usize; 3], kind: usize, seed: u64) -> Array3<u8> {
    let mut noise = noise(seed);
    Array3::from_shape_fn((height, width, channels), |(y, x, c)| {
        let value = noise.next().unwrap_or_default();
        let (y, x, c) = (y as i64, x as i64, c as i64);
        let pixel = match kind {
            0 => value,
            1 => (y * 3 + x * 2 + c * 10) % 200 + value / 16,
            _ => {
                let square = (y - height as i64 / 2).pow(2) + (x - width as i64 / 2).pow(2);
                (220 - 2 * square).max(0) + value / 32
            }
        };
        pixel as u8
    })
}

#[test]
fn psnr_and_ssim_are_scikit_images() {
    let cases = fixture().similarity;
    assert!(cases.len() >= 200);
    for (index, case) in cases.iter().enumerate() {
        let [truth, predicted] =
            [0, 1].map(|side| frame(case.shape, case.kinds[side], case.seeds[side]));
        let got = psnr(&truth, &predicted).unwrap();
        match case.psnr {
            Some(expected) => assert!((got - expected).abs() < 1e-8, "case {index}: PSNR {got}"),
            None => assert_eq!(got, f64::INFINITY, "case {index}"),
        }
        for (options, expected) in
            [(SsimOptions::default(), case.ssim), (SsimOptions::wang(), case.ssim_wang)]
        {
            let got = ssim(&truth, &predicted, &options).unwrap();
            assert!((got - expected).abs() < 1e-8, "case {index}: SSIM {got}, not {expected}");
        }
    }
}

#[test]
fn flow_is_that_of_the_paper() {
    for case in fixture().flow {
        let [first, second] = case.seeds.map(|seed| frame(case.shape, case.kind, seed));
        let options = FlowOptions { alpha: 10.0, iterations: 30 };
        let flow = horn_schunck(&first, &second, &options).unwrap();
        for (got, expected) in [(&flow.right, &case.right), (&flow.down, &case.down)] {
            for (got, expected) in got.iter().step_by(case.stride).zip(expected) {
                assert!((got - expected).abs() < 1e-9, "{got}, not {expected}");
            }
        }
    }
}

#[test]
fn feature_distances_are_scipys() {
    for case in fixture().distances {
        let [n, m, d] = case.sizes;
        let features = |seed, count| {
            let mut noise = noise(seed);
            Array2::from_shape_fn((count, d), |_| noise.next().unwrap_or_default() as f64 / 64.0)
        };
        let truth = features(case.seeds[0], n);
        let predicted = features(case.seeds[1], m) * 1.1 + case.shift;
        let frechet = frechet_distance(&truth, &predicted).unwrap();
        assert!((frechet - case.frechet).abs() < 1e-7, "{frechet}, not {}", case.frechet);
        let kernel = kernel_distance(&truth, &predicted).unwrap();
        assert!((kernel / case.kernel - 1.0).abs() < 1e-9, "{kernel}, not {}", case.kernel);
    }
}
