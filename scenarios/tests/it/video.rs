//! Video in and out, against what PyAV decodes (`tools/gen_video.py`) and against itself.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use std::fs;
use std::path::{Path, PathBuf};

use rand::Rng as _;
use rand::seq::SliceRandom as _;
use rehearse_scenarios::observation::Image;
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::Rate;
use rehearse_scenarios::video::{Codec, VideoError, VideoReader, VideoSettings, VideoWriter};
use serde::Deserialize;

/// What `gen_video.py` recorded of a file.
#[derive(Deserialize)]
struct Recorded {
    codec: String,
    height: u32,
    width: u32,
    frames: Vec<RecordedFrame>,
}

#[derive(Deserialize)]
struct RecordedFrame {
    secs: f64,
    digest: u64,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/video").join(name)
}

fn recorded() -> Vec<(PathBuf, Recorded)> {
    let text = fs::read_to_string(fixture("frames.json")).unwrap();
    let files: std::collections::BTreeMap<String, Recorded> = serde_json::from_str(&text).unwrap();
    assert_eq!(files.len(), 5);
    files.into_iter().map(|(name, file)| (fixture(&format!("{name}.mp4")), file)).collect()
}

/// The sum of (position + 1) × value, modulo 2^61, as in `gen_video.py`.
fn digest(image: &Image) -> u64 {
    let terms =
        image.pixels().iter().zip(1_u64..).map(|(&value, weight)| weight * u64::from(value));
    terms.sum::<u64>() % (1 << 61)
}

fn all_frames(reader: &VideoReader) -> Vec<Image> {
    reader.decode_range(0..reader.frame_count()).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn frames_are_bit_by_bit_those_of_pyav() {
    for (path, recorded) in recorded() {
        let reader = VideoReader::open(&path).unwrap();
        assert_eq!(reader.codec().name(), recorded.codec, "{}", path.display());
        assert_eq!((reader.height(), reader.width()), (recorded.height, recorded.width));
        assert_eq!(reader.frame_count(), recorded.frames.len(), "{}", path.display());
        for (index, (image, expected)) in
            all_frames(&reader).iter().zip(&recorded.frames).enumerate()
        {
            let place = format!("{}, frame {index}", path.display());
            assert_eq!(digest(image), expected.digest, "{place}");
            let secs = reader.presentation_secs(index).unwrap();
            assert!((secs - expected.secs).abs() < 1e-9, "{place}: {secs}");
            assert_eq!(reader.frame_at(expected.secs, 1e-6).unwrap(), index, "{place}");
        }
    }
}

#[test]
fn any_frame_alone_equals_the_same_frame_in_the_stream() {
    for (path, _) in recorded() {
        let reader = VideoReader::open(&path).unwrap();
        let frames = all_frames(&reader);
        let mut order: Vec<usize> = (0..frames.len()).collect();
        order.shuffle(&mut Seed::root(3).rng());
        for index in order {
            assert_eq!(reader.frame(index).unwrap(), frames[index], "{}: {index}", path.display());
        }
    }
}

#[test]
fn a_range_is_a_part_of_the_stream() {
    for (path, _) in recorded() {
        let reader = VideoReader::open(&path).unwrap();
        let frames = all_frames(&reader);
        for range in [0..1, 3..5, 1..frames.len(), frames.len() - 1..frames.len(), 4..4] {
            let part: Vec<Image> =
                reader.decode_range(range.clone()).unwrap().collect::<Result<_, _>>().unwrap();
            assert_eq!(part, frames[range.clone()], "{}: {range:?}", path.display());
        }
    }
}

#[test]
fn one_reader_serves_many_threads() {
    let reader = VideoReader::open(&fixture("h264_b.mp4")).unwrap();
    let frames = all_frames(&reader);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (reader, frames) = (reader.clone(), &frames);
            scope.spawn(move || {
                for step in 0..frames.len() {
                    let index = (step * 7 + thread) % frames.len();
                    assert_eq!(reader.frame(index).unwrap(), frames[index]);
                }
            });
        }
    });
}

#[test]
fn a_stream_that_is_dropped_half_way_ends() {
    let reader = VideoReader::open(&fixture("h264_long.mp4")).unwrap();
    let mut stream = reader.decode_range(0..reader.frame_count()).unwrap();
    stream.next().unwrap().unwrap();
    drop(stream);
    assert_eq!(reader.frame(149).unwrap(), all_frames(&reader)[149]);
}

#[test]
fn frames_and_times_that_are_not_there_are_named() {
    let reader = VideoReader::open(&fixture("av1.mp4")).unwrap();
    let error = reader.frame(11).unwrap_err();
    assert!(error.to_string().starts_with("there is no frame 11: the video has 11 frames: "));
    assert!(matches!(reader.decode_range(0..12), Err(VideoError::NoSuchFrame { .. })));
    assert!(matches!(reader.frame(usize::MAX), Err(VideoError::NoSuchFrame { .. })));
    let error = reader.frame_at(0.53, 1e-3).unwrap_err();
    assert!(error.to_string().contains("the nearest is frame 5 at 0.5 s"), "{error}");
    assert!(reader.frame_at(f64::NAN, 1.0).is_err());
    assert!(reader.frame_at(0.5, f64::NAN).is_err());
    assert_eq!(reader.frame_at(99.0, f64::INFINITY).unwrap(), 10);
}

#[test]
fn what_has_no_embedded_decoder_is_told_apart_when_opened() {
    for (name, codec) in [("hevc", "hevc"), ("h264_444", "h264"), ("h264_10bit", "h264")] {
        let reader = VideoReader::open(&fixture(&format!("{name}.mp4"))).unwrap();
        assert_eq!(reader.codec().name(), codec);
        assert_eq!((reader.height(), reader.width(), reader.frame_count()), (64, 96, 3));
        match reader.frame(1) {
            // Where an `ffmpeg` is installed.
            Ok(image) => assert_eq!((image.height(), image.width()), (64, 96)),
            Err(VideoError::NeedsFfmpeg { .. } | VideoError::Ffmpeg { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_when_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.mp4");
    // Tables at the end, and tables at the start.
    for name in ["av1.mp4", "h264_709.mp4"] {
        let whole = fs::read(fixture(name)).unwrap();
        for len in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            fs::write(&path, &whole[..len]).unwrap();
            let error = VideoReader::open(&path).unwrap_err();
            assert!(error.to_string().ends_with("cut.mp4"), "{error}");
        }
    }
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.mp4");
    let mut refused = 0;
    for name in ["av1.mp4", "h264_b.mp4", "h264_709.mp4"] {
        let whole = fs::read(fixture(name)).unwrap();
        for round in 0..150 {
            let mut rng = Seed::root(11).child(name).index(round).rng();
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..12) {
                let place = rng.random_range(0..bytes.len());
                bytes[place] = rng.random();
            }
            fs::write(&path, bytes).unwrap();
            let frames = VideoReader::open(&path)
                .and_then(|reader| reader.decode_range(0..reader.frame_count())?.collect())
                .map(|frames: Vec<Image>| frames.len());
            if let Err(error) = frames {
                assert!(error.to_string().contains("damaged.mp4"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "only {refused} of 450 damaged files were refused");
}

#[test]
fn tables_that_lie_are_refused() {
    let whole = fs::read(fixture("av1.mp4")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lie.mp4");
    let tables = whole.windows(4).rposition(|window| window == b"moov").unwrap();
    let refuse_all = |box_kind: &[u8; 4], changes: &[(usize, u32)], expected: &str| {
        let mut bytes = whole.clone();
        let found = bytes[tables..].windows(4).position(|window| window == box_kind).unwrap();
        for &(offset, value) in changes {
            // After the kind; version and flags come first in the boxes of tables.
            bytes[tables + found + 4 + offset..][..4].copy_from_slice(&value.to_be_bytes());
        }
        fs::write(&path, bytes).unwrap();
        let error = VideoReader::open(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let refuse = |box_kind, offset, value, expected| {
        refuse_all(box_kind, &[(offset, value)], expected);
    };
    refuse_all(b"stsz", &[(4, 1), (8, u32::MAX)], "4294967295 frames; at most");
    refuse(b"stsz", 12, 1 << 30, "frame 0 has 1073741824 bytes");
    refuse(b"stsz", 12, 1 << 26, "it is cut short");
    refuse(b"stsz", 12, 0, "frame 0 has 0 bytes");
    refuse(b"stsz", 8, u32::MAX, "\"stsz\"");
    refuse(b"stts", 8, 5, "box \"stts\" times 5 of 11 frames");
    refuse(b"stss", 8, 2, "the first frame is no key frame");
    refuse(b"stco", 4, 0, "the chunks hold 0 of 11 frames");
    refuse(b"mdhd", 12, 0, "the timescale is 0");
    refuse(b"av01", 24, 0xffff_ffff, "frames of 65535×65535 pixels");
    refuse(b"hdlr", 8, u32::from_be_bytes(*b"soun"), "no video track");
}

#[test]
fn what_is_no_mp4_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.mp4");
    for bytes in [&b""[..], b"x", b"PK\x03\x04 and so on, which is no video", &[0; 4096]] {
        fs::write(&path, bytes).unwrap();
        assert!(VideoReader::open(&path).is_err());
    }
    assert!(matches!(VideoReader::open(folder.path()), Err(VideoError::Io { .. })));
    let absent = VideoReader::open(&folder.path().join("absent.mp4")).unwrap_err();
    assert!(absent.to_string().starts_with("cannot open "), "{absent}");
}

/// Smooth shades that move: what the eye sees in a robot's camera, without noise.
fn scene(height: u32, width: u32, frames: u32) -> Vec<Image> {
    let image = |frame: u32| {
        let pixel = |row: u32, column: u32| {
            let wave =
                |phase: u32, period: f64| (127.5 + 100.0 * (f64::from(phase) / period).sin()) as u8;
            [wave(row + frame, 11.0), wave(column + 2 * frame, 17.0), wave(row + column, 23.0)]
        };
        let pixels: Vec<u8> = (0..height)
            .flat_map(|row| (0..width).flat_map(move |column| pixel(row, column)))
            .collect();
        Image::from_rgb(height, width, pixels).unwrap()
    };
    (0..frames).map(image).collect()
}

fn write(path: &Path, settings: &VideoSettings, images: &[Image]) -> u64 {
    let mut writer = VideoWriter::create(path, settings.clone()).unwrap();
    for image in images {
        writer.push(image).unwrap();
    }
    let written = writer.finish().unwrap();
    assert_eq!(written.frames, images.len());
    assert_eq!(written.bytes, fs::metadata(path).unwrap().len());
    written.bytes
}

/// Peak signal-to-noise ratio over all frames, in decibels.
fn psnr(a: &[Image], b: &[Image]) -> f64 {
    assert_eq!(a.len(), b.len());
    let pairs = || a.iter().zip(b).flat_map(|(a, b)| a.pixels().iter().zip(b.pixels()));
    let squares: f64 = pairs().map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) / (squares / pairs().count() as f64)).log10()
}

fn settings(codec: Codec, crf: u8, gop: u32) -> VideoSettings {
    let rate = Rate::from_hz(15.0).unwrap();
    VideoSettings { codec, crf, gop, ..VideoSettings::new(64, 96, rate) }
}

#[test]
fn what_is_written_is_read_back_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.mp4");
    let images = scene(64, 96, 75);
    for (codec, crf, gop, floor) in [
        // Colours at half the resolution alone cost all but some 40 dB.
        (Codec::Av1, 30, 2, 37.0),
        (Codec::Av1, 10, 10, 38.0),
        (Codec::H264, 23, 2, 36.0),
        (Codec::H264, 12, 30, 38.0),
        (Codec::H264, 23, 1, 36.0),
    ] {
        write(&path, &settings(codec.clone(), crf, gop), &images);
        let reader = VideoReader::open(&path).unwrap();
        assert_eq!(reader.codec(), &codec);
        assert_eq!((reader.height(), reader.width(), reader.frame_count()), (64, 96, 75));
        for index in [0, 1, 74] {
            let secs = reader.presentation_secs(index).unwrap();
            assert!((secs - index as f64 / 15.0).abs() < 1e-9);
        }
        let frames = all_frames(&reader);
        let quality = psnr(&frames, &images);
        assert!(quality > floor, "{codec} at {crf}, {gop}: {quality:.1} dB");
        assert_eq!(reader.frame(37).unwrap(), frames[37]);
    }
}

#[test]
fn better_quality_takes_more_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let images = scene(64, 96, 8);
    for codec in [Codec::Av1, Codec::H264] {
        let sizes = [16, 30, 44].map(|crf| {
            write(&folder.path().join("size.mp4"), &settings(codec.clone(), crf, 2), &images)
        });
        assert!(sizes.is_sorted_by(|a, b| a > b), "{codec}: {sizes:?}");
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_cores() {
    let folder = tempfile::tempdir().unwrap();
    let images = scene(64, 96, 70);
    for codec in [Codec::Av1, Codec::H264] {
        let files = [1, 3].map(|threads| {
            let path = folder.path().join(format!("{threads}.mp4"));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| write(&path, &settings(codec.clone(), 30, 2), &images));
            fs::read(path).unwrap()
        });
        assert!(files[0] == files[1], "{codec}");
    }
}

#[test]
fn a_video_appears_when_it_is_finished_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("front.mp4");
    let image = &scene(64, 96, 1)[0];
    let names = || fs::read_dir(folder.path()).unwrap().count();

    let mut writer = VideoWriter::create(&path, settings(Codec::Av1, 30, 2)).unwrap();
    writer.push(image).unwrap();
    assert!(!path.exists());
    drop(writer);
    assert_eq!(names(), 0);

    let writer = VideoWriter::create(&path, settings(Codec::H264, 30, 2)).unwrap();
    assert!(matches!(writer.finish(), Err(VideoError::NoFrames { .. })));
    assert_eq!(names(), 0);

    let mut writer = VideoWriter::create(&path, settings(Codec::Av1, 30, 2)).unwrap();
    writer.push(image).unwrap();
    writer.finish().unwrap();
    assert!(path.exists());
    assert_eq!(names(), 1);
}

#[test]
fn settings_and_images_that_make_no_video_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no.mp4");
    let good = settings(Codec::Av1, 30, 2);
    let rate = Rate::from_hz(1e-9).unwrap();
    for (bad, expected) in [
        (VideoSettings { height: 63, ..good.clone() }, "height = 63"),
        (VideoSettings { width: 1 << 20, ..good.clone() }, "width = 1048576"),
        (VideoSettings { crf: 64, ..good.clone() }, "crf = 64"),
        (VideoSettings { gop: 0, ..good.clone() }, "gop = 0"),
        (VideoSettings { gop: u32::MAX, ..good.clone() }, "gop = 4294967295"),
        (VideoSettings { rate, ..good.clone() }, "a frame would last too long"),
        (VideoSettings { codec: Codec::Other("hev1".into()), ..good.clone() }, "hevc"),
        (VideoSettings { codec: Codec::H264, crf: 11, ..good.clone() }, "crf = 11"),
    ] {
        let error = VideoWriter::create(&path, bad).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut writer = VideoWriter::create(&path, good).unwrap();
    let error = writer.push(&scene(48, 96, 1)[0]).unwrap_err().to_string();
    assert!(error.starts_with("frame 0 is 48×96 pixels, the video 64×96: "), "{error}");
    let absent = folder.path().join("absent/no.mp4");
    let absent = VideoWriter::create(&absent, settings(Codec::Av1, 30, 2)).unwrap_err();
    assert!(matches!(absent, VideoError::Io { .. }));
}
