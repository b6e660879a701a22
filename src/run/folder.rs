//! The run directory, and nobody else's hand in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::suite::TrustEntry;
use rehearse_scoring::trial::{ExtraColumn, Trial, TrialTable, Verdict, write_parquet_with};

use super::dataset::Dataset;
use super::journal::{Entry, Journal};
use super::manifest::Manifest;
use super::spool::{Spool, Waiting};
use super::trust::{Again, Evidence, Outside, read_draws, write_draws};
use super::{Plan, RunError, Shard};

/// The folder that episodes wait in; the parts of a sharded run keep it, to be merged.
pub(super) const WAITING: &str = "episodes.waiting";

/// An open run directory:
/// `manifest.json`, `events.jsonl`, and once the run is done `trials.parquet` and `episodes/`.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    journal: Journal,
    spool: Option<Spool>,
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
        let journal = Journal::open(&path.join("events.jsonl"))?;
        let finished = path.join("trials.parquet").exists();
        let waiting = path.join(WAITING);
        if finished && manifest.shard == Shard::WHOLE.to_string() && waiting.exists() {
            // Left by a process that was killed right after the table.
            std::fs::remove_dir_all(&waiting).map_err(RunError::file("remove", &waiting))?;
        }
        let spool = if keep_episodes && !finished { Some(Spool::open(waiting)?) } else { None };
        let draws = read_draws(path)?;
        Ok(Self { path: path.to_owned(), journal, spool, draws, _lock: lock })
    }

    /// The run directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a trial has ended, in this process or in one before.
    pub fn has(&self, trial: &str) -> bool {
        self.journal.has(trial)
    }

    /// Number of trials that have ended.
    pub fn ended(&self) -> usize {
        self.journal.len()
    }

    /// How a trial ended, if it has.
    ///
    /// # Errors
    /// [`RunError::File`], [`RunError::Damaged`].
    pub fn entry(&self, trial: &str) -> Result<Option<Entry>, RunError> {
        self.journal.entry(trial)
    }

    /// How the trials ended so far, in the order of their ids.
    ///
    /// # Errors
    /// [`RunError::File`], [`RunError::Damaged`]; each line is read when it is asked for.
    pub fn entries(&self) -> Result<impl Iterator<Item = Result<Entry, RunError>>, RunError> {
        self.journal.entries()
    }

    /// Stores how a trial ended, its episode first.
    ///
    /// # Errors
    /// [`RunError::File`].
    pub fn add(&mut self, entry: &Entry, episode: &Episode) -> Result<(), RunError> {
        if let Some(spool) = &self.spool {
            spool.put(&entry.trial, episode)?;
        }
        self.journal.add(entry)
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
    pub(super) fn adopt(&mut self, entry: &Entry, from: Option<&Spool>) -> Result<(), RunError> {
        if let (Some(spool), Some(from)) = (&self.spool, from) {
            spool.copy(&entry.trial, from)?;
        }
        self.journal.add(entry)
    }

    /// Writes the table of trials and the dataset of episodes, in the order of their ids, and
    /// returns the table.
    ///
    /// # Errors
    /// [`RunError::Table`], [`RunError::Log`], [`RunError::File`].
    pub fn finish(mut self, plan: &Plan, rig: &Embodiment) -> Result<TrialTable, RunError> {
        let spool = self.spool.take();
        let mut episodes = match &spool {
            Some(spool) => Some(Dataset::new(self.path.join("episodes"), rig, spool)?),
            None => None,
        };
        let (mut trials, mut names) = (Vec::with_capacity(self.ended()), Names::default());
        let mut extra = Columns::default();
        for entry in self.entries()? {
            let entry = entry?;
            if let Some(episodes) = &mut episodes {
                episodes.add(&entry)?;
            }
            extra.add(&entry, self.draws.get(&entry.trial), &plan.suite.trust);
            trials.push(credited(&entry, &mut names));
        }
        if let Some(episodes) = episodes {
            episodes.finish()?;
        }
        let table = TrialTable::new(trials, "the run")?;
        let path = self.path.join("trials.parquet");
        let mut bytes = vec![];
        write_parquet_with(&table, &extra.finish(), &mut bytes, &path.display().to_string())?;
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

/// What the table of trials holds of their evidence, row by row.
#[derive(Default)]
struct Columns {
    outside: Vec<Option<Vec<&'static str>>>,
    numbers: [Vec<Option<f64>>; 3],
    second: Vec<Option<String>>,
}

impl Columns {
    fn add(&mut self, entry: &Entry, again: Option<&Again>, bounds: &TrustEntry) {
        let evidence = entry.evidence;
        self.outside.push(evidence.map(|evidence| {
            let outside = evidence.outside(bounds, &entry.outcome, again);
            outside.into_iter().map(Outside::as_str).collect()
        }));
        let numbers: [fn(Evidence) -> Option<f32>; 3] =
            [|e| e.expected_error, |e| e.start_distance, |e| e.action_distance];
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column.push(evidence.and_then(number).map(f64::from));
        }
        self.second.push(again.map(|again| again.outcome.clone()));
    }

    /// Nothing where no trial has any.
    fn finish(self) -> Vec<(&'static str, ExtraColumn)> {
        let Self { outside, numbers: [error, start, action], second } = self;
        if outside.iter().all(Option::is_none) {
            return vec![];
        }
        let trusted = outside.iter().map(|outside| Some(outside.as_ref()?.is_empty())).collect();
        let reasons = outside.iter().map(|outside| Some(outside.as_ref()?.join(" "))).collect();
        vec![
            ("trusted", ExtraColumn::Flag(trusted)),
            ("outside", ExtraColumn::Text(reasons)),
            ("expected_error", ExtraColumn::Number(error)),
            ("start_distance", ExtraColumn::Number(start)),
            ("action_distance", ExtraColumn::Number(action)),
            ("second_outcome", ExtraColumn::Text(second)),
        ]
    }
}

/// Names that many trials share, each kept once.
#[derive(Default)]
struct Names(BTreeSet<Arc<str>>);

impl Names {
    fn shared(&mut self, name: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        self.0.insert(Arc::clone(name));
        Arc::clone(name)
    }
}

/// The table of trials, in the order of their ids, with successes and failures only.
pub(super) fn table_of(entries: &BTreeMap<String, Entry>) -> Result<TrialTable, RunError> {
    Ok(TrialTable::new(entries.values().map(trial_of).collect(), "the run")?)
}

/// The trial with what a rubric credits a failure with.
fn credited(entry: &Entry, names: &mut Names) -> Trial {
    let trial = trial_of(entry);
    let credit = entry.progress.filter(|_| trial.verdict == Verdict::Failure);
    Trial {
        verdict: credit.and_then(Verdict::from_score).unwrap_or(trial.verdict),
        policy: names.shared(&trial.policy),
        task: names.shared(&trial.task),
        scenario: trial.scenario.as_ref().map(|scenario| names.shared(scenario)),
        ..trial
    }
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
