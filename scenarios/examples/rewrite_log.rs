//! Reads a robot log and writes it again, or streams its pictures:
//!
//! ```text
//! cargo run --release -p rehearse-scenarios --example rewrite_log -- write IN OUT [v3.0|v2.1] [av1|h264]
//! cargo run --release -p rehearse-scenarios --example rewrite_log -- frames LOG
//! ```
//!
//! `frames` writes every frame of every camera to the standard output as raw RGB: by episode, then
//! by camera. Beside being an example, this is what `tools/parity_lerobot.py` compares with LeRobot.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use rehearse_scenarios::log::{ConvertOptions, LogSettings, RobotLog, Version, convert};
use rehearse_scenarios::video::Codec;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["frames", log] => stream_frames(Path::new(log)),
        ["write", input, output, how @ ..] => {
            let mut settings = LogSettings::default();
            for word in how {
                match *word {
                    "v3.0" => settings.version = Version::V30,
                    "v2.1" => settings.version = Version::V21,
                    "av1" => settings.codec = Codec::Av1,
                    "h264" => settings.codec = Codec::H264,
                    other => return Err(format!("neither a version nor a codec: {other:?}").into()),
                }
            }
            let options = ConvertOptions { settings, ..ConvertOptions::default() };
            let written = convert(Path::new(input), Path::new(output), &options, &mut |_, _| {})?;
            println!("{} episodes, {} frames", written.episodes, written.frames);
            Ok(())
        }
        _ => Err("usage: rewrite_log write IN OUT [v3.0|v2.1] [av1|h264] | frames LOG".into()),
    }
}

fn stream_frames(folder: &Path) -> Result<(), Box<dyn Error>> {
    let log = RobotLog::open(folder)?;
    let mut out = std::io::stdout().lock();
    for episode in log.episodes() {
        for camera in &log.embodiment().cameras {
            for image in log.frames(episode.index, &camera.name, 0..episode.length)? {
                out.write_all(image?.pixels())?;
            }
        }
    }
    Ok(())
}
