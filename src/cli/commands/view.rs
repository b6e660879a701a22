//! `rehearse view`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use rehearse_world_model::train::read_curves;

use crate::cli::{ExitStatus, Printer};
use crate::run::Rollouts;
use crate::viz::{Curves, Destination, send_rollouts};

/// Arguments of `rehearse view`.
///
/// Example: `rehearse view run --trial metaworld-4/door-open-v3.0.plain/full/0`
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// The run directory, or the folder of a training
    folder: PathBuf,
    /// Id of the one trial to show
    #[arg(long)]
    trial: Option<String>,
    /// Trials of each policy and outcome
    #[arg(long, default_value_t = 2)]
    each: usize,
    /// File to write; without it and without `--connect`, `rollouts.rrd` in the run directory,
    /// `curves.rrd` in the folder of a training
    #[arg(long, conflicts_with = "connect")]
    save: Option<PathBuf>,
    /// Send to a viewer that runs, at this address
    #[arg(long, num_args = 0..=1, default_missing_value = Destination::LOCAL_VIEWER)]
    connect: Option<String>,
}

impl ViewArgs {
    /// Writes or sends the rollouts of a run, or the curves of a training.
    ///
    /// # Errors
    /// If the run holds no such trial, or the recording cannot be written.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { folder, trial, each, save, connect } = self;
        let destination = |name| match connect {
            Some(address) => Destination::Viewer(address),
            None => Destination::File(save.unwrap_or_else(|| folder.join(name))),
        };
        let destination = if let Some(points) = read_curves(&folder) {
            if trial.is_some() {
                bail!(
                    "{} is the folder of a training, which has no trials: leave --trial out",
                    folder.display()
                );
            }
            let destination = destination("curves.rrd");
            let mut curves = Curves::open(&folder.display().to_string(), &destination)?;
            points.iter().try_for_each(|point| curves.add(point))?;
            curves.finish()?;
            destination
        } else {
            let rollouts = Rollouts::open(&folder)?;
            let chosen = match &trial {
                None => rollouts.some(each),
                Some(id) => match rollouts.entries.get(id) {
                    Some(entry) if rollouts.episodes.contains_key(id) => vec![entry],
                    Some(_) => bail!("trial {id} has no episode: {}", folder.display()),
                    None => bail!("no trial {id}: {}", folder.display()),
                },
            };
            let destination = destination("rollouts.rrd");
            send_rollouts(&rollouts, &chosen, &destination)?;
            destination
        };
        match destination {
            Destination::File(path) => {
                printer.note(&format!("wrote {0}; open it with: rerun {0}", path.display()));
            }
            Destination::Viewer(address) => printer.note(&format!("sent to {address}")),
        }
        Ok(ExitStatus::Success)
    }
}
