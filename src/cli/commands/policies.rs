//! `rehearse policies`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use rehearse_policy_bridge::zenoh::{
    BridgeError, ClientOptions, Kind, Peer, RemoteJudge, RemotePolicy, RemoteWorld, Session, peers,
};
use rehearse_scenarios::embodiment::{Channel, Embodiment};
use rehearse_scenarios::interface::Policy as _;
use serde::Serialize;

use crate::cli::connection::ConnectionArgs;
use crate::cli::{ExitStatus, Format, Printer};

/// Arguments of `rehearse policies`.
///
/// Example: `rehearse policies --connect tcp/lab-gpu:7447`
#[derive(Debug, Args)]
pub struct PoliciesArgs {
    /// Form of the result: `table`, or `json` with stable names
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Longest wait in seconds for those who are slow to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    patience: f64,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Who is there, as other programs read it.
#[derive(Debug, Serialize)]
struct Roll {
    format: u32,
    peers: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Stated>,
    /// Why it did not say what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Stated {
    software: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    embodiment: Option<Embodiment>,
    /// The cameras that a judge looks through; all if empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    cameras: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<usize>,
    max_batch: usize,
    digest: Option<String>,
    round_trip_ms: f64,
}

impl PoliciesArgs {
    /// Prints who is there, what they expect, and how far away they are.
    ///
    /// # Errors
    /// If zenoh cannot be set up.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let patience = Duration::try_from_secs_f64(self.patience)?;
        let session = self.connection.open()?;
        let found = peers(&session, patience)?;
        let peers: Vec<Row> =
            found.into_iter().map(|peer| Row::of(&session, peer, patience)).collect();
        let nobody = peers.is_empty();
        let roll = Roll { format: 1, peers };
        let text = match self.format {
            Format::Table => roll.table(),
            Format::Json => serde_json::to_string_pretty(&roll)?,
            Format::Csv | Format::Markdown => {
                bail!("`policies` prints `--format table` or `--format json`")
            }
        };
        printer.data(&text)?;
        if nobody {
            printer.note(
                "hint: nobody is there; `rehearse policy serve` starts a policy on this machine, \
                 `--connect` reaches another one",
            );
        }
        Ok(ExitStatus::Success)
    }
}

impl Row {
    fn of(session: &Session, Peer { kind, name }: Peer, patience: Duration) -> Self {
        let options = ClientOptions { connect_timeout: patience, ..ClientOptions::default() };
        let stated = match kind {
            Kind::Policy => RemotePolicy::connect(session, &name, options).map(|policy| {
                let info = policy.info();
                Stated {
                    software: policy.software().to_owned(),
                    embodiment: Some(info.embodiment.clone()),
                    cameras: None,
                    chunk: Some(info.chunk),
                    max_batch: info.max_batch,
                    digest: info.digest.clone(),
                    round_trip_ms: policy.round_trip().as_secs_f64() * 1e3,
                }
            }),
            Kind::World => RemoteWorld::connect(session, &name, options).map(|world| {
                let info = world.info();
                Stated {
                    software: world.software().to_owned(),
                    embodiment: Some(info.embodiment.clone()),
                    cameras: None,
                    chunk: None,
                    max_batch: info.max_batch,
                    digest: info.digest.clone(),
                    round_trip_ms: world.round_trip().as_secs_f64() * 1e3,
                }
            }),
            Kind::Judge => RemoteJudge::ask(session, &name, options).map(|judge| Stated {
                software: judge.software,
                embodiment: None,
                cameras: Some(judge.info.cameras),
                chunk: None,
                max_batch: judge.info.max_batch,
                digest: judge.info.digest,
                round_trip_ms: judge.round_trip.as_secs_f64() * 1e3,
            }),
        };
        let problem = stated.as_ref().err().map(BridgeError::to_string);
        Self { kind: kind.as_str(), name: name.to_string(), info: stated.ok(), problem }
    }
}

impl Roll {
    fn table(&self) -> String {
        let mut text = format!("{} found\n", self.peers.len());
        for Row { kind, name, info, problem } in &self.peers {
            let _infallible = write!(text, "\n{kind} {name}");
            if let Some(problem) = problem {
                let _infallible = writeln!(text, "\n  {problem}");
            }
            let Some(stated) = info else { continue };
            let Stated { software, embodiment, cameras, chunk, .. } = stated;
            let Stated { max_batch, digest, round_trip_ms, .. } = stated;
            let _infallible = writeln!(text, "  {round_trip_ms:.2} ms away, served by {software}");
            if let Some(embodiment) = embodiment {
                let robot = embodiment.robot.as_deref().unwrap_or("not stated");
                let _infallible = writeln!(text, "  robot    {robot}, {}", embodiment.rate);
                let cameras: Vec<_> = embodiment.cameras.iter().map(ToString::to_string).collect();
                let _infallible = writeln!(text, "  cameras  {}", list(&cameras));
                let _infallible =
                    writeln!(text, "  state    {}", list(&names(&embodiment.proprioception)));
                let _infallible =
                    writeln!(text, "  action   {}", list(&names(&embodiment.actions)));
            }
            if let Some(cameras) = cameras {
                let through =
                    if cameras.is_empty() { "all".to_owned() } else { cameras.join(", ") };
                let _infallible = writeln!(text, "  cameras  {through}");
            }
            if let Some(chunk) = chunk {
                let _infallible = writeln!(text, "  chunk    {chunk} actions");
            }
            let _infallible = writeln!(text, "  batch    up to {max_batch} trials");
            if let Some(digest) = digest {
                let _infallible = writeln!(text, "  digest   {digest}");
            }
        }
        text
    }
}

fn names(channels: &[Channel]) -> Vec<String> {
    channels.iter().map(|channel| channel.name.clone()).collect()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
