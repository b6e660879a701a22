//! Frames from an installed `ffmpeg`, for codecs without an embedded decoder.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::{VideoError, VideoReader};
use crate::observation::Image;

/// How much of what `ffmpeg` says is kept for an error.
const MESSAGE_BYTES: usize = 2000;

/// A running `ffmpeg` that writes frames to a pipe. Dropping it ends the process.
pub(super) struct FfmpegFrames {
    child: Child,
    stdout: ChildStdout,
    stderr: Option<JoinHandle<String>>,
    height: u32,
    width: u32,
    next: usize,
    end: usize,
    path: PathBuf,
}

impl FfmpegFrames {
    /// Runs `ffmpeg` over the frames `range`; `why` says why the embedded decoders do not do.
    pub(super) fn start(
        reader: &VideoReader,
        why: &str,
        range: Range<usize>,
    ) -> Result<Self, VideoError> {
        Self::start_program(OsStr::new("ffmpeg"), reader, why, range)
    }

    fn start_program(
        program: &OsStr,
        reader: &VideoReader,
        why: &str,
        range: Range<usize>,
    ) -> Result<Self, VideoError> {
        let mut command = Command::new(program);
        command.args(["-nostdin", "-v", "error", "-noautorotate"]);
        if let Some(secs) = seek_secs(reader, range.start) {
            command.args(["-ss", &format!("{secs:.6}")]);
        }
        // Named as a file, so that no name is taken for an option or a protocol.
        let mut input = OsString::from("file:");
        input.push(reader.path());
        command.arg("-i").arg(input);
        command.args(["-map", "0:v:0", "-fps_mode", "passthrough"]);
        command.args(["-frames:v", &range.len().to_string()]);
        command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let path = reader.path().to_owned();
        let failed =
            |source| VideoError::Io { action: "run ffmpeg on", path: path.clone(), source };
        let mut child = command.spawn().map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                let codec = reader.codec().clone();
                VideoError::NeedsFfmpeg { codec, why: why.to_owned(), path: path.clone() }
            } else {
                failed(source)
            }
        })?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        // Read beside the frames, so that a full pipe never stops the program.
        let stderr = thread::Builder::new()
            .name("ffmpeg-stderr".to_owned())
            .spawn(move || last_words(stderr))
            .map_err(failed)?;
        Ok(Self {
            child,
            stdout,
            stderr: Some(stderr),
            height: reader.height(),
            width: reader.width(),
            next: range.start,
            end: range.end,
            path,
        })
    }

    pub(super) const fn remaining(&self) -> usize {
        self.end.saturating_sub(self.next)
    }

    fn read_frame(&mut self) -> Result<Image, VideoError> {
        let len = self.height as usize * self.width as usize * 3;
        let mut pixels: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
        let filled = Arc::get_mut(&mut pixels).map_or_else(
            || Err(io::ErrorKind::Other.into()),
            |pixels| self.stdout.read_exact(pixels),
        );
        let image = Image::from_rgb(self.height, self.width, pixels);
        match (filled, image) {
            (Ok(()), Ok(image)) => Ok(image),
            (filled, image) => {
                let said = self.stderr.take().and_then(|thread| {
                    drop(self.child.kill());
                    thread.join().ok()
                });
                let reason = filled.map_err(|error| error.to_string());
                let reason = reason.err().or(image.map_err(|error| error.to_string()).err());
                let message = said.filter(|said| !said.is_empty()).or(reason).unwrap_or_default();
                Err(VideoError::Ffmpeg { frame: self.next, message, path: self.path.clone() })
            }
        }
    }
}

impl Iterator for FfmpegFrames {
    type Item = Result<Image, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let frame = self.read_frame();
        self.next = if frame.is_ok() { self.next + 1 } else { self.end };
        Some(frame)
    }
}

impl Drop for FfmpegFrames {
    fn drop(&mut self) {
        // It has ended, or ends now; either way there is nothing to report.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where to seek for `frame`: half way from the frame before it, counted from the first frame.
fn seek_secs(reader: &VideoReader, frame: usize) -> Option<f64> {
    let before = reader.presentation_secs(frame.checked_sub(1)?)?;
    let (at, first) = (reader.presentation_secs(frame)?, reader.presentation_secs(0)?);
    Some(f64::midpoint(before, at) - first)
}

/// Reads to the end and keeps the last bytes.
fn last_words(mut stderr: impl io::Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(len @ 1..) = stderr.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..len]);
        let surplus = kept.len().saturating_sub(MESSAGE_BYTES);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/video")
    }

    fn reader() -> VideoReader {
        VideoReader::open(&fixtures().join("hevc.mp4")).unwrap()
    }

    #[test]
    fn without_the_program_the_error_says_what_to_install() {
        let absent = fixtures().join("absent");
        let error = FfmpegFrames::start_program(absent.as_os_str(), &reader(), "no decoder", 0..1)
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with("hevc video (no decoder) needs the program `ffmpeg`"), "{error}");
        assert!(error.ends_with("hevc.mp4"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_stops_early_is_quoted() {
        // Writes two frames, all 1, and a complaint.
        let program = fixtures().join("stops_early.sh");
        let mut frames =
            FfmpegFrames::start_program(program.as_os_str(), &reader(), "", 0..3).unwrap();
        for _ in 0..2 {
            let image = frames.next().unwrap().unwrap();
            assert_eq!((image.height(), image.width()), (64, 96));
            assert!(image.pixels().iter().all(|&value| value == b'1'));
        }
        let error = frames.next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("ffmpeg stopped before frame 2: \"out of film\": "), "{error}");
        assert!(frames.next().is_none());
    }

    #[test]
    fn a_seek_lands_between_two_frames() {
        let reader = reader();
        assert_eq!(seek_secs(&reader, 0), None);
        let secs = seek_secs(&reader, 2).unwrap();
        assert!((secs - 0.15).abs() < 1e-9, "{secs}");
    }
}
