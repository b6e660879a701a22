//! Which trials are trusted.

use serde::{Deserialize, Serialize};

/// What a trial in a learned world must keep to, to count as trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustEntry {
    /// Share of the training episodes, in (0, 1), whose own distance from the others marks the
    /// edge of the trusted region. Default 0.99.
    pub within: f32,
    /// Largest error of the hand's place, in metres, that the model may have at the trial's depth
    /// and chunk length. No bound if not stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<f32>,
    /// Share of the trials, in [0, 1], that are imagined a second time with other noise.
    /// Default 0.1.
    pub draws: f32,
}

impl Default for TrustEntry {
    fn default() -> Self {
        Self { within: 0.99, error: None, draws: 0.1 }
    }
}

impl TrustEntry {
    /// Whether nothing differs from the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the numbers; the error names the field and says what is accepted.
    pub(super) fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        if !(self.within > 0.0 && self.within < 1.0) {
            return Err(("within", "must be between 0 and 1"));
        }
        if self.error.is_some_and(|error| !(error > 0.0 && error.is_finite())) {
            return Err(("error", "must be above 0"));
        }
        if !(0.0..=1.0).contains(&self.draws) {
            return Err(("draws", "must be within 0 and 1"));
        }
        Ok(())
    }
}
