//! `rehearse bridge`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use rehearse_policy_bridge::adapter::{Dialect, Manifest, OpenpiServer, connect};
use rehearse_policy_bridge::zenoh::{Name, RemotePolicy, Server, ServerOptions};

use crate::cli::connection::{ConnectionArgs, PatienceArgs};
use crate::cli::{ExitStatus, Printer};

/// Arguments of `rehearse bridge`.
///
/// Example: `rehearse bridge openpi ws://gpu-box:8000 --name pi0 --manifest droid.toml`
#[derive(Debug, Args)]
pub struct BridgeArgs {
    /// What the other side speaks
    #[arg(value_enum)]
    kind: BridgeKind,
    /// Address of the server, as in `ws://gpu-box:8000`, `tcp://gpu-box:5555`,
    /// `http://gpu-box:8000/act`; for `openpi-server` the address to listen on, as in
    /// `127.0.0.1:8000`
    #[arg(value_name = "URL")]
    address: String,
    /// The name to serve under; for `openpi-server` the policy to be asked
    #[arg(long)]
    name: String,
    /// The conventions of the other side, in TOML: names, rotations, gripper, rate, scaling
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    #[command(flatten)]
    patience: PatienceArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What the other side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BridgeKind {
    /// openpi's websocket, `RoboArena`'s and vLLM-Omni's variants of it
    Openpi,
    /// Isaac-GR00T's inference server, N1.5 and N1.6
    Groot,
    /// A model server of AI2's vla-eval
    VlaEval,
    /// `POST /act` with json-numpy: `OpenVLA`, `AutoEval`
    Rest,
    /// The other way round: a policy of ours for clients of openpi
    OpenpiServer,
}

impl BridgeKind {
    /// Whether a manifest of `dialect` is for this kind.
    const fn takes(self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::Openpi => matches!(self, Self::Openpi | Self::OpenpiServer),
            Dialect::Roboarena | Dialect::VllmOmni => matches!(self, Self::Openpi),
            Dialect::GrootN15 | Dialect::GrootN16 => matches!(self, Self::Groot),
            Dialect::VlaEval => matches!(self, Self::VlaEval),
            Dialect::Rest | Dialect::RestDoubleEncoded => matches!(self, Self::Rest),
        }
    }
}

impl BridgeArgs {
    /// Bridges until the process is ended.
    ///
    /// # Errors
    /// If the manifest does not hold together, the other side is not there or contradicts it, or
    /// the name is taken.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let Self { kind, address, name, manifest: file, patience, connection } = self;
        let name = Name::new(name)?;
        let manifest = Manifest::load(&file)?;
        let dialect = manifest.server.dialect;
        if !kind.takes(dialect) {
            let kind = kind.to_possible_value();
            bail!(
                "`rehearse bridge {}` does not speak {dialect:?}, which is server.dialect of {}",
                kind.as_ref().map_or("", |value| value.get_name()),
                file.display()
            );
        }
        let session = connection.open()?;
        if kind == BridgeKind::OpenpiServer {
            let policy = RemotePolicy::connect(&session, &name, patience.options()?)?;
            let server = OpenpiServer::bind(&address, Box::new(policy), manifest)?;
            let at = server.address();
            printer.note(&format!("policy {name} is served at ws://{at}; end with Ctrl-C"));
            server.wait();
            return Ok(ExitStatus::Error);
        }
        let policy = connect(name.as_str(), &address, manifest)
            .with_context(|| format!("failed to bridge {address}"))?;
        let server = Server::policy(&session, Box::new(policy), ServerOptions::named(name))?;
        printer.note(&format!("serving policy {}; end with Ctrl-C", server.name()));
        server.wait();
        Ok(ExitStatus::Error)
    }
}
