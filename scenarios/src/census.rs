//! The census: two embodiments compared field by field before the first trial.

use std::fmt;

use crate::embodiment::{Camera, Channel, Embodiment};

/// How one side relates to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Both describe the same rig whole: a world and the log that it was trained on.
    Same,
    /// The right side uses what the left side offers: a policy in a world. It may leave cameras
    /// and proprioceptive channels out, but the actions and the rate must be the same.
    Uses,
}

/// One field on which two sides differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path of the field: `actions[3].unit`.
    pub field: String,
    /// What the left side states; `None` if it states nothing.
    pub left: Option<String>,
    /// What the right side states; `None` if it states nothing.
    pub right: Option<String>,
}

/// The outcome of a comparison: what contradicts, and what only one side states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Name of the left side, as in `world "metaworld"`.
    pub left: String,
    /// Name of the right side, as in `policy "openvla"`.
    pub right: String,
    /// Fields that contradict each other.
    pub mismatches: Vec<Difference>,
    /// Fields that only one side states: nothing contradicts, and nothing confirms.
    pub unconfirmed: Vec<Difference>,
}

/// Two sides that do not fit. The message names both sides and every mismatch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{left} and {right} do not fit: {}", list(mismatches))]
pub struct CensusError {
    /// Name of the left side.
    pub left: String,
    /// Name of the right side.
    pub right: String,
    /// Fields that contradict each other; never empty.
    pub mismatches: Vec<Difference>,
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{} is {} against {}", self.field, side(&self.left), side(&self.right))
    }
}

impl Census {
    /// Compares two embodiments field by field.
    ///
    /// ```
    /// use rehearse_scenarios::census::{Census, Relation};
    /// use rehearse_scenarios::embodiment::{Channel, Embodiment};
    /// use rehearse_scenarios::time::Rate;
    ///
    /// let world = Embodiment {
    ///     robot: None,
    ///     rate: Rate::from_hz(40.0)?,
    ///     cameras: vec![],
    ///     proprioception: vec![],
    ///     actions: vec![Channel::named("dx")],
    /// };
    /// let policy = Embodiment { rate: Rate::from_hz(20.0)?, ..world.clone() };
    /// let census = Census::compare("world", &world, "policy", &policy, Relation::Uses);
    /// let error = census.check().unwrap_err();
    /// assert_eq!(error.to_string(), "world and policy do not fit: rate is 40 Hz against 20 Hz");
    /// # Ok::<(), rehearse_scenarios::time::InvalidRate>(())
    /// ```
    pub fn compare(
        left_name: impl Into<String>,
        left: &Embodiment,
        right_name: impl Into<String>,
        right: &Embodiment,
        relation: Relation,
    ) -> Self {
        let mut census = Self {
            left: left_name.into(),
            right: right_name.into(),
            mismatches: vec![],
            unconfirmed: vec![],
        };
        census.stated("robot", left.robot.as_ref(), right.robot.as_ref());
        census.stated("rate", Some(&left.rate), Some(&right.rate));
        census.cameras(&left.cameras, &right.cameras, relation);
        census.channels("proprioception", &left.proprioception, &right.proprioception, relation);
        census.channels("actions", &left.actions, &right.actions, Relation::Same);
        census
    }

    /// Whether the two sides fit.
    ///
    /// # Errors
    /// [`CensusError`] with every mismatch, if there is any.
    pub fn check(&self) -> Result<(), CensusError> {
        if self.mismatches.is_empty() {
            return Ok(());
        }
        Err(CensusError {
            left: self.left.clone(),
            right: self.right.clone(),
            mismatches: self.mismatches.clone(),
        })
    }

    fn stated<T: PartialEq + fmt::Display>(
        &mut self,
        field: &str,
        left: Option<&T>,
        right: Option<&T>,
    ) {
        if left == right {
            return;
        }
        let difference = Difference {
            field: field.to_owned(),
            left: left.map(ToString::to_string),
            right: right.map(ToString::to_string),
        };
        if left.is_some() && right.is_some() {
            self.mismatches.push(difference);
        } else {
            self.unconfirmed.push(difference);
        }
    }

    fn missing(&mut self, field: String, left: Option<String>, right: Option<String>) {
        self.mismatches.push(Difference { field, left, right });
    }

    fn cameras(&mut self, left: &[Camera], right: &[Camera], relation: Relation) {
        for camera in right {
            let field = format!("cameras[{}]", camera.name);
            match left.iter().find(|other| other.name == camera.name) {
                None => self.missing(field, None, Some(camera.to_string())),
                Some(other) => self.stated(&field, Some(other), Some(camera)),
            }
        }
        if relation == Relation::Same {
            for camera in left {
                if !right.iter().any(|other| other.name == camera.name) {
                    let field = format!("cameras[{}]", camera.name);
                    self.missing(field, Some(camera.to_string()), None);
                }
            }
        }
    }

    fn channels(&mut self, list: &str, left: &[Channel], right: &[Channel], relation: Relation) {
        match relation {
            Relation::Same => {
                self.stated(&format!("{list}.len"), Some(&left.len()), Some(&right.len()));
                for (index, (a, b)) in left.iter().zip(right).enumerate() {
                    let field = format!("{list}[{index}]");
                    self.stated(&format!("{field}.name"), Some(&a.name), Some(&b.name));
                    self.channel(&field, a, b);
                }
            }
            Relation::Uses => {
                for channel in right {
                    let field = format!("{list}[{}]", channel.name);
                    match left.iter().find(|other| other.name == channel.name) {
                        None => self.missing(field, None, Some(channel.name.clone())),
                        Some(other) => self.channel(&field, other, channel),
                    }
                }
            }
        }
    }

    fn channel(&mut self, field: &str, left: &Channel, right: &Channel) {
        let Channel { name: _, kind, unit, bounds, reference, frame, rotation, gripper } = left;
        self.debug(&format!("{field}.kind"), kind.as_ref(), right.kind.as_ref());
        self.debug(&format!("{field}.unit"), unit.as_ref(), right.unit.as_ref());
        self.debug(&format!("{field}.bounds"), bounds.as_ref(), right.bounds.as_ref());
        self.debug(&format!("{field}.reference"), reference.as_ref(), right.reference.as_ref());
        self.stated(&format!("{field}.frame"), frame.as_ref(), right.frame.as_ref());
        self.debug(&format!("{field}.rotation"), rotation.as_ref(), right.rotation.as_ref());
        self.debug(&format!("{field}.gripper"), gripper.as_ref(), right.gripper.as_ref());
    }

    fn debug<T: PartialEq + fmt::Debug>(
        &mut self,
        field: &str,
        left: Option<&T>,
        right: Option<&T>,
    ) {
        let text = |value: &T| format!("{value:?}");
        if left != right {
            self.stated(field, left.map(text).as_ref(), right.map(text).as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embodiment::{Reference, Unit};
    use crate::time::Rate;

    fn rig() -> Embodiment {
        Embodiment {
            robot: Some("sawyer".into()),
            rate: Rate::from_hz(40.0).unwrap(),
            cameras: vec![
                Camera { name: "front".into(), height: 128, width: 128 },
                Camera { name: "wrist".into(), height: 64, width: 64 },
            ],
            proprioception: vec![Channel::named("x"), Channel::named("gripper")],
            actions: vec![Channel {
                unit: Some(Unit::Metre),
                reference: Some(Reference::Delta),
                ..Channel::named("dx")
            }],
        }
    }

    fn fields(differences: &[Difference]) -> Vec<&str> {
        differences.iter().map(|difference| difference.field.as_str()).collect()
    }

    #[test]
    fn a_rig_fits_itself() {
        let census = Census::compare("a", &rig(), "b", &rig(), Relation::Same);
        assert_eq!((census.mismatches, census.unconfirmed), (vec![], vec![]));
    }

    #[test]
    fn a_policy_may_leave_cameras_and_channels_out_but_a_log_may_not() {
        let mut policy = rig();
        policy.cameras.remove(0);
        policy.proprioception.remove(0);
        assert!(Census::compare("w", &rig(), "p", &policy, Relation::Uses).check().is_ok());
        let census = Census::compare("w", &rig(), "l", &policy, Relation::Same);
        assert_eq!(
            fields(&census.mismatches),
            ["cameras[front]", "proprioception.len", "proprioception[0].name"]
        );
    }

    #[test]
    fn a_policy_may_not_ask_for_what_the_world_lacks() {
        let mut policy = rig();
        policy.cameras.push(Camera { name: "top".into(), height: 8, width: 8 });
        policy.cameras[1].height = 32;
        let census = Census::compare("w", &rig(), "p", &policy, Relation::Uses);
        assert_eq!(fields(&census.mismatches), ["cameras[wrist]", "cameras[top]"]);
    }

    #[test]
    fn what_only_one_side_states_is_unconfirmed_not_wrong() {
        let mut policy = rig();
        policy.actions[0].unit = None;
        policy.actions[0].reference = Some(Reference::Absolute);
        let census = Census::compare("w", &rig(), "p", &policy, Relation::Uses);
        assert_eq!(fields(&census.unconfirmed), ["actions[0].unit"]);
        assert_eq!(fields(&census.mismatches), ["actions[0].reference"]);
        assert!(census.check().unwrap_err().to_string().contains("Delta against Absolute"));
    }
}
