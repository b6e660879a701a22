//! `rehearse logs view`.

use std::path::PathBuf;

use clap::Args;
use rehearse_scenarios::log::RobotLog;

use crate::cli::{ExitStatus, Printer};
use crate::viz::{Destination, send_log_episode};

/// Arguments of `rehearse logs view`.
///
/// Example: `rehearse logs view examples/logs/droid --episode 1 --save episode.rrd`
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// The log's folder
    dir: PathBuf,
    /// Index of the episode
    #[arg(long, default_value_t = 0)]
    episode: usize,
    /// File to write; without it and without `--connect`, `episode-<N>.rrd` in this folder
    #[arg(long, conflicts_with = "connect")]
    save: Option<PathBuf>,
    /// Send to a viewer that runs, at this address
    #[arg(long, num_args = 0..=1, default_missing_value = Destination::LOCAL_VIEWER)]
    connect: Option<String>,
    /// Fraction of a dimension's range over the episode that counts as substantial motion, for
    /// the chunk boundaries; in (0, 1)
    #[arg(long, default_value_t = 0.5, value_parser = fraction)]
    alpha: f64,
}

fn fraction(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if value > 0.0 && value < 1.0 { Ok(value) } else { Err("must lie between 0 and 1".to_owned()) }
}

impl ViewArgs {
    /// Writes or sends the episode.
    ///
    /// # Errors
    /// If the log cannot be read, or the recording cannot be written.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { dir, episode, save, connect, alpha } = self;
        let log = RobotLog::open(&dir)?;
        let destination = match connect {
            Some(address) => Destination::Viewer(address),
            None => Destination::File(
                save.unwrap_or_else(|| PathBuf::from(format!("episode-{episode}.rrd"))),
            ),
        };
        send_log_episode(&log, episode, alpha, &destination)?;
        match destination {
            Destination::File(path) => {
                printer.note(&format!("wrote {0}; open it with: rerun {0}", path.display()));
            }
            Destination::Viewer(address) => printer.note(&format!("sent to {address}")),
        }
        Ok(ExitStatus::Success)
    }
}
