//! What a server of another project expects and returns, convention by convention.
//!
//! A manifest is a TOML file. Bridges break on what nobody wrote down: the order of a quaternion,
//! the polarity of a gripper, whether an action is a change or a target. So each convention is a
//! required key, compared with what the embodiment states where it states it, and nothing is
//! guessed. `docs` of each field say what they mean; a whole manifest stands in the crate's
//! `tests/fixtures/adapter/`.

use std::collections::BTreeMap;
use std::path::Path;

use rehearse_scenarios::embodiment::{Embodiment, GripperPolarity, Reference, Unit};
use serde::{Deserialize, Serialize};

use super::error::AdapterError;
use super::rotation::Notation;

/// A manifest, as it stands in its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format: 1.
    pub format: u32,
    /// The rig, as this side states it: what worlds are compared with. Every channel that the
    /// manifest uses must state its kind, and as far as its kind has them, unit, reference,
    /// rotation, polarity and bounds.
    pub embodiment: Embodiment,
    /// The server.
    pub server: ServerFacts,
    /// The images it takes.
    #[serde(default, rename = "image")]
    pub images: Vec<ImageFacts>,
    /// The state vectors it takes.
    #[serde(default, rename = "state")]
    pub states: Vec<VectorFacts>,
    /// The action arrays it returns.
    #[serde(rename = "action")]
    pub actions: Vec<VectorFacts>,
}

/// The server as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerFacts {
    /// What it speaks.
    pub dialect: Dialect,
    /// Control rate in hertz that its policy was trained at; must be the embodiment's.
    pub rate: f64,
    /// Actions in each chunk that it returns.
    pub chunk: usize,
    /// Most trials in one request. Above 1 only for dialects that have batches.
    pub max_batch: usize,
    /// What it remembers from one request to the next.
    pub memory: Memory,
    /// Key of the instruction.
    pub prompt: String,
    /// Longest wait for an answer in milliseconds.
    pub timeout_ms: u64,
    /// Further entries of every request, as they are: `unnorm_key = "bridge_orig"`.
    #[serde(default)]
    pub extra: BTreeMap<String, Constant>,
}

/// The protocol that a server speaks, variants apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// openpi's websocket.
    Openpi,
    /// `RoboArena`'s variant of it.
    Roboarena,
    /// `vLLM-Omni`'s variant of it, at `/v1/realtime/robot/openpi`.
    VllmOmni,
    /// Isaac-GR00T N1.5 over ZMQ.
    GrootN15,
    /// Isaac-GR00T N1.6 over ZMQ.
    GrootN16,
    /// AI2's vla-eval harness over websocket.
    VlaEval,
    /// `POST /act` with json-numpy: `OpenVLA`, `AutoEval`.
    Rest,
    /// `POST /act` with the request once more encoded, as a string under `encoded`.
    RestDoubleEncoded,
}

/// What a server remembers from one request to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// Nothing: any number of trials at a time.
    Nothing,
    /// Something per connection or session: any number of trials at a time, a session each.
    Session,
    /// Something of the one trial that is on: one trial at a time.
    Trial,
}

/// A constant entry of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Constant {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// One image of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFacts {
    /// Key; dots go down a level: `images.cam_high`.
    pub key: String,
    /// The embodiment's camera.
    pub camera: String,
    /// Height in pixels that the server takes.
    pub height: u32,
    /// Width in pixels that the server takes.
    pub width: u32,
    /// Order of the axes.
    pub layout: Layout,
    /// How the camera's size becomes the server's.
    pub resize: Resize,
    /// Share of each side that is kept before resizing, around the centre; 1 for all. A crop to
    /// 90 % of the area keeps 0.9487 of each side.
    pub centre_crop: f64,
    /// Whether the image is turned by 180°, as LIBERO's data are.
    pub upside_down: bool,
}

/// Order of an image's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Height, width, channel.
    Hwc,
    /// Channel, height, width.
    Chw,
}

/// How one size becomes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// It does not: the sizes must be equal.
    Exact,
    /// The aspect ratio is kept and the rest is black (openpi's `resize_with_pad`), bilinear.
    Pad,
    /// Both sides are scaled, bilinear.
    Stretch,
    /// Both sides are scaled, Lanczos (`OpenVLA`).
    StretchLanczos,
}

/// One vector of a request or of a reply, part by part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorFacts {
    /// Key; dots go down a level. Where the server returns a bare array it must be `actions`.
    pub key: String,
    /// Element type that is sent; replies may be of either.
    pub dtype: FloatType,
    /// What it is made of, in order.
    #[serde(rename = "part")]
    pub parts: Vec<PartFacts>,
}

/// Element type of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FloatType {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

/// A part of a vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PartFacts {
    /// Plain numbers, one per channel.
    Values {
        /// The embodiment's channels, in the server's order.
        channels: Vec<String>,
        /// The server's unit. Degrees and radians are converted; else it must be the channels'.
        unit: Unit,
        /// Whether values are changes or targets; must be the channels'.
        reference: Reference,
        /// The frame they are in; must be the channels', as far as they state one.
        #[serde(default)]
        frame: Option<String>,
        /// How the server scales them.
        normalization: Normalization,
    },
    /// A rotation.
    Rotation {
        /// The embodiment's channels, as many as its notation has.
        channels: Vec<String>,
        /// The server's notation.
        notation: Notation,
        /// Whether it is a change or a target; must be the channels'.
        reference: Reference,
        /// The frame it is in; must be the channels', as far as they state one.
        #[serde(default)]
        frame: Option<String>,
        /// How the server scales it.
        normalization: Normalization,
    },
    /// The gripper.
    Gripper {
        /// The embodiment's channel, which must state polarity and bounds.
        channel: String,
        /// Which end of the server's range is open.
        polarity: GripperPolarity,
        /// The server's values at the two ends.
        range: [f64; 2],
        /// Whether it is a target or, rarely, a change; must be the channel's.
        reference: Reference,
        /// Between the ends.
        command: GripperCommand,
    },
    /// Numbers that mean nothing to the rig: constants in a request, passed over in a reply.
    Filler {
        /// What is sent.
        values: Vec<f64>,
    },
}

/// What a gripper's values between the ends of its range mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum GripperCommand {
    /// They are widths in between.
    Continuous,
    /// They are decided at a threshold: at or above it the upper end, else the lower.
    Binary {
        /// The threshold, within the server's range.
        threshold: f64,
        /// Control steps that a new command is held at least, 1 for none (SIMPLER's Google robot
        /// holds 15).
        sticky: u32,
    },
}

/// How a server scales values. Given per value of the part, in the server's unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Normalization {
    /// It does not.
    None,
    /// The span from min to max is [-1, 1].
    MinMax {
        /// Lowest value of each.
        min: Vec<f64>,
        /// Highest value of each.
        max: Vec<f64>,
    },
    /// The span from the 1st to the 99th percentile is [-1, 1].
    Quantiles {
        /// 1st percentile of each.
        q01: Vec<f64>,
        /// 99th percentile of each.
        q99: Vec<f64>,
    },
    /// Mean 0 and standard deviation 1.
    MeanStd {
        /// Mean of each.
        mean: Vec<f64>,
        /// Standard deviation of each.
        std: Vec<f64>,
    },
}

impl Manifest {
    /// Reads a manifest and checks that it holds together.
    ///
    /// # Errors
    /// [`AdapterError`], which names the file and the key.
    pub fn load(path: &Path) -> Result<Self, AdapterError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| AdapterError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// As [`Manifest::load`], from the text of the file `path`.
    ///
    /// # Errors
    /// [`AdapterError`], which names the file and the key.
    pub fn parse(text: &str, path: &Path) -> Result<Self, AdapterError> {
        let syntax = |key: String, message: String| AdapterError::Syntax {
            path: path.to_owned(),
            key,
            message: message.trim_end().to_owned(),
        };
        let reader = toml::Deserializer::parse(text)
            .map_err(|error| syntax("the top".to_owned(), error.to_string()))?;
        let manifest: Self = serde_path_to_error::deserialize(reader).map_err(|error| {
            syntax(error.path().to_string(), error.inner().message().to_owned())
        })?;
        manifest.validate().map_err(|conflict| AdapterError::Manifest {
            path: path.to_owned(),
            key: conflict.key,
            problem: conflict.problem,
        })?;
        Ok(manifest)
    }
}
