//! A whole training, from logs to a checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use candle_core::Tensor;
use rehearse_scenarios::seed::Seed;

use crate::checkpoint::{Manifest, Storage, TrainingRecord, save};
use crate::device::DeviceChoice;
use crate::error::{ModelError, Result};
use crate::expert::Expert;
use crate::experts::Experts;
use crate::judge::platt;
use crate::model::{WorldModel, expert_shape};
use crate::partition::{BASE_CHUNK, MAX_BASE_CHUNKS};
use crate::routing::Routing;
use crate::train::batch::ChunkSource;
use crate::train::config::TrainConfig;
use crate::train::data::Dataset;
use crate::train::episode::LoggedEpisode;
use crate::train::expert_stage::ExpertObjective;
use crate::train::imagined::ImaginedEpisodes;
use crate::train::init::read_init;
use crate::train::instructions::{open_t5, read_instructions};
use crate::train::judge_stage::{JudgeObjective, Scored, labels};
use crate::train::logs::Logs;
use crate::train::predicted::Predicted;
use crate::train::prepare::prepare;
use crate::train::progress::Progress;
use crate::train::router_stage::RouterObjective;
use crate::train::stage::Session;
use crate::train::state_stage::StateObjective;

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
    /// training starts. Its tokens must be those of the recipe; other parts of another size start
    /// anew.
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

/// A training whose data are at hand.
pub(crate) struct Opened<'a> {
    /// The recipe; a T5 is known by its digest.
    pub config: TrainConfig,
    pub session: Session<'a>,
    pub data: Dataset,
    pub fingerprint: String,
    data_hash: String,
    init_hash: Option<String>,
}

impl<'a> Opened<'a> {
    /// Opens the folder of a job and fills the token cache, or takes up what is there.
    pub fn new(job: Job<'_>, progress: &'a mut dyn Progress) -> Result<Self> {
        let Job { config, logs, init, folder, checkpoint: _, device, resume } = job;
        config.validate()?;
        let (config, t5) = open_t5(config)?;
        let rig = logs.embodiment();
        expert_shape(&config.model, rig)?;
        let open = device.open()?;
        std::fs::create_dir_all(folder)
            .map_err(ModelError::io("make the training folder", folder))?;
        let seed = Seed::root(config.seed);
        let data_hash = hash_logs(logs)?;
        let init = init.map(|path| read_init(path, &config, rig, &open)).transpose()?;
        let init_hash = init.as_ref().map(|(_, digest)| digest.clone());
        let fingerprint = fingerprint(&config, &data_hash, init_hash.as_deref())?;
        let save_every = Duration::from_secs(config.save_secs);
        let mut session =
            Session::open(folder, &open, seed, fingerprint.clone(), save_every, resume, progress)?;
        if let Some((tensors, _)) = init
            && session.variables.tensors().is_empty()
        {
            session.variables.assign(&tensors)?;
        }
        if let Some(mut t5) = t5 {
            read_instructions(&mut t5, config.model.instruction.words, logs, &mut session)?;
        }
        let data = prepare(&config, logs, &mut session, &fingerprint)?;
        Ok(Self { config, session, data, fingerprint, data_hash, init_hash })
    }
}

/// Trains a model on the train split of logs.
///
/// # Errors
/// [`ModelError`]: a recipe, log, checkpoint or device that cannot be used;
/// [`ModelError::Diverged`] with the last good state saved; files that cannot be written.
pub fn train(job: Job<'_>, progress: &mut dyn Progress) -> Result<Trained> {
    let Job { checkpoint, device, .. } = job;
    let Opened { config, mut session, data, fingerprint, data_hash, init_hash } =
        Opened::new(job, progress)?;
    run_stages(&config, &data, &mut session, &fingerprint)?;
    let frames = data.train.iter().map(|episode| episode.frames).sum();
    let record = TrainingRecord {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        data: data_hash,
        init: init_hash,
        split: config.splits.train,
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
    let predicted = Predicted::new(&model, data, &session.folder)?;
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
    predicted: &'a Predicted,
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

/// The logged episodes as the whole model imagines them, if the judge is to learn from them.
pub(crate) fn imagine_for_judge<'a>(
    config: &TrainConfig,
    data: &Dataset,
    predicted: &'a Predicted,
    session: &mut Session<'_>,
    fingerprint: &str,
) -> Result<Option<ImaginedEpisodes<'a>>> {
    if config.judge_imagined <= 0.0 {
        return Ok(None);
    }
    session.progress.note("imagining the logged episodes for the judge");
    let vb = session.variables.builder(&session.device, &[]);
    let model = WorldModel::new(&config.model, &data.embodiment, &vb)?;
    let seed = session.seed.child("imagined");
    let place = (&*session.folder, "imagined", fingerprint);
    ImaginedEpisodes::new(&model, data, predicted, Routing::Learned, place, seed).map(Some)
}

/// Trains the judge, on imagined frames too, and calibrates it.
fn run_judge(
    config: &TrainConfig,
    data: &Dataset,
    predicted: &Predicted,
    session: &mut Session<'_>,
    fingerprint: &str,
) -> Result<()> {
    let model = model_of(config, data, session, &["judge."])?;
    let everyone = |_: &LoggedEpisode| true;
    let batch = config.judge.batch;
    if !JudgeObjective::new(&model, data, None, batch, &everyone).has_both_outcomes() {
        session.progress.note("the logs hold one outcome only: the judge stays untrained");
        return Ok(());
    }
    let imagined = imagine_for_judge(config, data, predicted, session, fingerprint)?;
    let mix = imagined.as_ref().map(|imagined| (imagined, config.judge_imagined));
    let objective = JudgeObjective::new(&model, data, mix, batch, &everyone);
    session.run("judge", &config.judge, &["judge."], &objective)?;
    let mut found = BTreeMap::new();
    let mut add = |name: &str, value: f32| -> Result<()> {
        let value = Tensor::from_vec(vec![value], 1, &session.device)?;
        found.insert(format!("judge.{name}"), value);
        Ok(())
    };
    let mut real = objective.held_back(false)?;
    if mix.is_some() {
        let more = objective.held_back(true)?;
        if config.model.state.forecast > 0 {
            for (name, value) in ["slope", "foreseen", "offset"].into_iter().zip(weigh(&more)) {
                add(&format!("imagined.{name}"), value)?;
            }
        } else {
            real.extend(more);
        }
    }
    let seen = real.iter().map(|frame| [frame.scores[0]]).collect::<Vec<_>>();
    for (name, value) in ["slope", "offset"].into_iter().zip(platt(&seen, &labels(&real))) {
        add(&format!("platt.{name}"), value)?;
    }
    session.variables.assign(&found)?;
    session.save()
}

/// How what is seen and what is foreseen are weighed with each other, and the offset.
pub(crate) fn weigh(scored: &[Scored]) -> Vec<f32> {
    let scores = scored.iter().map(|frame| frame.scores).collect::<Vec<_>>();
    platt(&scores, &labels(scored))
}

/// The model over the session's variables, without experts, of which the parts below
/// `trainable` take part in a backward pass.
pub(crate) fn model_of(
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
