//! Encoded frames into an mp4: the frames as they come, the tables at the end.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use mp4_atom::{
    Av01, Avc1, Co64, Codec as SampleEntry, Colr, Dinf, Dref, Encode as _, FixedPoint, FourCC,
    Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz,
    StszSamples, Stts, SttsEntry, Tkhd, Trak, Url, Visual, Vmhd,
};

use super::encoder::{DecoderSetup, EncodedFrame};

/// Ticks per second, and the ticks from one frame to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Timing {
    pub(super) ticks_per_sec: u32,
    ticks_per_frame: f64,
}

impl Timing {
    /// Times for frames at `hz` hertz: exact for whole rates, thousandths and NTSC's thousand and
    /// firsts, within a microsecond otherwise. `None` if a frame lasts longer than an mp4 can say.
    pub(super) fn from_hz(hz: f64) -> Option<Self> {
        let exact = [1000.0, 1001.0].into_iter().find_map(|ticks_per_frame| {
            let ticks = hz * ticks_per_frame;
            let whole = (ticks - ticks.round()).abs() <= ticks * 1e-12 && ticks >= 1.0;
            whole.then_some(Self { ticks_per_sec: ticks.round() as u32, ticks_per_frame })
        });
        let timing = exact.unwrap_or(Self { ticks_per_sec: 1_000_000, ticks_per_frame: 1e6 / hz });
        (1.0..f64::from(u32::MAX)).contains(&timing.ticks_per_frame).then_some(timing)
    }

    fn ticks(self, frame: usize) -> u64 {
        (frame as f64 * self.ticks_per_frame).round() as u64
    }
}

/// An mp4 that is being written under another name.
#[derive(Debug)]
pub(super) struct Muxer {
    target: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    /// Where the next byte goes.
    offset: u64,
    /// Where the length of the box of frames stands.
    mdat_length_at: u64,
    sizes: Vec<u32>,
    /// Numbers of the key frames, from 1.
    keys: Vec<u32>,
    chunk_offsets: Vec<u64>,
    chunk_lengths: Vec<u32>,
}

impl Muxer {
    pub(super) fn create(target: &Path, brand: [u8; 4]) -> io::Result<Self> {
        let (partial, file) = create_partial(target)?;
        let mut muxer = Self {
            target: target.to_owned(),
            partial,
            file: BufWriter::new(file),
            offset: 0,
            mdat_length_at: 0,
            sizes: Vec::new(),
            keys: Vec::new(),
            chunk_offsets: Vec::new(),
            chunk_lengths: Vec::new(),
        };
        let brands = [*b"isom", *b"iso2", brand, *b"mp41"].map(FourCC::from).to_vec();
        let ftyp = Ftyp {
            major_brand: FourCC::new(b"isom"),
            minor_version: 512,
            compatible_brands: brands,
        };
        let mut head = Vec::new();
        ftyp.encode(&mut head).map_err(io::Error::other)?;
        // A box with a length of 64 bits, which is filled in at the end.
        head.extend([0, 0, 0, 1]);
        head.extend(b"mdat");
        muxer.mdat_length_at = head.len() as u64;
        head.extend([0; 8]);
        muxer.write(&head)?;
        Ok(muxer)
    }

    /// Number of frames written.
    pub(super) const fn frames(&self) -> usize {
        self.sizes.len()
    }

    /// Appends frames that follow each other as one chunk.
    pub(super) fn append(&mut self, frames: &[EncodedFrame]) -> io::Result<()> {
        self.chunk_offsets.push(self.offset);
        self.chunk_lengths.push(frames.len() as u32);
        for EncodedFrame { bytes, key } in frames {
            self.sizes.push(u32::try_from(bytes.len()).map_err(io::Error::other)?);
            if *key {
                self.keys.push(self.sizes.len() as u32);
            }
            self.write(bytes)?;
        }
        Ok(())
    }

    /// Writes the tables and gives the file its name. Returns its length in bytes.
    pub(super) fn finish(
        mut self,
        setup: DecoderSetup,
        height: u16,
        width: u16,
        timing: Timing,
    ) -> io::Result<u64> {
        let mdat_start = self.mdat_length_at - 8;
        let mdat_length = self.offset - mdat_start;
        let mut moov = Vec::new();
        self.moov(setup, height, width, timing).encode(&mut moov).map_err(io::Error::other)?;
        self.write(&moov)?;
        self.file.seek(SeekFrom::Start(self.mdat_length_at))?;
        self.file.write_all(&mdat_length.to_be_bytes())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        std::fs::rename(&self.partial, &self.target)?;
        self.partial.clear();
        Ok(self.offset)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.offset += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn moov(&self, setup: DecoderSetup, height: u16, width: u16, timing: Timing) -> Moov {
        let duration = timing.ticks(self.frames());
        let timescale = timing.ticks_per_sec;
        Moov {
            mvhd: Mvhd {
                timescale,
                duration,
                rate: FixedPoint::new(1, 0),
                volume: FixedPoint::new(1, 0),
                next_track_id: 2,
                ..Mvhd::default()
            },
            trak: vec![Trak {
                tkhd: Tkhd {
                    track_id: 1,
                    duration,
                    enabled: true,
                    in_movie: true,
                    width: FixedPoint::new(width, 0),
                    height: FixedPoint::new(height, 0),
                    ..Tkhd::default()
                },
                mdia: Mdia {
                    mdhd: Mdhd { timescale, duration, language: "und".into(), ..Mdhd::default() },
                    hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "VideoHandler".into() },
                    minf: Minf {
                        vmhd: Some(Vmhd::default()),
                        dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } },
                        stbl: self.stbl(setup, height, width, timing),
                        ..Minf::default()
                    },
                },
                ..Trak::default()
            }],
            ..Moov::default()
        }
    }

    fn stbl(&self, setup: DecoderSetup, height: u16, width: u16, timing: Timing) -> Stbl {
        let visual = Visual { data_reference_index: 1, height, width, ..Visual::default() };
        // BT.601 in limited range, primaries and transfer unspecified (ITU-T H.273).
        let colr = Some(Colr::Nclx {
            colour_primaries: 2,
            transfer_characteristics: 2,
            matrix_coefficients: 6,
            full_range_flag: false,
        });
        let entry: SampleEntry = match setup {
            DecoderSetup::Av1(av1c) => Av01 { visual, av1c, colr, ..Av01::default() }.into(),
            DecoderSetup::H264(avcc) => Avc1 { visual, avcc, colr, ..Avc1::default() }.into(),
        };
        let deltas =
            (0..self.frames()).map(|frame| (timing.ticks(frame + 1) - timing.ticks(frame)) as u32);
        let mut stts: Vec<SttsEntry> = Vec::new();
        for sample_delta in deltas {
            match stts.last_mut() {
                Some(run) if run.sample_delta == sample_delta => run.sample_count += 1,
                _ => stts.push(SttsEntry { sample_count: 1, sample_delta }),
            }
        }
        let mut stsc: Vec<StscEntry> = Vec::new();
        for (chunk, &samples_per_chunk) in self.chunk_lengths.iter().enumerate() {
            if stsc.last().is_none_or(|run| run.samples_per_chunk != samples_per_chunk) {
                let first_chunk = chunk as u32 + 1;
                stsc.push(StscEntry {
                    first_chunk,
                    samples_per_chunk,
                    sample_description_index: 1,
                });
            }
        }
        let short: Result<Vec<u32>, _> =
            self.chunk_offsets.iter().map(|&offset| offset.try_into()).collect();
        let (stco, co64) = match short {
            Ok(entries) => (Some(Stco { entries }), None),
            Err(_) => (None, Some(Co64 { entries: self.chunk_offsets.clone() })),
        };
        // Without the box every frame is a key frame.
        let stss = (self.keys.len() < self.frames()).then(|| Stss { entries: self.keys.clone() });
        Stbl {
            stsd: Stsd { codecs: vec![entry] },
            stts: Stts { entries: stts },
            stss,
            stsc: Stsc { entries: stsc },
            stsz: Stsz { samples: StszSamples::Different { sizes: self.sizes.clone() } },
            stco,
            co64,
            ..Stbl::default()
        }
    }
}

impl Drop for Muxer {
    fn drop(&mut self) {
        if !self.partial.as_os_str().is_empty() {
            // Unfinished. If it cannot be removed, its name tells what it is.
            drop(std::fs::remove_file(&self.partial));
        }
    }
}

/// A new file in the folder of `target`, under a name that nobody else takes.
fn create_partial(target: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = target.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_string_lossy();
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let partial =
            target.with_file_name(format!(".{name}.{}-{number}.partial", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&partial) {
            Ok(file) => return Ok((partial, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_ntsc_rates_are_exact() {
        let timing = |hz| Timing::from_hz(hz).unwrap();
        assert_eq!(timing(40.0), Timing { ticks_per_sec: 40_000, ticks_per_frame: 1000.0 });
        assert_eq!(
            timing(30_000.0 / 1001.0),
            Timing { ticks_per_sec: 30_000, ticks_per_frame: 1001.0 }
        );
        assert_eq!(timing(40.0).ticks(3 * 40 * 86_400), 3 * 86_400 * 40_000);
    }

    #[test]
    fn odd_rates_stay_within_a_microsecond_of_the_clock() {
        let hz = std::f64::consts::PI;
        let timing = Timing::from_hz(hz).unwrap();
        let secs = timing.ticks(1_000_000) as f64 / f64::from(timing.ticks_per_sec);
        assert!((secs - 1e6 / hz).abs() < 1e-6);
        assert_eq!(Timing::from_hz(1e-5), None);
    }
}
