//! The curves of a training.

use rehearse_world_model::train::CurvePoint;
use rerun::blueprint::{Blueprint, ContainerLike, TimeSeriesView, Vertical};
use rerun::{RecordingStream, Scalars};

use super::{Destination, VizError};

/// A recording of the curves of a training, to be added to as it goes on.
///
/// Entities over the timeline `step`, which counts the steps of all stages so far:
/// `loss/<stage>`, `norm/<stage>` (of the gradient before it was cut), `rate/<stage>` (learning
/// rate) and `validation/<measure>/<stage>`.
#[derive(Debug)]
pub struct Curves {
    stream: RecordingStream,
    /// The stage that runs, and the steps of all before it.
    stage: Option<(String, i64)>,
    /// Steps of all points so far.
    steps: i64,
}

impl Curves {
    /// Opens the recording.
    ///
    /// # Errors
    /// [`VizError`] if the file cannot be written or the address is none.
    pub fn open(name: &str, destination: &Destination) -> Result<Self, VizError> {
        Ok(Self { stream: destination.open(name, layout())?, stage: None, steps: 0 })
    }

    /// Adds a point.
    ///
    /// # Errors
    /// [`VizError`] if the recording cannot be written.
    pub fn add(&mut self, point: &CurvePoint) -> Result<(), VizError> {
        let CurvePoint { stage, step, loss, norm, rate, validation, steps: _, secs: _ } = point;
        let before = match &self.stage {
            Some((name, before)) if name == stage => *before,
            _ => self.steps,
        };
        self.stage = Some((stage.clone(), before));
        self.steps = before + *step as i64;
        self.stream.set_time_sequence("step", self.steps);
        for (what, value) in [("loss", loss), ("norm", norm), ("rate", rate)] {
            self.stream.log(format!("{what}/{stage}"), &Scalars::single(*value))?;
        }
        for (measure, value) in validation {
            self.stream.log(format!("validation/{measure}/{stage}"), &Scalars::single(*value))?;
        }
        Ok(())
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// [`VizError`] if it cannot be.
    pub fn finish(self) -> Result<(), VizError> {
        Ok(self.stream.flush_blocking()?)
    }
}

fn layout() -> Blueprint {
    let views = ["loss", "validation", "norm", "rate"]
        .map(|entity| ContainerLike::from(TimeSeriesView::new(entity).with_origin(entity)));
    Blueprint::new(Vertical::new(views))
}
