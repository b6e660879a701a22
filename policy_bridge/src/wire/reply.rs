//! What replies of both kinds share: per-trial results, faults, and errors of a whole request.

use std::fmt;

use rehearse_scenarios::interface::{PerTrial, TrialHandle};
use rehearse_scenarios::outcome::{Fault, FaultKind};

use super::attachment::{trials_from_value, write_trials};
use super::encode::Encoder;
use super::error::WireError;
use super::limits::{Limits, MAX_TEXT_BYTES};
use super::value::{Fields, Value};

/// Why a request as a whole was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request cannot be read, or breaks a rule of the protocol.
    Malformed,
    /// The payload is larger, or holds more trials, than the server takes.
    TooLarge,
    /// The server does not speak the request's version.
    UnsupportedVersion,
    /// The server's queue is full; ask again.
    Busy,
    /// The deadline passed while the request waited.
    Deadline,
    /// The trials were ended while the request waited.
    Cancelled,
    /// The request is a repeat whose answer is no longer held.
    AnswerLost,
    /// The policy or world failed as a whole.
    Failed,
}

impl ErrorCode {
    const ALL: [Self; 8] = [
        Self::Malformed,
        Self::TooLarge,
        Self::UnsupportedVersion,
        Self::Busy,
        Self::Deadline,
        Self::Cancelled,
        Self::AnswerLost,
        Self::Failed,
    ];

    /// The code as the protocol writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::UnsupportedVersion => "unsupported_version",
            Self::Busy => "busy",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::AnswerLost => "answer_lost",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The payload of an error reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ErrorReply {
    /// Why.
    pub code: ErrorCode,
    /// What happened and what to do about it.
    pub message: String,
}

impl ErrorReply {
    /// An error of `code`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The bytes of the payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.map(2);
        out.str("code");
        out.str(self.code.as_str());
        out.str("message");
        out.str(shortened(&self.message));
        out.into_bytes()
    }

    /// Reads the payload. An unknown code is [`ErrorCode::Failed`].
    ///
    /// # Errors
    /// [`WireError`] if it is no error of this protocol (zenoh's own are plain text).
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let value = Value::decode(bytes, &Limits { bytes: 1024 * 1024, ..Limits::default() })?;
        let fields = value.fields("error")?;
        let name = fields.required("code")?.text("code")?;
        let code = ErrorCode::ALL.into_iter().find(|code| code.as_str() == name);
        let message = shortened(fields.required("message")?.text("message")?);
        Ok(Self::new(code.unwrap_or(ErrorCode::Failed), message))
    }
}

/// Text cut to [`MAX_TEXT_BYTES`] at a character.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or(text)
}

/// Writes per-trial results: `entries` further entries by `item` for a trial that succeeded.
pub(super) fn write_results<T>(
    out: &mut Encoder,
    results: &[(TrialHandle, PerTrial<T>)],
    entries: impl Fn(&T) -> usize,
    mut item: impl FnMut(&mut Encoder, &T) -> Result<(), WireError>,
) -> Result<(), WireError> {
    out.map(1);
    out.str("trials");
    out.array(results.len());
    for (trial, result) in results {
        match result {
            Ok(value) => {
                out.map(1 + entries(value));
                out.str("trial");
                out.uint(trial.0);
                item(out, value)?;
            }
            Err(fault) => {
                out.map(2);
                out.str("trial");
                out.uint(trial.0);
                out.str("fault");
                write_fault(out, fault);
            }
        }
    }
    Ok(())
}

/// Reads per-trial results. An item that `item` refuses becomes that trial's fault of `kind`.
pub(super) fn read_results<T>(
    bytes: &[u8],
    limits: &Limits,
    kind: FaultKind,
    item: impl Fn(Fields<'_, '_>) -> Result<T, WireError>,
) -> Result<Vec<(TrialHandle, PerTrial<T>)>, WireError> {
    let value = Value::decode(bytes, limits)?;
    let trials = value.fields("reply")?.required("trials")?.items("trials")?;
    trials
        .iter()
        .map(|trial| {
            let fields = trial.fields("trials[]")?;
            let handle = TrialHandle(fields.required("trial")?.uint("trial")?);
            let result = match fields.get("fault") {
                Some(fault) => Err(fault_from_value(fault)?),
                None => item(fields).map_err(|error| Fault::new(kind, error.to_string())),
            };
            Ok((handle, result))
        })
        .collect()
}

fn write_fault(out: &mut Encoder, fault: &Fault) {
    out.map(2);
    out.str("kind");
    out.str(fault.kind.as_str());
    out.str("message");
    out.str(shortened(&fault.message));
}

fn fault_from_value(value: &Value<'_>) -> Result<Fault, WireError> {
    let fields = value.fields("fault")?;
    let name = fields.required("kind")?.text("kind")?;
    let kind = [
        FaultKind::PolicyCrashed,
        FaultKind::PolicyTimeout,
        FaultKind::MalformedAction,
        FaultKind::WorldBroke,
        FaultKind::WorldTimeout,
        FaultKind::JudgeBroke,
    ]
    .into_iter()
    .find(|kind| kind.as_str() == name)
    .ok_or_else(|| WireError::field("fault.kind", "a kind of fault", format!("{name:?}")))?;
    Ok(Fault::new(kind, shortened(fields.required("message")?.text("message")?)))
}

/// Writes the payload of `end` and `close`.
pub fn encode_end(trials: &[TrialHandle]) -> Vec<u8> {
    let mut out = Encoder::default();
    out.map(1);
    out.str("trials");
    write_trials(&mut out, trials);
    out.into_bytes()
}

/// Reads the payload of `end` and `close`.
///
/// # Errors
/// [`WireError`] if it is not one.
pub fn decode_end(bytes: &[u8], limits: &Limits) -> Result<Vec<TrialHandle>, WireError> {
    let value = Value::decode(bytes, limits)?;
    trials_from_value(value.fields("request")?.required("trials")?)
}

/// The items of a request, which hold a `trial` each.
pub(super) fn read_items<T>(
    bytes: &[u8],
    limits: &Limits,
    item: impl Fn(TrialHandle, Fields<'_, '_>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let value = Value::decode(bytes, limits)?;
    let trials = value.fields("request")?.required("trials")?.items("trials")?;
    trials
        .iter()
        .map(|trial| {
            let fields = trial.fields("trials[]")?;
            item(TrialHandle(fields.required("trial")?.uint("trial")?), fields)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_back_and_unknown_codes_are_failures() {
        for code in ErrorCode::ALL {
            let error = ErrorReply::new(code, "what happened");
            assert_eq!(ErrorReply::decode(&error.encode()).unwrap(), error);
        }
        let mut out = Encoder::default();
        out.map(2);
        out.str("code");
        out.str("on_fire");
        out.str("message");
        out.str("help");
        let error = ErrorReply::decode(&out.into_bytes()).unwrap();
        assert_eq!(error, ErrorReply::new(ErrorCode::Failed, "help"));
        assert!(ErrorReply::decode(b"Timeout").is_err());
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let error = ErrorReply::new(ErrorCode::Failed, "é".repeat(MAX_TEXT_BYTES));
        let back = ErrorReply::decode(&error.encode()).unwrap();
        assert_eq!(back.message.len(), MAX_TEXT_BYTES);
    }
}
