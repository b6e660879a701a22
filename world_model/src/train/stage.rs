//! One stage of gradient descent, resumable at any step.

use std::collections::{BTreeMap, HashMap};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use rehearse_scenarios::seed::Seed;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{StageRecord, read_all, to_bytes, write_atomically};
use crate::error::{ModelError, Result};
use crate::nn::Variables;
use crate::train::config::StageConfig;
use crate::train::optimizer::{Optimizer, Stepped};
use crate::train::progress::{CURVES, CurvePoint, Progress, read_curves};
use crate::train::schedule::learning_rate;

const STATE: &str = "state.safetensors";
/// Steps between points of the curves.
const POINT_EVERY: usize = 20;

/// What a stage minimises.
pub(crate) trait Objective {
    /// The loss of one batch, drawn from `seed`.
    fn loss(&self, seed: Seed) -> Result<Tensor>;

    /// Measures on the episodes held back.
    fn validate(&self) -> Result<BTreeMap<String, f64>>;
}

/// A training in a folder: variables, finished stages, saved state.
pub(crate) struct Session<'a> {
    pub variables: Variables,
    pub device: Device,
    pub seed: Seed,
    pub folder: PathBuf,
    pub save_every: Duration,
    pub progress: &'a mut dyn Progress,
    finished: Vec<StageRecord>,
    /// The stage that was cut short, with its optimiser's state.
    pending: Option<Pending>,
    fingerprint: String,
    began: Instant,
    secs_before: f64,
}

struct Pending {
    stage: String,
    step: usize,
    secs: f64,
    optimizer: BTreeMap<String, Tensor>,
}

/// What the saved state says of itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedHeader {
    fingerprint: String,
    finished: Vec<StageRecord>,
    stage: Option<String>,
    step: usize,
    stage_secs: f64,
    secs: f64,
}

impl<'a> Session<'a> {
    /// Opens a training in `folder`. With `resume`, goes on from its saved state; a state of
    /// another recipe or other data is refused.
    pub fn open(
        folder: &Path,
        device: &Device,
        seed: Seed,
        fingerprint: String,
        save_every: Duration,
        resume: bool,
        progress: &'a mut dyn Progress,
    ) -> Result<Self> {
        let mut session = Self {
            variables: Variables::new(seed.child("weights")),
            device: device.clone(),
            seed,
            folder: folder.to_owned(),
            save_every,
            progress,
            finished: Vec::new(),
            pending: None,
            fingerprint,
            began: Instant::now(),
            secs_before: 0.0,
        };
        let path = folder.join(STATE);
        if resume && path.exists() {
            session.restore(&path)?;
            session.progress.note(&session.where_it_stands());
        }
        session.trim_curves()?;
        Ok(session)
    }

    fn restore(&mut self, path: &Path) -> Result<()> {
        let (tensors, metadata) = read_all(path, &self.device)?;
        let fail = |reason: String| ModelError::Checkpoint { path: path.to_owned(), reason };
        let header = metadata.get("header").ok_or_else(|| fail("it has no header".to_owned()))?;
        let header: SavedHeader =
            serde_json::from_str(header).map_err(|error| fail(error.to_string()))?;
        if header.fingerprint != self.fingerprint {
            return Err(fail(
                "it belongs to another recipe or other logs; train into another folder".to_owned(),
            ));
        }
        let (mut variables, mut optimizer) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in tensors {
            if let Some(name) = name.strip_prefix("variable/") {
                variables.insert(name.to_owned(), tensor);
            } else if let Some(name) = name.strip_prefix("optimizer/") {
                optimizer.insert(name.to_owned(), tensor);
            }
        }
        self.variables.assign(&variables)?;
        self.finished = header.finished;
        self.secs_before = header.secs;
        self.pending = header.stage.map(|stage| Pending {
            stage,
            step: header.step,
            secs: header.stage_secs,
            optimizer,
        });
        Ok(())
    }

    fn where_it_stands(&self) -> String {
        match &self.pending {
            Some(pending) => {
                format!("going on in stage {} at step {}", pending.stage, pending.step)
            }
            None => format!("going on after {} finished stages", self.finished.len()),
        }
    }

    /// Whether a stage is done already.
    pub fn is_finished(&self, name: &str) -> bool {
        self.finished.iter().any(|record| record.name == name)
    }

    /// The stages done, in order.
    pub fn finished(&self) -> &[StageRecord] {
        &self.finished
    }

    /// Seconds that training took so far, over all runs.
    pub fn secs(&self) -> f64 {
        self.secs_before + self.began.elapsed().as_secs_f64()
    }

    /// Saves where training stands between stages, after something other than a stage changed the
    /// variables.
    pub fn save(&mut self) -> Result<()> {
        self.write(None, 0, 0.0, BTreeMap::new())
    }

    /// Runs a stage to its end, or from where it was cut short.
    ///
    /// # Errors
    /// [`ModelError::Diverged`] on a loss or gradient that is not finite, with the last good
    /// state saved.
    pub fn run(
        &mut self,
        name: &str,
        stage: &StageConfig,
        trainable: &[&str],
        objective: &dyn Objective,
    ) -> Result<()> {
        if self.is_finished(name) || stage.steps == 0 {
            return Ok(());
        }
        let parameters = trainable.iter().flat_map(|p| self.variables.below(p)).collect::<Vec<_>>();
        let mut optimizer = Optimizer::new(parameters, stage)?;
        let mut secs_before = 0.0;
        if let Some(pending) = self.pending.take_if(|pending| pending.stage == name) {
            optimizer.restore(&pending.optimizer, pending.step)?;
            secs_before = pending.secs;
        }
        let began = Instant::now();
        let secs = || secs_before + began.elapsed().as_secs_f64();
        let seed = self.seed.child(name);
        let mut saved = Instant::now();
        let (mut sum, mut count, mut last) = (0.0, 0_usize, f64::NAN);
        while optimizer.step_number() < stage.steps {
            let step = optimizer.step_number();
            let loss = objective.loss(seed.index(step as u64))?;
            let value = f64::from(loss.to_scalar::<f32>()?);
            let stepped = if value.is_finite() {
                optimizer.step(&loss.backward()?)?
            } else {
                Stepped::NotFinite
            };
            let Stepped::Moved { norm } = stepped else {
                self.write(Some(name), step, secs(), optimizer.state())?;
                return Err(ModelError::Diverged {
                    stage: name.to_owned(),
                    step,
                    reason: format!("the loss is {value}, or its gradient is not finite"),
                    saved: self.folder.join(STATE),
                });
            };
            sum += value;
            count += 1;
            let done = step + 1;
            let validates = done % stage.validate == 0 && done < stage.steps;
            if done % POINT_EVERY == 0 || validates || done == stage.steps {
                last = sum / count as f64;
                (sum, count) = (0.0, 0);
                let validation = if validates { objective.validate()? } else { BTreeMap::new() };
                self.point(&CurvePoint {
                    stage: name.to_owned(),
                    step: done,
                    steps: stage.steps,
                    loss: last,
                    norm,
                    rate: learning_rate(stage, step),
                    secs: secs(),
                    validation,
                })?;
            }
            if saved.elapsed() >= self.save_every && done < stage.steps {
                self.write(Some(name), done, secs(), optimizer.state())?;
                saved = Instant::now();
            }
        }
        self.variables.assign(&optimizer.averages())?;
        let validation = objective.validate()?;
        self.progress.note(&format!("stage {name} is done: {validation:?}"));
        self.finished.push(StageRecord {
            name: name.to_owned(),
            steps: stage.steps,
            secs: secs(),
            loss: last,
            validation,
        });
        self.save()
    }

    fn write(
        &self,
        stage: Option<&str>,
        step: usize,
        stage_secs: f64,
        optimizer: BTreeMap<String, Tensor>,
    ) -> Result<()> {
        let header = SavedHeader {
            fingerprint: self.fingerprint.clone(),
            finished: self.finished.clone(),
            stage: stage.map(str::to_owned),
            step,
            stage_secs,
            secs: self.secs(),
        };
        let header = serde_json::to_string(&header)
            .map_err(|source| ModelError::Json { what: "the saved state".to_owned(), source })?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in self.variables.tensors() {
            tensors.insert(format!("variable/{name}"), tensor);
        }
        for (name, tensor) in optimizer {
            tensors.insert(format!("optimizer/{name}"), tensor);
        }
        let metadata = HashMap::from([("header".to_owned(), header)]);
        write_atomically(&self.folder.join(STATE), &to_bytes(&tensors, Some(metadata))?)
    }

    fn point(&mut self, point: &CurvePoint) -> Result<()> {
        let path = self.folder.join(CURVES);
        let line = line(point)?;
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(ModelError::io("write the curves", &path))?;
        self.progress.point(point);
        Ok(())
    }

    /// Drops points past the saved state: they will be made again.
    fn trim_curves(&self) -> Result<()> {
        let Some(points) = read_curves(&self.folder) else { return Ok(()) };
        let kept = points.iter().filter(|point| {
            self.is_finished(&point.stage)
                || self.pending.as_ref().is_some_and(|pending| {
                    pending.stage == point.stage && point.step <= pending.step
                })
        });
        let lines = kept.map(line).collect::<Result<String>>()?;
        write_atomically(&self.folder.join(CURVES), lines.as_bytes())
    }
}

/// A point as a line of the curves.
fn line(point: &CurvePoint) -> Result<String> {
    let line = serde_json::to_string(point)
        .map_err(|source| ModelError::Json { what: "the curves".to_owned(), source })?;
    Ok(line + "\n")
}
