//! Statistics of features, per episode and over a dataset, as LeRobot stores them.
//!
//! Source: `compute_stats.py` of huggingface/lerobot 0.4.4. It takes quantiles from a histogram of
//! 5,000 bins; here they are exact, with linear interpolation between ranks. Over several episodes
//! both average the episodes' quantiles, weighted by their frames.

use ndarray::{Array2, Axis};
use serde_json::{Value, json};

use super::feature::Feature;
use crate::observation::Image;

/// The quantiles that are stored, and their names.
pub(super) const QUANTILES: [(f64, &str); 5] =
    [(0.01, "q01"), (0.10, "q10"), (0.50, "q50"), (0.90, "q90"), (0.99, "q99")];

/// Statistics of one feature: a value per dimension, or per channel of an image in [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stats {
    pub(super) count: u64,
    pub(super) min: Vec<f64>,
    pub(super) max: Vec<f64>,
    pub(super) mean: Vec<f64>,
    /// Mean squared distance from the mean; `std` is its root.
    variance: Vec<f64>,
    quantiles: [Vec<f64>; QUANTILES.len()],
}

impl Stats {
    /// Statistics of `(frames, dimensions)` values, at least one frame.
    pub(super) fn of(values: &Array2<f64>) -> Self {
        let columns: Vec<_> =
            values.axis_iter(Axis(1)).map(|column| Summary::of(column.to_vec())).collect();
        let collect = |field: fn(&Summary) -> f64| columns.iter().map(field).collect();
        Self {
            count: values.nrows() as u64,
            min: collect(|column| column.min),
            max: collect(|column| column.max),
            mean: collect(|column| column.mean),
            variance: collect(|column| column.variance),
            quantiles: std::array::from_fn(|q| {
                columns.iter().map(|column| column.quantiles[q]).collect()
            }),
        }
    }

    /// Adds the frames of another episode.
    pub(super) fn merge(&mut self, other: &Self) {
        let (a, b) = (self.count as f64, other.count as f64);
        let total = a + b;
        for (dimension, &mean) in other.mean.iter().enumerate() {
            let gap = mean - self.mean[dimension];
            self.mean[dimension] += gap * b / total;
            self.variance[dimension] = (self.variance[dimension] * a
                + other.variance[dimension] * b
                + gap * gap * a * b / total)
                / total;
            self.min[dimension] = self.min[dimension].min(other.min[dimension]);
            self.max[dimension] = self.max[dimension].max(other.max[dimension]);
            for (mine, theirs) in self.quantiles.iter_mut().zip(&other.quantiles) {
                mine[dimension] = (mine[dimension] * a + theirs[dimension] * b) / total;
            }
        }
        self.count += other.count;
    }

    /// The statistics by name, all but the count.
    pub(super) fn named(&self) -> Vec<(&'static str, Vec<f64>)> {
        let std = self.variance.iter().map(|variance| variance.sqrt()).collect();
        let mut named = vec![
            ("min", self.min.clone()),
            ("max", self.max.clone()),
            ("mean", self.mean.clone()),
            ("std", std),
        ];
        named
            .extend(QUANTILES.iter().zip(&self.quantiles).map(|(&(_, name), q)| (name, q.clone())));
        named
    }

    /// As it stands in `stats.json`; per-channel values of images are `(3, 1, 1)`.
    pub(super) fn to_json(&self, feature: &Feature) -> Value {
        let mut object: serde_json::Map<_, _> = self
            .named()
            .into_iter()
            .map(|(name, values)| {
                let values = if feature.is_camera() {
                    json!(values.iter().map(|value| [[value]]).collect::<Vec<_>>())
                } else {
                    json!(values)
                };
                (name.to_owned(), values)
            })
            .collect();
        object.insert("count".to_owned(), json!([self.count]));
        Value::Object(object)
    }
}

/// Statistics of one dimension.
struct Summary {
    min: f64,
    max: f64,
    mean: f64,
    variance: f64,
    quantiles: [f64; QUANTILES.len()],
}

impl Summary {
    fn of(mut sorted: Vec<f64>) -> Self {
        sorted.sort_unstable_by(f64::total_cmp);
        let count = sorted.len().max(1) as f64;
        let mean = sorted.iter().sum::<f64>() / count;
        let at = |rank: usize| sorted.get(rank).copied().unwrap_or(f64::NAN);
        Self {
            min: at(0),
            max: at(sorted.len().saturating_sub(1)),
            mean,
            variance: sorted.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count,
            quantiles: QUANTILES.map(|(q, _)| {
                let rank = q * (count - 1.0);
                let (low, high) = (at(rank.floor() as usize), at(rank.ceil() as usize));
                low + (high - low) * rank.fract()
            }),
        }
    }
}

/// The pixels of one camera over one episode, counted by channel and value.
#[derive(Clone, Debug)]
pub(super) struct PixelCounts {
    frames: u64,
    counts: Box<[[u64; 256]; 3]>,
}

/// Images with a longer side are sampled down to about half of it, as LeRobot does.
const SAMPLED_FROM_SIDE: u32 = 300;
const SAMPLED_SIDE: u32 = 150;

impl PixelCounts {
    /// No pixels yet.
    pub(super) fn new() -> Self {
        Self { frames: 0, counts: Box::new([[0; 256]; 3]) }
    }

    /// Counts the pixels of a frame.
    pub(super) fn add(&mut self, image: &Image) {
        let side = image.height().max(image.width());
        let stride = if side < SAMPLED_FROM_SIDE { 1 } else { (side / SAMPLED_SIDE) as usize };
        self.frames += 1;
        for row in image.pixels().chunks_exact(image.width() as usize * 3).step_by(stride) {
            for pixel in row.chunks_exact(3).step_by(stride) {
                for (counts, &value) in self.counts.iter_mut().zip(pixel) {
                    counts[usize::from(value)] += 1;
                }
            }
        }
    }

    /// Statistics per channel, in [0, 1]. The count is that of frames.
    pub(super) fn stats(&self) -> Stats {
        let channels: Vec<_> = self.counts.iter().map(summary_of_counts).collect();
        let collect =
            |field: fn(&Summary) -> f64| channels.iter().map(|c| field(c) / 255.0).collect();
        Stats {
            count: self.frames,
            min: collect(|channel| channel.min),
            max: collect(|channel| channel.max),
            mean: collect(|channel| channel.mean),
            variance: channels.iter().map(|c| c.variance / (255.0 * 255.0)).collect(),
            quantiles: std::array::from_fn(|q| {
                channels.iter().map(|channel| channel.quantiles[q] / 255.0).collect()
            }),
        }
    }
}

fn summary_of_counts(counts: &[u64; 256]) -> Summary {
    let pixels = || (0_u32..).zip(counts).filter(|&(_, &n)| n > 0).map(|(v, &n)| (f64::from(v), n));
    let total: u64 = counts.iter().sum();
    let sum = |term: &dyn Fn(f64) -> f64| {
        pixels().map(|(value, n)| term(value) * n as f64).sum::<f64>() / total.max(1) as f64
    };
    let mean = sum(&|value| value);
    let value_at = |rank: u64| {
        let mut seen = 0;
        pixels()
            .find(|&(_, n)| {
                seen += n;
                seen > rank
            })
            .map_or(f64::NAN, |(value, _)| value)
    };
    Summary {
        min: value_at(0),
        max: value_at(total.saturating_sub(1)),
        mean,
        variance: sum(&|value| (value - mean).powi(2)),
        quantiles: QUANTILES.map(|(q, _)| {
            let rank = q * total.saturating_sub(1) as f64;
            let (low, high) = (value_at(rank.floor() as u64), value_at(rank.ceil() as u64));
            low + (high - low) * rank.fract()
        }),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{array, concatenate};

    use super::*;

    #[test]
    fn small_numbers_by_hand() {
        let stats = Stats::of(&array![[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [6.0, 5.0]]);
        assert_eq!(
            (stats.count, &stats.min[..], &stats.max[..]),
            (4, &[1.0, 5.0][..], &[6.0, 5.0][..])
        );
        assert_eq!(stats.mean, [3.0, 5.0]);
        assert_eq!(stats.variance, [3.5, 0.0]);
        assert_eq!(stats.quantiles[2], [2.5, 5.0]);
    }

    #[test]
    fn two_episodes_merged_are_one_episode_of_both() {
        let first = array![[1.0], [2.0], [4.0]];
        let second = array![[-3.0], [7.0]];
        let mut merged = Stats::of(&first);
        merged.merge(&Stats::of(&second));
        let whole = Stats::of(&concatenate![Axis(0), first, second]);
        assert_eq!((merged.count, &merged.min, &merged.max), (whole.count, &whole.min, &whole.max));
        assert!((merged.mean[0] - whole.mean[0]).abs() < 1e-12);
        assert!((merged.variance[0] - whole.variance[0]).abs() < 1e-12);
    }

    #[test]
    fn pixels_are_counted_per_channel() {
        let mut pixels = PixelCounts::new();
        pixels.add(&Image::from_rgb(1, 2, vec![0, 10, 255, 51, 10, 255]).unwrap());
        let stats = pixels.stats();
        assert_eq!(stats.count, 1);
        assert_eq!(stats.min, [0.0, 10.0 / 255.0, 1.0]);
        assert_eq!(stats.mean, [0.1, 10.0 / 255.0, 1.0]);
        assert_eq!(stats.quantiles[2][0], 0.1);
    }
}
