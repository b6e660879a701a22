//! Partial credit: how far a trial came, criterion by criterion.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rehearse_scenarios::embodiment::{Embodiment, GripperPolarity};
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::syntax::toml_error;
use serde::{Deserialize, Serialize};

/// What there is to reach on the way to a task's success, one TOML file.
///
/// Progress is the share that was reached at some time. The success of the task counts as one
/// more criterion, the last, and is not written down: a trial that succeeds has reached all there
/// is, and one that fails never has.
///
/// ```
/// use rehearse::judge::Rubric;
///
/// let text = r#"
///     [[criterion]]
///     name = "at the handle"
///     within = { x = [-0.05, 0.05], z = [0.1, 0.2] }
///     [[criterion]]
///     name = "holds it"
///     gripper = "closed"
///     after = ["at the handle"]
/// "#;
/// let rubric = Rubric::parse(text, "door.toml".as_ref())?;
/// assert_eq!(rubric.progress(1, false), 1.0 / 3.0);
/// assert_eq!(rubric.progress(1, true), 1.0);
/// # Ok::<(), rehearse::judge::RubricError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rubric {
    /// The criteria, in the order in which they are shown.
    #[serde(rename = "criterion")]
    pub criteria: Vec<Criterion>,
}

/// Something to reach: all that it states must hold in the same frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Name, as in reports.
    pub name: String,
    /// Ranges of proprioceptive channels by name, ends included, in the channel's unit: a box in
    /// metres that the hand must be in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub within: BTreeMap<String, [f32; 2]>,
    /// Where the gripper must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gripper: Option<GripperState>,
    /// Least belief of the judge, in (0, 1], that the task is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belief: Option<f32>,
    /// Names of the criteria that must have been reached, in the same frame at the latest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// A side of the middle of the gripper's stated bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GripperState {
    /// Towards its open end.
    Open,
    /// Towards its closed end.
    Closed,
}

/// Why a rubric cannot be used. Each names the file, and the path of the key where there is one.
#[derive(Debug, thiserror::Error)]
pub enum RubricError {
    /// The file cannot be read.
    #[error("cannot read the rubric {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML, a key is unknown or of the wrong type, or a value cannot be.
    #[error("the rubric {}: {key}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Path of the key, as in `criterion[1].after`; `.` for the file as a whole.
        key: String,
        /// What is wrong and what is accepted.
        message: String,
    },
}

impl RubricError {
    fn invalid(path: &Path, key: impl Into<String>, message: impl ToString) -> Self {
        let message = message.to_string().replace('\n', " ");
        Self::Invalid { path: path.to_owned(), key: key.into(), message }
    }
}

impl Rubric {
    /// Reads and checks a rubric.
    ///
    /// # Errors
    /// [`RubricError`].
    pub fn load(path: &Path) -> Result<Self, RubricError> {
        let read = |source| RubricError::Read { path: path.to_owned(), source };
        Self::parse(&std::fs::read_to_string(path).map_err(read)?, path)
    }

    /// Checks a rubric that has been read from `path`, which errors name.
    ///
    /// # Errors
    /// [`RubricError::Invalid`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, RubricError> {
        let document = toml::Deserializer::parse(text)
            .map_err(|error| RubricError::invalid(path, ".", toml_error(text, &error)))?;
        let rubric: Self = serde_path_to_error::deserialize(document).map_err(|error| {
            let message = toml_error(text, error.inner());
            RubricError::invalid(path, error.path().to_string(), message)
        })?;
        rubric.validate().map_err(|(key, message)| RubricError::invalid(path, key, message))?;
        Ok(rubric)
    }

    /// How far a trial came that reached so many criteria, in [0, 1].
    pub fn progress(&self, reached: usize, succeeded: bool) -> f64 {
        if succeeded { 1.0 } else { reached as f64 / (self.criteria.len() + 1) as f64 }
    }

    fn validate(&self) -> Result<(), (String, String)> {
        let refuse = |key: String, message: &str| Err((key, message.to_owned()));
        if self.criteria.is_empty() {
            return refuse("criterion".to_owned(), "a rubric needs one criterion at least");
        }
        let mut names = BTreeSet::new();
        for (index, criterion) in self.criteria.iter().enumerate() {
            let key = |field: &str| format!("criterion[{index}].{field}");
            let Criterion { name, within, gripper, belief, after } = criterion;
            if name.trim().is_empty() {
                return refuse(key("name"), "must not be empty");
            }
            if !names.insert(name) {
                return refuse(key("name"), "two criteria have this name");
            }
            if within.is_empty() && gripper.is_none() && belief.is_none() {
                return refuse(key("name"), "state `within`, `gripper` or `belief`");
            }
            for (channel, [low, high]) in within {
                if !(low.is_finite() && high.is_finite() && low <= high) {
                    return refuse(
                        key(&format!("within.{channel}")),
                        "must be a range [low, high]",
                    );
                }
            }
            if belief.is_some_and(|belief| !(belief > 0.0 && belief <= 1.0)) {
                return refuse(key("belief"), "must be above 0 and at most 1");
            }
            if let Some(unknown) = after.iter().find(|name| self.place(name).is_none()) {
                return Err((key("after"), format!("there is no criterion {unknown:?}")));
            }
        }
        self.order().map(drop)
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.criteria.iter().position(|criterion| criterion.name == name)
    }

    /// The criteria by place, each behind those that it comes after.
    fn order(&self) -> Result<Vec<usize>, (String, String)> {
        let mut order: Vec<usize> = vec![];
        while order.len() < self.criteria.len() {
            let placed = |name: &String| self.place(name).is_some_and(|p| order.contains(&p));
            let left = |place: &usize| !order.contains(place);
            let free = (0..self.criteria.len())
                .filter(left)
                .find(|&place| self.criteria[place].after.iter().all(placed));
            match free {
                Some(place) => order.push(place),
                None => {
                    let place = (0..self.criteria.len()).find(left).unwrap_or(0);
                    let name = &self.criteria[place].name;
                    let message = format!("{name:?} waits for a circle of criteria");
                    return Err((format!("criterion[{place}].after"), message));
                }
            }
        }
        Ok(order)
    }

    /// The rubric for a rig; `path` is the file that it came from, which errors name.
    ///
    /// # Errors
    /// [`RubricError::Invalid`] if the rig lacks a channel, or does not state what its gripper
    /// means.
    pub fn fit(&self, rig: &Embodiment, path: &Path) -> Result<Yardstick, RubricError> {
        let invalid = |(key, message): (String, String)| RubricError::invalid(path, key, message);
        let fitted = |place: usize| {
            let criterion = &self.criteria[place];
            let mut ranges = vec![];
            for (name, range) in &criterion.within {
                let key = format!("criterion[{place}].within.{name}");
                let channel = rig.proprioception.iter().position(|channel| channel.name == *name);
                ranges.push((channel.ok_or_else(|| invalid((key, no_channel(rig))))?, *range));
            }
            if let Some(state) = criterion.gripper {
                let key = format!("criterion[{place}].gripper");
                ranges.push(gripper_range(rig, state).ok_or_else(|| {
                    let message = "the world does not state which end of its gripper is open, and \
                                   its bounds: state a range of the channel by `within`";
                    invalid((key, message.to_owned()))
                })?);
            }
            let after = criterion.after.iter().filter_map(|name| self.place(name)).collect();
            Ok(Fitted { place, ranges, belief: criterion.belief, after })
        };
        let order = self.order().map_err(invalid)?;
        Ok(Yardstick(order.into_iter().map(fitted).collect::<Result<_, RubricError>>()?))
    }
}

fn no_channel(rig: &Embodiment) -> String {
    let names: Vec<&str> = rig.proprioception.iter().map(|c| c.name.as_str()).collect();
    format!("the world has no such channel; it has {}", names.join(", "))
}

/// The gripper's channel, and its half towards `state`.
fn gripper_range(rig: &Embodiment, state: GripperState) -> Option<(usize, [f32; 2])> {
    let (index, channel) =
        rig.proprioception.iter().enumerate().find(|(_, channel)| channel.is_gripper())?;
    let [low, high] = channel.bounds?;
    let middle = f64::midpoint(low, high) as f32;
    let upper = match channel.gripper? {
        GripperPolarity::HighIsOpen => state == GripperState::Open,
        GripperPolarity::HighIsClosed => state == GripperState::Closed,
    };
    // What is measured may lie a little beyond what is stated.
    let range = if upper { [middle, f32::INFINITY] } else { [f32::NEG_INFINITY, middle] };
    Some((index, range))
}

/// A rubric fitted to a rig.
#[derive(Clone, Debug)]
pub struct Yardstick(Vec<Fitted>);

/// A criterion, its channels by index.
#[derive(Clone, Debug)]
struct Fitted {
    /// Its place in the rubric.
    place: usize,
    ranges: Vec<(usize, [f32; 2])>,
    belief: Option<f32>,
    after: Vec<usize>,
}

impl Yardstick {
    /// Which criteria an episode reached at some time, in the rubric's order.
    ///
    /// As in a judge's verdict, the frames after the actions have a say, the first has none.
    pub fn reached(&self, episode: &Episode) -> Vec<bool> {
        let Self(criteria) = self;
        let mut reached = vec![false; criteria.len()];
        for (frame, belief) in episode.observations.iter().skip(1).zip(&episode.success) {
            for Fitted { place, ranges, belief: least, after } in criteria {
                let inside = |&(channel, [low, high]): &(usize, [f32; 2])| {
                    frame.proprioception.get(channel).is_some_and(|v| (low..=high).contains(v))
                };
                let believed =
                    least.is_none_or(|least| belief.is_some_and(|belief| belief >= least));
                let due = after.iter().all(|&other| reached[other]);
                reached[*place] |= due && believed && ranges.iter().all(inside);
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rehearse_scenarios::embodiment::{Channel, ChannelKind};
    use rehearse_scenarios::observation::Observation;
    use rehearse_scenarios::outcome::Outcome;
    use rehearse_scenarios::time::{Rate, SimTime};

    use super::*;

    const DOOR: &str = r#"
        [[criterion]]
        name = "pulled"
        within = { x = [0.5, 1.0] }
        belief = 0.3
        after = ["held"]
        [[criterion]]
        name = "held"
        gripper = "closed"
        after = ["there"]
        [[criterion]]
        name = "there"
        within = { x = [0.1, 0.2] }
    "#;

    fn rig() -> Embodiment {
        Embodiment {
            robot: None,
            rate: Rate::from_hz(10.0).unwrap(),
            cameras: vec![],
            proprioception: vec![
                Channel::named("x"),
                Channel {
                    kind: Some(ChannelKind::Gripper),
                    bounds: Some([0.0, 0.1]),
                    gripper: Some(GripperPolarity::HighIsOpen),
                    ..Channel::named("g")
                },
            ],
            actions: vec![Channel::named("dx")],
        }
    }

    /// An episode of frames `(x, gripper, belief)` after its first frame, which is at the goal.
    fn episode(frames: &[(f32, f32, Option<f32>)]) -> Episode {
        let seen = |x: f32, gripper: f32| Observation {
            images: BTreeMap::new(),
            proprioception: vec![x, gripper],
            instruction: Arc::from("open"),
            time: SimTime::ZERO,
        };
        Episode {
            id: "trial".into(),
            rate: rig().rate,
            instruction: "open".into(),
            observations: std::iter::once(seen(0.15, 0.0))
                .chain(frames.iter().map(|&(x, gripper, _)| seen(x, gripper)))
                .collect(),
            actions: vec![vec![0.0]; frames.len()],
            success: frames.iter().map(|frame| frame.2).collect(),
            segments: vec![],
            outcome: Outcome::Failure,
        }
    }

    fn progress(frames: &[(f32, f32, Option<f32>)]) -> f64 {
        let rubric = Rubric::parse(DOOR, "door.toml".as_ref()).unwrap();
        let yardstick = rubric.fit(&rig(), "door.toml".as_ref()).unwrap();
        let reached = yardstick.reached(&episode(frames)).iter().filter(|&&r| r).count();
        rubric.progress(reached, false)
    }

    #[test]
    fn progress_is_what_was_reached_in_its_order() {
        // There, with the gripper open: one of the three criteria and the success behind them.
        assert_eq!(progress(&[(0.15, 0.08, None), (0.3, 0.08, None)]), 0.25);
        // Closed in the frame in which it is there, both count; opened again, they stay reached.
        assert_eq!(progress(&[(0.15, 0.02, None), (0.15, 0.08, None)]), 0.5);
        // Pulled before it was held is not pulled, held before it was there is not held.
        assert_eq!(progress(&[(0.6, 0.02, Some(0.9)), (0.15, 0.08, None)]), 0.25);
        // Pulled in the judge's eyes, too.
        let held = (0.15, 0.02, Some(0.9));
        assert_eq!(progress(&[held, (0.6, 0.02, Some(0.29))]), 0.5);
        assert_eq!(progress(&[held, (0.6, 0.02, None)]), 0.5);
        assert_eq!(progress(&[held, (0.6, 0.02, Some(0.3))]), 0.75);
        // The first frame, which is there and closed, has no say.
        assert_eq!(progress(&[(0.9, 0.02, Some(0.9))]), 0.0);
    }

    #[test]
    fn errors_name_the_file_and_the_path_of_the_key() {
        for (from, to, expected) in [
            ("belief = 0.3", "believe = 0.3", "criterion[0]"),
            ("belief = 0.3", "belief = 1.5", "criterion[0].belief: must be above 0"),
            ("[0.1, 0.2]", "[0.2, 0.1]", "criterion[2].within.x: must be a range"),
            ("[0.1, 0.2]", "[0.1, nan]", "criterion[2].within.x: must be a range"),
            ("\"closed\"", "\"shut\"", "criterion[1].gripper: unknown variant"),
            ("after = [\"there\"]", "after = [\"here\"]", "criterion[1].after: there is no"),
            ("gripper = \"closed\"", "", "criterion[1].name: state `within`"),
            ("name = \"pulled\"", "name = \"there\"", "criterion[2].name: two criteria"),
            ("[[criterion]]", "[[criteria]]", "criteria: unknown field"),
            (
                "name = \"there\"",
                "name = \"there\"\nafter = [\"pulled\"]",
                "criterion[0].after: \"pulled\" waits for a circle",
            ),
            (
                "name = \"there\"",
                "name = \"there\"\nafter = [\"there\"]",
                "criterion[0].after: \"pulled\" waits for a circle",
            ),
        ] {
            let error = Rubric::parse(&DOOR.replacen(from, to, 1), "door.toml".as_ref());
            let message = error.unwrap_err().to_string();
            let expected = format!("the rubric door.toml: {expected}");
            assert!(message.starts_with(&expected), "for {to:?}: {message}");
        }
        let torn = Rubric::parse("# a door\n[[criterion", "door.toml".as_ref()).unwrap_err();
        assert!(torn.to_string().ends_with("(line 2)"), "{torn}");
        assert!(Rubric::parse("", "door.toml".as_ref()).is_err());
        assert!(Rubric::parse("criterion = []", "door.toml".as_ref()).is_err());
    }

    #[test]
    fn a_rig_that_does_not_say_what_a_criterion_asks_is_refused() {
        let rubric = Rubric::parse(DOOR, "door.toml".as_ref()).unwrap();
        let message =
            |rig: &Embodiment| rubric.fit(rig, "door.toml".as_ref()).unwrap_err().to_string();
        let mut unknown = rig();
        unknown.proprioception[0].name = "y".to_owned();
        let expected = "the rubric door.toml: criterion[2].within.x: the world has no such channel";
        assert_eq!(message(&unknown), format!("{expected}; it has y, g"));
        let mut dumb = rig();
        dumb.proprioception[1].gripper = None;
        assert!(message(&dumb).contains("criterion[1].gripper: the world does not state"));
    }
}
