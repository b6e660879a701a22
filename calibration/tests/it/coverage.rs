//! Intervals cover; the full table is made by `examples/coverage_calibration`.

use rand::Rng as _;
use rehearse_calibration::estimate::{Method, Sample, Tuning, ppi_mean};
use rehearse_scenarios::seed::Seed;

/// Share of 2 000 samples whose score interval holds the truth, rates drawn anew for each.
fn coverage(n: usize, unpaired: usize, copied: f64) -> f64 {
    let runs = 2000;
    let mut rng = Seed::root(11).index(n as u64).rng();
    let covered = (0..runs)
        .filter(|_| {
            let truth = rng.random_range(0.05..0.95);
            let other: f64 = rng.random_range(0.05..0.95);
            let mut draw = |count: usize| -> (Vec<f64>, Vec<f64>) {
                (0..count)
                    .map(|_| {
                        let y = rng.random_bool(truth);
                        let f = if rng.random_bool(copied) { y } else { rng.random_bool(other) };
                        (f64::from(u8::from(y)), f64::from(u8::from(f)))
                    })
                    .unzip()
            };
            let ((y, f), (_, rest)) = (draw(n), draw(unpaired));
            let sample = Sample::new(&y, &f, &rest).unwrap();
            let got = ppi_mean(&sample, Method::Score, Tuning::Plugin, 0.95).unwrap();
            got.interval.contains(truth)
        })
        .count();
    covered as f64 / f64::from(runs)
}

#[test]
fn score_intervals_cover_on_average_at_small_and_large_n() {
    // Three standard errors of 2 000 runs are 1.5 %.
    for (n, copied) in [(10, 0.0), (10, 0.6), (25, 0.6), (100, 0.8)] {
        let share = coverage(n, 300, copied);
        assert!((0.935..=0.985).contains(&share), "n = {n}, copied {copied}: {share}");
    }
}
