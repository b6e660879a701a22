//! Where a recording goes.

use std::path::PathBuf;

use rerun::blueprint::{Blueprint, BlueprintActivation};
use rerun::{RecordingStream, RecordingStreamBuilder};

use super::VizError;

/// Where a recording goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file, `.rrd` by custom.
    File(PathBuf),
    /// A viewer that runs, by its address: `rerun+http://127.0.0.1:9876/proxy`.
    Viewer(String),
}

impl Destination {
    /// The address of a viewer that runs on this machine with its default port.
    pub const LOCAL_VIEWER: &str = "rerun+http://127.0.0.1:9876/proxy";

    /// Opens a recording with its name and layout.
    ///
    /// # Errors
    /// [`VizError::Recording`] if the file cannot be written or the address is none.
    pub fn open(&self, name: &str, layout: Blueprint) -> Result<RecordingStream, VizError> {
        let builder = RecordingStreamBuilder::new("rehearse").recording_name(name);
        let stream = match self {
            Self::File(path) => builder.save(path)?,
            Self::Viewer(address) => builder.connect_grpc_opts(address)?,
        };
        layout.send(&stream, BlueprintActivation { make_active: true, make_default: true })?;
        Ok(stream)
    }
}
