//! The run directory, and nobody else's hand in it.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use ndarray::Array2;
use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::log::{
    Column, Dtype, EpisodeEnd, Feature, Frame, LogSettings, LogWriter, TrialRow,
};
use rehearse_scenarios::suite::TrustEntry;
use rehearse_scenarios::video::Codec;
use rehearse_scoring::trial::{ExtraColumn, Trial, TrialTable, Verdict, write_parquet_with};

use super::journal::{Entry, Journal};
use super::manifest::Manifest;
use super::rollouts::Rollout;
use super::spool::{Spool, Waiting};
use super::trust::{Again, Evidence, read_draws, write_draws};
use super::{Plan, RunError, Shard};

/// The column of the dataset that holds the world's belief after each action.
pub const BELIEF: &str = "next.success_belief";

/// The folder that episodes wait in; the parts of a sharded run keep it, to be merged.
pub(super) const WAITING: &str = "episodes.waiting";

/// An open run directory:
/// `manifest.json`, `events.jsonl`, and once the run is done `trials.parquet` and `episodes/`.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    journal: Journal,
    spool: Option<Spool>,
    entries: BTreeMap<String, Entry>,
    draws: BTreeMap<String, Again>,
    /// Held as long as the folder is open; the system lets it go with the process.
    _lock: File,
}

impl RunFolder {
    /// Opens the run directory `path` for the run that `manifest` describes.
    ///
    /// Without `resume` it must not hold a run yet; with it, it may, and must then hold the same
    /// run. With `keep_episodes`, episodes are stored.
    ///
    /// # Errors
    /// [`RunError::Exists`], [`RunError::OtherRun`], [`RunError::Damaged`], [`RunError::File`].
    pub fn open(
        path: &Path,
        manifest: &Manifest,
        resume: bool,
        keep_episodes: bool,
    ) -> Result<Self, RunError> {
        std::fs::create_dir_all(path).map_err(RunError::file("create", path))?;
        let lock = lock(path)?;
        let manifest_path = Manifest::path(path);
        if manifest_path.exists() {
            if !resume {
                return Err(RunError::Exists { path: path.to_owned() });
            }
            Manifest::read(path)?.check_same(manifest, path)?;
        } else {
            let text = serde_json::to_vec_pretty(manifest)
                .map_err(|error| RunError::damaged(&manifest_path, error))?;
            write_whole(&manifest_path, &text)?;
        }
        let (journal, entries) = Journal::open(&path.join("events.jsonl"))?;
        let finished = path.join("trials.parquet").exists();
        let waiting = path.join(WAITING);
        if finished && manifest.shard == Shard::WHOLE.to_string() && waiting.exists() {
            // Left by a process that was killed right after the table.
            std::fs::remove_dir_all(&waiting).map_err(RunError::file("remove", &waiting))?;
        }
        let spool = if keep_episodes && !finished { Some(Spool::open(waiting)?) } else { None };
        let draws = read_draws(path)?;
        Ok(Self { path: path.to_owned(), journal, spool, entries, draws, _lock: lock })
    }

    /// The run directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a trial has ended, in this process or in one before.
    pub fn has(&self, trial: &str) -> bool {
        self.entries.contains_key(trial)
    }

    /// How the trials ended so far, by id.
    pub const fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// Stores how a trial ended, its episode first.
    ///
    /// # Errors
    /// [`RunError::File`].
    pub fn add(&mut self, entry: Entry, episode: &Episode) -> Result<(), RunError> {
        if let Some(spool) = &self.spool {
            spool.put(&entry.trial, episode)?;
        }
        self.journal.add(&entry)?;
        self.entries.insert(entry.trial.clone(), entry);
        Ok(())
    }

    /// The stored episode of a trial that has ended, as long as the run has not.
    pub(super) fn waiting(&self, trial: &str) -> Result<Option<Waiting>, RunError> {
        self.spool.as_ref().map_or(Ok(None), |spool| spool.get(trial))
    }

    /// Trials that were imagined a second time.
    pub(super) const fn draws(&self) -> &BTreeMap<String, Again> {
        &self.draws
    }

    /// Keeps what became of trials that were imagined a second time.
    pub(super) fn add_draws(
        &mut self,
        draws: impl IntoIterator<Item = Again>,
    ) -> Result<(), RunError> {
        let before = self.draws.len();
        self.draws.extend(draws.into_iter().map(|again| (again.trial.clone(), again)));
        if self.draws.len() > before { write_draws(&self.path, &self.draws) } else { Ok(()) }
    }

    /// Takes over a trial of another run directory, with its episode if one waits there.
    pub(super) fn adopt(&mut self, entry: Entry, from: Option<&Spool>) -> Result<(), RunError> {
        if let (Some(spool), Some(from)) = (&self.spool, from) {
            spool.copy(&entry.trial, from)?;
        }
        self.journal.add(&entry)?;
        self.entries.insert(entry.trial.clone(), entry);
        Ok(())
    }

    /// Writes the table of trials and the dataset of episodes, in the order of their ids, and
    /// returns the table.
    ///
    /// # Errors
    /// [`RunError::Table`], [`RunError::Log`], [`RunError::File`].
    pub fn finish(mut self, plan: &Plan, rig: &Embodiment) -> Result<TrialTable, RunError> {
        let spool = self.spool.take();
        if let Some(spool) = &spool {
            write_episodes(&self.path.join("episodes"), rig, &self.entries, spool)?;
        }
        let table = credited(&self.entries)?;
        let path = self.path.join("trials.parquet");
        let extra = self.extra_columns(&plan.suite.trust);
        let mut bytes = vec![];
        write_parquet_with(&table, &extra, &mut bytes, &path.display().to_string())?;
        write_whole(&path, &bytes)?;
        // Not before the table is there: a process that is killed here begins both anew.
        if let Some(spool) = spool
            && plan.shard == Shard::WHOLE
        {
            spool.remove()?;
        }
        Ok(table)
    }
}

impl RunFolder {
    /// What the table of trials holds of their evidence; nothing where no trial has any.
    fn extra_columns(&self, bounds: &TrustEntry) -> Vec<(&'static str, ExtraColumn)> {
        if self.entries.values().all(|entry| entry.evidence.is_none()) {
            return vec![];
        }
        let outside: Vec<Option<Vec<&str>>> = self
            .entries
            .values()
            .map(|entry| {
                let again = self.draws.get(&entry.trial);
                let outside = entry.evidence?.outside(bounds, &entry.outcome, again);
                Some(outside.into_iter().map(super::trust::Outside::as_str).collect())
            })
            .collect();
        let number = |of: fn(&Evidence) -> Option<f32>| {
            let values = self.entries.values();
            ExtraColumn::Number(
                values.map(|e| e.evidence.as_ref().and_then(of).map(f64::from)).collect(),
            )
        };
        let draws = self.entries.keys().map(|id| Some(self.draws.get(id)?.outcome.clone()));
        vec![
            (
                "trusted",
                ExtraColumn::Flag(outside.iter().map(|o| Some(o.as_ref()?.is_empty())).collect()),
            ),
            (
                "outside",
                ExtraColumn::Text(outside.iter().map(|o| Some(o.as_ref()?.join(" "))).collect()),
            ),
            ("expected_error", number(|evidence| evidence.expected_error)),
            ("start_distance", number(|evidence| evidence.start_distance)),
            ("action_distance", number(|evidence| evidence.action_distance)),
            ("second_outcome", ExtraColumn::Text(draws.collect())),
        ]
    }
}

/// The table of trials, in the order of their ids, with successes and failures only.
pub(super) fn table_of(entries: &BTreeMap<String, Entry>) -> Result<TrialTable, RunError> {
    Ok(TrialTable::new(entries.values().map(trial_of).collect(), "the run")?)
}

/// The same table with what a rubric credits failures with.
fn credited(entries: &BTreeMap<String, Entry>) -> Result<TrialTable, RunError> {
    let trials = entries.values().map(|entry| {
        let trial = trial_of(entry);
        let credit = entry.progress.filter(|_| trial.verdict == Verdict::Failure);
        let verdict = credit.and_then(Verdict::from_score).unwrap_or(trial.verdict);
        Trial { verdict, ..trial }
    });
    Ok(TrialTable::new(trials.collect(), "the run")?)
}

fn lock(path: &Path) -> Result<File, RunError> {
    let file = path.join("lock");
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&file)
        .map_err(RunError::file("open", &file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(RunError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(RunError::file("lock", &file)(error)),
    }
}

/// Writes a file so that it is there whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes).map_err(RunError::file("write", &partial))?;
    std::fs::rename(&partial, path).map_err(RunError::file("write", path))
}

fn trial_of(entry: &Entry) -> Trial {
    // The journal's words are the table's words.
    let verdict = Verdict::from_word(&entry.outcome).unwrap_or(Verdict::Void);
    let mut trial = Trial::new(&entry.policy, &entry.task, verdict)
        .of_scenario(&entry.scenario, Some(entry.repeat));
    trial.length = Some(entry.length);
    trial.reason = entry.reason.as_deref().map(Into::into);
    trial
}

fn write_episodes(
    folder: &Path,
    rig: &Embodiment,
    entries: &BTreeMap<String, Entry>,
    spool: &Spool,
) -> Result<(), RunError> {
    if folder.exists() {
        // Left by a process that was killed between the dataset and the table.
        std::fs::remove_dir_all(folder).map_err(RunError::file("remove", folder))?;
    }
    let settings = LogSettings { codec: Codec::H264, ..LogSettings::default() };
    let belief = Feature::vector(BELIEF, Dtype::Float32, 1);
    let mut writer = None;
    for entry in entries.values() {
        let Some(waiting) = spool.get(&entry.trial)? else { continue };
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(LogWriter::create(
                folder,
                rig,
                std::slice::from_ref(&belief),
                settings.clone(),
            )?),
        };
        writer.begin_episode(&waiting.instruction)?;
        for frame in &waiting.frames {
            let (images, state, action) = (&frame.images, &frame.state, &frame.action);
            writer.push(&Frame { images, state, action })?;
        }
        let steps = waiting.frames.len();
        // NaN is what a column of numbers has for "not stated".
        let column = Column::Float(Array2::from_shape_fn((steps, 1), |(step, _)| {
            f64::from(waiting.belief.get(step).copied().flatten().unwrap_or(f32::NAN))
        }));
        let score = Verdict::from_word(&entry.outcome).and_then(Verdict::score);
        writer.end_episode(EpisodeEnd {
            columns: BTreeMap::from([(BELIEF.to_owned(), column)]),
            result: score.map(|success| TrialRow {
                episode: 0, // the writer knows
                task: entry.task.clone(),
                policy: entry.policy.clone(),
                success,
                length: None,
                split: Some("imagined".to_owned()),
            }),
            ..EpisodeEnd::default()
        })?;
    }
    if let Some(writer) = writer {
        writer.finish()?;
        // The dataset knows policies and tasks, not trials.
        let lines = entries
            .values()
            .filter(|entry| spool.path(&entry.trial).exists())
            .enumerate()
            .map(|(episode, entry)| Rollout { episode, trial: entry.trial.clone() });
        super::rollouts::write(folder, lines)?;
    }
    Ok(())
}
