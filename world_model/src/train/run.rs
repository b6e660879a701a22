//! A whole training, from logs to a checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use candle_core::{Device, Tensor};
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::seed::Seed;

use crate::checkpoint::{Manifest, Storage, TrainingRecord, check_rig, load_tensors, save};
use crate::device::DeviceChoice;
use crate::error::{ModelError, Result};
use crate::expert::Expert;
use crate::experts::Experts;
use crate::judge::platt;
use crate::model::{WorldModel, expert_shape};
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS};
use crate::routing::Routing;
use crate::tokenizer::{Layout, Tokenizer, fit_basis};
use crate::train::batch::ChunkSource;
use crate::train::cache::TokenCache;
use crate::train::config::TrainConfig;
use crate::train::data::{Dataset, Split};
use crate::train::expert_stage::ExpertObjective;
use crate::train::imagined::ImaginedEpisodes;
use crate::train::judge_stage::{JudgeObjective, has_both_outcomes};
use crate::train::logs::Logs;
use crate::train::measure::measure;
use crate::train::progress::Progress;
use crate::train::router_stage::RouterObjective;
use crate::train::stage::Session;
use crate::train::state_stage::{StateObjective, predict};

/// Name of the token cache.
const TOKENS: &str = "tokens";
/// Frames apart at which the change of latents is measured, to scale the experts' target.
const CHANGE_OVER: [usize; 4] = [2, 4, 8, 16];
/// The scale of a coefficient's change is kept above this part of the mean.
const LEAST_CHANGE: f64 = 0.05;

/// What a training left.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The checkpoint's tensor file; its manifest lies beside it.
    pub checkpoint: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
}

/// What is to be trained, and where.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The recipe.
    pub config: &'a TrainConfig,
    /// The logs to learn from.
    pub logs: &'a Logs,
    /// A checkpoint to go on from: its tokeniser and statistics are kept, its networks are where
    /// training starts. Its model must be that of the recipe.
    pub init: Option<&'a Path>,
    /// Takes the token cache, the saved state and the curves.
    pub folder: &'a Path,
    /// The checkpoint to write at the end.
    pub checkpoint: &'a Path,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Go on with a training that was cut short in the folder; it ends as if it had not been.
    pub resume: bool,
}

/// Trains a model on the train split of logs.
///
/// # Errors
/// [`ModelError`]: a recipe, log, checkpoint or device that cannot be used;
/// [`ModelError::Diverged`] with the last good state saved; files that cannot be written.
pub fn train(job: Job<'_>, progress: &mut dyn Progress) -> Result<Trained> {
    let Job { config, logs, init, folder, checkpoint, device, resume } = job;
    config.validate()?;
    let rig = logs.embodiment();
    expert_shape(&config.model, rig)?;
    let open = device.open()?;
    std::fs::create_dir_all(folder).map_err(ModelError::io("make the training folder", folder))?;
    let seed = Seed::root(config.seed);
    let data_hash = hash_logs(logs)?;
    let init = init.map(|path| read_init(path, config, rig, &open)).transpose()?;
    let init_hash = init.as_ref().map(|(_, digest)| digest.clone());
    let fingerprint = fingerprint(config, &data_hash, init_hash.as_deref())?;
    let save_every = Duration::from_secs(config.save_secs);
    let mut session =
        Session::open(folder, &open, seed, fingerprint.clone(), save_every, resume, progress)?;
    if let Some((tensors, _)) = init
        && session.variables.tensors().is_empty()
    {
        session.variables.assign(&tensors)?;
    }
    let split = Split::read(logs, config, seed)?;
    let data = prepare(config, logs, split, &mut session, &fingerprint)?;
    run_stages(config, &data, &mut session, &fingerprint)?;
    let frames = data.train.iter().map(|episode| episode.frames).sum();
    let record = TrainingRecord {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: data_hash,
        init: init_hash,
        split: config.splits.train.clone(),
        episodes: data.train.len(),
        frames,
        seed: config.seed,
        device: device.to_string(),
        secs: session.secs(),
        stages: session.finished().to_vec(),
    };
    let mut tensors = session.variables.tensors();
    tensors.retain(|name, _| !name.starts_with("experts.base."));
    let manifest =
        save(checkpoint, &config.model, &data.embodiment, &tensors, Storage::Bf16, record)?;
    session.progress.note(&format!("checkpoint written ({})", checkpoint.display()));
    Ok(Trained { checkpoint: checkpoint.to_owned(), manifest })
}

/// The tensors that a training starts from, and the digest of their checkpoint. The base of the
/// experts is the mean of its experts, which were specialised from one base themselves.
fn read_init(
    path: &Path,
    config: &TrainConfig,
    rig: &Embodiment,
    device: &Device,
) -> Result<(BTreeMap<String, Tensor>, String)> {
    let (mut tensors, manifest) = load_tensors(path, device)?;
    check_rig(&manifest.embodiment, rig)?;
    if manifest.config != config.model {
        return Err(ModelError::Checkpoint {
            path: path.to_owned(),
            reason: "its model is not the recipe's: state the same [model], or train without it"
                .to_owned(),
        });
    }
    let of_first = tensors
        .keys()
        .filter_map(|name| name.strip_prefix("experts.0.").map(str::to_owned))
        .collect::<Vec<_>>();
    for name in of_first {
        let experts = (0..MAX_BASE_CHUNKS)
            .filter_map(|index| tensors.remove(&format!("experts.{index}.{name}")))
            .collect::<Vec<_>>();
        tensors.insert(format!("experts.base.{name}"), Tensor::stack(&experts, 0)?.mean(0)?);
    }
    Ok((tensors, manifest.digest))
}

/// Fits basis and statistics and fills the token cache, or takes up those of the saved state.
fn prepare(
    config: &TrainConfig,
    logs: &Logs,
    split: Split,
    session: &mut Session<'_>,
    fingerprint: &str,
) -> Result<Dataset> {
    let embodiment = logs.embodiment().clone();
    let fitted = !session.variables.below("statistics.flow_scale").is_empty();
    let cached = fitted.then(|| TokenCache::open(&session.folder, TOKENS, fingerprint)).flatten();
    let cache = match cached {
        Some(cache) => cache,
        None => fill(config, logs, &split, session, fingerprint)?,
    };
    let Split { train, validation } = split;
    Ok(Dataset { embodiment, train, validation, cache })
}

fn fill(
    config: &TrainConfig,
    logs: &Logs,
    split: &Split,
    session: &mut Session<'_>,
    fingerprint: &str,
) -> Result<TokenCache> {
    let device = session.device.clone();
    let tokens = &config.model.tokens;
    let layout = Layout::new(tokens, &logs.embodiment().cameras)?;
    let (patches, values) = (layout.patches(), layout.values());
    if session.variables.below("tokenizer.basis").is_empty() {
        session.progress.note("fitting the tokeniser");
        let frames = sample_frames(config, logs, split, &layout, session.seed)?;
        let seed = session.seed.child("basis");
        let fit = fit_basis(&frames, patches, values, tokens.coefficients, seed)?;
        let mut tensors = measure(logs.embodiment(), &split.train, &device)?;
        let mut add = |name: &str, values: Vec<f32>, shape: &[usize]| {
            tensors.insert(name.to_owned(), Tensor::from_vec(values, shape, &device)?);
            candle_core::Result::Ok(())
        };
        add("tokenizer.mean", fit.mean, &[patches, values])?;
        add("tokenizer.basis", fit.basis, &[patches, tokens.coefficients, values])?;
        add("tokenizer.scale", fit.scale, &[patches, tokens.coefficients])?;
        session.variables.assign(&tensors)?;
    }
    session.progress.note("filling the token cache");
    let vb = session.variables.builder(&device, &[]);
    let tokenizer = Tokenizer::new(tokens, layout.clone(), &vb.pp("tokenizer"))?;
    let mut writer =
        TokenCache::create(&session.folder, TOKENS, fingerprint, patches, tokens.coefficients)?;
    let each = patches * tokens.coefficients;
    let (mut squares, mut count) = (vec![0.0_f64; each], 0.0_f64);
    for episode in split.episodes() {
        let mut pixels = Vec::with_capacity(episode.frames * patches * values);
        logs.patches(&layout, episode.index, |_, frame| {
            pixels.extend(frame);
            Ok(())
        })?;
        let latents = tokenizer.encode(pixels, episode.frames, &device)?;
        let latents = latents.flatten_all()?.to_vec1::<f32>()?;
        for apart in CHANGE_OVER {
            for (before, after) in
                latents.chunks_exact(each).zip(latents.chunks_exact(each).skip(apart)).step_by(4)
            {
                count += 1.0;
                for ((sum, b), a) in squares.iter_mut().zip(before).zip(after) {
                    *sum += f64::from(a - b).powi(2);
                }
            }
        }
        writer.add(episode.index, &latents)?;
    }
    if session.variables.below("statistics.flow_scale").is_empty() {
        let scale = change_scale(&squares, count, &device, patches)?;
        session.variables.assign(&BTreeMap::from([("statistics.flow_scale".to_owned(), scale)]))?;
    }
    let cache = writer.finish()?;
    session.save()?;
    Ok(cache)
}

/// The deviation of each coefficient's change, `(patches, coefficients)`, from sums of squares.
fn change_scale(squares: &[f64], count: f64, device: &Device, patches: usize) -> Result<Tensor> {
    let each = squares.len();
    let roots = squares.iter().map(|sum| (sum / count.max(1.0)).sqrt()).collect::<Vec<_>>();
    let least = LEAST_CHANGE * roots.iter().sum::<f64>() / each as f64;
    let scale = roots.iter().map(|root| root.max(least).max(1e-6) as f32).collect::<Vec<_>>();
    Ok(Tensor::from_vec(scale, (patches, each / patches), device)?)
}

/// Every second frame of episodes in a drawn order, until there are enough.
fn sample_frames(
    config: &TrainConfig,
    logs: &Logs,
    split: &Split,
    layout: &Layout,
    seed: Seed,
) -> Result<Vec<Vec<f32>>> {
    let mut order = split.train.iter().map(|episode| episode.index).collect::<Vec<_>>();
    let seed = seed.child("tokenizer");
    order.sort_by_key(|&index| seed.index(index as u64).to_u64());
    let mut frames = Vec::new();
    for index in order {
        if frames.len() >= config.tokenizer_frames {
            break;
        }
        logs.patches(layout, index, |frame, patches| {
            if frame % 2 == 0 {
                frames.push(patches);
            }
            Ok(())
        })?;
    }
    Ok(frames)
}

fn run_stages(
    config: &TrainConfig,
    data: &Dataset,
    session: &mut Session<'_>,
    fingerprint: &str,
) -> Result<()> {
    let TrainConfig { state, base, refine, specialise, router, chunks, .. } = config;
    let stage = "state";
    if !session.is_finished(stage) {
        let model = model_of(config, data, session, &["state."])?;
        let objective = StateObjective { model: &model, data, batch: state.batch };
        session.run(stage, state, &["state."], &objective)?;
    }
    let model = model_of(config, data, session, &[])?;
    let mut predicted = predict(&model, data, &data.train)?;
    predicted.extend(predict(&model, data, &data.validation)?);
    let shape = expert_shape(&config.model, &data.embodiment)?;
    let trainable = ["experts.base.", "instruction."];
    if !session.is_finished("base") {
        session.progress.note("training the base of the experts");
        let model = model_of(config, data, session, &trainable)?;
        let vb = session.variables.builder(&session.device, &trainable);
        let expert = Expert::new(shape, &vb.pp("experts").pp("base"))?;
        let train = ChunkSource::new(&model, data, &data.train, &predicted, None)?;
        let held = ChunkSource::new(&model, data, &data.validation, &predicted, None)?;
        let objective =
            ExpertObjective::new(&model, &expert, [&train, &held], chunks, None, base.batch)?;
        session.run("base", base, &trainable, &objective)?;
    }
    let imagined = match refine {
        Some(_) => Some(imagine_by_base(config, data, &predicted, session, fingerprint)?),
        None => None,
    };
    let imagined = imagined.as_ref();
    if let Some(refine) = refine
        && !session.is_finished("refine")
    {
        session.progress.note("training the base on contexts of its own");
        let model = model_of(config, data, session, &trainable)?;
        let vb = session.variables.builder(&session.device, &trainable);
        let expert = Expert::new(shape, &vb.pp("experts").pp("base"))?;
        let train = ChunkSource::new(&model, data, &data.train, &predicted, imagined)?;
        let held = ChunkSource::new(&model, data, &data.validation, &predicted, imagined)?;
        let objective =
            ExpertObjective::new(&model, &expert, [&train, &held], chunks, None, refine.batch)?;
        session.run("refine", refine, &trainable, &objective)?;
    }
    if session.variables.below("experts.0.").is_empty() {
        let base = session.variables.below("experts.base.");
        let copies = (0..MAX_BASE_CHUNKS).flat_map(|index| {
            base.iter().map(move |(name, var)| {
                let name = name.replacen("experts.base.", &format!("experts.{index}."), 1);
                (name, var.as_detached_tensor())
            })
        });
        session.variables.assign(&copies.collect())?;
        session.save()?;
    }
    for index in 0..MAX_BASE_CHUNKS {
        let stage = format!("expert-{}", (index + 1) * BASE_CHUNK);
        let trainable = format!("experts.{index}.");
        let model = model_of(config, data, session, &[])?;
        let vb = session.variables.builder(&session.device, &[&trainable]);
        let expert = Expert::new(shape, &vb.pp("experts").pp(index))?;
        let train = ChunkSource::new(&model, data, &data.train, &predicted, imagined)?;
        if session.is_finished(&stage) || !train.has((index + 1) * BASE_CHUNK) {
            continue;
        }
        let held = ChunkSource::new(&model, data, &data.validation, &predicted, imagined)?;
        let sources = [&train, &held];
        let objective =
            ExpertObjective::new(&model, &expert, sources, chunks, Some(index), specialise.batch)?;
        session.run(&stage, specialise, &[&trainable], &objective)?;
    }
    if !session.is_finished("router") {
        session.progress.note("training the router");
        let model = model_of(config, data, session, &["router."])?;
        let objective = RouterObjective::new(&model, data, &predicted, router.batch)?;
        session.run("router", router, &["router."], &objective)?;
    }
    run_judge(config, data, &predicted, session, fingerprint)
}

/// The logged episodes as the base imagines them, in the place of every expert.
fn imagine_by_base<'a>(
    config: &TrainConfig,
    data: &Dataset,
    predicted: &'a BTreeMap<usize, Vec<f32>>,
    session: &mut Session<'_>,
    fingerprint: &str,
) -> Result<ImaginedEpisodes<'a>> {
    session.progress.note("imagining the logged episodes by the base");
    let shape = expert_shape(&config.model, &data.embodiment)?;
    let vb = session.variables.builder(&session.device, &[]);
    let base = Arc::new(Expert::new(shape, &vb.pp("experts").pp("base"))?);
    let experts = Experts::All(vec![base; MAX_BASE_CHUNKS]);
    let model = WorldModel::with_experts(&config.model, &data.embodiment, experts, &vb)?;
    let place = (&*session.folder, "forced", fingerprint);
    let seed = session.seed.child("forced");
    ImaginedEpisodes::new(&model, data, predicted, Routing::ActionGuided, place, seed)
}

/// Trains the judge, on imagined frames too, and calibrates it.
fn run_judge(
    config: &TrainConfig,
    data: &Dataset,
    predicted: &BTreeMap<usize, Vec<f32>>,
    session: &mut Session<'_>,
    fingerprint: &str,
) -> Result<()> {
    if !has_both_outcomes(&data.train) {
        session.progress.note("the logs hold one outcome only: the judge stays untrained");
        return Ok(());
    }
    let part = config.judge_imagined;
    let imagined = if part > 0.0 {
        session.progress.note("imagining the logged episodes for the judge");
        let vb = session.variables.builder(&session.device, &[]);
        let model = WorldModel::new(&config.model, &data.embodiment, &vb)?;
        let seed = session.seed.child("imagined");
        let place = (&*session.folder, "imagined", fingerprint);
        Some(ImaginedEpisodes::new(&model, data, predicted, Routing::Learned, place, seed)?)
    } else {
        None
    };
    let model = model_of(config, data, session, &["judge."])?;
    let mix = imagined.as_ref().map(|imagined| (imagined, part));
    let objective = JudgeObjective::new(&model, data, mix, config.judge.batch);
    session.run("judge", &config.judge, &["judge."], &objective)?;
    let (mut scores, mut labels) = objective.held_back(false)?;
    if mix.is_some() {
        let (more, theirs) = objective.held_back(true)?;
        scores.extend(more);
        labels.extend(theirs);
    }
    let [slope, offset] = platt(&scores, &labels);
    let one = |value: f32| Tensor::from_vec(vec![value], 1, &session.device);
    session.variables.assign(&BTreeMap::from([
        ("judge.platt.slope".to_owned(), one(slope)?),
        ("judge.platt.offset".to_owned(), one(offset)?),
    ]))?;
    session.save()
}

/// The model over the session's variables, without experts, of which the parts below
/// `trainable` take part in a backward pass.
fn model_of(
    config: &TrainConfig,
    data: &Dataset,
    session: &Session<'_>,
    trainable: &[&str],
) -> Result<WorldModel> {
    let vb = session.variables.builder(&session.device, trainable);
    let none = Experts::All(Vec::<Arc<Expert>>::new());
    WorldModel::with_experts(&config.model, &data.embodiment, none, &vb)
}

/// BLAKE3 over logs, in hex; that of a single one is its own.
fn hash_logs(logs: &Logs) -> Result<String> {
    let mut each = logs.iter().map(|log| hash_log(log.folder())).collect::<Result<Vec<_>>>()?;
    if each.len() == 1 {
        return Ok(each.remove(0));
    }
    Ok(blake3::hash(each.concat().as_bytes()).to_hex().to_string())
}

/// A digest of every file of a log, in hex: BLAKE3 over their names and contents.
///
/// # Errors
/// [`ModelError::Io`].
pub fn hash_log(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    list_files(folder, &mut files)?;
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for path in files {
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        let file = std::fs::File::open(&path).map_err(ModelError::io("read the logs", &path))?;
        let mut own = blake3::Hasher::new();
        own.update_reader(file).map_err(ModelError::io("read the logs", &path))?;
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(own.finalize().as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn list_files(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    let failed = || ModelError::io("read the logs", folder);
    for entry in std::fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        if entry.file_type().map_err(failed())?.is_dir() {
            list_files(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}

/// What a saved state belongs to: the recipe, but for how often it is saved, the data, and the
/// checkpoint that training goes on from.
fn fingerprint(config: &TrainConfig, data: &str, init: Option<&str>) -> Result<String> {
    let recipe = TrainConfig { save_secs: 0, ..config.clone() };
    let text = serde_json::to_string(&recipe)
        .map_err(|source| ModelError::Json { what: "the recipe".to_owned(), source })?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(text.as_bytes());
    hasher.update(data.as_bytes());
    hasher.update(init.unwrap_or_default().as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}
