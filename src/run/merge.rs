//! Parts of a run joined to the whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rehearse_scoring::trial::TrialTable;

use super::folder::WAITING;
use super::journal::{Entry, Journal};
use super::spool::Spool;
use super::trust::read_draws;
use super::{Manifest, Plan, RunError, RunFolder, Shard};

/// One part, read.
struct Part {
    path: PathBuf,
    manifest: Manifest,
    shard: Shard,
    entries: BTreeMap<String, Entry>,
}

/// Joins the run directories of all shards of a suite into `out`, which then holds what one run of
/// the whole suite would have written.
///
/// # Errors
/// [`RunError::Parts`] if a part is missing, doubled, unfinished or of another run,
/// [`RunError::Exists`] if `out` holds a run already, and whatever keeps files from being read or
/// written.
pub fn merge(out: &Path, parts: &[PathBuf]) -> Result<TrialTable, RunError> {
    let mut parts = parts.iter().map(|path| Part::read(path)).collect::<Result<Vec<_>, _>>()?;
    parts.sort_by_key(|part| part.shard.number);
    check(&parts)?;
    let Some(first) = parts.first() else {
        return Err(refused(out, "no parts to join".to_owned()));
    };
    let suite = first.manifest.suite.clone();
    let plan =
        Plan::expand(suite, PathBuf::new(), first.manifest.suite_digest.clone(), Shard::WHOLE);
    let manifest =
        Manifest { shard: Shard::WHOLE.to_string(), trials: plan.len(), ..first.manifest.clone() };
    let held: usize = parts.iter().map(|part| part.entries.len()).sum();
    let lost = plan
        .trials()
        .find(|trial| !parts.iter().any(|part| part.entries.contains_key(trial.id.as_str())));
    if let Some(lost) = lost {
        return Err(refused(&first.path, format!("no part holds trial {}", lost.id)));
    }
    if held != plan.len() {
        let message = format!("the parts hold {held} trials, the suite has {}", plan.len());
        return Err(refused(&first.path, message));
    }
    let keep = parts.iter().any(|part| part.path.join(WAITING).exists());
    let mut folder = RunFolder::open(out, &manifest, false, keep)?;
    for part in &parts {
        let waiting = part.path.join(WAITING);
        let spool = if waiting.exists() { Some(Spool::open(waiting)?) } else { None };
        for entry in part.entries.values() {
            folder.adopt(entry, spool.as_ref())?;
        }
        folder.add_draws(read_draws(&part.path)?.into_values())?;
        append(&part.path.join("sessions.jsonl"), &out.join("sessions.jsonl"))?;
    }
    let real = first.path.join("real.csv");
    if real.exists() {
        std::fs::copy(&real, out.join("real.csv")).map_err(RunError::file("copy", &real))?;
    }
    folder.finish(&plan, &manifest.embodiment)
}

impl Part {
    fn read(path: &Path) -> Result<Self, RunError> {
        let manifest = Manifest::read(path)?;
        let shard = manifest
            .shard
            .parse()
            .map_err(|message: String| refused(path, format!("shard: {message}")))?;
        if !path.join("trials.parquet").exists() {
            let message = "this part has not come to its end; go on with it by --resume";
            return Err(refused(path, message.to_owned()));
        }
        let entries = Journal::read(&path.join("events.jsonl"))?;
        Ok(Self { path: path.to_owned(), manifest, shard, entries })
    }
}

/// Whether the parts, in the order of their numbers, are those of one run, each there once.
fn check(parts: &[Part]) -> Result<(), RunError> {
    let Some(first) = parts.first() else { return Ok(()) };
    for part in parts {
        let differs =
            first.manifest.made_of(&part.manifest).into_iter().find(|(_, was, is)| was != is);
        if let Some((field, _, _)) = differs {
            let message = format!("it is a part of another {field} than {}", first.path.display());
            return Err(refused(&part.path, message));
        }
        if part.shard.of != first.shard.of {
            let message = format!(
                "it is part {}, and {} is part {}",
                part.shard,
                first.path.display(),
                first.shard
            );
            return Err(refused(&part.path, message));
        }
    }
    for pair in parts.windows(2) {
        if pair[0].shard == pair[1].shard {
            let message = format!("part {} is also {}", pair[1].shard, pair[0].path.display());
            return Err(refused(&pair[1].path, message));
        }
    }
    let missing: Vec<String> = (1..=first.shard.of)
        .filter(|number| !parts.iter().any(|part| part.shard.number == *number))
        .map(|number| format!("{number}/{}", first.shard.of))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        let message = format!("beside this part, missing: {}", missing.join(", "));
        Err(refused(&first.path, message))
    }
}

fn refused(path: &Path, message: String) -> RunError {
    RunError::Parts { path: path.to_owned(), message }
}

fn append(from: &Path, to: &Path) -> Result<(), RunError> {
    if !from.exists() {
        return Ok(());
    }
    let mut text = std::fs::read(to).unwrap_or_default();
    text.extend(std::fs::read(from).map_err(RunError::file("read", from))?);
    std::fs::write(to, text).map_err(RunError::file("write", to))
}
