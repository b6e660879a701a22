//! The features of a dataset: what each column or camera holds.

use std::fmt;

use arrow::datatypes::DataType;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

/// One feature of `info.json`: a column of the tables, or a camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Name, such as `observation.state`, `action`, `observation.images.front`.
    pub name: String,
    /// What a value is.
    pub dtype: Dtype,
    /// Shape of one frame's value; `[1]` for a scalar, `[height, width, 3]` for a camera.
    pub shape: Vec<usize>,
    /// Names of the entries along the shape's only axis; empty where the file states none.
    pub names: Vec<String>,
    /// For a camera, the codec that the file states, if any.
    pub codec: Option<String>,
}

/// What a value of a feature is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// A camera whose frames are in mp4 files.
    Video,
    /// A camera whose frames are in the tables, as PNG or JPEG.
    Image,
    /// 16-bit float.
    Float16,
    /// 32-bit float.
    Float32,
    /// 64-bit float.
    Float64,
    /// 8-bit integer.
    Int8,
    /// 16-bit integer.
    Int16,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// 8-bit unsigned integer.
    UInt8,
    /// 16-bit unsigned integer.
    UInt16,
    /// 32-bit unsigned integer.
    UInt32,
    /// 64-bit unsigned integer.
    UInt64,
    /// Yes or no.
    Bool,
    /// Anything else, such as `string`; such a feature is passed over.
    Other(String),
}

/// Most values that one frame of one feature may have, except for cameras.
pub(super) const MAX_FEATURE_WIDTH: usize = 1 << 20;

/// Prefix of a camera's feature, before its name.
pub(super) const CAMERA_PREFIX: &str = "observation.images.";

impl Feature {
    /// A table feature of `width` values a frame.
    pub fn vector(name: impl Into<String>, dtype: Dtype, width: usize) -> Self {
        Self { name: name.into(), dtype, shape: vec![width], names: Vec::new(), codec: None }
    }

    /// Whether the feature is a camera.
    pub const fn is_camera(&self) -> bool {
        matches!(self.dtype, Dtype::Video | Dtype::Image)
    }

    /// Values in one frame: the product of the shape; `None` where it overflows.
    pub fn width(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side))
    }

    /// The camera's name without its prefix: `front` for `observation.images.front`.
    pub fn camera_name(&self) -> &str {
        self.name
            .strip_prefix(CAMERA_PREFIX)
            .or_else(|| self.name.strip_prefix("observation."))
            .unwrap_or(&self.name)
    }

    /// A camera's height and width in pixels, whichever order the axes are named in.
    pub(super) fn image_size(&self) -> Option<(u32, u32)> {
        let &[first, second, third] = self.shape.as_slice() else { return None };
        // Some v2.1 datasets state (channels, height, width).
        let channels_first = match self.names.first() {
            Some(name) => name.starts_with("channel"),
            None => third != 3 && first == 3,
        };
        let (height, width, channels) =
            if channels_first { (second, third, first) } else { (first, second, third) };
        (channels == 3).then_some(())?;
        Some((u32::try_from(height).ok()?, u32::try_from(width).ok()?))
    }

    fn from_json(name: String, value: &Value) -> Result<Self, String> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let dtype = text("dtype").ok_or_else(|| format!("feature {name:?} has no `dtype`"))?;
        let shape = value
            .get("shape")
            .and_then(Value::as_array)
            .and_then(|sides| sides.iter().map(Value::as_u64).collect::<Option<Vec<_>>>())
            .ok_or_else(|| format!("feature {name:?} has no `shape` of whole numbers"))?;
        let codec = ["info", "video_info"]
            .iter()
            .find_map(|key| value.get(key)?.get("video.codec")?.as_str().map(str::to_owned));
        Ok(Self {
            dtype: Dtype::from_name(&dtype),
            shape: shape.into_iter().map(|side| side as usize).collect(),
            names: value.get("names").map(entry_names).unwrap_or_default(),
            name,
            codec,
        })
    }
}

/// The names of a feature's entries: a list, or (older) a map with one list in it.
fn entry_names(value: &Value) -> Vec<String> {
    let list = match value {
        Value::Array(list) => list,
        Value::Object(map) if map.len() == 1 => match map.values().next() {
            Some(Value::Array(list)) => list,
            _ => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    list.iter()
        .map(|name| name.as_str().map(str::to_owned))
        .collect::<Option<Vec<_>>>()
        .unwrap_or_default()
}

impl Dtype {
    fn from_name(name: &str) -> Self {
        match name {
            "video" => Self::Video,
            "image" => Self::Image,
            "float16" => Self::Float16,
            "float32" => Self::Float32,
            "float64" => Self::Float64,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "uint8" => Self::UInt8,
            "uint16" => Self::UInt16,
            "uint32" => Self::UInt32,
            "uint64" => Self::UInt64,
            "bool" => Self::Bool,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The word for it in `info.json`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Video => "video",
            Self::Image => "image",
            Self::Float16 => "float16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::UInt8 => "uint8",
            Self::UInt16 => "uint16",
            Self::UInt32 => "uint32",
            Self::UInt64 => "uint64",
            Self::Bool => "bool",
            Self::Other(name) => name,
        }
    }

    /// The Arrow type of one value; `None` for cameras and for what is passed over.
    pub fn arrow(&self) -> Option<DataType> {
        match self {
            Self::Video | Self::Image | Self::Other(_) => None,
            Self::Float16 => Some(DataType::Float16),
            Self::Float32 => Some(DataType::Float32),
            Self::Float64 => Some(DataType::Float64),
            Self::Int8 => Some(DataType::Int8),
            Self::Int16 => Some(DataType::Int16),
            Self::Int32 => Some(DataType::Int32),
            Self::Int64 => Some(DataType::Int64),
            Self::UInt8 => Some(DataType::UInt8),
            Self::UInt16 => Some(DataType::UInt16),
            Self::UInt32 => Some(DataType::UInt32),
            Self::UInt64 => Some(DataType::UInt64),
            Self::Bool => Some(DataType::Boolean),
        }
    }

    /// Whether it is a number or a bool, so that a table column can be read.
    pub fn is_numeric(&self) -> bool {
        self.arrow().is_some()
    }
}

/// Features in the order of the file, which is the order of cameras and columns.
pub(super) struct FeatureList(pub(super) Vec<Feature>);

impl<'de> Deserialize<'de> for FeatureList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = FeatureList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of features")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FeatureList, A::Error> {
                let mut features = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    features.push(Feature::from_json(name, &value).map_err(A::Error::custom)?);
                }
                Ok(FeatureList(features))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(text: &str) -> Vec<Feature> {
        serde_json::from_str::<FeatureList>(text).unwrap().0
    }

    #[test]
    fn the_order_of_the_file_is_kept() {
        let list = features(
            r#"{"b": {"dtype": "float32", "shape": [2], "names": ["x", "y"]},
                "a": {"dtype": "bool", "shape": [1], "names": null}}"#,
        );
        assert_eq!(
            list[0],
            Feature {
                names: vec!["x".into(), "y".into()],
                ..Feature::vector("b", Dtype::Float32, 2)
            }
        );
        assert_eq!(list[1].name, "a");
    }

    #[test]
    fn names_in_a_map_are_found() {
        let list = features(
            r#"{"action": {"dtype": "float32", "shape": [1], "names": {"motors": ["grip"]}}}"#,
        );
        assert_eq!(list[0].names, ["grip"]);
    }

    #[test]
    fn an_image_may_state_its_channels_first_or_last() {
        let list = features(
            r#"{"observation.images.a": {"dtype": "video", "shape": [3, 4, 6],
                 "names": ["channels", "height", "width"]},
                "observation.image": {"dtype": "image", "shape": [4, 6, 3], "names": null},
                "depth": {"dtype": "video", "shape": [4, 6, 1], "names": null}}"#,
        );
        assert_eq!(list[0].image_size(), Some((4, 6)));
        assert_eq!(list[1].image_size(), Some((4, 6)));
        assert_eq!(list[2].image_size(), None);
        assert_eq!((list[0].camera_name(), list[1].camera_name()), ("a", "image"));
    }
}
