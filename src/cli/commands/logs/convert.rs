//! `rehearse logs convert`.

use std::path::PathBuf;

use clap::Args;
use rehearse_scenarios::log::{ConvertOptions, convert};

use crate::cli::{ExitStatus, Printer, Progress, VideoArgs};

/// Arguments of `rehearse logs convert`.
///
/// Example: `rehearse logs convert examples/logs/droid small --size 96x160 --split val`
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The log to read: LeRobotDataset v2.1 or v3.0
    input: PathBuf,
    /// The folder to write, v3.0; it must not be there yet, or be empty
    output: PathBuf,
    /// Height and width of all images in pixels, as in `128x128`; as they are if not stated
    #[arg(long, value_parser = size)]
    size: Option<(u32, u32)>,
    /// Keep the episodes of this split only
    #[arg(long)]
    split: Option<String>,
    /// Keep the episodes of this task only: its name in `meta/trials.csv`, or an instruction
    #[arg(long)]
    task: Option<String>,
    /// Keep the episode of this index only; may be given several times
    #[arg(long, value_name = "INDEX")]
    episode: Vec<usize>,
    #[command(flatten)]
    video: VideoArgs,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('x').and_then(|(height, width)| {
        let side = |text: &str| text.parse::<u32>().ok().filter(|side| *side > 0);
        Some((side(height)?, side(width)?))
    });
    parsed.ok_or_else(|| "write height and width in pixels, as in 128x128".to_owned())
}

impl ConvertArgs {
    /// Writes the log anew.
    ///
    /// # Errors
    /// If the log cannot be read, nothing of it is kept, or the output cannot be written.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { input, output, size, split, task, episode, video } = self;
        let options = ConvertOptions {
            settings: video.settings(),
            resize: size,
            split,
            task,
            episodes: episode,
        };
        let (mut shown, mut before) = (None::<Progress>, 0);
        let written = convert(&input, &output, &options, &mut |done, of| {
            let bar = shown.get_or_insert_with(|| printer.progress(of as u64, "frames"));
            bar.advance((done - before) as u64);
            before = done;
        });
        if let Some(shown) = shown {
            shown.finish();
        }
        let written = written?;
        printer.note(&format!(
            "wrote {} episodes, {} frames to {}",
            written.episodes,
            written.frames,
            output.display()
        ));
        Ok(ExitStatus::Success)
    }
}
