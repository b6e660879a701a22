//! Ranges of frames in presentation order, from the embedded decoders.

use std::ops::{ControlFlow, Range};

use super::colour::Picture;
use super::decoder::Decoder;
use super::file::SharedFile;
use super::track::Track;
use super::{Codec, VideoError};
use crate::observation::Image;

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
    let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
        return Ok(());
    };
    let failed = |frame: usize, what: String| decode_error(file, &track.codec, frame, what);
    decoder.restart().map_err(|what| failed(range.start, what))?;
    // A segment has the same numbers in decoding order and in presentation order.
    let mut samples = track.samples.segment(range.start).start..track.samples.segment(last).end;
    let mut next = samples.start;
    while next < range.end {
        let before = next;
        let mut flow = ControlFlow::Continue(());
        let mut take = |picture: Picture<'_>| {
            let frame = next;
            next += 1;
            if range.contains(&frame) && flow.is_continue() {
                flow = emit(picture.to_image().map_err(|error| error.to_string())?);
            }
            Ok(())
        };
        let sample = samples.next().and_then(|sample| track.samples.sample(sample));
        let result = match sample {
            Some(sample) => {
                let what = || format!("frame {before}");
                let bytes = file.read(sample.offset, sample.size as usize, what)?;
                decoder.decode(bytes, track, &mut take)
            }
            None => decoder.drain(track, &mut take),
        };
        result.map_err(|what| failed(before, what))?;
        if flow.is_break() {
            return Ok(());
        }
        if sample.is_none() && next < range.end {
            return Err(failed(next, "no picture came of it".to_owned()));
        }
    }
    Ok(())
}

pub(super) fn decode_error(
    file: &SharedFile,
    codec: &Codec,
    frame: usize,
    what: String,
) -> VideoError {
    VideoError::Decode { frame, codec: codec.clone(), what, path: file.path().to_owned() }
}
