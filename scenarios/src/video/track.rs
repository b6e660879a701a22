//! A video track: its codec and the table of its samples.

use std::ops::Range;

use super::Codec;
use super::colour::Colour;

/// A video track.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) codec: Codec,
    pub(super) config: StreamConfig,
    /// The colours that the container and the parameter sets state.
    pub(super) colour: Colour,
    pub(super) height: u32,
    pub(super) width: u32,
    pub(super) samples: SampleTable,
}

/// What decodes a track, and what it needs to start.
#[derive(Clone, Debug)]
pub(super) enum StreamConfig {
    /// The embedded AV1 decoder; the stream carries all it needs.
    Av1,
    /// The embedded H.264 decoder.
    H264 {
        /// Bytes of the length before each NAL unit, 1 to 4.
        length_size: u8,
        /// The parameter sets with start codes (Annex B).
        parameter_sets: Vec<u8>,
    },
    /// The program `ffmpeg`, because of this.
    External(String),
}

/// One sample in decoding order: an encoded frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Where it starts in the file.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) size: u32,
    /// When it is shown, in ticks.
    pub(super) time: i64,
    /// Whether the file calls it a key frame.
    pub(super) sync: bool,
}

/// The samples of a track, and when its frames are shown.
///
/// *Frames* are counted in presentation order, *samples* in decoding order. Both are cut into
/// *segments*: from one clean key frame to the next, so that a segment decodes on its own, and
/// holds the same numbers in both orders.
#[derive(Debug)]
pub(super) struct SampleTable {
    samples: Vec<Sample>,
    /// When each frame is shown, in ticks, ascending.
    times: Vec<i64>,
    /// The first frame of each segment.
    segments: Vec<u32>,
    ticks_per_sec: u32,
}

impl SampleTable {
    /// A table of `samples` in decoding order.
    pub(super) fn new(samples: Vec<Sample>, ticks_per_sec: u32) -> Result<Self, String> {
        if !samples.first().is_some_and(|sample| sample.sync) {
            return Err("the first frame is no key frame (box \"stss\")".to_owned());
        }
        let mut times: Vec<i64> = samples.iter().map(|sample| sample.time).collect();
        times.sort_unstable();
        Ok(Self { segments: segments(&samples), samples, times, ticks_per_sec })
    }

    /// Number of samples, and of frames.
    pub(super) const fn len(&self) -> usize {
        self.samples.len()
    }

    /// A sample by its number in decoding order.
    pub(super) fn sample(&self, sample: usize) -> Option<Sample> {
        self.samples.get(sample).copied()
    }

    /// When a frame is shown, in seconds.
    pub(super) fn secs(&self, frame: usize) -> Option<f64> {
        Some(*self.times.get(frame)? as f64 / f64::from(self.ticks_per_sec))
    }

    /// The segment that holds `frame`.
    pub(super) fn segment(&self, frame: usize) -> Range<usize> {
        let after = self.segments.partition_point(|&start| start as usize <= frame);
        let start = after.checked_sub(1).map_or(0, |segment| self.segments[segment] as usize);
        start..self.segments.get(after).map_or(self.len(), |&end| end as usize)
    }

    /// The frame shown nearest to `secs`.
    pub(super) fn nearest(&self, secs: f64) -> usize {
        let scale = f64::from(self.ticks_per_sec);
        let low = self.times.partition_point(|&time| (time as f64 / scale) < secs);
        let distance =
            |frame: usize| self.secs(frame).map_or(f64::INFINITY, |at| (at - secs).abs());
        match low.checked_sub(1) {
            Some(before) if distance(before) <= distance(low) => before,
            _ => low.min(self.len().saturating_sub(1)),
        }
    }
}

/// The first sample of each segment: a key frame before which everything is shown earlier, and
/// after which everything is shown later. A key frame that later samples precede (an open group of
/// pictures) starts no segment, because those samples need the frames before it.
fn segments(samples: &[Sample]) -> Vec<u32> {
    let mut first_shown_from = vec![i64::MAX; samples.len() + 1];
    for (index, sample) in samples.iter().enumerate().rev() {
        first_shown_from[index] = first_shown_from[index + 1].min(sample.time);
    }
    let mut shown_before = i64::MIN;
    let mut starts = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        let clean = shown_before < sample.time && first_shown_from[index] == sample.time;
        if index == 0 || sample.sync && clean {
            starts.push(index as u32);
        }
        shown_before = shown_before.max(sample.time);
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(times: &[i64], keys: &[usize]) -> SampleTable {
        let samples = times
            .iter()
            .enumerate()
            .map(|(index, &time)| Sample { offset: 0, size: 1, time, sync: keys.contains(&index) })
            .collect();
        SampleTable::new(samples, 10).unwrap()
    }

    #[test]
    fn frames_are_counted_in_presentation_order() {
        // I P B B, twice.
        let table = table(&[0, 3, 1, 2, 4, 7, 5, 6], &[0, 4]);
        assert_eq!(table.segment(3), 0..4);
        assert_eq!(table.segment(4), 4..8);
        assert_eq!(table.secs(3), Some(0.3));
        assert_eq!(table.secs(8), None);
    }

    #[test]
    fn a_key_frame_that_later_samples_precede_starts_no_segment() {
        // The frame shown at 3 follows the key frame shown at 4 and needs the frames before it.
        let open = table(&[0, 2, 1, 4, 3, 5], &[0, 3]);
        assert_eq!(open.segment(5), 0..6);
        let closed = table(&[0, 2, 1, 3, 4, 5], &[0, 3]);
        assert_eq!(closed.segment(5), 3..6);
    }

    #[test]
    fn the_nearest_frame_is_found_on_either_side() {
        let table = table(&[0, 10, 20], &[0]);
        let found = [-5.0, 0.4, 0.6, 1.4, 1.6, 99.0].map(|secs| table.nearest(secs));
        assert_eq!(found, [0, 0, 1, 1, 2, 2]);
        assert!(table.nearest(f64::NAN) < 3);
    }

    #[test]
    fn a_video_that_starts_without_a_key_frame_is_refused() {
        let sample = Sample { offset: 0, size: 1, time: 0, sync: false };
        assert!(SampleTable::new(vec![sample], 10).is_err());
        assert!(SampleTable::new(Vec::new(), 10).is_err());
    }
}
