//! `rehearse fidelity`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use rehearse_scenarios::log::RobotLog;
use rehearse_world_model::checkpoint::load;
use rehearse_world_model::device::DeviceChoice;
use rehearse_world_model::experts::Residence;
use rehearse_world_model::fidelity::{Fidelity, FidelityOptions, FidelityRow, fidelity};
use rehearse_world_model::filmstrip::{Filmstrip, filmstrips};
use rehearse_world_model::perception::Measures;

use crate::cli::{ExitStatus, Format, Printer, write_png};
use crate::perception::{Fvd, Lpips};

/// Most filmstrips written.
const STRIPS: usize = 12;

/// A column of the table: name, width, digits after the point, value.
type Column = (&'static str, usize, usize, fn(&FidelityRow) -> Option<f64>);

/// The columns after the frames. One without a value is left out.
const COLUMNS: [Column; 7] = [
    ("PSNR", 7, 2, |row| row.psnr),
    ("SSIM", 7, 4, |row| row.ssim),
    ("LPIPS", 7, 4, |row| row.lpips),
    ("FVD", 8, 1, |row| row.fvd),
    ("rmse m", 9, 4, |row| row.state_rmse),
    ("median m", 9, 4, |row| row.state_median),
    ("p95 m", 9, 4, |row| row.state_p95),
];

/// Arguments of `rehearse fidelity`.
///
/// Example: `rehearse fidelity training/model.safetensors --logs logs/metaworld --format json`
#[derive(Debug, Args)]
pub struct FidelityArgs {
    /// The checkpoint's tensor file
    checkpoint: PathBuf,
    /// The logs to replay, a LeRobotDataset of the same rig
    #[arg(long, value_name = "DIR")]
    logs: PathBuf,
    /// The split to replay
    #[arg(long, default_value = "test")]
    split: String,
    /// Most episodes to replay
    #[arg(long, value_name = "N")]
    episodes: Option<usize>,
    /// Episodes imagined at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// Seed of the imagination's noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to compute: `cpu` or `cuda:N`
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Experts kept in memory: `all` or `active`
    #[arg(long, default_value = "all")]
    resident: Residence,
    /// Also measure LPIPS, with these weights of `AlexNet`, a safetensors file (docs/formats.md)
    #[arg(long, value_name = "FILE")]
    lpips: Option<PathBuf>,
    /// Also measure FVD, with these weights of `I3D`, a safetensors file (docs/formats.md)
    #[arg(long, value_name = "FILE")]
    fvd: Option<PathBuf>,
    /// Form of the result: `table`, or `json` (fidelity.json)
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also write fidelity.json here
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also write the episodes that are imagined worst here, as pictures: recorded above imagined
    #[arg(long, value_name = "DIR")]
    filmstrips: Option<PathBuf>,
}

impl FidelityArgs {
    /// Replays, measures and prints.
    ///
    /// # Errors
    /// If the checkpoint, the logs or the weights cannot be used or do not fit each other.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        if !matches!(self.format, Format::Table | Format::Json) {
            bail!("`fidelity` prints `--format table` or `--format json`");
        }
        let device = self.device.open()?;
        let lpips = self.lpips.map(|path| Lpips::load(&path, &device)).transpose()?;
        let fvd = self.fvd.map(|path| Fvd::load(&path, &device)).transpose()?;
        let measures = Measures {
            lpips: lpips.as_ref().map(|lpips| lpips as _),
            fvd: fvd.as_ref().map(|fvd| fvd as _),
        };
        let (model, manifest) = load(&self.checkpoint, &device, self.resident)?;
        let log = RobotLog::open(&self.logs).with_context(|| self.logs.display().to_string())?;
        let options = FidelityOptions {
            split: self.split,
            episodes: self.episodes,
            batch: self.batch,
            seed: self.seed,
        };
        let mut report =
            fidelity(&model, &log, &options, measures, &mut |note| printer.note(note))?;
        report.checkpoint = Some(manifest.digest);
        let json = serde_json::to_string_pretty(&report)?;
        if let Some(path) = self.output {
            std::fs::write(&path, &json).with_context(|| path.display().to_string())?;
        }
        if let Some(folder) = self.filmstrips {
            write_strips(&filmstrips(&model, &log, &options, STRIPS)?, &folder)?;
        }
        let text = if self.format == Format::Json { json } else { table(&report)? };
        printer.data(&text)?;
        Ok(ExitStatus::Success)
    }
}

fn write_strips(strips: &[Filmstrip], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for strip in strips {
        let Filmstrip { episode, task, outcome, imagined, picture, .. } = strip;
        let word = |success: bool| if success { "success" } else { "failure" };
        let (outcome, imagined) = (outcome.map_or("unknown", word), word(*imagined));
        let name = format!("{episode:04}-{task}-{outcome}-imagined-{imagined}.png");
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "_");
        write_png(picture, &folder.join(name))?;
    }
    Ok(())
}

fn table(report: &Fidelity) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "{} episodes of split {:?}, open loop", report.episodes, report.split)?;
    let measured = |(.., of): &&Column| report.rows.iter().any(|row| of(row).is_some());
    let columns = COLUMNS.iter().filter(measured).collect::<Vec<_>>();
    let cell = |value: Option<f64>, width: usize, digits: usize| match value {
        Some(value) => format!("{value:>width$.digits$}"),
        None => format!("{:>width$}", "-"),
    };
    write!(text, "{:<20} {:<7} {:>7}", "model", "depth", "frames")?;
    for (name, width, ..) in &columns {
        write!(text, " {name:>width$}")?;
    }
    writeln!(text)?;
    for row in &report.rows {
        write!(text, "{:<20} {:<7} {:>7}", row.model, row.depth, row.frames)?;
        for (_, width, digits, of) in &columns {
            write!(text, " {}", cell(of(row), *width, *digits))?;
        }
        writeln!(text)?;
    }
    let router = &report.router;
    writeln!(text, "router: accuracy {}", cell(router.accuracy, 6, 4))?;
    for (expert, row) in router.confusion.iter().enumerate() {
        writeln!(text, "  label {:>2} frames: chosen {row:?}", (expert + 1) * 8)?;
    }
    for judge in &report.judge {
        writeln!(
            text,
            "judge, {}: AUC {} on real frames {:?}; imagined outcomes right {} {:?}",
            judge.task,
            cell(judge.auc, 6, 4),
            judge.confusion,
            cell(judge.imagined_accuracy, 6, 4),
            judge.imagined_confusion,
        )?;
    }
    if let Some(found) = &report.counterfactual {
        writeln!(
            text,
            "{} episodes from {} starts: {:.3} resemble their own recording most (chance {:.3}); \
             error of differences: picture {:.3}, hand {:.3}",
            found.episodes,
            found.starts,
            found.told,
            found.chance,
            found.picture_error,
            found.hand_error,
        )?;
    }
    for note in &report.notes {
        writeln!(text, "note: {note}")?;
    }
    Ok(text)
}
