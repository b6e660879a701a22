//! The subcommands.

pub mod agree;
pub mod bridge;
pub mod budget;
pub mod calibrate;
pub mod compare;
pub mod fidelity;
pub mod judge;
pub mod logs;
pub mod merge;
pub mod plan;
pub mod policies;
pub mod policy;
pub mod record;
pub mod report;
pub mod run;
pub mod score;
mod tables;
pub mod train;
#[cfg(feature = "rerun")]
pub mod view;

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
    /// Plug in the policy servers of other projects: openpi, GR00T, vla-eval, OpenVLA
    Bridge(bridge::BridgeArgs),
    /// Run any policy in any world and write what happens as a LeRobotDataset
    Record(record::RecordArgs),
    /// Run a suite: every policy in every scenario, into a run directory
    Run(run::RunArgs),
    /// Rates, ranking, agreement and failures of a run: report.json, report.html, a table
    Report(report::ReportArgs),
    /// Look at the rollouts of a run in rerun
    #[cfg(feature = "rerun")]
    View(view::ViewArgs),
    /// Join the parts of a sharded run
    Merge(merge::MergeArgs),
    /// Train a world model on the logs of a robot
    Train(train::TrainArgs),
    /// Replay logged episodes in a trained model and measure how faithful it is
    Fidelity(fidelity::FidelityArgs),
    /// Who says how a trial ended, and how far to believe it
    #[command(subcommand)]
    Judge(judge::JudgeCommand),
    /// Plan in imagination: one plan from one start, with its predicted video
    Plan(plan::PlanArgs),
    /// Success rates from trial tables, with their intervals and the ranking
    Score(score::ScoreArgs),
    /// Is one policy better than another, and how many trials would settle it
    Compare(compare::CompareArgs),
    /// How far imagined results agree with real ones
    Agree(agree::AgreeArgs),
    /// Real success rates from few real trials and many imagined ones
    Calibrate(calibrate::CalibrateArgs),
    /// Which real trials to run next, and how many are enough
    Budget(budget::BudgetArgs),
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
            Self::Bridge(arguments) => arguments.run(printer),
            Self::Record(arguments) => arguments.run(printer),
            Self::Run(arguments) => arguments.run(printer),
            Self::Report(arguments) => arguments.run(printer),
            #[cfg(feature = "rerun")]
            Self::View(arguments) => arguments.run(printer),
            Self::Merge(arguments) => arguments.run(printer),
            Self::Train(args) => args.run(printer),
            Self::Fidelity(args) => args.run(printer),
            Self::Judge(command) => command.run(printer),
            Self::Plan(arguments) => arguments.run(printer),
            Self::Score(arguments) => arguments.run(printer),
            Self::Compare(arguments) => arguments.run(printer),
            Self::Agree(arguments) => arguments.run(printer),
            Self::Calibrate(arguments) => arguments.run(printer),
            Self::Budget(arguments) => arguments.run(printer),
        }
    }
}
