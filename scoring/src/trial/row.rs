//! Rows on their way from a file into a table or a summary.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::columns::Form;
use super::{
    AggregateTable, Cell, Limits, Place, Reading, Summary, Table, TableError, Tally, Trial,
    TrialTable, Verdict,
};

/// A row as it stands in the file, its values parsed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row<'a> {
    pub(super) policy: Option<&'a str>,
    pub(super) task: Option<&'a str>,
    pub(super) outcome: Option<&'a str>,
    pub(super) success: Option<f64>,
    pub(super) scenario: Option<&'a str>,
    pub(super) repeat: Option<u32>,
    pub(super) length: Option<u32>,
    pub(super) reason: Option<&'a str>,
    pub(super) rate: Option<f64>,
    pub(super) trials: Option<u64>,
}

/// Who takes rows, numbered from 1.
pub(super) trait Sink {
    fn take(&mut self, number: u64, row: &Row<'_>) -> Result<(), TableError>;
}

/// Joins the columns `outcome` and `success` of one row.
pub(super) fn verdict(
    outcome: Option<&str>,
    success: Option<f64>,
    file: &str,
    row: u64,
) -> Result<Verdict, TableError> {
    let scored = success
        .map(|score| {
            Verdict::from_score(score).ok_or_else(|| TableError::Value {
                got: score.to_string(),
                expected: "0, 1 or a partial credit in [0, 1]",
                place: Place::at(file, row, "success"),
            })
        })
        .transpose()?;
    let worded = outcome
        .map(|word| {
            Verdict::from_word(word).ok_or_else(|| TableError::Value {
                got: word.to_owned(),
                expected: "`success`, `failure`, `void` or `unsure`",
                place: Place::at(file, row, "outcome"),
            })
        })
        .transpose()?;
    match (worded, scored) {
        (Some(verdict), None) | (None, Some(verdict)) => Ok(verdict),
        // A failure may carry a credit; every other pair must say the same.
        (Some(Verdict::Failure), Some(Verdict::Partial(credit))) => Ok(Verdict::Partial(credit)),
        (Some(word), Some(score)) if word == score => Ok(word),
        (Some(word), Some(score)) => Err(TableError::Contradiction {
            outcome: word.as_str(),
            score: score.score().unwrap_or(0.0),
            place: Place::row(file, row),
        }),
        (None, None) => Err(TableError::Blank {
            hint: "; a trial that did not end is `void` in the column `outcome`",
            place: Place::at(file, row, "outcome"),
        }),
    }
}

fn name<'a>(
    value: Option<&'a str>,
    column: &'static str,
    file: &str,
    row: u64,
) -> Result<&'a str, TableError> {
    value.ok_or_else(|| TableError::Blank { hint: "", place: Place::at(file, row, column) })
}

/// Collects rows into a table.
pub(super) struct Collector<'a> {
    file: &'a str,
    form: Form,
    limits: Limits,
    texts: HashSet<Arc<str>>,
    trials: Vec<Trial>,
    cells: Vec<Cell>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(file: &'a str, form: Form, limits: Limits) -> Self {
        let (texts, trials, cells) = (HashSet::new(), Vec::new(), Vec::new());
        Self { file, form, limits, texts, trials, cells }
    }

    pub(super) fn finish(self, ignored_columns: Vec<String>) -> Result<Reading, TableError> {
        let table = match self.form {
            Form::Trials => Table::Trials(TrialTable::new(self.trials, self.file)?),
            Form::Aggregate => Table::Aggregate(AggregateTable::new(self.cells, self.file)?),
        };
        Ok(Reading { table, ignored_columns, file: self.file.to_owned() })
    }

    /// One allocation per distinct text: tables repeat a few names many times.
    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let fresh: Arc<str> = text.into();
        self.texts.insert(fresh.clone());
        fresh
    }
}

impl Sink for Collector<'_> {
    fn take(&mut self, number: u64, row: &Row<'_>) -> Result<(), TableError> {
        let file = self.file;
        if number > self.limits.rows {
            return Err(TableError::TooLarge {
                what: "rows",
                limit: self.limits.rows,
                place: Place::row(file, number),
            });
        }
        let policy = name(row.policy, "policy", file, number)?;
        let task = name(row.task, "task", file, number)?;
        match self.form {
            Form::Trials => {
                let trial = Trial {
                    policy: self.intern(policy),
                    task: self.intern(task),
                    verdict: verdict(row.outcome, row.success, file, number)?,
                    scenario: row.scenario.map(|s| self.intern(s)),
                    repeat: row.repeat,
                    length: row.length,
                    reason: row.reason.map(|r| self.intern(r)),
                };
                self.trials.push(trial);
            }
            Form::Aggregate => {
                let place = Place::at(file, number, "rate");
                let hint = "; leave a cell without a result out";
                self.cells.push(Cell {
                    policy: policy.to_owned(),
                    task: task.to_owned(),
                    rate: row.rate.ok_or(TableError::Blank { hint, place })?,
                    trials: row.trials,
                });
            }
        }
        Ok(())
    }
}

/// Counts rows by policy and task, keeping none of them.
pub(super) struct Counter<'a> {
    file: &'a str,
    limits: Limits,
    ids: HashMap<String, HashMap<String, usize>>,
    tallies: Vec<Tally>,
}

impl<'a> Counter<'a> {
    pub(super) fn new(file: &'a str, limits: Limits) -> Self {
        Self { file, limits, ids: HashMap::new(), tallies: Vec::new() }
    }

    pub(super) fn finish(self) -> Result<Summary, TableError> {
        if self.tallies.is_empty() {
            return Err(TableError::Empty { file: self.file.to_owned() });
        }
        let Self { ids, tallies, .. } = self;
        // Into an ordered map at once: hash order goes no further.
        let cells: BTreeMap<_, _> = ids
            .into_iter()
            .flat_map(|(policy, tasks)| {
                tasks.into_iter().map(move |(task, id)| ((policy.clone(), task), id))
            })
            .map(|(key, id)| (key, tallies[id]))
            .collect();
        Ok(Summary::from_map(cells))
    }
}

impl Sink for Counter<'_> {
    fn take(&mut self, number: u64, row: &Row<'_>) -> Result<(), TableError> {
        let policy = name(row.policy, "policy", self.file, number)?;
        let task = name(row.task, "task", self.file, number)?;
        let verdict = verdict(row.outcome, row.success, self.file, number)?;
        let known = self.ids.get(policy).and_then(|tasks| tasks.get(task)).copied();
        let id = if let Some(id) = known {
            id
        } else {
            let id = self.tallies.len();
            if id >= self.limits.cells {
                return Err(TableError::TooLarge {
                    what: "pairs of policy and task",
                    limit: self.limits.cells as u64,
                    place: Place::row(self.file, number),
                });
            }
            self.ids.entry(policy.to_owned()).or_default().insert(task.to_owned(), id);
            self.tallies.push(Tally::default());
            id
        };
        self.tallies[id].add(verdict);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_and_success_must_agree() {
        let both = |word, score| verdict(word, score, "x", 7);
        assert_eq!(both(Some("success"), Some(1.0)).unwrap(), Verdict::Success);
        assert_eq!(both(Some("failure"), Some(0.4)).unwrap(), Verdict::Partial(0.4));
        assert_eq!(both(None, Some(0.0)).unwrap(), Verdict::Failure);
        assert_eq!(both(Some("void"), None).unwrap(), Verdict::Void);
        for (word, score) in [("success", 0.0), ("success", 0.5), ("failure", 1.0), ("void", 0.0)] {
            assert!(matches!(both(Some(word), Some(score)), Err(TableError::Contradiction { .. })));
        }
        assert!(matches!(both(None, None), Err(TableError::Blank { .. })));
        assert_eq!(
            both(None, Some(72.0)).unwrap_err().to_string(),
            "\"72\" is not 0, 1 or a partial credit in [0, 1]: x, row 7, column `success`"
        );
    }
}
