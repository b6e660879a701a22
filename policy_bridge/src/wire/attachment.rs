//! What travels in the zenoh attachment: who asks, what about, until when.

use rehearse_scenarios::interface::TrialHandle;

use super::encode::Encoder;
use super::error::WireError;
use super::limits::Limits;
use super::value::Value;

/// Attachment of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestAttachment {
    /// Version of the protocol that the request speaks.
    pub version: u64,
    /// Id of the client; trials are kept apart by it.
    pub client: [u8; 16],
    /// Number of the request, unique within the client.
    pub request: u64,
    /// The trials in the payload, in the same order.
    pub trials: Vec<TrialHandle>,
    /// Milliseconds after which nobody waits for the answer.
    pub deadline_ms: u32,
}

/// Attachment of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyAttachment {
    /// Version of the protocol that the reply speaks.
    pub version: u64,
    /// Id of the server, drawn when it started.
    pub server: [u8; 16],
    /// The request that is answered.
    pub request: u64,
    /// The trials that are answered, in the order of the payload.
    pub trials: Vec<TrialHandle>,
}

fn small() -> Limits {
    Limits { bytes: 1024 * 1024, ..Limits::default() }
}

impl RequestAttachment {
    /// The bytes of the attachment.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(80 + 9 * self.trials.len());
        out.map(5);
        out.str("version");
        out.uint(self.version);
        out.str("client");
        out.bin(&self.client);
        out.str("request");
        out.uint(self.request);
        out.str("trials");
        write_trials(&mut out, &self.trials);
        out.str("deadline_ms");
        out.uint(u64::from(self.deadline_ms));
        out.into_bytes()
    }

    /// Reads the attachment.
    ///
    /// # Errors
    /// [`WireError`] with the first field that is missing or wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let value = Value::decode(bytes, &small())?;
        let fields = value.fields("attachment")?;
        let deadline_ms = fields.required("deadline_ms")?.uint("deadline_ms")?;
        Ok(Self {
            version: fields.required("version")?.uint("version")?,
            client: id_from_value(fields.required("client")?, "client")?,
            request: fields.required("request")?.uint("request")?,
            trials: trials_from_value(fields.required("trials")?)?,
            deadline_ms: u32::try_from(deadline_ms).unwrap_or(u32::MAX),
        })
    }
}

impl ReplyAttachment {
    /// The bytes of the attachment.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(64 + 9 * self.trials.len());
        out.map(4);
        out.str("version");
        out.uint(self.version);
        out.str("server");
        out.bin(&self.server);
        out.str("request");
        out.uint(self.request);
        out.str("trials");
        write_trials(&mut out, &self.trials);
        out.into_bytes()
    }

    /// Reads the attachment.
    ///
    /// # Errors
    /// [`WireError`] with the first field that is missing or wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let value = Value::decode(bytes, &small())?;
        let fields = value.fields("attachment")?;
        Ok(Self {
            version: fields.required("version")?.uint("version")?,
            server: id_from_value(fields.required("server")?, "server")?,
            request: fields.required("request")?.uint("request")?,
            trials: trials_from_value(fields.required("trials")?)?,
        })
    }
}

pub(super) fn write_trials(out: &mut Encoder, trials: &[TrialHandle]) {
    out.array(trials.len());
    for trial in trials {
        out.uint(trial.0);
    }
}

pub(super) fn trials_from_value(value: &Value<'_>) -> Result<Vec<TrialHandle>, WireError> {
    value.items("trials")?.iter().map(|trial| trial.uint("trials").map(TrialHandle)).collect()
}

pub(super) fn id_from_value(value: &Value<'_>, what: &str) -> Result<[u8; 16], WireError> {
    let bytes = value.bytes(what)?;
    bytes
        .try_into()
        .map_err(|_length| WireError::field(what, "16 bytes", format!("{} bytes", bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_come_back() {
        let request = RequestAttachment {
            version: 1,
            client: [7; 16],
            request: u64::MAX,
            trials: vec![TrialHandle(0), TrialHandle(1 << 40)],
            deadline_ms: 2_000,
        };
        assert_eq!(RequestAttachment::decode(&request.encode()).unwrap(), request);
        let reply =
            ReplyAttachment { version: 1, server: [9; 16], request: 3, trials: request.trials };
        assert_eq!(ReplyAttachment::decode(&reply.encode()).unwrap(), reply);
        assert!(RequestAttachment::decode(&reply.encode()).is_err());
    }
}
