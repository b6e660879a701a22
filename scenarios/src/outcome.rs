//! How a trial ends.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a trial ended.
///
/// A policy that fails the task is a result; a policy or a world that breaks is a
/// [`Void`](Outcome::Void), counted on its own, never silently a failure and never silently
/// retried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The task was done.
    Success,
    /// The task was not done within the horizon.
    Failure,
    /// The judge could not tell.
    Unsure,
    /// The trial says nothing about the policy's skill, because something broke.
    Void {
        /// What broke.
        fault: Fault,
    },
}

/// What broke in a trial, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {message}")]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Who broke.
    pub kind: FaultKind,
    /// What happened, in words that a person can act on.
    pub message: String,
}

/// Who broke, in a trial that is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The policy crashed, went away, or answered with an error.
    PolicyCrashed,
    /// The policy did not answer in time.
    PolicyTimeout,
    /// The policy's action has the wrong shape, is not finite, or is out of bounds.
    MalformedAction,
    /// The world crashed, went away, or answered with an error.
    WorldBroke,
    /// The world did not answer in time.
    WorldTimeout,
    /// The judge failed.
    JudgeBroke,
}

impl Fault {
    /// A fault of `kind` with its message.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl Outcome {
    /// The word for this outcome in tables and files: `success`, `failure`, `unsure` or `void`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unsure => "unsure",
            Self::Void { .. } => "void",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FaultKind {
    /// The word for this kind in tables and files, as in `policy_timeout`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PolicyCrashed => "policy_crashed",
            Self::PolicyTimeout => "policy_timeout",
            Self::MalformedAction => "malformed_action",
            Self::WorldBroke => "world_broke",
            Self::WorldTimeout => "world_timeout",
            Self::JudgeBroke => "judge_broke",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_files_are_the_words_in_tables() {
        for kind in [
            FaultKind::PolicyCrashed,
            FaultKind::PolicyTimeout,
            FaultKind::MalformedAction,
            FaultKind::WorldBroke,
            FaultKind::WorldTimeout,
            FaultKind::JudgeBroke,
        ] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }

    #[test]
    fn a_void_carries_its_reason_through_a_file() {
        let outcome =
            Outcome::Void { fault: Fault::new(FaultKind::PolicyTimeout, "no reply in 2.000 s") };
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
    }
}
