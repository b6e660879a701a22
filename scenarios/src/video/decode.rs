//! Ranges of frames in presentation order, from the embedded decoders.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use super::decoder::Decoder;
use super::file::SharedFile;
use super::track::Track;
use super::{Codec, VideoError};
use crate::observation::Image;

/// The most frames that a stream may hold back to show them in order. H.264 allows 16.
const MAX_REORDERED: usize = 32;

/// Decodes the frames `range` and gives each to `emit`, in presentation order, until that breaks.
///
/// # Errors
/// The first frame that cannot be read or decoded. The decoder must then not be used again.
pub(super) fn decode_frames(
    file: &SharedFile,
    track: &Track,
    decoder: &mut Decoder,
    range: Range<usize>,
    emit: &mut dyn FnMut(Image) -> ControlFlow<()>,
) -> Result<(), VideoError> {
    decoder.restart();
    let mut next = range.start;
    while next < range.end {
        let segment = track.samples.segment(next);
        let wanted = next..range.end.min(segment.end);
        next = wanted.end;
        let flow = decode_segment(file, track, decoder, segment.start, wanted, emit)?;
        if flow.is_break() {
            return Ok(());
        }
        if next < segment.end {
            // Frames of this segment were left out; what follows, if anything, starts anew.
            decoder.restart();
        }
    }
    Ok(())
}

/// Decodes the frames `wanted` of the segment that starts at `start`.
fn decode_segment(
    file: &SharedFile,
    track: &Track,
    decoder: &mut Decoder,
    start: usize,
    wanted: Range<usize>,
    emit: &mut dyn FnMut(Image) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, VideoError> {
    let mut early: BTreeMap<usize, Image> = BTreeMap::new();
    let mut next = wanted.start;
    let mut sample = start;
    while next < wanted.end {
        let Some(entry) = track.samples.sample(sample) else { break };
        let frame = track.samples.frame_of_sample(sample);
        let failed = |what: String| decode_error(file, &track.codec, frame, what);
        let bytes = file.read(entry.offset, entry.size as usize, || format!("frame {frame}"))?;
        let image = decoder
            .decode(bytes, track, |picture| {
                wanted.contains(&frame).then(|| picture.to_image()).transpose()
            })
            .map_err(&failed)?
            .map_err(|error| failed(error.to_string()))?;
        sample += 1;
        let Some(image) = image else { continue };
        if frame != next {
            early.insert(frame, image);
            if early.len() > MAX_REORDERED {
                return Err(failed(format!("more than {MAX_REORDERED} frames are out of order")));
            }
            continue;
        }
        if emit(image).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        next += 1;
        while let Some(image) = early.remove(&next) {
            if emit(image).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            next += 1;
        }
    }
    Ok(ControlFlow::Continue(()))
}

pub(super) fn decode_error(
    file: &SharedFile,
    codec: &Codec,
    frame: usize,
    what: String,
) -> VideoError {
    VideoError::Decode { frame, codec: codec.clone(), what, path: file.path().to_owned() }
}
