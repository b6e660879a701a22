//! Who says how a trial ends.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// When the world's belief that the task is done decides a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeEntry {
    /// Least belief, in (0, 1], that says the task is done. Default 0.5.
    pub success: f32,
    /// Belief, above 0 and up to `success`, below which the task is said not to be done. A trial
    /// that never succeeds but stays between the two for `frames` is unsure. `success` if not
    /// stated, so that no trial is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<f32>,
    /// Frames in a row for which the judge must be sure; the trial then ends. Default 1.
    pub frames: u32,
    /// What `rehearse judge check` wrote of this judge, relative to the suite's folder, so that
    /// the report can correct for its errors. For a learned world, `judge.json` beside the
    /// checkpoint if not stated and there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<PathBuf>,
}

impl Default for JudgeEntry {
    fn default() -> Self {
        Self { success: 0.5, failure: None, frames: 1, check: None }
    }
}

impl JudgeEntry {
    /// Whether nothing differs from the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// The field and what it accepts.
    pub fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let Self { success, failure, frames, check: _ } = self;
        if !(*success > 0.0 && *success <= 1.0) {
            return Err(("success", "must be above 0 and at most 1"));
        }
        if failure.is_some_and(|failure| !(failure > 0.0 && failure <= *success)) {
            return Err(("failure", "must be above 0 and at most `success`"));
        }
        if *frames == 0 {
            return Err(("frames", "must be 1 at least"));
        }
        Ok(())
    }
}
