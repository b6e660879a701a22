//! `rehearse policy serve`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use rehearse_planner::config::PlannerConfig;
use rehearse_policy_bridge::zenoh::{Name, Server, ServerOptions};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{Policy, PolicyInfo};
use rehearse_scenarios::local::{ConstantPolicy, NoisePolicy, Recording, ReplayPolicy};
use rehearse_scenarios::log::RobotLog;
use rehearse_world_model::device::DeviceChoice;

use crate::cli::connection::ConnectionArgs;
use crate::cli::{ExitStatus, Printer};
use crate::policy;

/// Subcommands of `rehearse policy serve`.
#[derive(Debug, Subcommand)]
pub enum ServeCommand {
    /// A policy that `rehearse policy clone` trained
    Clone(CloneArgs),
    /// A planner: it imagines where candidate plans lead and does the best
    Planner(PlannerArgs),
    /// Actions drawn evenly between the bounds of each channel
    Noise(NoiseArgs),
    /// The same action always
    Constant(ConstantArgs),
    /// The actions of a log's episode, one after the other, whatever it sees
    Replay(ReplayArgs),
}

/// Arguments of `rehearse policy serve clone`.
///
/// Example: `rehearse policy serve clone examples/metaworld/policies/full.safetensors`
#[derive(Debug, Args)]
pub struct CloneArgs {
    /// The policy's file
    file: PathBuf,
    /// The name to serve under; that of its recipe if not stated
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Arguments of `rehearse policy serve planner`.
///
/// Example: `rehearse policy serve planner examples/metaworld/planner.toml`
#[derive(Debug, Args)]
pub struct PlannerArgs {
    /// The planner's configuration (TOML): checkpoint, search, limits, objective, goals
    config: PathBuf,
    /// The name to serve under
    #[arg(long, default_value = "planner")]
    name: String,
    /// Where to compute: `cpu` or `cuda:N`
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Arguments of `rehearse policy serve noise`.
///
/// Example: `rehearse policy serve noise --rig rig.json --name noise`
#[derive(Debug, Args)]
pub struct NoiseArgs {
    #[command(flatten)]
    rig: RigArgs,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Arguments of `rehearse policy serve constant`.
///
/// Example: `rehearse policy serve constant --log logs --action 0,0,0,1`
#[derive(Debug, Args)]
pub struct ConstantArgs {
    /// The action: one value per channel, separated by commas
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true, required = true)]
    action: Vec<f32>,
    #[command(flatten)]
    rig: RigArgs,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Arguments of `rehearse policy serve replay`.
///
/// Example: `rehearse policy serve replay logs --episode 3`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The log's folder
    log: PathBuf,
    /// Index of the episode
    #[arg(long, default_value_t = 0)]
    episode: usize,
    #[command(flatten)]
    serve: ServeArgs,
}

/// The rig that the policy is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct RigArgs {
    /// The facts of the rig in JSON, as `logs inspect --format json` prints them under `embodiment`
    #[arg(long, value_name = "FILE")]
    rig: Option<PathBuf>,
    /// Take the rig from this log
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The name to serve under; that of the kind if not stated
    #[arg(long)]
    name: Option<String>,
    /// Actions in each chunk
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    chunk: u32,
    /// Most trials in one request
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_batch: u32,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl ServeCommand {
    /// Serves until the process is ended.
    ///
    /// # Errors
    /// If the policy cannot be made, or its name is taken.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let (policy, connection): (Box<dyn Policy>, ConnectionArgs) = match self {
            Self::Clone(CloneArgs { file, name, connection }) => {
                let policy = policy::load(&file)?;
                let name = name.unwrap_or_else(|| policy.info().name.clone());
                (Box::new(policy.named(name)), connection)
            }
            Self::Planner(PlannerArgs { config, name, device, connection }) => {
                (Box::new(PlannerConfig::load(&config, &name, device)?), connection)
            }
            Self::Noise(NoiseArgs { rig, serve }) => {
                let info = serve.info("noise", rig.read()?);
                (Box::new(NoisePolicy::new(info)?), serve.connection)
            }
            Self::Constant(ConstantArgs { action, rig, serve }) => {
                let info = serve.info("constant", rig.read()?);
                let chunk =
                    ActionChunk::from_values(action.len(), action.repeat(serve.chunk as usize))?;
                (Box::new(ConstantPolicy::new(info, chunk)?), serve.connection)
            }
            Self::Replay(ReplayArgs { log, episode, serve }) => {
                let log = RobotLog::open(&log)?;
                let info = serve.info("replay", log.embodiment().clone());
                let policy = ReplayPolicy::new(info, &recording(&log, episode)?);
                (Box::new(policy), serve.connection)
            }
        };
        let session = connection.open()?;
        let name = Name::new(policy.info().name.clone())?;
        let server = Server::policy(&session, policy, ServerOptions::named(name))?;
        printer.note(&format!("serving policy {}; end with Ctrl-C", server.name()));
        server.wait();
        Ok(ExitStatus::Error)
    }
}

impl ServeArgs {
    fn info(&self, kind: &str, embodiment: Embodiment) -> PolicyInfo {
        PolicyInfo {
            name: self.name.clone().unwrap_or_else(|| kind.to_owned()),
            embodiment,
            chunk: self.chunk as usize,
            max_batch: self.max_batch as usize,
            digest: None,
        }
    }
}

impl RigArgs {
    fn read(&self) -> anyhow::Result<Embodiment> {
        match (&self.rig, &self.log) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("failed to read {}", file.display()))?;
                serde_json::from_str(&text)
                    .with_context(|| format!("not the facts of a rig: {}", file.display()))
            }
            (None, Some(log)) => Ok(RobotLog::open(log)?.embodiment().clone()),
            (None, None) => anyhow::bail!("state the rig with --rig FILE or --log DIR"),
        }
    }
}

fn recording(log: &RobotLog, episode: usize) -> anyhow::Result<Recording> {
    let table = log.table(episode)?;
    let frames = table.frames();
    let first = log.observation(episode, 0)?;
    let actions = table.action.outer_iter().map(|action| action.to_vec()).collect();
    let observations = vec![first; frames + 1];
    Recording::new(observations, actions, vec![None; frames])
        .with_context(|| format!("episode {episode} cannot be played back"))
}
