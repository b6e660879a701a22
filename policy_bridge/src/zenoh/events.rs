//! What a run does, told to whoever listens.

use ::zenoh::pubsub::Publisher;
use ::zenoh::qos::CongestionControl;
use ::zenoh::{Session, Wait as _};

use super::error::BridgeError;
use super::keys::run_key;

/// Publishes what a run does at `rehearse/v1/run/<run>/events`, one message an event.
///
/// Nobody is waited for: a listener that is slow, or comes late, misses events. The run's own
/// journal holds them all.
#[derive(Debug)]
pub struct RunEvents(Publisher<'static>);

impl RunEvents {
    /// Declares the stream of the run called `run`: a name without `/`, `*`, `$`, `?` and `#`.
    ///
    /// # Errors
    /// [`BridgeError::Zenoh`] if the name cannot stand in a key, or the session is closed.
    pub fn declare(session: &Session, run: &str) -> Result<Self, BridgeError> {
        let publisher = session
            .declare_publisher(run_key(run))
            .congestion_control(CongestionControl::Drop)
            .wait()
            .map_err(BridgeError::zenoh("declare a publisher"))?;
        Ok(Self(publisher))
    }

    /// Publishes an event: a JSON object, without a line break.
    pub fn publish(&self, event: Vec<u8>) {
        let Self(publisher) = self;
        if let Err(error) = publisher.put(event).wait() {
            tracing::debug!("an event of the run was not published: {error}");
        }
    }
}
