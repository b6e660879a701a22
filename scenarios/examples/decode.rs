//! Decodes a video: to raw RGB on standard output, or to nothing, to see how long it takes.
//!
//! ```text
//! decode raw FILE            every frame, height × width × 3 bytes each, to standard output
//! decode all FILE            every frame in order, to nothing
//! decode random COUNT FILE   COUNT frames at random, one by one, to nothing
//! ```

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use rand::Rng as _;
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::video::VideoReader;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let start = Instant::now();
    let frames = match arguments[..] {
        ["raw", file] => {
            let mut stdout = std::io::stdout().lock();
            let reader = VideoReader::open(Path::new(file))?;
            for frame in reader.decode_range(0..reader.frame_count())? {
                stdout.write_all(frame?.pixels())?;
            }
            return Ok(());
        }
        ["all", file] => {
            let reader = VideoReader::open(Path::new(file))?;
            reader
                .decode_range(0..reader.frame_count())?
                .try_fold(0, |count, frame| frame.map(|_| count + 1))?
        }
        ["random", count, file] => {
            let reader = VideoReader::open(Path::new(file))?;
            let mut rng = Seed::root(7).child("frames").rng();
            let count: usize = count.parse()?;
            for _ in 0..count {
                reader.frame(rng.random_range(0..reader.frame_count()))?;
            }
            count
        }
        _ => return Err("usage: decode {raw | all | random COUNT} FILE".into()),
    };
    println!("{frames} frames in {:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}
