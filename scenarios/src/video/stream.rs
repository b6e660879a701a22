//! Frames in order, decoded ahead on all cores.

use std::fmt;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::VideoError;
use super::decode::decode_error;
use super::ffmpeg::FfmpegFrames;
use super::reader::Shared;
use crate::observation::Image;

/// A worker's share: whole segments with at least this many frames, so that the cost of passing
/// them on does not count.
const UNIT_FRAMES: usize = 64;
/// The most bytes of images in one message from a worker (a message has at least one image).
const MESSAGE_BYTES: usize = 4 << 20;

/// Frames in presentation order, decoded ahead on all cores; see
/// [`VideoReader::decode_range`](super::VideoReader::decode_range).
///
/// Ends after the last frame or the first error. Dropping it stops the decoding. At most three
/// messages of about 4 MiB (or one frame, if that is larger) are in memory per core.
pub struct FrameStream {
    source: Source,
    remaining: usize,
}

enum Source {
    Workers(Workers),
    External(FfmpegFrames),
}

/// Threads that decode units of the range in turn: worker `w` of `n` has the units `w`, `w + n`, …,
/// so that reading their channels in turn gives the frames in order.
struct Workers {
    shared: Arc<Shared>,
    channels: Vec<Receiver<Message>>,
    /// Whose turn it is.
    turn: usize,
    ready: std::vec::IntoIter<Image>,
    unit_ended: bool,
    next_frame: usize,
}

struct Message {
    images: Vec<Image>,
    /// Whether the worker's unit ends with these images.
    ends_unit: bool,
    failure: Option<VideoError>,
}

impl FrameStream {
    pub(super) fn embedded(shared: &Arc<Shared>, range: Range<usize>) -> Result<Self, VideoError> {
        let units: Arc<[Range<usize>]> = units(shared, range.clone()).into();
        let count = rayon::current_num_threads().min(units.len());
        let channels = (0..count).map(|worker| spawn(shared, &units, worker, count));
        let workers = Workers {
            shared: Arc::clone(shared),
            channels: channels.collect::<Result<_, _>>()?,
            turn: 0,
            ready: Vec::new().into_iter(),
            unit_ended: false,
            next_frame: range.start,
        };
        Ok(Self { source: Source::Workers(workers), remaining: range.len() })
    }

    pub(super) fn external(frames: FfmpegFrames) -> Self {
        Self { remaining: frames.remaining(), source: Source::External(frames) }
    }
}

impl Iterator for FrameStream {
    type Item = Result<Image, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let frame = match &mut self.source {
            Source::Workers(workers) => workers.next(),
            Source::External(frames) => frames.next()?,
        };
        if frame.is_err() {
            self.remaining = 0;
        }
        Some(frame)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.remaining > 0), Some(self.remaining))
    }
}

impl fmt::Debug for FrameStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameStream").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

impl Workers {
    fn next(&mut self) -> Result<Image, VideoError> {
        loop {
            if let Some(image) = self.ready.next() {
                self.next_frame += 1;
                return Ok(image);
            }
            if self.unit_ended {
                self.turn = (self.turn + 1) % self.channels.len();
                self.unit_ended = false;
            }
            let received = self.channels.get(self.turn).map(Receiver::recv);
            let Some(Ok(Message { images, ends_unit, failure })) = received else {
                let Shared { file, track, .. } = &*self.shared;
                let what = "the decoding thread ended early".to_owned();
                return Err(decode_error(file, &track.codec, self.next_frame, what));
            };
            if let Some(failure) = failure {
                return Err(failure);
            }
            self.ready = images.into_iter();
            self.unit_ended = ends_unit;
        }
    }
}

/// Cuts `range` at the starts of segments.
fn units(shared: &Shared, range: Range<usize>) -> Vec<Range<usize>> {
    let mut units = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let mut end = start;
        while end < range.end && end - start < UNIT_FRAMES {
            end = shared.track.samples.segment(end).end;
        }
        units.push(start..end.min(range.end));
        start = end;
    }
    units
}

fn spawn(
    shared: &Arc<Shared>,
    units: &Arc<[Range<usize>]>,
    worker: usize,
    workers: usize,
) -> Result<Receiver<Message>, VideoError> {
    let (sender, receiver) = sync_channel(1);
    let (owned, units) = (Arc::clone(shared), Arc::clone(units));
    thread::Builder::new()
        .name(format!("video-{worker}"))
        .spawn(move || {
            for unit in units.iter().skip(worker).step_by(workers) {
                if decode_unit(&owned, unit.clone(), &sender).is_break() {
                    return;
                }
            }
        })
        .map_err(|source: io::Error| VideoError::Io {
            action: "start a thread to read",
            path: shared.file.path().to_owned(),
            source,
        })?;
    Ok(receiver)
}

/// Decodes one unit and sends its images; breaks when nobody listens any more or decoding failed.
fn decode_unit(
    shared: &Shared,
    unit: Range<usize>,
    sender: &SyncSender<Message>,
) -> ControlFlow<()> {
    let frame_bytes = shared.track.height as usize * shared.track.width as usize * 3;
    let per_message = (MESSAGE_BYTES / frame_bytes).clamp(1, UNIT_FRAMES);
    let mut images = Vec::with_capacity(per_message);
    let mut listening = true;
    let result = shared.decode(unit, &mut |image| {
        images.push(image);
        if images.len() < per_message {
            return ControlFlow::Continue(());
        }
        let images = std::mem::replace(&mut images, Vec::with_capacity(per_message));
        listening = sender.send(Message { images, ends_unit: false, failure: None }).is_ok();
        if listening { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if !listening {
        return ControlFlow::Break(());
    }
    let mut failed = result.err();
    // The frames before the failure are delivered first.
    if failed.is_none() || !images.is_empty() {
        let ends_unit = failed.is_none();
        if sender.send(Message { images, ends_unit, failure: None }).is_err() {
            return ControlFlow::Break(());
        }
    }
    match failed.take() {
        None => ControlFlow::Continue(()),
        Some(failure) => {
            // If nobody listens, nobody wants to know.
            drop(sender.send(Message {
                images: Vec::new(),
                ends_unit: true,
                failure: Some(failure),
            }));
            ControlFlow::Break(())
        }
    }
}
