//! Decodes a video and encodes it anew.
//!
//! ```text
//! encode {av1 | h264} CRF GOP IN OUT
//! ```

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use rehearse_scenarios::time::Rate;
use rehearse_scenarios::video::{Codec, VideoReader, VideoSettings, VideoWriter};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [codec, crf, gop, source, target] = arguments[..] else {
        return Err("usage: encode {av1 | h264} CRF GOP IN OUT".into());
    };
    let codec = match codec {
        "av1" => Codec::Av1,
        "h264" => Codec::H264,
        other => return Err(format!("there is no encoder for {other:?}").into()),
    };
    let start = Instant::now();
    let reader = VideoReader::open(Path::new(source))?;
    let last = reader.frame_count() - 1;
    let secs = reader.presentation_secs(last).unwrap_or_default();
    let hz = if last == 0 { 1.0 } else { (last as f64 / secs * 1000.0).round() / 1000.0 };
    let settings = VideoSettings {
        codec,
        crf: crf.parse()?,
        gop: gop.parse()?,
        ..VideoSettings::new(reader.height(), reader.width(), Rate::from_hz(hz)?)
    };
    let mut writer = VideoWriter::create(Path::new(target), settings)?;
    for frame in reader.decode_range(0..reader.frame_count())? {
        writer.push(&frame?)?;
    }
    let written = writer.finish()?;
    let elapsed = start.elapsed().as_secs_f64();
    println!("{} frames, {} bytes in {elapsed:.3} s", written.frames, written.bytes);
    Ok(())
}
