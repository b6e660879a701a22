//! Which column of a file means what.

use super::{Place, TableError};

/// A column that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Policy,
    Task,
    Outcome,
    Success,
    Scenario,
    Repeat,
    Length,
    Reason,
    Rate,
    Trials,
}

impl Column {
    pub(super) const ALL: [Self; 10] = [
        Self::Policy,
        Self::Task,
        Self::Outcome,
        Self::Success,
        Self::Scenario,
        Self::Repeat,
        Self::Length,
        Self::Reason,
        Self::Rate,
        Self::Trials,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Task => "task",
            Self::Outcome => "outcome",
            Self::Success => "success",
            Self::Scenario => "scenario",
            Self::Repeat => "repeat",
            Self::Length => "length",
            Self::Reason => "reason",
            Self::Rate => "rate",
            Self::Trials => "trials",
        }
    }
}

/// Which form a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Trials,
    Aggregate,
}

/// Where each column stands in a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    positions: [Option<usize>; Column::ALL.len()],
    pub(super) form: Form,
    pub(super) ignored: Vec<String>,
}

impl Header {
    /// Reads the names of a file's columns, in its order.
    pub(super) fn parse<'a>(
        names: impl IntoIterator<Item = &'a str>,
        file: &str,
    ) -> Result<Self, TableError> {
        let mut positions = [None; Column::ALL.len()];
        let mut ignored = Vec::new();
        let mut all = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            // Spreadsheets begin their CSV with a byte order mark.
            let name = name.trim_start_matches('\u{feff}').trim();
            all.push(format!("`{name}`"));
            match Column::ALL.into_iter().find(|c| name.eq_ignore_ascii_case(c.name())) {
                None => ignored.push(name.to_owned()),
                Some(column) => {
                    if positions[column as usize].replace(index).is_some() {
                        return Err(TableError::DuplicateColumn {
                            place: Place::column(file, column.name()),
                        });
                    }
                }
            }
        }
        let has = |column: Column| positions[column as usize].is_some();
        let missing = |expected| TableError::MissingColumn {
            expected,
            got: if all.is_empty() { "none".to_owned() } else { all.join(", ") },
            file: file.to_owned(),
        };
        let form = if has(Column::Rate) {
            if let Some(other) = [Column::Outcome, Column::Success].into_iter().find(|c| has(*c)) {
                return Err(TableError::Ambiguous { other: other.name(), file: file.to_owned() });
            }
            Form::Aggregate
        } else if has(Column::Outcome) || has(Column::Success) {
            Form::Trials
        } else {
            return Err(missing("`outcome`, `success` or `rate`"));
        };
        if !has(Column::Policy) {
            return Err(missing("`policy`"));
        }
        if !has(Column::Task) {
            return Err(missing("`task`"));
        }
        Ok(Self { positions, form, ignored })
    }

    /// The position of `column`, if the file has it.
    pub(super) fn position(&self, column: Column) -> Option<usize> {
        self.positions[column as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_order_and_case() {
        let header = Header::parse(["Notes", " TASK", "\u{feff}Policy", "success"], "x").unwrap();
        assert_eq!(header.form, Form::Trials);
        assert_eq!(header.ignored, ["Notes"]);
        assert_eq!(header.position(Column::Policy), Some(2));
        assert_eq!(header.position(Column::Rate), None);
    }

    #[test]
    fn what_is_missing_or_twofold_is_named() {
        let message =
            |names: &[&str]| Header::parse(names.iter().copied(), "t.csv").unwrap_err().to_string();
        assert_eq!(
            message(&["policy", "task", "succes"]),
            "no column `outcome`, `success` or `rate`; the columns are `policy`, `task`, \
             `succes`: t.csv"
        );
        assert!(message(&["task", "success"]).starts_with("no column `policy`"));
        assert!(message(&[]).contains("the columns are none"));
        assert!(message(&["policy", "task", "rate", "success"]).contains("not both"));
        assert_eq!(
            message(&["policy", "task", "task", "rate"]),
            "column appears twice: t.csv, column `task`"
        );
    }
}
