//! Random streams of resamples: one per resample, addressed by its number.

use rayon::prelude::*;
use rehearse_scenarios::seed::Seed;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Resamples per unit of parallel work.
const CHUNK: usize = 64;

/// `SplitMix64` (Steele, Lea and Flood 2014), started at a place of its own for every resample.
///
/// A cryptographic generator would take most of the time of a bootstrap; the seed itself comes from
/// the seed tree.
#[derive(Clone, Debug)]
pub(crate) struct Stream(u64);

impl Stream {
    /// The stream of resample `number` under `key`.
    pub(crate) fn new(key: u64, number: u64) -> Self {
        Self(mix(key ^ mix(number.wrapping_mul(GOLDEN).wrapping_add(GOLDEN))))
    }

    /// 64 uniform bits.
    #[inline]
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A uniform index below `bound` (at least 1), without bias (Lemire 2019).
    #[inline]
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        loop {
            if let Some(index) = scale(self.bits() as u32, bound) {
                return index;
            }
        }
    }

    /// Fills `indices` with uniform indices below `bound` (at least 1), two to a draw.
    #[inline]
    pub(crate) fn fill(&mut self, bound: u32, indices: &mut [u32]) {
        let mut pairs = indices.chunks_exact_mut(2);
        for pair in &mut pairs {
            let bits = self.bits();
            // A rejection has odds of at most bound / 2³²; the slow path then draws anew.
            pair[0] = scale(bits as u32, bound).unwrap_or_else(|| self.below(bound));
            pair[1] = scale((bits >> 32) as u32, bound).unwrap_or_else(|| self.below(bound));
        }
        for index in pairs.into_remainder() {
            *index = self.below(bound);
        }
    }

    /// The sum of `count` values drawn uniformly from the first `bound` of `table`, whose length is
    /// a power of two.
    ///
    /// A word yields as many places as leave it 16 bits to spare, so that no place is favoured by
    /// more than 2⁻¹⁶ of its odds: it would take billions of resamples to notice.
    #[inline]
    pub(crate) fn sum_of(&mut self, table: &[f64], bound: usize, count: usize) -> f64 {
        match bound {
            0..=64 => self.sum_by::<8>(table, bound, count),
            65..=4_096 => self.sum_by::<4>(table, bound, count),
            4_097..=65_536 => self.sum_by::<3>(table, bound, count),
            _ => self.sum_by::<1>(table, bound, count),
        }
    }

    /// [`sum_of`](Self::sum_of) with `PLACES` places from a word: each is the whole part of the
    /// word as a fraction times the bound, and the fraction that is left gives the next.
    #[inline]
    fn sum_by<const PLACES: usize>(&mut self, table: &[f64], bound: usize, count: usize) -> f64 {
        let bound = bound as u128;
        // A place is below the bound, and so below the table's length: the mask changes nothing,
        // but lets the compiler see it.
        let mask = table.len() - 1;
        let draw = |fraction: &mut u64| {
            let product = u128::from(*fraction) * bound;
            *fraction = product as u64;
            table[(product >> 64) as usize & mask]
        };
        let mut sums = [0.0_f64; PLACES];
        for _ in 0..count / PLACES {
            let mut fraction = self.bits();
            for sum in &mut sums {
                *sum += draw(&mut fraction);
            }
        }
        if !count.is_multiple_of(PLACES) {
            let mut fraction = self.bits();
            for sum in &mut sums[..count % PLACES] {
                *sum += draw(&mut fraction);
            }
        }
        sums.iter().sum()
    }
}

/// The value of `statistic` for each of `resamples` streams, in order of their numbers.
///
/// `scratch` makes the buffer that a worker reuses from resample to resample.
pub(crate) fn replicate<S, F>(
    resamples: usize,
    seed: Seed,
    scratch: impl Fn() -> S + Sync + Send,
    statistic: F,
) -> Vec<f64>
where
    F: Fn(&mut Stream, &mut S) -> f64 + Sync + Send,
{
    let key = seed.to_u64();
    let mut values = vec![0.0; resamples];
    values.par_chunks_mut(CHUNK).enumerate().for_each_init(&scratch, |scratch, (chunk, values)| {
        for (place, value) in values.iter_mut().enumerate() {
            let number = (chunk * CHUNK + place) as u64;
            *value = statistic(&mut Stream::new(key, number), scratch);
        }
    });
    values
}

/// The sums of `parts` over each of `resamples` streams: part by part for a block of resamples, so
/// that what a part looks up stays near.
pub(crate) fn replicate_sums<P: Sync>(
    resamples: usize,
    seed: Seed,
    parts: &[P],
    draw: impl Fn(&P, &mut Stream) -> f64 + Sync + Send,
) -> Vec<f64> {
    let key = seed.to_u64();
    let mut sums = vec![0.0; resamples];
    sums.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, sums)| {
        let mut streams: Vec<Stream> =
            (0..sums.len()).map(|place| Stream::new(key, (chunk * CHUNK + place) as u64)).collect();
        for part in parts {
            for (sum, stream) in sums.iter_mut().zip(&mut streams) {
                *sum += draw(part, stream);
            }
        }
    });
    sums
}

/// Maps 32 uniform bits to an index below `bound`, or `None` where that would favour some.
#[inline]
fn scale(bits: u32, bound: u32) -> Option<u32> {
    let product = u64::from(bits) * u64::from(bound);
    let low = product as u32;
    // The exact threshold takes a division, which this comparison nearly always avoids.
    if low < bound && low < bound.wrapping_neg() % bound {
        return None;
    }
    Some((product >> 32) as u32)
}

#[inline]
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs for seed 1234567, as Rosetta Code prints them.
        let mut stream = Stream(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| stream.bits()).collect();
        assert_eq!(
            got,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn indices_are_uniform() {
        let mut counts = [0_u64; 7];
        let mut indices = [0_u32; 7];
        for number in 0..10_000 {
            Stream::new(3, number).fill(7, &mut indices);
            for index in indices {
                counts[index as usize] += 1;
            }
        }
        // χ² with 6 degrees of freedom: 22.5 is its 99.9 % point.
        let expected = 10_000.0;
        let chi2: f64 = counts.iter().map(|&c| (c as f64 - expected).powi(2) / expected).sum();
        assert!(chi2 < 22.5, "counts {counts:?} have chi-square {chi2}");
    }

    #[test]
    fn streams_of_neighbouring_resamples_differ() {
        let first = Stream::new(1, 0).bits();
        assert_ne!(first, Stream::new(1, 1).bits());
        assert_ne!(first, Stream::new(2, 0).bits());
    }

    #[test]
    fn replicates_do_not_depend_on_threads() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| replicate(1_000, Seed::root(5), || (), |s, ()| s.bits() as f64))
        };
        assert_eq!(run(1), run(3));
    }
}
