//! Why a recording could not be made.

use rehearse_scenarios::log::LogError;
use rehearse_world_model::ModelError;

/// Why a recording could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VizError {
    /// The recording could not be written or sent.
    #[error("cannot record for rerun")]
    Recording {
        /// The cause.
        #[from]
        source: rerun::RecordingStreamError,
    },
    /// The recording could not be written or sent to its end.
    #[error("cannot finish the recording for rerun")]
    Flush {
        /// The cause.
        #[from]
        source: rerun::sink::SinkFlushError,
    },
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The episode could not be cut into chunks.
    #[error("cannot cut the episode into chunks")]
    Partition {
        /// The cause.
        #[from]
        source: ModelError,
    },
    /// A predicted video could not be decoded.
    #[error("cannot decode the predicted video")]
    Predicted {
        /// The cause.
        #[from]
        source: rehearse_planner::PlanError,
    },
    /// A frame could not be compressed.
    #[error("cannot compress a frame of camera {camera:?}")]
    Compress {
        /// The camera.
        camera: String,
        /// The cause.
        #[source]
        source: image::ImageError,
    },
}
