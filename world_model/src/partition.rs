//! The action-guided partition of an episode into chunks of one to four base chunks.
//!
//! LongScape, §3.2 and Algorithm 1. Three points that the paper leaves open are decided here:
//! - *A gripper change in the first base chunk of a candidate* (line 7 with n = 1): the first
//!   n - 1 = 0 base chunks are nothing, so the base chunk stands alone.
//! - *A tail shorter than a base chunk* is a chunk of its own and never part of a longer one, so
//!   that every other chunk is a whole number of base chunks. A rollout generates it whole with
//!   the shortest expert and cuts it.
//! - *α* is 0.5 unless configured, as in the released code (`scripts/chunk_split.py`).
//!
//! The range of motion within a chunk is taken over the chunk's own frames. A gripper change
//! belongs to the frame that shows the new state, also when the frame before lies in the chunk
//! before.

use crate::error::{ModelError, Result};

/// Frames in a base chunk.
pub const BASE_CHUNK: usize = 8;
/// Most base chunks in a chunk; also the number of experts.
pub const MAX_BASE_CHUNKS: usize = 4;

/// A run of frames that is generated at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its first frame.
    pub start: usize,
    /// Its frames: 8, 16, 24 or 32, or fewer than 8 for the tail of an episode.
    pub frames: usize,
}

impl Chunk {
    /// The expert that generates it, from 0: its number of base chunks less one.
    pub fn expert(self) -> usize {
        self.frames.div_ceil(BASE_CHUNK).saturating_sub(1)
    }
}

/// What the partition looks at, frame by frame.
#[derive(Clone, Copy, Debug)]
pub struct Motion<'a> {
    /// Positions of the hand, `(frames, dimensions)`, row by row, in any unit.
    pub positions: &'a [f32],
    /// Values per frame in `positions`.
    pub dimensions: usize,
    /// State of the grippers at each frame, a bit each: equal values are the same state.
    pub gripper: &'a [u64],
}

/// The range that each dimension covers over a whole episode: max - min.
///
/// # Errors
/// [`ModelError::NotFinite`] on NaN or an infinity.
pub fn amplitudes(positions: &[f32], dimensions: usize) -> Result<Vec<f32>> {
    check_finite(positions)?;
    Ok((0..dimensions).map(|d| range(positions, dimensions, d, 0, usize::MAX)).collect())
}

/// Cuts an episode into chunks; `alpha` is the fraction of each dimension's amplitude over the
/// episode that counts as substantial motion, in (0, 1).
///
/// # Errors
/// [`ModelError::Size`] if the lengths disagree, [`ModelError::NotFinite`] on NaN.
///
/// ```
/// use rehearse_world_model::partition::{Chunk, Motion, partition};
///
/// // Sixteen frames at rest, then eight that cover the whole range.
/// let mut positions = vec![0.0; 16];
/// positions.extend((0..8).map(|i| i as f32));
/// let motion = Motion { positions: &positions, dimensions: 1, gripper: &[0; 24] };
/// let chunks = partition(motion, 0.5)?;
/// assert_eq!(chunks, [Chunk { start: 0, frames: 24 }]);
/// # Ok::<(), rehearse_world_model::ModelError>(())
/// ```
pub fn partition(motion: Motion<'_>, alpha: f64) -> Result<Vec<Chunk>> {
    let thresholds = amplitudes(motion.positions, motion.dimensions)?
        .into_iter()
        .map(|amplitude| (alpha * f64::from(amplitude)) as f32)
        .collect::<Vec<_>>();
    partition_by(motion, &thresholds)
}

/// As [`partition`], with a threshold per dimension where the amplitude of the episode is not
/// known, as in a rollout.
///
/// # Errors
/// As [`partition`].
pub fn partition_by(motion: Motion<'_>, thresholds: &[f32]) -> Result<Vec<Chunk>> {
    let Motion { positions, dimensions, gripper } = motion;
    let frames = gripper.len();
    if positions.len() != frames * dimensions || thresholds.len() != dimensions {
        return Err(ModelError::size(
            "motion for the partition",
            format!("{frames} frames × {dimensions} values and as many thresholds"),
            format!("{} values and {} thresholds", positions.len(), thresholds.len()),
        ));
    }
    check_finite(positions)?;
    let moves = |start: usize, end: usize| {
        thresholds
            .iter()
            .enumerate()
            .any(|(d, &threshold)| range(positions, dimensions, d, start, end) > threshold)
    };
    let grips = |start: usize, end: usize| {
        (start.max(1)..end).any(|frame| gripper[frame] != gripper[frame - 1])
    };
    let mut chunks = Vec::new();
    let whole = frames - frames % BASE_CHUNK;
    let mut start = 0;
    while start < whole {
        let most = MAX_BASE_CHUNKS.min((whole - start) / BASE_CHUNK);
        let mut n = 1;
        let taken = loop {
            let end = start + n * BASE_CHUNK;
            if moves(start, end) || n == MAX_BASE_CHUNKS {
                break n;
            }
            if grips(end - BASE_CHUNK, end) {
                if n > 1 {
                    chunks.push(Chunk { start, frames: (n - 1) * BASE_CHUNK });
                    start = end - BASE_CHUNK;
                }
                break 1;
            }
            if n == most {
                break n;
            }
            n += 1;
        };
        chunks.push(Chunk { start, frames: taken * BASE_CHUNK });
        start += taken * BASE_CHUNK;
    }
    if whole < frames {
        chunks.push(Chunk { start: whole, frames: frames - whole });
    }
    Ok(chunks)
}

/// Max - min of dimension `d` over frames `start..end`.
fn range(positions: &[f32], dimensions: usize, d: usize, start: usize, end: usize) -> f32 {
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for frame in positions.chunks_exact(dimensions).take(end).skip(start) {
        low = low.min(frame[d]);
        high = high.max(frame[d]);
    }
    (high - low).max(0.0)
}

fn check_finite(positions: &[f32]) -> Result<()> {
    if positions.iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(ModelError::NotFinite { what: "position for the partition".to_owned(), place: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One dimension; the gripper changes at each frame in `changes`.
    fn cut(positions: &[f32], changes: &[usize]) -> Vec<usize> {
        let mut closed = 0;
        let gripper = (0..positions.len())
            .map(|frame| {
                closed ^= u64::from(changes.contains(&frame));
                closed
            })
            .collect::<Vec<_>>();
        let chunks =
            partition(Motion { positions, dimensions: 1, gripper: &gripper }, 0.5).unwrap();
        let mut next = 0;
        for chunk in &chunks {
            assert_eq!(chunk.start, next, "chunks must tile the episode");
            next += chunk.frames;
        }
        assert_eq!(next, positions.len());
        chunks.into_iter().map(|chunk| chunk.frames).collect()
    }

    /// `frames` frames whose range is 1, all of it in the last base chunk's last frame.
    fn still_then_jump(frames: usize) -> Vec<f32> {
        let mut positions = vec![0.0; frames];
        positions[frames - 1] = 1.0;
        positions
    }

    #[test]
    fn motion_closes_a_chunk() {
        // Range 1, so θ = 0.5; every base chunk of the ramp covers 8 × 0.1 - 0.1 = 0.7.
        let ramp = (0..16).map(|i| 0.1 * i as f32).map(|x| x % 0.8).collect::<Vec<_>>();
        assert_eq!(cut(&ramp, &[]), [8, 8]);
    }

    #[test]
    fn motion_at_the_threshold_is_not_substantial() {
        // Amplitude 2, θ = 1; the first base chunk covers exactly 1.
        let mut positions = vec![0.0; 24];
        positions[7] = 1.0;
        positions[8..16].fill(1.0);
        positions[16..].fill(2.0);
        // The candidate of two base chunks covers 1 as well; that of three covers 2.
        assert_eq!(cut(&positions, &[]), [24]);
    }

    #[test]
    fn rest_runs_to_the_longest_chunk() {
        assert_eq!(cut(&still_then_jump(72), &[]), [32, 32, 8]);
    }

    #[test]
    fn a_gripper_change_stands_alone() {
        // In the third base chunk: the first two form one chunk, the third its own.
        assert_eq!(cut(&still_then_jump(40), &[20]), [16, 8, 16]);
    }

    #[test]
    fn a_gripper_change_in_the_first_base_chunk_leaves_nothing_before_it() {
        assert_eq!(cut(&still_then_jump(24), &[3]), [8, 16]);
    }

    #[test]
    fn a_gripper_change_in_the_fourth_base_chunk_comes_after_the_length_check() {
        assert_eq!(cut(&still_then_jump(40), &[25]), [32, 8]);
    }

    #[test]
    fn motion_comes_before_the_gripper() {
        let mut positions = vec![0.0; 24];
        positions[12] = 1.0;
        assert_eq!(cut(&positions, &[12]), [16, 8]);
    }

    #[test]
    fn a_change_on_the_border_belongs_to_the_frame_that_shows_it() {
        assert_eq!(cut(&still_then_jump(24), &[8]), [8, 8, 8]);
    }

    #[test]
    fn a_tail_is_a_chunk_of_its_own() {
        assert_eq!(cut(&still_then_jump(21), &[]), [16, 5]);
        assert_eq!(cut(&still_then_jump(5), &[]), [5]);
        assert_eq!(cut(&[], &[]), [] as [usize; 0]);
        assert_eq!(Chunk { start: 0, frames: 5 }.expert(), 0);
        assert_eq!(Chunk { start: 0, frames: 32 }.expert(), 3);
    }

    #[test]
    fn an_episode_at_rest_has_no_motion() {
        assert_eq!(cut(&[1.0; 16], &[]), [16]);
    }

    #[test]
    fn each_dimension_has_its_own_threshold() {
        // x covers 10 over the episode, y only 0.1: a motion of 0.09 in y closes the chunk.
        let mut positions = vec![0.0; 48];
        positions[3 * 2 + 1] = 0.09;
        positions[47] = 0.1;
        positions[46] = 10.0;
        let chunks =
            partition(Motion { positions: &positions, dimensions: 2, gripper: &[0; 24] }, 0.5)
                .unwrap();
        assert_eq!(chunks[0], Chunk { start: 0, frames: 8 });
    }

    #[test]
    fn bad_motion_is_refused() {
        let motion = Motion { positions: &[f32::NAN], dimensions: 1, gripper: &[0] };
        assert!(matches!(partition(motion, 0.5), Err(ModelError::NotFinite { .. })));
        let motion = Motion { positions: &[0.0], dimensions: 1, gripper: &[0; 2] };
        assert!(matches!(partition(motion, 0.5), Err(ModelError::Size { .. })));
    }
}
