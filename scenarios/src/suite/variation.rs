//! Variations: how a start is changed, to see what a policy can stand.

use serde::{Deserialize, Serialize};

/// A change of the start, drawn anew for each scenario from its seed.
///
/// All but the paraphrase edit the start frame; ranges are `[low, high]`, drawn uniformly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Variation {
    /// Brightness times a gain.
    Lighting {
        /// Range of the gain; 1 changes nothing.
        gain: [f32; 2],
    },
    /// Gaussian blur.
    Blur {
        /// Range of the standard deviation in pixels.
        sigma_px: [f32; 2],
    },
    /// The whole image moved, edges repeated.
    CameraShift {
        /// Range of the distance in pixels; the direction is drawn too.
        distance_px: [f32; 2],
    },
    /// A dark rectangle before the scene.
    Occluder {
        /// Range of its side, as a fraction of the image's shorter side.
        size: [f32; 2],
    },
    /// A textured patch of another object.
    Distractor {
        /// Range of its side, as a fraction of the image's shorter side.
        size: [f32; 2],
    },
    /// Hue turned.
    Colour {
        /// Range of the turn in degrees.
        hue_deg: [f32; 2],
    },
    /// The instruction in other words.
    Paraphrase {
        /// The wordings, one drawn for each scenario. `{instruction}` stands for the original.
        wordings: Vec<String>,
    },
}

impl Variation {
    /// The word for this variation in ids and reports.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Lighting { .. } => "lighting",
            Self::Blur { .. } => "blur",
            Self::CameraShift { .. } => "camera_shift",
            Self::Occluder { .. } => "occluder",
            Self::Distractor { .. } => "distractor",
            Self::Colour { .. } => "colour",
            Self::Paraphrase { .. } => "paraphrase",
        }
    }

    /// Checks the ranges; the error says what is accepted.
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let ordered = |[low, high]: [f32; 2], from: f32, to: f32| {
            low.is_finite() && high.is_finite() && from <= low && low <= high && high <= to
        };
        let (holds, accepted) = match self {
            Self::Lighting { gain } => {
                (ordered(*gain, 0.0, 10.0), "gain must be [low, high] within 0 and 10")
            }
            Self::Blur { sigma_px } => {
                (ordered(*sigma_px, 0.0, 100.0), "sigma_px must be [low, high] within 0 and 100")
            }
            Self::CameraShift { distance_px } => (
                ordered(*distance_px, 0.0, 1000.0),
                "distance_px must be [low, high] within 0 and 1000",
            ),
            Self::Occluder { size } | Self::Distractor { size } => {
                (ordered(*size, 0.0, 1.0), "size must be [low, high] within 0 and 1")
            }
            Self::Colour { hue_deg } => (
                ordered(*hue_deg, -180.0, 180.0),
                "hue_deg must be [low, high] within -180 and 180",
            ),
            Self::Paraphrase { wordings } => (
                !wordings.is_empty() && wordings.iter().all(|wording| !wording.trim().is_empty()),
                "wordings must hold one wording at least, none empty",
            ),
        };
        if holds { Ok(()) } else { Err(accepted) }
    }
}
