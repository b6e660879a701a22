//! The facts of a rig: cameras, proprioception, actions, control rate. Never defaulted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Rate;

/// The facts of a rig, as a policy, a world or a log states them.
///
/// What a side does not state stays `None`, and the [census](crate::census) says so; nothing is
/// filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embodiment {
    /// The robot's type (`robot_type` of a LeRobotDataset), where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robot: Option<String>,
    /// Control and frame rate in hertz.
    pub rate: Rate,
    /// The cameras, in the order of the log.
    pub cameras: Vec<Camera>,
    /// The channels of proprioception, in order.
    pub proprioception: Vec<Channel>,
    /// The channels of an action, in order.
    pub actions: Vec<Channel>,
}

/// One camera of a rig. Images are RGB, u8, HWC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Name without any prefix: `front`, not `observation.images.front`.
    pub name: String,
    /// Height in pixels.
    pub height: u32,
    /// Width in pixels.
    pub width: u32,
}

/// One channel of proprioception or of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Name: `x`, `joint_3`, `gripper`.
    pub name: String,
    /// What the channel moves or measures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ChannelKind>,
    /// Unit of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Lowest and highest value, in the channel's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<[f64; 2]>,
    /// Whether a value is a change or a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// The frame it is expressed in: `base`, `gripper`, `world`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
    /// For rotations, the representation that the channel is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// For grippers, which end of the range is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gripper: Option<GripperPolarity>,
}

/// What a channel moves or measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A Cartesian coordinate of the hand.
    Position,
    /// A component of the hand's orientation.
    Orientation,
    /// A joint.
    Joint,
    /// The gripper.
    Gripper,
    /// Anything else.
    Other,
}

/// The unit of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Metres.
    #[serde(rename = "m")]
    Metre,
    /// Metres per second.
    #[serde(rename = "m/s")]
    MetrePerSecond,
    /// Radians.
    #[serde(rename = "rad")]
    Radian,
    /// Radians per second.
    #[serde(rename = "rad/s")]
    RadianPerSecond,
    /// Degrees.
    #[serde(rename = "deg")]
    Degree,
    /// Newtons.
    #[serde(rename = "N")]
    Newton,
    /// Newton metres.
    #[serde(rename = "N*m")]
    NewtonMetre,
    /// A pure number: a normalised command, a unit quaternion's component.
    #[serde(rename = "1")]
    Dimensionless,
}

/// Whether a value is a change or a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// Added to the current value.
    Delta,
    /// The value to reach.
    Absolute,
    /// A rate of change.
    Velocity,
}

/// How an orientation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// Intrinsic roll, pitch, yaw about x, y, z.
    RollPitchYaw,
    /// Rotation vector: axis times angle.
    AxisAngle,
    /// Quaternion, scalar last.
    QuaternionXyzw,
    /// Quaternion, scalar first.
    QuaternionWxyz,
    /// The first two columns of the rotation matrix, column by column.
    SixD,
}

/// Which end of a gripper's range is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GripperPolarity {
    /// Larger values open.
    HighIsOpen,
    /// Larger values close.
    HighIsClosed,
}

/// Why an embodiment cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EmbodimentError {
    /// Two cameras or two channels of one list have the same name.
    #[error("{list} has two entries called {name:?}")]
    DuplicateName {
        /// `cameras`, `proprioception` or `actions`.
        list: &'static str,
        /// The name.
        name: String,
    },
    /// A list that may not be empty is.
    #[error("{list} is empty")]
    Empty {
        /// `actions`.
        list: &'static str,
    },
    /// A camera without pixels.
    #[error("camera {name:?} is {height}×{width} pixels; both sides must be between 1 and 16384")]
    CameraSize {
        /// Name of the camera.
        name: String,
        /// Stated height in pixels.
        height: u32,
        /// Stated width in pixels.
        width: u32,
    },
    /// Bounds that are not finite or not in order.
    #[error("channel {name:?} has bounds [{low}, {high}]; they must be finite and in order")]
    Bounds {
        /// Name of the channel.
        name: String,
        /// Stated lower bound.
        low: f64,
        /// Stated upper bound.
        high: f64,
    },
}

/// The largest side of a camera image that is accepted, in pixels.
pub const MAX_IMAGE_SIDE: u32 = 16_384;

impl Embodiment {
    /// Checks the embodiment on its own: names, sizes, bounds.
    ///
    /// # Errors
    /// The first problem found, as an [`EmbodimentError`].
    pub fn validate(&self) -> Result<(), EmbodimentError> {
        if self.actions.is_empty() {
            return Err(EmbodimentError::Empty { list: "actions" });
        }
        refuse_duplicates("cameras", self.cameras.iter().map(|camera| &camera.name))?;
        for (list, channels) in
            [("proprioception", &self.proprioception), ("actions", &self.actions)]
        {
            refuse_duplicates(list, channels.iter().map(|channel| &channel.name))?;
            for Channel { name, bounds, .. } in channels {
                if let Some([low, high]) = *bounds
                    && !(low.is_finite() && high.is_finite() && low < high)
                {
                    return Err(EmbodimentError::Bounds { name: name.clone(), low, high });
                }
            }
        }
        for &Camera { ref name, height, width } in &self.cameras {
            if !(1..=MAX_IMAGE_SIDE).contains(&height) || !(1..=MAX_IMAGE_SIDE).contains(&width) {
                return Err(EmbodimentError::CameraSize { name: name.clone(), height, width });
            }
        }
        Ok(())
    }

    /// The camera called `name`.
    pub fn camera(&self, name: &str) -> Option<&Camera> {
        self.cameras.iter().find(|camera| camera.name == name)
    }

    /// Indices of the action channels that move the gripper.
    ///
    /// A channel counts when it states [`ChannelKind::Gripper`], or states no kind and its name
    /// holds `gripper`.
    pub fn gripper_actions(&self) -> Vec<usize> {
        self.actions
            .iter()
            .enumerate()
            .filter(|(_, channel)| channel.is_gripper())
            .map(|(index, _)| index)
            .collect()
    }
}

fn refuse_duplicates<'a>(
    list: &'static str,
    names: impl Iterator<Item = &'a String>,
) -> Result<(), EmbodimentError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(EmbodimentError::DuplicateName { list, name: name.clone() });
        }
    }
    Ok(())
}

impl Channel {
    /// A channel of which only the name is stated.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: None,
            unit: None,
            bounds: None,
            reference: None,
            frame: None,
            rotation: None,
            gripper: None,
        }
    }

    /// Whether the channel moves or measures the gripper, by its kind or, unstated, by its name.
    pub fn is_gripper(&self) -> bool {
        match self.kind {
            Some(kind) => kind == ChannelKind::Gripper,
            None => self.name.to_lowercase().contains("gripper"),
        }
    }
}

impl fmt::Display for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}×{}", self.name, self.height, self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rig() -> Embodiment {
        Embodiment {
            robot: None,
            rate: Rate::from_hz(10.0).unwrap(),
            cameras: vec![Camera { name: "front".into(), height: 4, width: 4 }],
            proprioception: vec![Channel::named("x")],
            actions: vec![Channel::named("dx"), Channel::named("target_gripper")],
        }
    }

    #[test]
    fn a_gripper_is_known_by_kind_and_else_by_name() {
        let mut rig = rig();
        assert_eq!(rig.gripper_actions(), [1]);
        rig.actions[0].kind = Some(ChannelKind::Gripper);
        rig.actions[1].kind = Some(ChannelKind::Other);
        assert_eq!(rig.gripper_actions(), [0]);
    }

    #[test]
    fn impossible_rigs_are_refused() {
        let mut twice = rig();
        twice.actions[1].name = "dx".into();
        assert!(matches!(
            twice.validate(),
            Err(EmbodimentError::DuplicateName { list: "actions", .. })
        ));
        let mut flat = rig();
        flat.cameras[0].height = 0;
        assert!(matches!(flat.validate(), Err(EmbodimentError::CameraSize { .. })));
        let mut reversed = rig();
        reversed.actions[0].bounds = Some([1.0, -1.0]);
        assert!(matches!(reversed.validate(), Err(EmbodimentError::Bounds { .. })));
        let mut still = rig();
        still.actions.clear();
        assert!(matches!(still.validate(), Err(EmbodimentError::Empty { .. })));
        assert_eq!(rig().validate(), Ok(()));
    }
}
