//! `rehearse policy check`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use rehearse_policy_bridge::zenoh::{Name, RemotePolicy, RemoteWorld, Session};
use rehearse_scenarios::action::ActionChunk;
use rehearse_scenarios::census::{Census, Difference, Relation};
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{Begin, PerTrial, Policy, TrialHandle, World as _};
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::observation::{Image, Observation};
use rehearse_scenarios::seed::Seed;
use rehearse_scenarios::time::SimTime;

use crate::cli::connection::{ConnectionArgs, PatienceArgs};
use crate::cli::{ExitStatus, Printer};

/// Arguments of `rehearse policy check`.
///
/// Example: `rehearse policy check pi0 --log logs`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The policy's name
    name: String,
    /// Compare it with the rig of this log, and show it the log's first frame
    #[arg(long, value_name = "DIR", conflicts_with = "world")]
    log: Option<PathBuf>,
    /// Compare it with this world, found over zenoh
    #[arg(long, value_name = "NAME")]
    world: Option<String>,
    /// How often it is asked
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    inferences: u32,
    #[command(flatten)]
    patience: PatienceArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl CheckArgs {
    /// Checks the policy.
    ///
    /// # Errors
    /// If it is not there, or what it is compared with is not.
    pub fn run(self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        let session = self.connection.open()?;
        let options = self.patience.options()?;
        let name = Name::new(&*self.name)?;
        let mut policy = RemotePolicy::connect(&session, &name, options)?;
        let info = policy.info().clone();
        let milliseconds = policy.round_trip().as_secs_f64() * 1e3;
        printer.data(&format!(
            "policy {name}: {} actions a chunk, up to {} trials in a request, {milliseconds:.2} ms \
             away, served by {}",
            info.chunk,
            info.max_batch,
            policy.software()
        ))?;
        let (other, observation) = self.other(&session, &info.embodiment)?;
        let mut sound = true;
        if let Some((other, embodiment)) = other {
            let mine = format!("policy {name}");
            let census =
                Census::compare(other, &embodiment, mine, &info.embodiment, Relation::Uses);
            sound = census.mismatches.is_empty();
            printer.data(&table_of(&census))?;
        }
        let observation = match observation {
            Some(observation) if sound => observation,
            _ => grey(&info.embodiment),
        };
        let (answers, times) = ask(&mut policy, &observation, self.inferences)?;
        let faults: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        printer.data(&format!(
            "acted {} of {} times; {}",
            answers.len() - faults.len(),
            answers.len(),
            percentiles(times)
        ))?;
        if let Some(fault) = faults.first() {
            printer.data(&format!("first fault: {fault}"))?;
        }
        let holds = sound && faults.is_empty();
        Ok(if holds { ExitStatus::Success } else { ExitStatus::Failure })
    }

    /// What the policy is compared with, and what it is shown.
    fn other(
        &self,
        session: &Session,
        used: &Embodiment,
    ) -> anyhow::Result<(Option<Other>, Option<Observation>)> {
        if let Some(world) = &self.world {
            let options = self.patience.options()?;
            let remote = RemoteWorld::connect(session, &Name::new(&**world)?, options)?;
            return Ok((Some((format!("world {world}"), remote.embodiment().clone())), None));
        }
        let Some(folder) = &self.log else { return Ok((None, None)) };
        let log = RobotLog::open(folder)?;
        let rig = log.embodiment().clone();
        let mut seen = log.observation(log.episodes().first().map_or(0, |first| first.index), 0)?;
        seen.images.retain(|name, _| used.camera(name).is_some());
        let position =
            |name: &str| rig.proprioception.iter().position(|channel| channel.name == name);
        seen.proprioception = used
            .proprioception
            .iter()
            .filter_map(|channel| seen.proprioception.get(position(&channel.name)?).copied())
            .collect();
        Ok((Some((format!("log {}", folder.display()), rig)), Some(seen)))
    }
}

/// A name, and the facts of its rig.
type Other = (String, Embodiment);

fn table_of(census: &Census) -> String {
    let lines = |what: &str, differences: &[Difference]| -> String {
        differences.iter().map(|difference| format!("\n  {what}  {difference}")).collect()
    };
    let verdict = if census.mismatches.is_empty() { "fit" } else { "do not fit" };
    format!(
        "{} and {} {verdict}{}{}",
        census.left,
        census.right,
        lines("mismatch   ", &census.mismatches),
        lines("unconfirmed", &census.unconfirmed)
    )
}

/// Grey images and zeros: enough to see whether it acts at all.
fn grey(embodiment: &Embodiment) -> Observation {
    let images: BTreeMap<String, Image> = embodiment
        .cameras
        .iter()
        .filter_map(|camera| {
            let pixels = vec![128; camera.height as usize * camera.width as usize * 3];
            let image = Image::from_rgb(camera.height, camera.width, pixels).ok()?;
            Some((camera.name.clone(), image))
        })
        .collect();
    Observation {
        images,
        proprioception: vec![0.0; embodiment.proprioception.len()],
        instruction: Arc::from("check"),
        time: SimTime::ZERO,
    }
}

type Answers = (Vec<PerTrial<ActionChunk>>, Vec<Duration>);

fn ask(
    policy: &mut RemotePolicy,
    observation: &Observation,
    inferences: u32,
) -> anyhow::Result<Answers> {
    let (mut answers, mut times) = (vec![], vec![]);
    for index in 0..u64::from(inferences) {
        let trial = TrialHandle(index);
        let instruction = Arc::clone(&observation.instruction);
        let begin = Begin { trial, instruction, seed: Seed::root(0).index(index) };
        let begun = policy.begin(&[begin])?.pop();
        if let Some(Err(fault)) = begun {
            answers.push(Err(fault));
            continue;
        }
        let asked = Instant::now();
        let answer = policy.act(&[(trial, observation.clone())])?.pop();
        times.push(asked.elapsed());
        answers.extend(answer);
        policy.end(&[trial]);
    }
    Ok((answers, times))
}

fn percentiles(mut times: Vec<Duration>) -> String {
    if times.is_empty() {
        return "no answer was timed".to_owned();
    }
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1;
        times[index].as_secs_f64() * 1e3
    };
    format!(
        "{:.2} ms in the median, {:.2} ms p90, {:.2} ms p99, {:.2} ms at most",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    )
}
