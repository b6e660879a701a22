//! The tables of an mp4: which bytes are which frame, and when it is shown.
//!
//! Only the `moov` box is read into memory. The boxes themselves are parsed by `mp4-atom`; what
//! they say together is checked here, because a table that contradicts another one is how most
//! damaged files look. ISO/IEC 14496-12, §8.

use mp4_atom::{
    Atom, Av1c, Avcc, Co64, Colr, Ctts, Decode as _, Elst, FourCC, Hdlr, Header, Mdhd, Mvhd, Stco,
    Stsc, Stss, Stsz, StszSamples, Stts, Visual,
};

use super::colour::Colour;
use super::file::SharedFile;
use super::track::{Sample, SampleTable, StreamConfig, Track};
use super::{Codec, VideoError, h264};
use crate::embodiment::MAX_IMAGE_SIDE;

/// The largest frame that is accepted: a little over 7680×4320.
const MAX_PIXELS: u64 = 1 << 25;
/// The most frames of one file: three days at 30 Hz.
const MAX_FRAMES: u64 = 1 << 23;
/// The largest tables that are read into memory; `MAX_FRAMES` frames need less.
const MAX_MOOV_BYTES: u64 = 1 << 28;
/// The largest encoded frame. Frames of `MAX_PIXELS` pixels in every codec stay below.
const MAX_SAMPLE_BYTES: u32 = 1 << 27;
/// The largest shift of an edit list, in ticks: two years of nanoseconds.
const MAX_SHIFT: i64 = 1 << 56;
/// The most NAL units before the first slice of an H.264 sample. Encoders write fewer than ten.
const MAX_LEADING_NALS: usize = 64;
/// The most boxes at the top of a file. Writers make fewer than ten.
const MAX_TOP_BOXES: usize = 4096;

/// Reads the tables of the first video track.
pub(super) fn read_track(file: &SharedFile) -> Result<Track, VideoError> {
    let demuxer = Demuxer { file };
    let moov = demuxer.moov()?;
    if demuxer.child(&moov, "mvex")?.is_some() {
        return Err(demuxer.malformed(FRAGMENTED));
    }
    let mvhd: Mvhd = demuxer.parse(&moov, "mvhd")?;
    let mut rest = moov.as_slice();
    while let Some((kind, trak)) = demuxer.next_box(&mut rest)? {
        if kind != FourCC::new(b"trak") {
            continue;
        }
        let mdia = demuxer.required(trak, "mdia")?;
        let hdlr: Hdlr = demuxer.parse(mdia, "hdlr")?;
        if hdlr.handler == FourCC::new(b"vide") {
            return demuxer.track(trak, mdia, mvhd.timescale);
        }
    }
    Err(demuxer.malformed("the file has no video track"))
}

struct Demuxer<'a> {
    file: &'a SharedFile,
}

impl Demuxer<'_> {
    /// The body of the `moov` box.
    fn moov(&self) -> Result<Vec<u8>, VideoError> {
        let len = self.file.len();
        let mut offset = 0;
        for _ in 0..MAX_TOP_BOXES {
            if offset == len {
                return Err(self.malformed("the file has no box \"moov\""));
            }
            let head_len = 16.min(len - offset) as usize;
            let head = self.file.read(offset, head_len, || "a box".to_owned())?;
            let mut rest = head.as_slice();
            let Ok(header) = Header::decode(&mut rest) else {
                return Err(self.malformed("the file is no mp4"));
            };
            let body = offset + (head_len - rest.len()) as u64;
            let size = header.size.map_or(len - body, |size| size as u64);
            let end = body.saturating_add(size);
            let kind: [u8; 4] = header.kind.into();
            if offset == 0 && !matches!(&kind, b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip") {
                return Err(self.malformed("the file is no mp4"));
            }
            if end > len {
                let what = format!("box {:?}", header.kind.to_string());
                let path = self.file.path().to_owned();
                return Err(VideoError::Truncated { what, needed: end, len, path });
            }
            match &kind {
                b"moov" if size > MAX_MOOV_BYTES => {
                    return Err(self.malformed(format!(
                        "box \"moov\" has {size} bytes; at most {MAX_MOOV_BYTES} are read"
                    )));
                }
                b"moov" => return self.file.read(body, size as usize, || "moov".to_owned()),
                b"moof" => return Err(self.malformed(FRAGMENTED)),
                _ => offset = end,
            }
        }
        Err(self.malformed(format!("no box \"moov\" among the first {MAX_TOP_BOXES} boxes")))
    }

    fn track(&self, trak: &[u8], mdia: &[u8], movie_scale: u32) -> Result<Track, VideoError> {
        let mdhd: Mdhd = self.parse(mdia, "mdhd")?;
        if mdhd.timescale == 0 || movie_scale == 0 {
            return Err(self.malformed("the timescale is 0"));
        }
        let minf = self.required(mdia, "minf")?;
        let stbl = self.required(minf, "stbl")?;
        let (visual, codec, config, colour) = self.sample_entry(self.required(stbl, "stsd")?)?;
        let (height, width) = (u32::from(visual.height), u32::from(visual.width));
        let sides = 1..=MAX_IMAGE_SIDE;
        if !sides.contains(&height)
            || !sides.contains(&width)
            || u64::from(height) * u64::from(width) > MAX_PIXELS
        {
            return Err(VideoError::FrameSize {
                height,
                width,
                max_side: MAX_IMAGE_SIDE,
                max_pixels: MAX_PIXELS,
                path: self.file.path().to_owned(),
            });
        }
        let shift = self.edit_shift(trak, mdhd.timescale, movie_scale)?;
        let mut samples = self.samples(stbl, shift)?;
        if let StreamConfig::H264 { length_size, .. } = config {
            // The first is taken at the file's word; there is nothing before it to start from.
            for sample in samples.iter_mut().skip(1).filter(|sample| sample.sync) {
                sample.sync = self.is_idr(*sample, length_size)?;
            }
        }
        let samples =
            SampleTable::new(samples, mdhd.timescale).map_err(|what| self.malformed(what))?;
        Ok(Track { codec, config, colour, height, width, samples })
    }

    /// What the first sample entry of `stsd` says: size, codec, decoder configuration, colour.
    fn sample_entry(
        &self,
        stsd: &[u8],
    ) -> Result<(Visual, Codec, StreamConfig, Colour), VideoError> {
        // Version, flags and the number of entries precede the entries.
        let mut entries = stsd.get(8..).unwrap_or_default();
        let Some((kind, entry)) = self.next_box(&mut entries)? else {
            return Err(self.malformed("box \"stsd\" describes no codec"));
        };
        let mut extensions = entry;
        let visual = Visual::decode(&mut extensions).map_err(|error| self.bad("stsd", error))?;
        let stated = match self.child(extensions, "colr")? {
            Some(_) => Colour::from_box(&self.parse::<Colr>(extensions, "colr")?),
            None => Colour::default(),
        };
        let fourcc: [u8; 4] = kind.into();
        Ok(match &fourcc {
            b"av01" => {
                let av1c: Av1c = self.parse(extensions, "av1C")?;
                let plain = !av1c.high_bitdepth && !av1c.monochrome;
                let config = if plain && av1c.chroma_subsampling_x && av1c.chroma_subsampling_y {
                    StreamConfig::Av1
                } else {
                    StreamConfig::External("not 8 bits in 4:2:0".to_owned())
                };
                (visual, Codec::Av1, config, stated)
            }
            b"avc1" | b"avc3" => {
                let avcc: Avcc = self.parse(extensions, "avcC")?;
                let (config, colour) =
                    h264::configure(&avcc, stated).map_err(|what| self.malformed(what))?;
                (visual, Codec::H264, config, colour)
            }
            _ => {
                let why = "no embedded decoder".to_owned();
                (visual, Codec::Other(kind.to_string()), StreamConfig::External(why), stated)
            }
        })
    }

    /// What the edit list adds to every composition time, in ticks of the track.
    fn edit_shift(
        &self,
        trak: &[u8],
        media_scale: u32,
        movie_scale: u32,
    ) -> Result<i64, VideoError> {
        let Some(edts) = self.child(trak, "edts")? else { return Ok(0) };
        if self.child(edts, "elst")?.is_none() {
            return Ok(0);
        }
        let elst: Elst = self.parse(edts, "elst")?;
        let mut delay = 0_i128;
        for edit in &elst.entries {
            let Some(start) = edit.media_time else {
                // An empty edit: the track starts later than the movie.
                delay += i128::from(edit.segment_duration) * i128::from(media_scale)
                    / i128::from(movie_scale);
                continue;
            };
            let shift = delay - i128::from(start);
            return match i64::try_from(shift) {
                Ok(shift) if shift.abs() <= MAX_SHIFT => Ok(shift),
                _ => Err(self.malformed(format!("the edit list shifts by {shift} ticks"))),
            };
        }
        Ok(0)
    }

    /// Every sample in decoding order, each within the file.
    fn samples(&self, stbl: &[u8], shift: i64) -> Result<Vec<Sample>, VideoError> {
        let stsz: Stsz = self.parse(stbl, "stsz")?;
        let (count, one_size, sizes) = match stsz.samples {
            StszSamples::Identical { count, size } => (u64::from(count), size, Vec::new()),
            StszSamples::Different { sizes } => (sizes.len() as u64, 0, sizes),
        };
        if count > MAX_FRAMES {
            return Err(self.malformed(format!("{count} frames; at most {MAX_FRAMES} are read")));
        }
        if count == 0 {
            return Err(self.malformed("the video has no frames"));
        }
        let offsets = self.chunk_offsets(stbl)?;
        let stsc: Stsc = self.parse(stbl, "stsc")?;
        let mut chunks = chunk_lengths(&stsc, offsets.len() as u64);
        let stts: Stts = self.parse(stbl, "stts")?;
        let mut deltas =
            stts.entries.iter().flat_map(|run| repeat(run.sample_count, run.sample_delta));
        let ctts = self.child(stbl, "ctts")?.map(|_| self.parse::<Ctts>(stbl, "ctts"));
        let ctts = ctts.transpose()?.unwrap_or_default();
        let mut shifts =
            ctts.entries.iter().flat_map(|run| repeat(run.sample_count, run.sample_offset));
        let stss = self.child(stbl, "stss")?.map(|_| self.parse::<Stss>(stbl, "stss"));
        let sync = stss.transpose()?.map(|stss| stss.entries);
        let mut sync = sync.as_ref().map(|numbers| numbers.iter().copied().peekable());

        let mut samples = Vec::with_capacity(count as usize);
        let (mut decode_time, mut in_chunk, mut offset, mut next_chunk) = (0_i64, 0_u32, 0_u64, 0);
        for index in 0..count as usize {
            while in_chunk == 0 {
                let (Some(length), Some(&start)) = (chunks.next(), offsets.get(next_chunk)) else {
                    return Err(self.malformed(format!(
                        "the chunks hold {index} of {count} frames (boxes \"stsc\" and \"stco\")"
                    )));
                };
                (in_chunk, offset) = (length, start);
                next_chunk += 1;
            }
            in_chunk -= 1;
            let size = sizes.get(index).copied().unwrap_or(one_size);
            if !(1..=MAX_SAMPLE_BYTES).contains(&size) {
                return Err(self.malformed(format!(
                    "frame {index} has {size} bytes; 1 to {MAX_SAMPLE_BYTES} are read"
                )));
            }
            let end = offset.saturating_add(u64::from(size));
            if end > self.file.len() {
                return Err(VideoError::Truncated {
                    what: format!("frame {index} (in decoding order)"),
                    needed: end,
                    len: self.file.len(),
                    path: self.file.path().to_owned(),
                });
            }
            let Some(delta) = deltas.next() else {
                return Err(self.malformed(format!("box \"stts\" times {index} of {count} frames")));
            };
            let time = decode_time + shifts.next().unwrap_or(0) + shift;
            let sync = sync.as_mut().is_none_or(|numbers| {
                numbers.next_if(|&number| u64::from(number) == index as u64 + 1).is_some()
            });
            samples.push(Sample { offset, size, time, sync });
            offset = end;
            decode_time += i64::from(delta);
        }
        Ok(samples)
    }

    /// Whether an H.264 sample clears the decoder (an IDR picture). The file also calls those key
    /// frames from which decoding merely recovers; a decoder cannot be started there.
    fn is_idr(&self, sample: Sample, length_size: u8) -> Result<bool, VideoError> {
        let end = sample.offset + u64::from(sample.size);
        let head_len = u64::from(length_size) + 1;
        let mut at = sample.offset;
        for _ in 0..MAX_LEADING_NALS {
            if at + head_len > end {
                break;
            }
            let head = self.file.read(at, head_len as usize, || "a NAL unit".to_owned())?;
            let (length, kind) = head.split_at(usize::from(length_size));
            match kind.first().map(|kind| kind & 31) {
                Some(h264::IDR_SLICE) => return Ok(true),
                Some(h264::SLICE) => return Ok(false),
                // Parameters and remarks come first.
                _ => at += u64::from(length_size) + h264::nal_length(length) as u64,
            }
        }
        Ok(false)
    }

    fn chunk_offsets(&self, stbl: &[u8]) -> Result<Vec<u64>, VideoError> {
        if self.child(stbl, "co64")?.is_some() {
            return Ok(self.parse::<Co64>(stbl, "co64")?.entries);
        }
        let stco: Stco = self.parse(stbl, "stco")?;
        Ok(stco.entries.into_iter().map(u64::from).collect())
    }

    /// Takes the next box off `body`: its kind and its own body.
    fn next_box<'b>(&self, body: &mut &'b [u8]) -> Result<Option<(FourCC, &'b [u8])>, VideoError> {
        // Less than a header is padding, which QuickTime writes.
        if body.len() < 8 {
            return Ok(None);
        }
        let header = Header::decode(body).map_err(|error| self.malformed(error.to_string()))?;
        let size = header.size.unwrap_or(body.len());
        let Some((inner, rest)) = body.split_at_checked(size) else {
            return Err(self.malformed(format!(
                "box {:?} passes the end of the box around it",
                header.kind.to_string()
            )));
        };
        *body = rest;
        Ok(Some((header.kind, inner)))
    }

    fn child<'b>(&self, mut body: &'b [u8], kind: &str) -> Result<Option<&'b [u8]>, VideoError> {
        while let Some((found, inner)) = self.next_box(&mut body)? {
            if found.as_ref() == kind.as_bytes() {
                return Ok(Some(inner));
            }
        }
        Ok(None)
    }

    fn required<'b>(&self, body: &'b [u8], kind: &'static str) -> Result<&'b [u8], VideoError> {
        self.child(body, kind)?
            .ok_or_else(|| self.malformed(format!("the file has no box {kind:?}")))
    }

    fn parse<T: Atom>(&self, body: &[u8], kind: &'static str) -> Result<T, VideoError> {
        let mut body = self.required(body, kind)?;
        T::decode_body(&mut body).map_err(|error| self.bad(kind, error))
    }

    fn malformed(&self, what: impl Into<String>) -> VideoError {
        VideoError::Malformed { what: what.into(), path: self.file.path().to_owned() }
    }

    fn bad(
        &self,
        kind: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> VideoError {
        VideoError::Box { kind, path: self.file.path().to_owned(), source: Box::new(source) }
    }
}

const FRAGMENTED: &str = "the mp4 is fragmented, which is not read; join it with \
                          `ffmpeg -i IN -c copy OUT`";

/// The number of samples in each of `chunks` chunks.
fn chunk_lengths(stsc: &Stsc, chunks: u64) -> impl Iterator<Item = u32> {
    stsc.entries.iter().enumerate().flat_map(move |(run, entry)| {
        let first = u64::from(entry.first_chunk);
        let end = stsc.entries.get(run + 1).map_or(chunks + 1, |next| u64::from(next.first_chunk));
        let length = entry.samples_per_chunk;
        (first..end.min(chunks + 1)).map(move |_| length)
    })
}

fn repeat<T: Copy>(count: u32, value: T) -> impl Iterator<Item = T> {
    std::iter::repeat_n(value, count as usize)
}
