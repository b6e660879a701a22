//! How fast the model computes, and how far that is from its matrix products alone.
//!
//! ```text
//! speed table CHECKPOINT [BATCH FRAMES]   what each stage costs, beside its floor
//! speed growth CHECKPOINT                 how an imagined chunk's cost grows
//! speed serve CHECKPOINT FOLDER           writes inputs and outputs to FOLDER, then answers each
//!                                         line that names a stage with the seconds that it took
//! ```
//!
//! `serve` is one side of `world_model/tools/compare_torch.py`. What is timed is warm; every
//! figure is the median of runs that take turns, so that a busy moment of the machine does not
//! fall on one of them.

mod bench;
mod cost;
mod sizes;
mod stage;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::time::Instant;

use candle_core::Device;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::seed::Seed;
use rehearse_world_model::checkpoint::read_manifest;
use rehearse_world_model::config::ModelConfig;
use rehearse_world_model::nn::Variables;

use bench::Bench;
use stage::Stage;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Runs of each stage, in turn.
const ROUNDS: usize = 7;
/// Trials at once where nothing else is said.
const BATCH: usize = 16;
/// Frames in a chunk where nothing else is said.
const FRAMES: usize = 8;

fn main() -> Outcome<()> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    match arguments[..] {
        ["table", checkpoint] => table(Path::new(checkpoint), BATCH, FRAMES),
        ["table", checkpoint, batch, frames] => {
            table(Path::new(checkpoint), batch.parse()?, frames.parse()?)
        }
        ["growth", checkpoint] => growth(Path::new(checkpoint)),
        ["serve", checkpoint, folder] => serve(Path::new(checkpoint), Path::new(folder)),
        _ => Err("usage: speed table CHECKPOINT [BATCH FRAMES], speed growth CHECKPOINT, or \
                  speed serve CHECKPOINT FOLDER"
            .into()),
    }
}

/// The shipped weights.
fn trained(checkpoint: &Path, batch: usize, frames: usize) -> Outcome<Bench> {
    let manifest = read_manifest(checkpoint)?;
    let tensors = candle_core::safetensors::load(checkpoint, &Device::Cpu)?
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.to_dtype(candle_core::DType::F32)?)))
        .collect::<candle_core::Result<BTreeMap<_, _>>>()?;
    let variables = Variables::from_tensors(Seed::root(0), &tensors)?;
    Bench::new(&manifest.config, &manifest.embodiment, &variables, batch, frames)
}

/// Weights drawn at random: only sizes matter.
fn drawn(config: &ModelConfig, rig: &Embodiment, batch: usize, frames: usize) -> Outcome<Bench> {
    Bench::new(config, rig, &Variables::new(Seed::root(0)), batch, frames)
}

fn seconds(bench: &mut Bench, stage: Stage) -> Outcome<f64> {
    let began = Instant::now();
    bench.run(stage)?;
    Ok(began.elapsed().as_secs_f64())
}

/// Median seconds of several runs that take turns.
fn medians(turns: usize, mut run: impl FnMut(usize) -> Outcome<f64>) -> Outcome<Vec<f64>> {
    let mut taken = vec![Vec::new(); turns];
    for round in 0..=ROUNDS {
        for (turn, taken) in taken.iter_mut().enumerate() {
            let secs = run(turn)?;
            // The first round warms up.
            if round > 0 {
                taken.push(secs);
            }
        }
    }
    Ok(taken
        .into_iter()
        .map(|mut secs| {
            secs.sort_by(f64::total_cmp);
            secs[secs.len() / 2]
        })
        .collect())
}

fn table(checkpoint: &Path, batch: usize, frames: usize) -> Outcome<()> {
    let mut bench = trained(checkpoint, batch, frames)?;
    let medians = medians(Stage::ALL.len(), |turn| seconds(&mut bench, Stage::ALL[turn]))?;
    let rows = Stage::ALL.iter().zip(medians).collect::<Vec<_>>();
    let rate = rows
        .iter()
        .find(|(stage, _)| **stage == Stage::Product)
        .map_or(f64::NAN, |(stage, secs)| bench.cost(**stage).operations / secs);
    println!("| stage | GFLOP | MB | floor, ms | measured, ms | floor / measured |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (stage, secs) in rows {
        let cost = bench.cost(*stage);
        let floor = cost.operations / rate;
        println!(
            "| {} | {:.3} | {:.1} | {:.2} | {:.2} | {:.2} |",
            stage.name(),
            cost.operations / 1e9,
            cost.bytes / 1e6,
            1e3 * floor,
            1e3 * secs,
            floor / secs
        );
    }
    println!("\nmatrix products reach {:.0} GFLOP/s", rate / 1e9);
    Ok(())
}

fn growth(checkpoint: &Path) -> Outcome<()> {
    let manifest = read_manifest(checkpoint)?;
    let (config, rig) = (&manifest.config, &manifest.embodiment);
    let with = |change: &dyn Fn(&mut ModelConfig)| {
        let mut config = config.clone();
        change(&mut config);
        config
    };
    let mut batches = Vec::new();
    for batch in [1, 2, 4, 8, 16, 32] {
        batches.push((format!("{batch} trials"), drawn(config, rig, batch, FRAMES)?));
    }
    report("batch", batches)?;
    let mut lengths = Vec::new();
    for frames in [8, 16, 24, 32] {
        lengths.push((format!("{frames} frames"), drawn(config, rig, BATCH, frames)?));
    }
    report("chunk length", lengths)?;
    let mut sides = Vec::new();
    for side in [32, 64, 96, 128] {
        let config = with(&|config| (config.tokens.height, config.tokens.width) = (side, side));
        sides.push((format!("{side} × {side} pixels"), drawn(&config, rig, BATCH, FRAMES)?));
    }
    report("resolution", sides)?;
    let mut widths = Vec::new();
    for width in [96, 192, 384] {
        let config = with(&|config| config.expert.width = width);
        widths.push((format!("experts {width} wide"), drawn(&config, rig, BATCH, FRAMES)?));
    }
    for layers in [3, 12] {
        let config = with(&|config| config.expert.layers = layers);
        widths.push((format!("experts of {layers} blocks"), drawn(&config, rig, BATCH, FRAMES)?));
    }
    report("model size", widths)
}

fn report(what: &str, mut benches: Vec<(String, Bench)>) -> Outcome<()> {
    let secs = medians(benches.len(), |turn| seconds(&mut benches[turn].1, Stage::Rollout))?;
    println!("| {what} | GFLOP | chunk, ms | frames/s | GFLOP/s |");
    println!("|---|---:|---:|---:|---:|");
    for ((name, bench), secs) in benches.iter().zip(secs) {
        let operations = bench.cost(Stage::Rollout).operations;
        println!(
            "| {name} | {:.2} | {:.1} | {:.0} | {:.0} |",
            operations / 1e9,
            1e3 * secs,
            bench.frames() / secs,
            operations / secs / 1e9
        );
    }
    println!();
    Ok(())
}

fn serve(checkpoint: &Path, folder: &Path) -> Outcome<()> {
    let mut many = trained(checkpoint, BATCH, FRAMES)?;
    let mut one = trained(checkpoint, 1, FRAMES)?;
    many.write(folder)?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let secs = match line?.as_str() {
            "rollout" => seconds(&mut many, Stage::Rollout)?,
            "latency" => seconds(&mut one, Stage::Rollout)?,
            "training" => seconds(&mut many, Stage::Training)?,
            "product" => seconds(&mut many, Stage::Product)? / many.cost(Stage::Product).operations,
            "operations" => many.cost(Stage::Rollout).operations,
            other => return Err(format!("no stage is called {other:?}").into()),
        };
        println!("{secs:e}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
