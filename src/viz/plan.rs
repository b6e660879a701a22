//! A plan: the predicted video, the actions, and how the search went.

use rehearse_scenarios::observation::Observation;
use rehearse_world_model::model::WorldModel;
use rerun::blueprint::{
    Blueprint, ContainerLike, Horizontal, Spatial2DView, TimeSeriesView, Vertical,
};
use rerun::{EncodedImage, Scalars};

use super::episode::{compress, name_lines};
use super::{Destination, VizError};
use crate::plan::Planned;

/// Sends a plan as a recording.
///
/// Entities over the timeline `step`: `start/<camera>`, `predicted/<camera>`, `state`, `action`,
/// `success` (the judge's belief); over `iteration`: `search/{best_cost,elite_cost,spread}`.
///
/// # Errors
/// [`VizError`] if the video cannot be decoded or the recording cannot be written.
pub fn send_plan(
    planned: &Planned,
    model: &WorldModel,
    start: &Observation,
    destination: &Destination,
) -> Result<(), VizError> {
    let rig = &model.embodiment;
    let cameras = || rig.cameras.iter().map(|camera| camera.name.as_str());
    let stream = destination.open(&planned.instruction, layout(cameras()))?;
    name_lines(&stream, "state", &rig.proprioception)?;
    name_lines(&stream, "action", &rig.actions)?;
    let encode = |image, camera: &str| -> Result<EncodedImage, VizError> {
        let jpeg = compress(image)
            .map_err(|source| VizError::Compress { camera: camera.to_owned(), source })?;
        Ok(EncodedImage::from_file_contents(jpeg).with_media_type("image/jpeg"))
    };
    for (camera, image) in &start.images {
        stream.log_static(format!("start/{camera}"), &encode(image, camera)?)?;
    }
    let wide = |values: &[f32]| Scalars::new(values.iter().map(|&value| f64::from(value)));
    let predicted = &planned.predicted;
    for (step, images) in predicted.images(model)?.iter().enumerate() {
        stream.set_time_sequence("step", step as i64);
        for (camera, image) in cameras().zip(images) {
            stream.log(format!("predicted/{camera}"), &encode(image, camera)?)?;
        }
        stream.log("action", &wide(&planned.actions[step]))?;
        stream.log("state", &wide(&predicted.states[step]))?;
        stream.log("success", &wide(&predicted.success[step..=step]))?;
    }
    stream.reset_time();
    for (iteration, it) in planned.iterations.iter().enumerate() {
        stream.set_time_sequence("iteration", iteration as i64);
        for (name, value) in
            [("best_cost", it.best_cost), ("elite_cost", it.elite_cost), ("spread", it.spread)]
        {
            stream.log(format!("search/{name}"), &wide(&[value]))?;
        }
    }
    stream.flush_blocking()?;
    Ok(())
}

/// Start and prediction on top, the numbers below.
fn layout<'a>(cameras: impl Iterator<Item = &'a str>) -> Blueprint {
    let views = cameras.flat_map(|camera| {
        ["start", "predicted"].map(|what| {
            let origin = format!("{what}/{camera}");
            ContainerLike::from(Spatial2DView::new(format!("{what} {camera}")).with_origin(origin))
        })
    });
    let numbers = ["success", "state", "action", "search"]
        .map(|entity| ContainerLike::from(TimeSeriesView::new(entity).with_origin(entity)));
    let rows = [ContainerLike::from(Horizontal::new(views.collect::<Vec<_>>()))];
    Blueprint::new(Vertical::new(rows.into_iter().chain(numbers)))
}
