//! Real results: `meta/trials.csv`, one row per episode that was run on the robot.

use std::path::Path;

use super::error::{LogError, Place};
use super::files::read_text;

/// Name of the file within the dataset.
pub(super) const TRIALS_FILE: &str = "meta/trials.csv";

/// What a policy reached in one episode.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialRow {
    /// Index of the episode.
    pub episode: usize,
    /// The task, as results are grouped by it; may differ from the instruction, and be empty.
    pub task: String,
    /// The policy that acted: a checkpoint, a script, a teleoperator.
    pub policy: String,
    /// 0 or 1, or partial credit in [0, 1].
    pub success: f64,
    /// Frames in the episode, where stated.
    pub length: Option<usize>,
    /// The split: `train`, `val`, `test`, where stated.
    pub split: Option<String>,
}

impl TrialRow {
    /// Whether the task was fully done: success of 1.
    pub fn is_success(&self) -> bool {
        self.success >= 1.0
    }
}

/// The header that is written, and the names that are read.
pub(super) const HEADER: [&str; 6] =
    ["episode_index", "task", "policy", "success", "length", "split"];

/// Reads `meta/trials.csv`; no rows if there is no such file.
///
/// Faulty rows go to `problems`, sound ones are returned, in the order of episodes.
pub(super) fn read_trials(folder: &Path, problems: &mut Vec<LogError>) -> Vec<TrialRow> {
    let path = folder.join(TRIALS_FILE);
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(LogError::Missing { .. }) => return Vec::new(),
        Err(error) => {
            problems.push(error);
            return Vec::new();
        }
    };
    let mut rows = parse_trials(&text, &path, problems);
    rows.sort_by_key(|row| row.episode);
    for pair in rows.windows(2) {
        if pair[0].episode == pair[1].episode {
            let place = Place::file(&path).episode(pair[0].episode).field(HEADER[0]);
            problems.push(place.invalid("the episode stands twice"));
        }
    }
    rows.dedup_by_key(|row| row.episode);
    rows
}

fn parse_trials(text: &str, path: &Path, problems: &mut Vec<LogError>) -> Vec<TrialRow> {
    let place = || Place::file(path);
    let malformed = |source| LogError::Csv { place: Box::new(place()), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            problems.push(malformed(error));
            return Vec::new();
        }
    };
    let column = |name: &str| header.iter().position(|title| title == name);
    let [Some(episode), Some(policy), Some(success)] =
        [column(HEADER[0]).or_else(|| column("episode")), column("policy"), column("success")]
    else {
        for name in ["episode_index", "policy", "success"] {
            if column(name).is_none() {
                problems.push(place().field(name).missing());
            }
        }
        return Vec::new();
    };
    let (task, length, split) = (column("task"), column("length"), column("split"));
    let mut rows = Vec::new();
    for (line, record) in reader.records().enumerate() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                problems.push(malformed(error));
                continue;
            }
        };
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let optional = |column: Option<usize>| column.map(cell).filter(|text| !text.is_empty());
        let Ok(episode) = cell(episode).parse::<usize>() else {
            problems.push(place().field(HEADER[0]).invalid(format!(
                "{:?} in row {} is no episode index",
                cell(episode),
                line + 1
            )));
            continue;
        };
        let place = |field: &str| place().episode(episode).field(field);
        let Some(success) = parse_success(cell(success)) else {
            let got = cell(success);
            problems.push(
                place("success").invalid(format!("{got:?} is neither 0, 1 nor a value in between")),
            );
            continue;
        };
        let length = match optional(length).map(str::parse::<usize>) {
            None => None,
            Some(Ok(length)) => Some(length),
            Some(Err(_no_number)) => {
                problems.push(place("length").invalid("is no number of frames"));
                continue;
            }
        };
        rows.push(TrialRow {
            episode,
            task: optional(task).unwrap_or_default().to_owned(),
            policy: cell(policy).to_owned(),
            success,
            length,
            split: optional(split).map(str::to_owned),
        });
    }
    rows
}

fn parse_success(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "success" => Some(1.0),
        "false" | "failure" => Some(0.0),
        number => number.parse().ok().filter(|value| (0.0..=1.0).contains(value)),
    }
}

/// The file's text for some rows.
pub(super) fn write_trials(rows: &[TrialRow]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for TrialRow { episode, task, policy, success, length, split } in rows {
        writer.write_record([
            episode.to_string().as_str(),
            task,
            policy,
            success.to_string().as_str(),
            length.map(|length| length.to_string()).unwrap_or_default().as_str(),
            split.as_deref().unwrap_or_default(),
        ])?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Vec<TrialRow>, Vec<LogError>) {
        let mut problems = Vec::new();
        let rows = parse_trials(text, Path::new("meta/trials.csv"), &mut problems);
        (rows, problems)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let rows = vec![
            TrialRow {
                episode: 0,
                task: "a, \"b\"".into(),
                policy: "expert".into(),
                success: 1.0,
                length: Some(52),
                split: Some("train".into()),
            },
            TrialRow {
                episode: 1,
                task: String::new(),
                policy: "teleoperator".into(),
                success: 0.25,
                length: None,
                split: None,
            },
        ];
        let text = String::from_utf8(write_trials(&rows).unwrap()).unwrap();
        assert!(text.starts_with("episode_index,task,policy,success,length,split\n"));
        let (got, problems) = parse(&text);
        assert_eq!(got, rows);
        assert!(problems.is_empty());
        assert_eq!((got[0].is_success(), got[1].is_success()), (true, false));
    }

    #[test]
    fn every_faulty_row_is_named() {
        let (rows, problems) = parse(
            "episode_index,policy,success,length\n0,a,1,5\nx,a,1,5\n2,a,NaN,5\n3,a,2,5\n4,a,0,many\n",
        );
        assert_eq!(rows.len(), 1);
        let places: Vec<_> = problems
            .iter()
            .map(|problem| problem.place().unwrap())
            .map(|place| (place.episode, place.field.as_deref().unwrap()))
            .collect();
        assert_eq!(
            places,
            [
                (None, "episode_index"),
                (Some(2), "success"),
                (Some(3), "success"),
                (Some(4), "length"),
            ]
        );
    }
}
