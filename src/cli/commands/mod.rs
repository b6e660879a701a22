//! The subcommands.

pub mod fidelity;
pub mod logs;
pub mod policies;
pub mod policy;
pub mod record;
pub mod train;

use clap::Subcommand;

use super::{ExitStatus, Printer};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at, check and convert robot logs (LeRobotDataset)
    #[command(subcommand)]
    Logs(logs::LogsCommand),
    /// Who is there: policies and worlds, what they expect, how far away they are
    Policies(policies::PoliciesArgs),
    /// Serve a policy, or check one
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Run any policy in any world and write what happens as a LeRobotDataset
    Record(record::RecordArgs),
    /// Train a world model on the logs of a robot
    Train(train::TrainArgs),
    /// Replay logged episodes in a trained model and measure how faithful it is
    Fidelity(fidelity::FidelityArgs),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever keeps it from being done, with what to do next.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        match self {
            Self::Logs(command) => command.run(printer),
            Self::Policies(arguments) => arguments.run(printer),
            Self::Policy(command) => command.run(printer),
            Self::Record(arguments) => arguments.run(printer),
            Self::Train(args) => args.run(printer),
            Self::Fidelity(args) => args.run(printer),
        }
    }
}
