//! Permutation tests of a correlation, and the smallest p that they can give.

use rehearse_scenarios::seed::Seed;
use serde::Serialize;

use super::correlation::check_columns;
use super::error::AgreementError;
use crate::bootstrap::{Stream, replicate};

/// Policies up to which every permutation is tried: 9! = 362,880.
const EXACT: usize = 9;

/// Sums of the same products in another order count as equal within this relative distance.
const TIE: f64 = 1e-12;

/// The outcome of a permutation test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Permutation {
    /// One-sided p: the share of permutations that agree at least as well as the data do.
    pub p: f64,
    /// 1/k!: no p of `k` distinct policies is smaller.
    pub floor: f64,
    /// Whether every permutation was tried; if not, `p` is `(hits + 1) / (draws + 1)`.
    pub exact: bool,
}

/// 1/k!, the smallest one-sided p that a permutation test over `k` policies can give.
///
/// ```
/// assert_eq!(rehearse_scoring::agreement::permutation_floor(4), 1.0 / 24.0);
/// ```
pub fn permutation_floor(k: usize) -> f64 {
    1.0 / (1..=k).map(|i| i as f64).product::<f64>()
}

/// One-sided permutation test of a positive correlation.
///
/// `blocks` names for each pair the block within which it may be permuted (all the same for a plain
/// test; the task, to compare policies within tasks). Exact if there is one block of at most 9
/// pairs, else from `draws` random permutations. For Spearman's ρ give ranks.
///
/// # Errors
/// [`AgreementError::Length`], [`AgreementError::TooFew`] below 2 and
/// [`AgreementError::NotFinite`].
pub fn permutation_p(
    real: &[f64],
    imagined: &[f64],
    blocks: &[usize],
    draws: usize,
    seed: Seed,
) -> Result<Permutation, AgreementError> {
    check_columns("a permutation test", real, imagined, 2)?;
    if blocks.len() != real.len() {
        return Err(AgreementError::Length { real: real.len(), imagined: blocks.len() });
    }
    let members = members(blocks);
    let floor = members.iter().map(|block| permutation_floor(block.len())).product();
    // Means and norms do not change under permutation within blocks, so the sum of products ranks
    // permutations as r does.
    let observed = dot(real, imagined);
    let scale = real.iter().zip(imagined).map(|(a, b)| (a * b).abs()).sum::<f64>();
    let threshold = observed - TIE * scale.max(f64::MIN_POSITIVE);
    if members.len() == 1 && real.len() <= EXACT {
        let p = exact_p(real, imagined, threshold);
        return Ok(Permutation { p, floor, exact: true });
    }
    let hits = replicate(
        draws,
        seed,
        || imagined.to_vec(),
        |stream, shuffled| {
            shuffled.copy_from_slice(imagined);
            for block in &members {
                shuffle(stream, block, shuffled);
            }
            f64::from(u8::from(dot(real, shuffled) >= threshold))
        },
    );
    let p = (hits.iter().sum::<f64>() + 1.0) / (draws as f64 + 1.0);
    Ok(Permutation { p, floor, exact: false })
}

/// The share of all permutations whose sum of products reaches `threshold` (Heap's algorithm).
fn exact_p(real: &[f64], imagined: &[f64], threshold: f64) -> f64 {
    let n = imagined.len();
    let mut permuted = imagined.to_vec();
    let mut counters = vec![0_usize; n];
    let (mut hits, mut all) = (u64::from(dot(real, &permuted) >= threshold), 1_u64);
    let mut level = 1;
    while level < n {
        if counters[level] < level {
            permuted.swap(if level % 2 == 0 { 0 } else { counters[level] }, level);
            all += 1;
            hits += u64::from(dot(real, &permuted) >= threshold);
            counters[level] += 1;
            level = 1;
        } else {
            counters[level] = 0;
            level += 1;
        }
    }
    hits as f64 / all as f64
}

/// The places of each block, blocks in the order of their numbers.
fn members(blocks: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|&place| blocks[place]);
    order.chunk_by(|&a, &b| blocks[a] == blocks[b]).map(<[usize]>::to_vec).collect()
}

/// Fisher–Yates over the places of one block.
fn shuffle(stream: &mut Stream, block: &[usize], values: &mut [f64]) {
    for last in (1..block.len()).rev() {
        let other = stream.below(last as u32 + 1) as usize;
        values.swap(block[last], block[other]);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_ranking_of_four_reaches_the_floor() {
        let x = [0.1, 0.4, 0.5, 0.9];
        let got = permutation_p(&x, &x, &[0; 4], 0, Seed::root(0)).unwrap();
        assert_eq!(got, Permutation { p: 1.0 / 24.0, floor: 1.0 / 24.0, exact: true });
    }

    #[test]
    fn the_worst_ranking_has_p_one() {
        let (x, y) = ([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]);
        assert_eq!(permutation_p(&x, &y, &[0; 3], 0, Seed::root(0)).unwrap().p, 1.0);
    }

    #[test]
    fn ties_raise_the_smallest_p() {
        // Two of three are tied: 2 of 6 permutations leave the data as they are.
        let got = permutation_p(&[0.0, 0.0, 1.0], &[0.1, 0.2, 0.3], &[0; 3], 0, Seed::root(0));
        assert!((got.unwrap().p - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn every_permutation_is_tried_once() {
        // p of the middle one of the 3! sums 10, 11, 11, 13, 13, 14.
        let (x, y) = ([1.0, 2.0, 3.0], [2.0, 1.0, 3.0]);
        assert_eq!(permutation_p(&x, &y, &[0; 3], 0, Seed::root(0)).unwrap().p, 0.5);
    }

    #[test]
    fn random_permutations_approach_the_exact_p() {
        let x = [0.3, 0.1, 0.8, 0.5, 0.9, 0.2, 0.7];
        let y = [0.4, 0.3, 0.5, 0.1, 0.8, 0.6, 0.2];
        let exact = permutation_p(&x, &y, &[0; 7], 0, Seed::root(0)).unwrap();
        // A second block of one pair cannot move, but takes the random path.
        let (more_x, more_y) = ([&x[..], &[0.0]].concat(), [&y[..], &[0.0]].concat());
        let blocks = [0, 0, 0, 0, 0, 0, 0, 1];
        let drawn = permutation_p(&more_x, &more_y, &blocks, 50_000, Seed::root(1)).unwrap();
        assert!(exact.exact && !drawn.exact);
        assert!((exact.p - drawn.p).abs() < 0.01, "{exact:?} {drawn:?}");
    }

    #[test]
    fn blocks_keep_tasks_apart() {
        // Within each task the order is reversed, between tasks it agrees.
        let real = [0.1, 0.2, 0.8, 0.9];
        let imagined = [0.2, 0.1, 0.9, 0.8];
        let pooled = permutation_p(&real, &imagined, &[0; 4], 0, Seed::root(0)).unwrap();
        let within = permutation_p(&real, &imagined, &[0, 0, 1, 1], 9_999, Seed::root(0)).unwrap();
        assert!(pooled.p < 0.2 && within.p > 0.9, "{pooled:?} {within:?}");
    }
}
