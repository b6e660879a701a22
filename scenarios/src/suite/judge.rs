//! Who says how a trial ends.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Who says how a trial ends, and when the belief that the task is done decides it.
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
    /// A judge that answers over zenoh, as in `rehearse/v1/judge/<name>`, in the place of the
    /// world's own. It is undecided at one half: a success takes more, whatever `success` says,
    /// and `failure` is one half if not stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zenoh: Option<String>,
    /// Times that it is asked of each frame; the belief is their mean. Default 1.
    #[serde(skip_serializing_if = "is_one")]
    pub votes: u32,
    /// It looks at every so many control steps of a trial. Default 8.
    #[serde(skip_serializing_if = "is_every")]
    pub every: u32,
}

/// Control steps from look to look.
const EVERY: u32 = 8;
/// The most votes on a frame.
const MOST_VOTES: u32 = 1000;

const fn is_one(votes: &u32) -> bool {
    *votes == 1
}

const fn is_every(every: &u32) -> bool {
    *every == EVERY
}

impl Default for JudgeEntry {
    fn default() -> Self {
        Self {
            success: 0.5,
            failure: None,
            frames: 1,
            check: None,
            zenoh: None,
            votes: 1,
            every: EVERY,
        }
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
        let Self { success, failure, frames, votes, every, check: _, zenoh: _ } = self;
        if !(*success > 0.0 && *success <= 1.0) {
            return Err(("success", "must be above 0 and at most 1"));
        }
        if failure.is_some_and(|failure| !(failure > 0.0 && failure <= *success)) {
            return Err(("failure", "must be above 0 and at most `success`"));
        }
        if *frames == 0 {
            return Err(("frames", "must be 1 at least"));
        }
        if !(1..=MOST_VOTES).contains(votes) {
            return Err(("votes", "must be 1 to 1000"));
        }
        if *every == 0 {
            return Err(("every", "must be 1 control step at least"));
        }
        Ok(())
    }
}
