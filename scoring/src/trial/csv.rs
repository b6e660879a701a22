//! Trial tables as CSV.

use std::io::{Read, Write};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::columns::{Column, Form, Header};
use super::row::{Collector, Counter, Row, Sink};
use super::{Limits, Place, Reading, Summary, Table, TableError};

/// Reads a table of either form; `file` names the source in errors.
///
/// Fields may be quoted; space around them is dropped; a blank field is an unknown value.
///
/// # Errors
/// [`TableError`], with the row and the column.
pub fn read_csv(source: impl Read, file: &str, limits: &Limits) -> Result<Reading, TableError> {
    let mut reader = reader(source);
    let header = header(&mut reader, file)?;
    let mut sink = Collector::new(file, header.form, *limits);
    visit(&mut reader, &header, file, limits, &mut sink)?;
    sink.finish(header.ignored)
}

/// Counts the trials of a per-trial table without keeping them.
pub(super) fn summarise_csv(
    source: impl Read,
    file: &str,
    limits: &Limits,
) -> Result<Summary, TableError> {
    let mut reader = reader(source);
    let header = header(&mut reader, file)?;
    if header.form == Form::Aggregate {
        return Err(TableError::NeedsTrials { needs: "a summary", file: file.to_owned() });
    }
    let mut sink = Counter::new(file, *limits);
    visit(&mut reader, &header, file, limits, &mut sink)?;
    sink.finish()
}

/// Writes `table` with a header: all columns of its form, blank where nothing is known.
///
/// Numbers are written so that reading them gives the same bits.
///
/// # Errors
/// [`TableError::Csv`] when `target` cannot be written.
pub fn write_csv(table: &Table, target: impl Write, file: &str) -> Result<(), TableError> {
    let failed = |source| TableError::Csv { place: Place::file(file), source };
    let mut writer = csv::Writer::from_writer(target);
    match table {
        Table::Trials(table) => {
            let columns =
                ["policy", "task", "scenario", "repeat", "outcome", "success", "length", "reason"];
            writer.write_record(columns).map_err(failed)?;
            for trial in table.trials() {
                let number = |n: Option<u32>| n.map_or(String::new(), |n| n.to_string());
                writer
                    .write_record([
                        &*trial.policy,
                        &*trial.task,
                        trial.scenario.as_deref().unwrap_or(""),
                        &number(trial.repeat),
                        trial.verdict.as_str(),
                        &trial.verdict.score().map_or(String::new(), |s| s.to_string()),
                        &number(trial.length),
                        trial.reason.as_deref().unwrap_or(""),
                    ])
                    .map_err(failed)?;
            }
        }
        Table::Aggregate(table) => {
            writer.write_record(["policy", "task", "rate", "trials"]).map_err(failed)?;
            for cell in table.cells() {
                let trials = cell.trials.map_or(String::new(), |n| n.to_string());
                writer
                    .write_record([&*cell.policy, &*cell.task, &cell.rate.to_string(), &trials])
                    .map_err(failed)?;
            }
        }
    }
    writer.flush().map_err(|source| TableError::Io {
        action: "write",
        file: file.to_owned(),
        source,
    })
}

fn reader<R: Read>(source: R) -> csv::Reader<R> {
    ReaderBuilder::new().trim(Trim::All).from_reader(source)
}

fn header<R: Read>(reader: &mut csv::Reader<R>, file: &str) -> Result<Header, TableError> {
    let names =
        reader.headers().map_err(|source| TableError::Csv { place: Place::file(file), source })?;
    if names.iter().all(str::is_empty) {
        return Err(TableError::Empty { file: file.to_owned() });
    }
    Header::parse(names, file)
}

fn visit<R: Read>(
    reader: &mut csv::Reader<R>,
    header: &Header,
    file: &str,
    limits: &Limits,
    sink: &mut impl Sink,
) -> Result<(), TableError> {
    let mut record = StringRecord::new();
    let mut number = 0;
    loop {
        let more = reader
            .read_record(&mut record)
            .map_err(|source| TableError::Csv { place: Place::row(file, number + 1), source })?;
        if !more {
            return Ok(());
        }
        number += 1;
        // Spreadsheets leave rows of commas at the end.
        if record.iter().all(str::is_empty) {
            continue;
        }
        let fields = Fields { record: &record, header, file, number, limits };
        let row = Row {
            policy: fields.text(Column::Policy)?,
            task: fields.text(Column::Task)?,
            outcome: fields.text(Column::Outcome)?,
            success: fields.score()?,
            scenario: fields.text(Column::Scenario)?,
            repeat: fields.number(Column::Repeat, "a whole number from 0")?,
            length: fields.number(Column::Length, "a whole number of steps")?,
            reason: fields.text(Column::Reason)?,
            rate: fields.number(Column::Rate, "a rate in [0, 1]")?,
            trials: fields.number(Column::Trials, "a whole number of trials")?,
        };
        sink.take(number, &row)?;
    }
}

struct Fields<'a> {
    record: &'a StringRecord,
    header: &'a Header,
    file: &'a str,
    number: u64,
    limits: &'a Limits,
}

impl<'a> Fields<'a> {
    fn text(&self, column: Column) -> Result<Option<&'a str>, TableError> {
        let Some(index) = self.header.position(column) else { return Ok(None) };
        let text = self.record.get(index).filter(|text| !text.is_empty());
        if text.is_some_and(|text| text.len() > self.limits.text) {
            return Err(TableError::TooLarge {
                what: "bytes",
                limit: self.limits.text as u64,
                place: Place::at(self.file, self.number, column.name()),
            });
        }
        Ok(text)
    }

    fn number<T: std::str::FromStr>(
        &self,
        column: Column,
        expected: &'static str,
    ) -> Result<Option<T>, TableError> {
        let Some(text) = self.text(column)? else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.wrong(text, column, expected)),
        }
    }

    fn score(&self) -> Result<Option<f64>, TableError> {
        let Some(text) = self.text(Column::Success)? else { return Ok(None) };
        if text.eq_ignore_ascii_case("true") {
            return Ok(Some(1.0));
        }
        if text.eq_ignore_ascii_case("false") {
            return Ok(Some(0.0));
        }
        self.number(Column::Success, "0, 1 or a partial credit in [0, 1]")
    }

    fn wrong(&self, got: &str, column: Column, expected: &'static str) -> TableError {
        TableError::Value {
            got: got.to_owned(),
            expected,
            place: Place::at(self.file, self.number, column.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{Trial, TrialTable, Verdict};

    fn read(text: &str) -> Result<Reading, TableError> {
        read_csv(text.as_bytes(), "t.csv", &Limits::default())
    }

    fn message(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn a_spreadsheet_reads_as_it_looks() {
        let text = "\u{feff}Policy, Task ,success,note\nfull,open,TRUE,x\nfull,open,0.25,\n,,,\n";
        let reading = read(text).unwrap();
        assert_eq!(reading.ignored_columns, ["note"]);
        let table = reading.into_trials("this test").unwrap();
        let verdicts: Vec<_> = table.trials().iter().map(|t| t.verdict).collect();
        assert_eq!(verdicts, [Verdict::Success, Verdict::Partial(0.25)]);
    }

    #[test]
    fn an_aggregated_table_may_leave_trials_blank() {
        let reading = read("policy,task,rate,trials\na,t,0.5,10\nb,t,0.25,\n").unwrap();
        let Table::Aggregate(table) = &reading.table else { panic!("wrong form") };
        assert_eq!(table.cells()[0].trials, Some(10));
        assert_eq!(table.cells()[1].trials, None);
        assert_eq!(
            reading.into_trials("`compare`").unwrap_err().to_string(),
            "aggregated rates given, but `compare` needs one row per trial: t.csv"
        );
    }

    #[test]
    fn mistakes_are_named_with_row_and_column() {
        let head = "policy,task,outcome,repeat\n";
        assert_eq!(
            message(&format!("{head}a,t,success,0\na,t,sucess,1\n")),
            "\"sucess\" is not `success`, `failure`, `void` or `unsure`: t.csv, row 2, column \
             `outcome`"
        );
        assert_eq!(
            message(&format!("{head}a,t,success,-1\n")),
            "\"-1\" is not a whole number from 0: t.csv, row 1, column `repeat`"
        );
        assert_eq!(
            message(&format!("{head},t,success,0\n")),
            "value is missing: t.csv, row 1, column `policy`"
        );
        assert!(message(&format!("{head}a,t\n")).starts_with("not readable as CSV: t.csv, row 1"));
        assert_eq!(
            message("policy,task,rate\na,t,NaN\n"),
            "\"NaN\" is not a rate in [0, 1]: t.csv, row 1, column `rate`"
        );
        for empty in ["", "\n", "policy,task,success\n"] {
            assert!(message(empty).starts_with("table has no rows"), "{empty:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let limits = Limits { rows: 1, text: 8, ..Limits::default() };
        let text = "policy,task,success\na,t,1\na,t,1\n";
        let error = read_csv(text.as_bytes(), "t", &limits).unwrap_err();
        assert_eq!(error.to_string(), "more than 1 rows: t, row 2");
        let text = "policy,task,success\na-long-name,t,1\n";
        let error = read_csv(text.as_bytes(), "t", &limits).unwrap_err();
        assert_eq!(error.to_string(), "more than 8 bytes: t, row 1, column `policy`");
        let limits = Limits { cells: 1, ..Limits::default() };
        let text = "policy,task,success\na,t,1\nb,t,1\n";
        assert!(summarise_csv(text.as_bytes(), "t", &limits).is_err());
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let trials = vec![
            Trial {
                length: Some(40),
                reason: Some("fell, \"twice\"\nthen stopped".into()),
                ..Trial::new("a", "pick, place", Verdict::Partial(1.0 / 3.0))
                    .of_scenario("s1", Some(3))
            },
            Trial::new("b", "t", Verdict::Void),
            Trial::new("b", "t", Verdict::Unsure),
        ];
        let table = Table::Trials(TrialTable::new(trials, "x").unwrap());
        let mut bytes = Vec::new();
        write_csv(&table, &mut bytes, "x").unwrap();
        assert_eq!(read_csv(&bytes[..], "x", &Limits::default()).unwrap().table, table);
        let Table::Trials(trials) = &table else { unreachable!() };
        let summary = summarise_csv(&bytes[..], "x", &Limits::default()).unwrap();
        assert_eq!(summary, trials.summary());
    }
}
