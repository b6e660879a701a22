//! The suite file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{JudgeEntry, SuiteError, TrustEntry, Variation};
use crate::syntax::toml_error;

/// The largest suite file that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;
/// The most trials that a suite may expand to.
const MAX_TRIALS: u64 = 10_000_000;

/// A suite: policies × tasks × starts × variations × repeats, in one world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Name, the first part of every trial's id. Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The world that the trials take place in.
    pub world: WorldSource,
    /// The log that start frames and real results come from, relative to the suite's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<PathBuf>,
    /// A table of real trials, relative to the suite's folder, where the log's own results do not
    /// say which scenario each started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real: Option<PathBuf>,
    /// Root of the seed tree. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// Times that each scenario is repeated with other noise. Default 1.
    #[serde(default = "one")]
    pub repeats: u32,
    /// Control steps after which a trial ends without success.
    pub horizon: u32,
    /// Who says how a trial ends, and when.
    #[serde(default, skip_serializing_if = "JudgeEntry::is_default")]
    pub judge: JudgeEntry,
    /// The rubric that gives partial credit on tasks that state none of their own, relative to the
    /// suite's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rubric: Option<PathBuf>,
    /// Which trials in a learned world are trusted.
    #[serde(default, skip_serializing_if = "TrustEntry::is_default")]
    pub trust: TrustEntry,
    /// The policies.
    #[serde(rename = "policy")]
    pub policies: Vec<PolicyEntry>,
    /// The tasks.
    #[serde(rename = "task")]
    pub tasks: Vec<TaskEntry>,
    /// Variations of every start, beside the start as it is.
    #[serde(default, rename = "variation", skip_serializing_if = "Vec::is_empty")]
    pub variations: Vec<Variation>,
}

/// Where the world comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WorldSource {
    /// A learned world model.
    Learned {
        /// The checkpoint, relative to the suite's folder.
        checkpoint: PathBuf,
    },
    /// A world that answers over zenoh: a simulator, the robot.
    Zenoh {
        /// Its name, as in `rehearse/v1/world/<name>`.
        name: String,
    },
    /// The suite's log, played back whatever the actions are.
    Replay {},
}

/// A policy of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyEntry {
    /// Name in tables. Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The policy's name on zenoh, as in `rehearse/v1/policy/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zenoh: Option<String>,
    /// A planner's configuration file, relative to the suite's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planner: Option<PathBuf>,
    /// Actions of each chunk that are executed before the policy is asked again; all if not
    /// stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute: Option<u32>,
    /// Simulated milliseconds between an observation and the first action decided on it.
    /// Default 0.
    #[serde(default)]
    pub latency_ms: u32,
    /// Policies of one lineage (checkpoints of one training run) share a word here, so that the
    /// report does not count them as independent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<String>,
}

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicySource<'a> {
    /// A policy that answers over zenoh under this name.
    Zenoh(&'a str),
    /// A planner with this configuration file.
    Planner(&'a Path),
}

/// A task of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskEntry {
    /// Name, as the log's results and the simulator know it.
    pub name: String,
    /// The instruction that policies are given.
    pub instruction: String,
    /// Which starts.
    pub starts: Starts,
    /// Control steps after which a trial of this task ends; the suite's if not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<u32>,
    /// The rubric that gives partial credit on this task, relative to the suite's folder; the
    /// suite's if not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rubric: Option<PathBuf>,
}

/// Which starts a task has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Starts {
    /// The log's split that first frames are taken from, in the order of its episodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Index of the first start. Default 0.
    #[serde(default)]
    pub first: u64,
    /// Number of starts.
    pub count: u32,
}

const fn one() -> u32 {
    1
}

impl Suite {
    /// Reads and checks a suite file.
    ///
    /// # Errors
    /// [`SuiteError`], naming the file and the path of the key.
    pub fn load(path: &Path) -> Result<Self, SuiteError> {
        let read = |source| SuiteError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        if bytes > MAX_BYTES {
            return Err(SuiteError::TooLarge { path: path.to_owned(), bytes, limit: MAX_BYTES });
        }
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(read)?;
        Self::parse(&text, path)
    }

    /// Checks a suite that has been read from `path`, which errors name.
    ///
    /// ```
    /// use rehearse_scenarios::suite::Suite;
    ///
    /// let text = r#"
    ///     name = "doors"
    ///     world = { kind = "zenoh", name = "lab" }
    ///     horizon = 110
    ///     [[policy]]
    ///     name = "full"
    ///     zenoh = "full"
    ///     exeute = 8
    ///     [[task]]
    ///     name = "door-open"
    ///     instruction = "open the door"
    ///     starts = { count = 25 }
    /// "#;
    /// let error = Suite::parse(text, "doors.toml".as_ref()).unwrap_err();
    /// assert!(error.to_string().starts_with("the suite doors.toml: policy[0]"));
    /// let suite = Suite::parse(&text.replace("exeute", "execute"), "doors.toml".as_ref())?;
    /// assert_eq!(suite.trials().count(), 25);
    /// # Ok::<(), rehearse_scenarios::suite::SuiteError>(())
    /// ```
    ///
    /// # Errors
    /// [`SuiteError::Parse`] and [`SuiteError::Invalid`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, SuiteError> {
        let parse = |key: String, error: &toml::de::Error| SuiteError::Parse {
            path: path.to_owned(),
            key: if key.is_empty() { ".".to_owned() } else { key },
            message: toml_error(text, error),
        };
        let document =
            toml::Deserializer::parse(text).map_err(|error| parse(String::new(), &error))?;
        let suite: Self = serde_path_to_error::deserialize(document)
            .map_err(|error| parse(error.path().to_string(), error.inner()))?;
        suite.validate(path)?;
        Ok(suite)
    }

    fn validate(&self, path: &Path) -> Result<(), SuiteError> {
        let invalid = |key: String, message: &str| Err(SuiteError::invalid(path, key, message));
        if !is_word(&self.name) {
            return invalid("name".into(), WORD);
        }
        if self.repeats == 0 {
            return invalid("repeats".into(), "must be 1 at least");
        }
        if self.horizon == 0 {
            return invalid("horizon".into(), "must be 1 control step at least");
        }
        if matches!(self.world, WorldSource::Replay {}) && self.logs.is_none() {
            return invalid("logs".into(), "a replay world needs the log that it plays back");
        }
        if let Err((field, message)) = self.judge.validate() {
            return invalid(format!("judge.{field}"), message);
        }
        if let Err((field, message)) = self.trust.validate() {
            return invalid(format!("trust.{field}"), message);
        }
        if self.policies.is_empty() {
            return invalid("policy".into(), "a suite needs one policy at least");
        }
        if self.tasks.is_empty() {
            return invalid("task".into(), "a suite needs one task at least");
        }
        let mut names = BTreeSet::new();
        for (index, policy) in self.policies.iter().enumerate() {
            let key = |field: &str| format!("policy[{index}].{field}");
            if !is_word(&policy.name) {
                return invalid(key("name"), WORD);
            }
            if !names.insert(&policy.name) {
                return invalid(key("name"), "two policies have this name");
            }
            if policy.zenoh.is_some() == policy.planner.is_some() {
                return invalid(key("zenoh"), "state either `zenoh` or `planner`");
            }
            if policy.execute == Some(0) {
                return invalid(key("execute"), "must be 1 action at least");
            }
        }
        let mut names = BTreeSet::new();
        for (index, task) in self.tasks.iter().enumerate() {
            let key = |field: &str| format!("task[{index}].{field}");
            if !is_word(&task.name) {
                return invalid(key("name"), WORD);
            }
            if !names.insert(&task.name) {
                return invalid(key("name"), "two tasks have this name");
            }
            if task.starts.count == 0 {
                return invalid(key("starts.count"), "must be 1 at least");
            }
            if task.horizon == Some(0) {
                return invalid(key("horizon"), "must be 1 control step at least");
            }
            if task.starts.split.is_some() && self.logs.is_none() {
                return invalid(key("starts.split"), "a split needs `logs` to be stated");
            }
        }
        let mut labels = BTreeSet::new();
        for (index, variation) in self.variations.iter().enumerate() {
            if let Err(message) = variation.validate() {
                return invalid(format!("variation[{index}]"), message);
            }
            if !labels.insert(variation.label()) {
                return invalid(
                    format!("variation[{index}].kind"),
                    "this variation is there twice",
                );
            }
        }
        if self.trial_count() > MAX_TRIALS {
            return invalid("repeats".into(), "the suite expands to more than 10,000,000 trials");
        }
        Ok(())
    }

    /// Trials that the suite expands to, without expanding it.
    pub fn trial_count(&self) -> u64 {
        let starts: u64 = self.tasks.iter().map(|task| u64::from(task.starts.count)).sum();
        starts
            .saturating_mul(self.policies.len() as u64)
            .saturating_mul(self.variations.len() as u64 + 1)
            .saturating_mul(u64::from(self.repeats))
    }
}

const WORD: &str = "must be 1 to 100 letters, digits, `-`, `_` or `.`";

/// Whether a name can stand in an id, a file name and a zenoh key.
fn is_word(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !name.starts_with('.')
}

impl PolicyEntry {
    /// Where the policy comes from.
    ///
    /// A suite that has been loaded states exactly one source; of an entry made by hand that
    /// states none, the zenoh name is the policy's own.
    pub fn source(&self) -> PolicySource<'_> {
        match (&self.planner, &self.zenoh) {
            (Some(planner), _) => PolicySource::Planner(planner),
            (None, Some(zenoh)) => PolicySource::Zenoh(zenoh),
            (None, None) => PolicySource::Zenoh(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "metaworld-4"
        world = { kind = "learned", checkpoint = "metaworld.safetensors" }
        logs = "logs"
        real = "results/real.csv"
        horizon = 110

        [[policy]]
        name = "full"
        zenoh = "full"
        execute = 8

        [[task]]
        name = "drawer-open-v3"
        instruction = "open the drawer"
        starts = { split = "eval", count = 25 }

        [[variation]]
        kind = "lighting"
        gain = [0.6, 1.4]
    "#;

    fn message(text: &str) -> String {
        Suite::parse(text, "s.toml".as_ref()).unwrap_err().to_string()
    }

    #[test]
    fn a_suite_survives_being_written_and_read() {
        let suite = Suite::parse(GOOD, "s.toml".as_ref()).unwrap();
        assert_eq!(suite.repeats, 1);
        assert_eq!(suite.real.as_deref(), Some("results/real.csv".as_ref()));
        assert_eq!(suite.policies[0].source(), PolicySource::Zenoh("full"));
        let text = toml::to_string(&suite).unwrap();
        assert_eq!(Suite::parse(&text, "s.toml".as_ref()).unwrap(), suite);
    }

    #[test]
    fn errors_name_the_file_and_the_path_of_the_key() {
        for (from, to, expected) in [
            (
                "execute = 8",
                "execute = \"8\"",
                "the suite s.toml: policy[0].execute: invalid type: string \"8\", expected u32 (line 11)",
            ),
            ("execute = 8", "execute = 0", "the suite s.toml: policy[0].execute: must be 1 action"),
            ("zenoh = \"full\"", "", "the suite s.toml: policy[0].zenoh: state either"),
            ("count = 25", "count = 0", "the suite s.toml: task[0].starts.count: must be 1"),
            (
                "horizon = 110",
                "horizon = 110\ncolour = 1",
                "the suite s.toml: colour: unknown field",
            ),
            ("horizon = 110", "", "the suite s.toml: .: "),
            ("\"metaworld-4\"", "\"a/b\"", "the suite s.toml: name: must be 1 to 100 letters"),
            ("gain = [0.6, 1.4]", "gain = [1.4, 0.6]", "the suite s.toml: variation[0]: "),
            ("gain = [0.6, 1.4]", "gain = [0.6, nan]", "the suite s.toml: variation[0]: "),
            ("logs = \"logs\"", "", "the suite s.toml: task[0].starts.split: a split needs"),
            ("name = \"full\"", "name = ", "the suite s.toml: .: "),
            ("horizon = 110", "horizon = 110\nrepeats = 4000000000", "the suite s.toml: repeats: "),
            (
                "horizon = 110",
                "horizon = 110\njudge = { success = 0.4, failure = 0.6 }",
                "the suite s.toml: judge.failure: must be above 0",
            ),
            (
                "horizon = 110",
                "horizon = 110\njudge = { frames = 0 }",
                "the suite s.toml: judge.frames",
            ),
            (
                "horizon = 110",
                "horizon = 110\njudge = { zenoh = \"vlm\", votes = 0 }",
                "the suite s.toml: judge.votes",
            ),
        ] {
            let broken = GOOD.replacen(from, to, 1);
            let message = message(&broken);
            assert!(message.starts_with(expected), "for {to:?}: {message}");
        }
    }

    proptest::proptest! {
        /// A reader of files that people write must stand any file.
        #[test]
        fn no_text_makes_the_reader_panic(
            at in 0..GOOD.len(),
            cut in 0..40_usize,
            insert in proptest::string::string_regex("[\\[\\]{}=\",.a-z0-9\\-\n]{0,12}").unwrap(),
        ) {
            let end = (at + cut).min(GOOD.len());
            let text = format!("{}{insert}{}", &GOOD[..at], &GOOD[end..]);
            if let Ok(suite) = Suite::parse(&text, "s.toml".as_ref()) {
                proptest::prop_assert!(suite.trial_count() > 0);
            }
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Suite::load("no/such.toml".as_ref()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the suite no/such.toml");
    }
}
